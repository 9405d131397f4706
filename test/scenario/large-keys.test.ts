import { describe, expect, test } from 'vitest';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { decodeObject, storageWrite } from '../../src/wire/record.ts';
import type { SimNode } from '../simulation/cluster.ts';
import {
  ask,
  BUCKET,
  DISCONNECT_MS,
  formed,
  keyWhere,
  mutate,
  nodesOf,
  onDisk,
  put,
  ringOf,
  settle,
} from '../support/sim-story.ts';

/** Members of one set, all of two bytes: as many as one set may have. */
const MEMBERS = Array.from({ length: 16_384 }, (_, i) => Uint8Array.of(i >> 8, i & 0xff));

const MIB = 1024 * 1024;

function large(bytes: number): Mutation {
  return { type: 'put', value: new Uint8Array(bytes), contentType: '', expiresAtMs: 0, onlyIf: null };
}

describe('a key that one message cannot hold', () => {
  test('is brought up where an owner has missed more than 65,536 of its events', () => {
    const cluster = formed(3);
    const [first, , third] = cluster.nodes as [SimNode, SimNode, SimNode];
    cluster.crash(third);
    // Each addition is an event for each member, there already or not.
    for (let i = 0; i < 5; i++) {
      const reply = mutate(cluster, first, 'hot', { type: 'add', members: MEMBERS }, 'quorum')();
      expect(reply).toMatchObject({ type: 'mutate', applied: true });
    }
    cluster.run(1000);
    cluster.start(third);
    settle(cluster);
  }, 120_000);

  test('can be read again from the disk where it has grown on eight sides of a partition', () => {
    const cluster = formed(8);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, 'set');
    cluster.partition(...cluster.nodes.map((node) => [node]));
    cluster.run(DISCONNECT_MS);
    let size = 0;
    for (const [island, node] of cluster.nodes.entries()) {
      // The hint store of the simulation takes 1 MiB.
      const length = ring.isOwner(shard, node.id) ? MEMBERS.length : 5000;
      const members = MEMBERS.slice(0, length).map((member) => Uint8Array.of(island, ...member));
      expect(mutate(cluster, node, 'set', { type: 'add', members }, 'one')()).toMatchObject({ applied: true });
      size += length;
    }
    cluster.heal();
    settle(cluster);
    for (const node of cluster.nodes.filter(({ id }) => ring.isOwner(shard, id))) {
      const entries = onDisk(node, shard, 'set');
      expect(entries).toHaveLength(size);
      const { value } = storageWrite({
        table: 'object',
        shard,
        name: { bucket: BUCKET, key: 'set' },
        value: { entries, past: null },
      });
      expect(decodeObject(value as Uint8Array).entries).toHaveLength(size);
    }
    const get = { type: 'get', bucket: BUCKET, key: 'set', level: 'all', session: null } as const;
    for (const node of cluster.nodes) {
      const reply = ask(cluster, node, get)();
      expect(reply.type === 'get' && reply.complete ? reply.entries.length : reply).toBe(size);
    }
  }, 120_000);

  test('is sent to a new disk where five islands have written 1 MiB each, and so are the other keys of its shard', () => {
    const cluster = formed(5);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, 'k');
    const other = keyWhere(ring, (each) => each === shard);
    const owners = nodesOf(cluster, ring.owners(shard));
    cluster.partition(...cluster.nodes.map((node) => [node]));
    cluster.run(DISCONNECT_MS);
    for (const node of cluster.nodes) {
      const reply = mutate(cluster, node, 'k', large(MIB - 4096), 'one')();
      if (owners.includes(node)) expect(reply).toMatchObject({ applied: true });
    }
    cluster.heal();
    settle(cluster);
    mutate(cluster, owners[0] as SimNode, other, put('small'), 'all')();
    const [lost] = owners as [SimNode];
    cluster.crash(lost);
    cluster.replaceDisk(lost);
    cluster.start(lost);
    settle(cluster);
    expect(lost.disk.shards.get(shard)?.complete).toBe(true);
    expect(onDisk(lost, shard, 'k')).toHaveLength(5);
    expect(onDisk(lost, shard, other)).toHaveLength(1);
  }, 120_000);

  test('is fetched again where its record went bad, and so are several that do not fit one message together', () => {
    const cluster = formed(3);
    const [first, , third] = cluster.nodes as [SimNode, SimNode, SimNode];
    const ring = ringOf(first);
    const shard = ring.shardOf(BUCKET, 'k');
    const keys: string[] = [];
    for (let i = 0; keys.length < 4; i++) if (ring.shardOf(BUCKET, `large${i}`) === shard) keys.push(`large${i}`);
    cluster.partition(...cluster.nodes.map((node) => [node]));
    cluster.run(DISCONNECT_MS);
    // 1.3 MiB on each side: more than a message holds in all.
    const sizes = [400, 450, 500].map((kib) => kib * 1024);
    for (const [side, node] of cluster.nodes.entries()) {
      const members = sizes.map((size) => new Uint8Array(size).fill(side));
      expect(mutate(cluster, node, 'k', { type: 'add', members }, 'one')()).toMatchObject({ applied: true });
    }
    cluster.heal();
    settle(cluster);
    for (const key of keys)
      expect(mutate(cluster, first, key, large(MIB), 'all')()).toMatchObject({ quorum: 'strict' });
    // Their index rows go: the keys are not sent again by their events.
    cluster.run(60_000);
    cluster.crash(third);
    for (const key of [...keys, 'k']) third.disk.damage(shard, { bucket: BUCKET, key });
    // Found while no other owner can be reached.
    cluster.partition([third], cluster.nodes.slice(0, 2));
    cluster.start(third);
    cluster.run(5000);
    third.disk.scrub((at, name) => cluster.reportLost(third, at, name));
    cluster.run(DISCONNECT_MS);
    expect(onDisk(third, shard, 'k')).toEqual([]);
    cluster.heal();
    settle(cluster);
    expect(third.disk.shards.get(shard)?.complete).toBe(true);
    expect(keys.map((key) => onDisk(third, shard, key).length)).toEqual([1, 1, 1, 1]);
    expect(onDisk(third, shard, 'k')).toHaveLength(9);
  }, 120_000);
});
