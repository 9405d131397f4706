import type { Entries } from '../../../src/protocol/causal/entry.ts';
import { readCounter, readRegister } from '../../../src/protocol/causal/value.ts';
import type { SimCluster } from '../cluster.ts';
import type { History } from '../history.ts';
import { type Checker, Problems } from './checker.ts';

const decoder = new TextDecoder();

/** No acknowledged write is lost, what was deleted stays deleted, no increment is lost or counted twice. */
export function durabilityChecker(cluster: SimCluster, histories: readonly History[]): Checker {
  return {
    name: 'durability',
    check: () => {
      const problems = new Problems('durability');
      for (const history of histories) look(cluster, history, problems);
      return problems.all();
    },
  };
}

function look(cluster: SimCluster, history: History, problems: Problems): void {
  const ring = cluster.nodes[0]?.running?.node.placements;
  const bucket = history.bucket.dataName;
  if (ring === undefined) return problems.add('the first node is not running');
  const onDisk = (key: string): { name: string; entries: Entries }[] => {
    const shard = ring.shardOf(bucket, key);
    const owners = ring.owners(shard);
    return cluster.nodes
      .filter(({ id }) => owners.includes(id))
      .map(({ name, disk }) => ({ name, entries: disk.entriesOf(shard, { bucket, key }) ?? [] }));
  };
  for (const [key, { value }] of history.acknowledged) {
    for (const { name, entries } of onDisk(key)) {
      const found = readRegister(entries);
      if (found === undefined || decoder.decode(found.payload.value) !== value) {
        problems.add(`the acknowledged write of ${history.bucket.name}/${key} is lost on ${name}`);
      }
    }
  }
  for (const key of history.deleted) {
    for (const { name, entries } of onDisk(key))
      if (entries.length > 0) problems.add(`${history.bucket.name}/${key} was deleted and is back on ${name}`);
  }
  for (const [key, { acknowledged, unknown }] of history.counters) {
    for (const { name, entries } of onDisk(key)) {
      const value = readCounter(entries) ?? 0;
      if (typeof value !== 'number' || value < acknowledged || value > acknowledged + unknown) {
        problems.add(
          `${history.bucket.name}/${key} is ${value} on ${name}: ${acknowledged} acknowledged, ${unknown} unknown`,
        );
      }
    }
  }
}
