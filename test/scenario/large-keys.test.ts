import { describe, expect, test } from 'vitest';
import { decodeObject, storageWrite } from '../../src/wire/record.ts';
import type { SimNode } from '../simulation/cluster.ts';
import { ask, BUCKET, DISCONNECT_MS, formed, mutate, onDisk, ringOf, settle } from '../support/sim-story.ts';

/** Members of one set, all of two bytes: as many as one set may have. */
const MEMBERS = Array.from({ length: 16_384 }, (_, i) => Uint8Array.of(i >> 8, i & 0xff));

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
});
