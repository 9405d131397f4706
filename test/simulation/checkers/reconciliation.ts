import { dotText } from '../../../src/protocol/causal/dot.ts';
import type { Entries } from '../../../src/protocol/causal/entry.ts';
import type { SimCluster, SimNode } from '../cluster.ts';
import type { VirtualHub } from '../virtual-hub.ts';
import type { Checker } from './checker.ts';

/**
 * The hub and the site have, of every bucket that is reconciled, the same keys. Exempt and counted: runs in which a store was
 * repaired. What it lost of events that only the hub has heard of, the site counts without having it, or has again what they replaced.
 */
export function reconciliationChecker(cluster: SimCluster): Checker {
  let isExempt = false;
  return {
    name: 'reconciliation',
    fault: (text) => {
      isExempt ||= cluster.hub !== null && text.endsWith('is repaired');
    },
    check: () => (isExempt ? [] : checkReconciliation(cluster).map((problem) => `reconciliation: ${problem}`)),
    exemptions: () => (isExempt ? ['hub and site after a store was repaired'] : []),
  };
}

/**
 * After faults have stopped, and all owners of each shard have converged: the hub counts what they count, it has each key of
 * the buckets that go up as they have it, and of no other key anything; and they have what was written there.
 */
export function checkReconciliation({ hub, nodes }: SimCluster): string[] {
  const ring = nodes.find(({ running }) => running !== null)?.running?.node.placements;
  if (hub === null || ring === undefined) return [];
  const problems: string[] = [];
  for (const shard of ring.shardIds()) {
    const owner = nodes.find(({ id, disk }) => ring.isOwner(shard, id) && disk.shards.has(shard));
    if (owner !== undefined)
      problems.push(...[...differences(owner, hub, shard)].map((problem) => `shard ${shard}: ${problem}`));
  }
  return problems;
}

function* differences(owner: SimNode, hub: VirtualHub, shard: number): Generator<string> {
  const here = owner.disk.shards.get(shard)?.context;
  const there = hub.rows.shards.get(shard);
  if (here !== undefined && !here.isEmpty && there?.context.covers(here) !== true) {
    yield `the hub lacks events ${JSON.stringify(there === undefined ? here.ranges() : here.minus(there.context))}`;
  }
  if (there !== undefined && here?.covers(there.own) !== true && !there.own.isEmpty && isAnyDown(hub)) {
    yield `${owner.name} lacks what was written at the hub`;
  }
  // Where events of other buckets are among what the site has lost, it does not count what the hub counts, and keeps old copies.
  const isLacking = here !== undefined && there?.context.without(here).isEmpty === false;
  if (isLacking && there.partial.length > 0) return;
  const own = new Map<string, string>();
  for (const { name, object } of owner.disk.objects.get(shard)?.values() ?? []) {
    if (object.entries.length > 0) own.set(`${name.bucket}/${name.key}`, textOf(object.entries));
  }
  const kept = new Map<string, string>();
  for (const { name, object } of hub.rows.objects.values()) {
    if (name.shard === shard && object.entries.length > 0)
      kept.set(`${name.bucket}/${name.key}`, textOf(object.entries));
  }
  for (const key of new Set([...own.keys(), ...kept.keys()])) {
    const sync = hub.buckets.get(key.slice(0, key.indexOf('/')))?.sync ?? 'none';
    const [a, b] = [own.get(key), kept.get(key)];
    if (sync === 'up' || sync === 'both') {
      if (a !== b) yield `${key}: ${a ?? 'absent'} at ${owner.name}, ${b ?? 'absent'} at the hub`;
    } else if (sync === 'down') {
      if (b !== undefined && !b.split(' ').every((entry) => a?.split(' ').includes(entry))) {
        yield `${key}: ${a ?? 'absent'} at ${owner.name}, written at the hub: ${b}`;
      }
    } else if (b !== undefined) {
      yield `${key} is at the hub, and is not to go there`;
    }
  }
}

function isAnyDown({ buckets }: VirtualHub): boolean {
  return [...buckets.values()].some(({ sync }) => sync === 'down' || sync === 'both');
}

function textOf(entries: Entries): string {
  return entries.map(({ dot, payload }) => `${dotText(dot)}:${payload.kind}`).join(' ');
}
