import { describe, expect, test } from 'vitest';
import { readMap, readSet } from '../../src/protocol/causal/collection.ts';
import { COLLECTION_ENTRIES_MAX, type Entries } from '../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import {
  ask,
  BUCKET,
  DISCONNECT_MS,
  formed,
  hasRing,
  keyWhere,
  mutate,
  onDisk,
  put,
  ringOf,
  SETTLE_MS,
  settle,
} from '../support/sim-story.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const add = (...members: string[]): Mutation => ({ type: 'add', members: members.map(bytes) });
const remove = (...members: string[]): Mutation => ({ type: 'remove', members: members.map(bytes) });
const putField = (field: string, value: string, onlyIf: 'absent' | null = null): Mutation => ({
  type: 'put-fields',
  fields: [{ field: bytes(field), value: bytes(value) }],
  onlyIf,
});
const fieldsOf = (entries: Entries): Record<string, string> =>
  Object.fromEntries(
    readMap(entries).map(({ field, value }) => [new TextDecoder().decode(field), new TextDecoder().decode(value)]),
  );
const setOf = (entries: Entries): string[] => readSet(entries).map((member) => new TextDecoder().decode(member));

interface Story {
  readonly cluster: SimCluster;
  readonly shard: number;
  readonly owners: readonly [SimNode, SimNode, SimNode];
  readonly fallback: SimNode;
}

/** Four nodes, three of which own the key. */
function story(key: string): Story {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, key);
  const owners = cluster.nodes.filter(({ id }) => ring.isOwner(shard, id)) as [SimNode, SimNode, SimNode];
  const fallback = cluster.nodes.find(({ id }) => !ring.isOwner(shard, id)) as SimNode;
  return { cluster, shard, owners, fallback };
}

describe('sets', () => {
  test('additions win over removals on the other side of a partition', () => {
    const { cluster, shard, owners, fallback } = story('s');
    mutate(cluster, owners[0], 's', add('a', 'b', 'c'), 'all')();
    cluster.partition([...owners], [fallback]);
    cluster.run(DISCONNECT_MS);
    // The fallback knows nothing of the set: what it adds is a hint.
    expect(mutate(cluster, fallback, 's', add('b', 'd'), 'one')()).toMatchObject({ quorum: 'sloppy' });
    expect(mutate(cluster, fallback, 's', remove('d'), 'one')()).toMatchObject({ applied: true });
    expect(mutate(cluster, owners[1], 's', remove('a', 'b'), 'quorum')()).toMatchObject({ quorum: 'strict' });
    cluster.heal();
    settle(cluster);
    for (const owner of owners) expect(setOf(onDisk(owner, shard, 's'))).toEqual(['b', 'c']);
    expect(fallback.disk.hints.size).toBe(0);
  });

  test('an owner that missed the present value makes no set of it', () => {
    const { cluster, owners } = story('s');
    const [first, , third] = owners;
    cluster.block(first, third);
    const written = mutate(cluster, first, 's', put('text'), 'quorum')();
    expect(written).toMatchObject({ type: 'mutate', quorum: 'strict' });
    const refused = mutate(cluster, third, 's', add('a'), 'quorum')();
    expect(refused).toMatchObject({ type: 'failed', failure: { code: 'wrong-type', stateChanged: 'no' } });
  });

  test('a reply tells of the members that were named, not of the whole set', () => {
    const { cluster, owners } = story('s');
    mutate(cluster, owners[0], 's', add('a', 'b', 'c'), 'all')();
    const reply = mutate(cluster, owners[1], 's', add('c', 'd'), 'quorum')();
    if (reply.type !== 'mutate') throw new Error(reply.type);
    expect(setOf(reply.before)).toEqual(['c']);
    expect(setOf(reply.after)).toEqual(['c', 'd']);
    const none = mutate(cluster, owners[1], 's', remove('x'), 'quorum')();
    expect(none).toMatchObject({ applied: false, before: [], after: [] });
  });

  test('as large as they may be, they reach every owner and a node that becomes one', () => {
    const cluster = formed(5, 4);
    const later = new SimCluster({ seed: 1, nodes: 5 });
    for (const node of later.nodes) later.start(node);
    expect(later.runUntil(() => hasRing(later, 5), SETTLE_MS)).toBe(true);
    const newcomer = cluster.nodes[4] as SimNode;
    const after = ringOf(later.nodes[0] as SimNode);
    const key = keyWhere(after, (each) => after.isOwner(each, newcomer.id));
    const [coordinator] = cluster.nodes as [SimNode, ...SimNode[]];
    const members = Array.from({ length: COLLECTION_ENTRIES_MAX }, (_, i) => bytes(`member ${i}`));
    expect(mutate(cluster, coordinator, key, { type: 'add', members }, 'all')()).toMatchObject({ acks: 3 });
    const refused = mutate(cluster, coordinator, key, add('one more'), 'quorum')();
    expect(refused).toMatchObject({ type: 'failed', failure: { code: 'value-too-large' } });
    const half = members.filter((_, i) => i % 2 === 0);
    expect(mutate(cluster, coordinator, key, { type: 'remove', members: half }, 'all')()).toMatchObject({ acks: 3 });
    cluster.start(newcomer);
    expect(cluster.runUntil(() => hasRing(cluster, 5), SETTLE_MS)).toBe(true);
    settle(cluster);
    const ring = ringOf(coordinator);
    const shard = ring.shardOf(BUCKET, key);
    expect(ring.isOwner(shard, newcomer.id)).toBe(true);
    for (const owner of cluster.nodes.filter(({ id }) => ring.isOwner(shard, id))) {
      expect(readSet(onDisk(owner, shard, key))).toHaveLength(COLLECTION_ENTRIES_MAX / 2);
    }
  });

  test('leave nothing on any disk: neither expired, nor the expiry of what was removed meanwhile', () => {
    const { cluster, shard, owners, fallback } = story('s');
    const wallMs = (): number => owners[0].clock.now().wallMs;
    mutate(cluster, owners[0], 's', add('a'), 'all')();
    mutate(cluster, owners[0], 's', { type: 'expire', expiresAtMs: wallMs() + 5000 }, 'all')();
    expect(mutate(cluster, owners[1], 's', add('b'), 'all')()).toMatchObject({ applied: true });
    cluster.run(6000);
    const read = ask(cluster, owners[2], { type: 'get', bucket: BUCKET, key: 's', level: 'quorum', session: null })();
    expect(read).toMatchObject({ entries: [] });
    const empty = (): boolean => owners.every((owner) => onDisk(owner, shard, 's').length === 0);
    expect(cluster.runUntil(empty, SETTLE_MS)).toBe(true);

    // Removed on one side, made to stay for ever on the other.
    mutate(cluster, owners[0], 's', add('a'), 'all')();
    const [away, present, third] = owners;
    cluster.partition([away], [present, third, fallback]);
    cluster.run(DISCONNECT_MS);
    mutate(cluster, away, 's', { type: 'expire', expiresAtMs: 0 }, 'one')();
    mutate(cluster, present, 's', remove('a'), 'quorum')();
    cluster.heal();
    expect(cluster.runUntil(() => cluster.isSettled() && empty(), SETTLE_MS)).toBe(true);
    settle(cluster);
  });
});

describe('maps', () => {
  test('an increment of a field that is no number advises for the field, not for the whole map', () => {
    const { cluster, owners } = story('m');
    mutate(cluster, owners[0], 'm', putField('n', 'x'), 'all')();
    const refused = mutate(cluster, owners[0], 'm', { type: 'increment-field', field: bytes('n'), by: 1 }, 'all')();
    const message = 'the field is not a decimal integer; put a number into it first, or remove the field';
    expect(refused).toMatchObject({ type: 'failed', failure: { code: 'not-a-number', message } });
  });

  test('fields put on both sides of a partition stay, and counts in them add up', () => {
    const { cluster, shard, owners, fallback } = story('m');
    const count = (by: number): Mutation => ({ type: 'increment-field', field: bytes('n'), by });
    mutate(cluster, owners[0], 'm', putField('both', 'before'), 'all')();
    mutate(cluster, owners[0], 'm', count(100), 'all')();
    cluster.partition([...owners], [fallback]);
    cluster.run(DISCONNECT_MS);
    for (const mutation of [putField('there', '1'), putField('both', 'there'), count(7)]) {
      expect(mutate(cluster, fallback, 'm', mutation, 'one')()).toMatchObject({ applied: true });
    }
    cluster.run(1000);
    for (const mutation of [putField('here', '2'), putField('both', 'here'), count(20)]) {
      expect(mutate(cluster, owners[2], 'm', mutation, 'quorum')()).toMatchObject({ applied: true });
    }
    cluster.heal();
    settle(cluster);
    for (const owner of owners) {
      expect(fieldsOf(onDisk(owner, shard, 'm'))).toEqual({ both: 'here', here: '2', n: '127', there: '1' });
    }
  });

  test('a field that is put only where it is absent goes by what a quorum holds', () => {
    const { cluster, shard, owners } = story('m');
    const [first, , third] = owners;
    cluster.block(first, third);
    expect(mutate(cluster, first, 'm', putField('f', 'old'), 'quorum')()).toMatchObject({ quorum: 'strict' });
    expect(mutate(cluster, third, 'm', putField('f', 'new', 'absent'), 'quorum')()).toMatchObject({ applied: false });
    cluster.heal();
    settle(cluster);
    for (const owner of owners) expect(fieldsOf(onDisk(owner, shard, 'm'))).toEqual({ f: 'old' });
  });

  test('both sides of a partition may put a field that is absent, and the later one stays', () => {
    const { cluster, shard, owners, fallback } = story('m');
    cluster.partition([...owners], [fallback]);
    cluster.run(DISCONNECT_MS);
    expect(mutate(cluster, fallback, 'm', putField('f', 'there', 'absent'), 'one')()).toMatchObject({ applied: true });
    cluster.run(1000);
    expect(mutate(cluster, owners[0], 'm', putField('f', 'here', 'absent'), 'quorum')()).toMatchObject({
      applied: true,
    });
    cluster.heal();
    settle(cluster);
    for (const owner of owners) expect(fieldsOf(onDisk(owner, shard, 'm'))).toEqual({ f: 'here' });
  });
});
