import { describe, expect, test } from 'vitest';
import { readRegister } from '../../src/protocol/causal/value.ts';
import type { ClientReply, Level } from '../../src/protocol/replication/request.ts';
import type { PlacementMap } from '../../src/protocol/ring/placement-map.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { configOf, PLACED_BUCKETS, type SimBucket } from '../simulation/placed-buckets.ts';
import { VirtualDisk } from '../simulation/virtual-disk.ts';
import { ask, DISCONNECT_MS, formed, hasRing, put, SETTLE_MS, settle } from '../support/sim-story.ts';

const [SINGLE, ZONED] = PLACED_BUCKETS as readonly [SimBucket, SimBucket];
const decoder = new TextDecoder();

interface Replica {
  readonly complete: boolean;
  readonly context: { readonly isEmpty: boolean };
}

function placementsOf({ running }: SimNode): PlacementMap {
  if (running === null) throw new Error('the node is down');
  return running.node.placements;
}

function create(cluster: SimCluster, node: SimNode, bucket: SimBucket): void {
  expect(cluster.putBucket(node, bucket.name, configOf(bucket))).toBe(true);
}

function knows(node: SimNode, bucket: SimBucket): boolean {
  return node.running?.node.dataName(bucket.name) === bucket.dataName;
}

/** Everybody has heard of it. */
function created(cluster: SimCluster, bucket: SimBucket): void {
  create(cluster, cluster.nodes[0] as SimNode, bucket);
  const all = (): boolean => cluster.nodes.every((node) => node.running === null || knows(node, bucket));
  expect(cluster.runUntil(all, SETTLE_MS, 1)).toBe(true);
}

function keyOf(map: PlacementMap, { dataName }: SimBucket, isWanted: (owners: readonly string[]) => boolean): string {
  for (let i = 0; i < 1000; i++) if (isWanted(map.owners(map.shardOf(dataName, `k${i}`)))) return `k${i}`;
  throw new Error('no shard satisfies the condition');
}

function write(cluster: SimCluster, node: SimNode, { name }: SimBucket, key: string, text: string): ClientReply {
  const mutation = put(text);
  return ask(cluster, node, { type: 'mutate', bucket: name, key, mutation, level: 'quorum', context: null })();
}

function read(
  cluster: SimCluster,
  node: SimNode,
  bucket: string,
  key: string,
  level: Level = 'quorum',
): { text: string | null; complete: boolean } {
  const reply = ask(cluster, node, { type: 'get', bucket, key, level, session: null })();
  if (reply.type !== 'get') throw new Error(JSON.stringify(reply));
  const found = readRegister(reply.entries);
  return { text: found === undefined ? null : decoder.decode(found.payload.value), complete: reply.complete };
}

/** The node's replica of a key's shard, in its memory. */
function replicaOf(node: SimNode, { dataName }: SimBucket, key: string): Replica | undefined {
  const shard = placementsOf(node).shardOf(dataName, key);
  const inside = node.running?.node as unknown as {
    replication: { core: { shards: { find(id: number): Replica | undefined } } };
  };
  return inside.replication.core.shards.find(shard);
}

/** Whether it counts. */
function isComplete(node: SimNode, bucket: SimBucket, key: string): boolean {
  return replicaOf(node, bucket, key)?.complete === true;
}

function holders(cluster: SimCluster, { dataName }: SimBucket, key: string): string[] {
  const shard = placementsOf(cluster.nodes.find(({ running }) => running !== null) as SimNode).shardOf(dataName, key);
  const name = { bucket: dataName, key };
  return cluster.nodes.filter(({ disk }) => (disk.entriesOf(shard, name) ?? []).length > 0).map((node) => node.name);
}

function nodesOf(cluster: SimCluster): readonly [SimNode, SimNode, SimNode, SimNode] {
  return cluster.nodes as unknown as readonly [SimNode, SimNode, SimNode, SimNode];
}

describe('a bucket with a placement of its own', () => {
  test('has as many copies as it asks for, and takes writes at full strength as soon as it is there', () => {
    const cluster = formed(4);
    created(cluster, SINGLE);
    created(cluster, ZONED);
    for (const bucket of [SINGLE, ZONED]) {
      for (const node of cluster.nodes) {
        const key = `from ${node.name}`;
        const owners = bucket.replicas;
        expect(write(cluster, node, bucket, key, 'v')).toMatchObject({ quorum: 'strict', acks: owners, owners });
        expect(read(cluster, node, bucket.name, key)).toEqual({ text: 'v', complete: true });
        expect(holders(cluster, bucket, key)).toHaveLength(owners);
      }
    }
    const [first] = nodesOf(cluster);
    const list = { type: 'list', prefix: '', after: '', limit: 100, values: true, snapshot: false } as const;
    const listed = ask(cluster, first, { ...list, bucket: SINGLE.name })();
    expect(listed).toMatchObject({ type: 'list', complete: true });
    if (listed.type === 'list') expect(listed.items).toHaveLength(4);
    settle(cluster);
  });

  test('is refused by a node that has not heard of it', () => {
    const cluster = formed(3);
    const reply = ask(cluster, nodesOf(cluster)[0], {
      type: 'get',
      bucket: 'nowhere',
      key: 'k',
      level: 'one',
      session: null,
    })();
    expect(reply).toMatchObject({ type: 'failed', failure: { code: 'bucket-not-found' } });
  });

  test('is complete at once on a node that was away when it was created, under the same ring', () => {
    const cluster = formed(3);
    const [, , away] = nodesOf(cluster);
    cluster.crash(away);
    cluster.run(DISCONNECT_MS);
    created(cluster, ZONED);
    const [first] = nodesOf(cluster);
    const key = keyOf(placementsOf(first), ZONED, (owners) => !owners.includes(away.id));
    expect(write(cluster, first, ZONED, key, 'v')).toMatchObject({ quorum: 'strict', acks: 2 });
    const other = keyOf(placementsOf(first), ZONED, (owners) => owners.includes(away.id));
    cluster.start(away);
    expect(cluster.runUntil(() => knows(away, ZONED), SETTLE_MS, 1)).toBe(true);
    expect(isComplete(away, ZONED, other)).toBe(true);
    settle(cluster);
  });

  test('is not complete on a node that hears of it and of a change of the ring at once', () => {
    const cluster = formed(4);
    const [first, second, third, away] = nodesOf(cluster);
    cluster.partition([first, second, third], [away]);
    cluster.run(DISCONNECT_MS);
    create(cluster, first, ZONED);
    cluster.run(1000);
    expect(knows(second, ZONED)).toBe(true);
    expect(knows(away, ZONED)).toBe(false);
    expect(cluster.changeRing(first, second, { place: 'out' })).toBe(true);
    expect(cluster.changeRing(first, second, { place: 'in' })).toBe(true);
    const key = keyOf(placementsOf(first), ZONED, (owners) => owners.includes(away.id));
    cluster.heal();
    expect(cluster.runUntil(() => knows(away, ZONED), SETTLE_MS, 1)).toBe(true);
    expect(isComplete(away, ZONED, key)).toBe(false);
    expect(cluster.runUntil(() => isComplete(away, ZONED, key), SETTLE_MS)).toBe(true);
    settle(cluster);
  });

  test('is not complete on a node that has lost its disk since', () => {
    const cluster = formed(3);
    const [first, , wiped] = nodesOf(cluster);
    created(cluster, ZONED);
    const key = keyOf(placementsOf(first), ZONED, (owners) => owners.includes(wiped.id));
    expect(write(cluster, first, ZONED, key, 'v')).toMatchObject({ quorum: 'strict' });
    cluster.crash(wiped);
    cluster.replaceDisk(wiped, new VirtualDisk('00000000000000aa'));
    cluster.run(DISCONNECT_MS);
    cluster.start(wiped);
    let wasComplete = false;
    cluster.observers.push({
      turn: (node) => {
        if (node !== wiped || wiped.running === null) return;
        const replica = replicaOf(wiped, ZONED, key);
        if (replica?.complete === true && replica.context.isEmpty && knows(wiped, ZONED)) wasComplete = true;
      },
    });
    settle(cluster);
    expect(holders(cluster, ZONED, key)).toContain(wiped.name);
    expect(wasComplete).toBe(false);
  });

  test('of one copy is not complete on a new owner that has lost its disk while the former one is away', () => {
    const cluster = formed(3);
    const nodes = nodesOf(cluster);
    created(cluster, SINGLE);
    const placements = placementsOf(nodes[0]);
    const key = keyOf(placements, SINGLE, (owners) => owners.includes(nodes[0].id));
    const shard = placements.shardOf(SINGLE.dataName, key);
    const [former, owner, third] = placements.preference(shard).map((id) => nodes.find((node) => node.id === id)) as [
      SimNode,
      SimNode,
      SimNode,
    ];
    expect(write(cluster, former, SINGLE, key, 'v')).toMatchObject({ quorum: 'strict' });
    cluster.crash(owner);
    cluster.run(DISCONNECT_MS);
    expect(cluster.changeRing(third, former, { place: 'out' })).toBe(true);
    cluster.run(1000);
    cluster.crash(former);
    cluster.replaceDisk(owner, new VirtualDisk('00000000000000aa'));
    cluster.start(owner);
    cluster.run(60_000);
    expect(isComplete(owner, SINGLE, key)).toBe(false);
    cluster.start(former);
    settle(cluster);
    expect(holders(cluster, SINGLE, key)).toEqual([owner.name]);
  });

  test('tells those who watch it, by its own name', () => {
    const cluster = formed(3);
    created(cluster, SINGLE);
    const [first, second] = nodesOf(cluster);
    const told: string[] = [];
    cluster.observers.push({ changed: (node, { bucket, key }) => void told.push(`${node.name} ${bucket}/${key}`) });
    cluster.watch(second, [SINGLE.name]);
    expect(cluster.runUntil(() => second.running?.node.isWatchSettling(SINGLE.name) === false, SETTLE_MS)).toBe(true);
    write(cluster, first, SINGLE, 'k', 'v');
    cluster.run(1000);
    expect(told).toEqual([`${second.name} ${SINGLE.name}/k`]);
    const coverage = second.running?.node.watchCoverage(SINGLE.name) ?? new Map();
    expect(coverage.size).toBe(3);
    expect(second.running?.node.isWatchStale(SINGLE.name, coverage)).toBe(false);
    const owner = cluster.nodes.find((node) => node !== second && holders(cluster, SINGLE, 'k').includes(node.name));
    if (owner === undefined) return;
    cluster.crash(owner);
    cluster.run(DISCONNECT_MS);
    cluster.start(owner);
    expect(cluster.runUntil(() => second.running?.node.isWatchStale(SINGLE.name, coverage) === true, SETTLE_MS)).toBe(
      true,
    );
  });

  test('created with different placements on two sides of a partition stays two buckets, and loses no key', () => {
    const cluster = formed(4);
    const [first, second, third, fourth] = nodesOf(cluster);
    const conflicts: string[] = [];
    cluster.observers.push({
      event: (_node, event) => void (event.type === 'bucket-conflict' && conflicts.push(event.bucket)),
    });
    cluster.partition([first, second], [third, fourth]);
    cluster.run(DISCONNECT_MS);
    const other = { ...SINGLE, name: 'x' };
    const zoned = { ...ZONED, name: 'x' };
    create(cluster, first, other);
    create(cluster, third, zoned);
    expect(write(cluster, first, other, 'k', 'here')).toMatchObject({ type: 'mutate', applied: true });
    expect(write(cluster, third, zoned, 'k', 'there')).toMatchObject({ type: 'mutate', applied: true });
    cluster.heal();
    settle(cluster);
    expect(new Set(conflicts)).toEqual(new Set(['x']));
    for (const node of cluster.nodes) {
      const names =
        node.running?.node.buckets.map(({ name }) => name).filter((name) => !['default', 'strong'].includes(name)) ??
        [];
      expect(names).toHaveLength(2);
      expect(names).toContain('x');
      expect(names.map((name) => read(cluster, node, name, 'k').text ?? '').sort()).toEqual(['here', 'there']);
    }
  });
});

describe('a bucket with one copy', () => {
  test('takes writes while its owner is away, and shows all of them when it is back', () => {
    const cluster = formed(3);
    created(cluster, SINGLE);
    const [first, , away] = nodesOf(cluster);
    const key = keyOf(placementsOf(first), SINGLE, (owners) => owners.includes(away.id));
    expect(write(cluster, first, SINGLE, key, 'before')).toMatchObject({ quorum: 'strict', acks: 1 });
    cluster.crash(away);
    cluster.run(DISCONNECT_MS);
    expect(read(cluster, first, SINGLE.name, key)).toEqual({ text: null, complete: false });
    expect(write(cluster, first, SINGLE, key, 'after')).toMatchObject({ quorum: 'sloppy', acks: 1 });
    cluster.start(away);
    settle(cluster);
    expect(read(cluster, first, SINGLE.name, key)).toEqual({ text: 'after', complete: true });
    expect(holders(cluster, SINGLE, key)).toEqual([away.name]);
  });

  test('moves with the ring; who is the last member does not count before it has what the others held', () => {
    const cluster = formed(2);
    created(cluster, SINGLE);
    const [first, second] = nodesOf(cluster);
    const key = keyOf(placementsOf(first), SINGLE, (owners) => owners.includes(first.id));
    expect(write(cluster, first, SINGLE, key, 'v')).toMatchObject({ quorum: 'strict' });
    cluster.partition([first], [second]);
    cluster.run(DISCONNECT_MS);
    expect(cluster.changeRing(second, first, { place: 'out' })).toBe(true);
    cluster.run(1000);
    expect(read(cluster, second, SINGLE.name, key).complete).toBe(false);
    // Nor after a restart, which must not forget whom it waits for.
    cluster.crash(second);
    cluster.start(second);
    cluster.run(15_000);
    expect(read(cluster, second, SINGLE.name, key).complete).toBe(false);
    cluster.heal();
    settle(cluster);
    expect(read(cluster, second, SINGLE.name, key)).toEqual({ text: 'v', complete: true });
    expect(holders(cluster, SINGLE, key)).toEqual([second.name]);
  });

  test('does not wait for an owner that is removed for good', () => {
    const cluster = formed(3);
    created(cluster, SINGLE);
    const [first, second, dead] = nodesOf(cluster);
    const key = keyOf(placementsOf(first), SINGLE, (owners) => owners.includes(dead.id));
    cluster.crash(dead);
    cluster.run(DISCONNECT_MS);
    expect(cluster.changeRing(first, dead, { place: 'out' })).toBe(true);
    cluster.run(SETTLE_MS);
    const [owner] = [first, second].filter(({ id }) =>
      placementsOf(first).owners(placementsOf(first).shardOf(SINGLE.dataName, key)).includes(id),
    );
    expect(isComplete(owner as SimNode, SINGLE, key)).toBe(false);
    expect(cluster.changeRing(first, dead, { place: 'removed' })).toBe(true);
    expect(cluster.runUntil(() => isComplete(owner as SimNode, SINGLE, key), SETTLE_MS)).toBe(true);
    expect(write(cluster, first, SINGLE, key, 'v')).toMatchObject({ quorum: 'strict' });
  });

  test('removes what has expired also where its owner was out of the ring meanwhile', () => {
    const cluster = formed(2);
    created(cluster, SINGLE);
    const [first, second] = nodesOf(cluster);
    const key = keyOf(placementsOf(first), SINGLE, (owners) => owners.includes(first.id));
    const nowMs = first.running?.node.wallMs(first.clock.now()) ?? 0;
    const mutation = { ...put('v'), expiresAtMs: nowMs + 30_000 } as ReturnType<typeof put>;
    ask(cluster, first, { type: 'mutate', bucket: SINGLE.name, key, mutation, level: 'one', context: null })();
    cluster.run(2000);
    cluster.block(first, second);
    cluster.run(DISCONNECT_MS);
    expect(cluster.changeRing(first, first, { place: 'out' })).toBe(true);
    cluster.run(SETTLE_MS);
    expect(holders(cluster, SINGLE, key)).toEqual([first.name]);
    expect(cluster.changeRing(first, first, { place: 'in' })).toBe(true);
    cluster.heal();
    expect(cluster.runUntil(() => holders(cluster, SINGLE, key).length === 0, SETTLE_MS)).toBe(true);
    expect(hasRing(cluster, 2)).toBe(true);
  });

  test('keeps no row of its index for good', () => {
    const cluster = formed(3);
    created(cluster, SINGLE);
    const [first] = nodesOf(cluster);
    for (let i = 0; i < 10; i++) write(cluster, first, SINGLE, `k${i}`, 'v');
    const ids = new Set(placementsOf(first).shardIdsOf(SINGLE.dataName));
    const rows = (): number =>
      cluster.nodes
        .flatMap(({ disk }) => [...disk.dots].filter(([shard]) => ids.has(shard)).map(([, table]) => table.size))
        .reduce((sum, size) => sum + size, 0);
    expect(rows()).toBe(10);
    expect(cluster.runUntil(() => rows() === 0, SETTLE_MS)).toBe(true);
  });
});
