import { dotText } from '../../../src/protocol/causal/dot.ts';
import { believed } from '../../../src/protocol/causal/mark.ts';
import { liveEntries } from '../../../src/protocol/causal/value.ts';
import type { SimCluster } from '../cluster.ts';
import type { WatchState } from '../watch-clients.ts';
import { type Checker, Problems } from './checker.ts';

/** Who applies what a watch tells has the bucket in the end, and is never shown a state again that was replaced. */
export function watchesChecker(cluster: SimCluster, watch: WatchState): Checker {
  return {
    name: 'watches',
    check: () => {
      const problems = new Problems('watches');
      for (const fault of watch.faults) problems.add(fault);
      if (!watch.synced) problems.add('the client has not read the bucket');
      const wallMs = watch.node?.running?.node.wallMs(watch.node.clock.now()) ?? 0;
      const expected = contentOf(cluster, wallMs);
      for (const [key, { versions, isLive }] of expected) {
        // An expired value is shown or not until it is removed.
        if (!isLive) continue;
        const shown = watch.keys.get(key);
        if (shown !== versions)
          problems.add(`${watch.node?.name} shows ${shown ?? 'nothing'} for ${key}, not ${versions}`);
      }
      for (const key of watch.keys.keys())
        if (!expected.has(key)) problems.add(`${watch.node?.name} shows ${key}, which is gone`);
      return problems.all();
    },
  };
}

interface Content {
  readonly versions: string;
  readonly isLive: boolean;
}

/** The versions of each key on the disks of its owners, which are all equal by now. */
function contentOf({ nodes }: SimCluster, wallMs: number): Map<string, Content> {
  const content = new Map<string, Content>();
  const ring = nodes.find(({ running }) => running !== null)?.running?.node.placements;
  for (const { id, disk } of nodes) {
    for (const [shard, records] of disk.objects) {
      if (ring?.isOwner(shard, id) !== true) continue;
      for (const { name, object } of records.values()) {
        if (name.bucket !== 'default' || object.entries.length === 0) continue;
        const entries = believed(object.entries);
        const versions = entries.map(({ dot }) => dotText(dot)).join(' ');
        content.set(name.key, { versions, isLive: liveEntries(entries, wallMs, 'lww').length > 0 });
      }
    }
  }
  return content;
}
