import { dotText } from '../../../src/protocol/causal/dot.ts';
import { believed } from '../../../src/protocol/causal/mark.ts';
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
      const expected = contentOf(cluster);
      for (const [key, versions] of expected) {
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

/** The versions of each key on the disks of its owners, which are all equal by now. */
function contentOf({ nodes }: SimCluster): Map<string, string> {
  const content = new Map<string, string>();
  const ring = nodes.find(({ running }) => running !== null)?.running?.node.ring;
  for (const { id, disk } of nodes) {
    for (const [shard, records] of disk.objects) {
      if (ring?.isOwner(shard, id) !== true) continue;
      for (const { name, object } of records.values()) {
        if (name.bucket !== 'default' || object.entries.length === 0) continue;
        content.set(
          name.key,
          believed(object.entries)
            .map(({ dot }) => dotText(dot))
            .join(' '),
        );
      }
    }
  }
  return content;
}
