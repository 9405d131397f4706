import { describe, expect, test } from 'vitest';
import { readCounter } from '../../src/protocol/causal/value.ts';
import type { SimNode } from '../simulation/cluster.ts';
import type { VirtualHub } from '../simulation/virtual-hub.ts';
import { put } from '../support/sim-story.ts';
import {
  agreed,
  atHub,
  bucketsAt,
  COUNT,
  create,
  loseAllDisks,
  REMOVE,
  read,
  reconciled,
  shardOf,
  site,
  textAt,
  write,
} from '../support/site-story.ts';

/** Requests from now on, by type. */
function requestsOf(hub: VirtualHub): Map<string, number> {
  const counted = new Map<string, number>();
  hub.interfere = ({ type }) => counted.set(type, (counted.get(type) ?? 0) + 1);
  return counted;
}

describe('a site that has lost all of its disks', () => {
  test('has again what its hub has, and nothing that was deleted', () => {
    const here = site(3, 8);
    create(here, 'both', { sync: 'both' });
    create(here, 'down', { sync: 'down' });
    for (let i = 0; i < 200; i++) write(here, i % 2 === 0 ? 'both' : 'default', `k${i % 80}`, put(`${i}`), i % 3);
    for (let i = 0; i < 60; i += 3) write(here, i % 2 === 0 ? 'both' : 'default', `k${i}`, REMOVE, i % 3);
    for (let i = 0; i < 30; i++) write(here, 'both', 'count', COUNT, i % 3);
    for (let i = 0; i < 20; i++)
      here.hub.write({ shard: shardOf(here.cluster, 'down', `d${i}`), bucket: 'down', key: `d${i}` }, put('hub'));
    agreed(here);
    const before = here.hub.rows.copy();
    loseAllDisks(here);
    // It goes on before anything is back.
    expect(here.cluster.runUntil(() => bucketsAt(here.cluster.nodes[0] as SimNode).includes('both'), 10_000)).toBe(
      true,
    );
    write(here, 'both', 'count', COUNT);
    expect(readCounter(read(here, 'both', 'count'))).toBe(1);
    agreed(here);
    for (let i = 0; i < 80; i++) {
      const bucket = i % 2 === 0 ? 'both' : 'default';
      const isGone = i < 60 && i % 3 === 0;
      expect(textAt(here, bucket, `k${i}`, i % 3)).toBe(isGone ? undefined : `${i + (i < 40 ? 160 : 80)}`);
    }
    for (let i = 0; i < 20; i++) expect(textAt(here, 'down', `d${i}`)).toBe('hub');
    expect(readCounter(read(here, 'both', 'count'))).toBe(31);
    const hasSame = [...before.objects].every(
      ([id, { name, object }]) =>
        name.key === 'count' || here.hub.rows.objects.get(id)?.object.entries === object.entries,
    );
    expect(hasSame).toBe(true);
    expect(atHub(here, 'both', 'count')).toHaveLength(read(here, 'both', 'count').length);
  });
});

describe('a site of which', () => {
  test('another bucket stays at home has the others again, once and for all', () => {
    const here = site(3, 4);
    const { cluster, hub } = here;
    create(here, 'local', { sync: 'none' });
    create(here, 'carts', { sync: 'up', conflict: 'siblings' });
    for (let i = 0; i < 150; i++)
      write(here, ['local', 'carts', 'default'][i % 3] ?? '', `k${i % 60}`, put(`${i}`), i % 3);
    write(here, 'carts', 'set', { type: 'add', members: [Uint8Array.of(1), Uint8Array.of(2)] });
    write(here, 'carts', 'set', { type: 'remove', members: [Uint8Array.of(1)] });
    reconciled(here);
    loseAllDisks(here);
    cluster.run(30_000);
    reconciled(here);
    expect(read(here, 'carts', 'set')).toHaveLength(1);
    for (let i = 2; i < 60; i += 3) expect(textAt(here, 'default', `k${i}`)).toBe(`${i + (i < 30 ? 120 : 60)}`);
    create(here, 'local', { sync: 'none' });
    for (let i = 2; i < 60; i += 3) write(here, 'default', `k${i}`, REMOVE, i % 3);
    for (let i = 0; i < 20; i++) write(here, 'local', `k${i}`, put('new'), i % 3);
    reconciled(here);
    expect(textAt(here, 'default', 'k2')).toBeUndefined();
    expect(textAt(here, 'local', 'k3')).toBe('new');
    const requests = requestsOf(hub);
    cluster.run(150_000);
    expect([...requests.keys()].toSorted()).toEqual(['hub-ask']);
  });

  test('a part lost its disks, while a node was away that has old copies and missed deletes', () => {
    const here = site(4, 8);
    const { cluster, hub } = here;
    create(here, 'both', { sync: 'both' });
    for (let i = 0; i < 80; i++) write(here, 'both', `k${i}`, put('old'), i % 4);
    reconciled(here);
    const [, , , away] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode];
    cluster.crash(away);
    cluster.run(20_000);
    for (let i = 0; i < 80; i++) write(here, 'both', `k${i}`, i % 4 === 0 ? REMOVE : put('new'), i % 3);
    for (let i = 0; i < 20; i++) write(here, 'both', 'count', COUNT, i % 3);
    cluster.run(30_000);
    for (const node of cluster.nodes.slice(0, 3)) {
      if (node.running !== null) cluster.crash(node);
      cluster.replaceDisk(node);
      cluster.start(node);
    }
    cluster.start(away);
    cluster.run(60_000);
    for (const node of cluster.nodes) expect(node.disk.lostCatalog).toBe(false);
    reconciled(here, 400_000);
    for (let i = 0; i < 80; i++) expect(textAt(here, 'both', `k${i}`, i % 4)).toBe(i % 4 === 0 ? undefined : 'new');
    expect(readCounter(read(here, 'both', 'count'))).toBe(20);
    expect(hub.rows.shards.size).toBeGreaterThan(0);
  });

  test('an island lost its disks: what it had sent up comes down to the other', () => {
    const here = site(5, 8);
    const { cluster } = here;
    const [a, b, c, d, e] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode];
    create(here, 'both', { sync: 'both' });
    for (let i = 0; i < 60; i++) write(here, 'both', `k${i}`, put('before'), i % 5);
    reconciled(here);
    cluster.partition([a, b], [c, d, e]);
    cluster.run(30_000);
    const request = { type: 'mutate', bucket: 'both', level: 'one', context: null } as const;
    for (let i = 0; i < 60; i++) {
      const mutation = i % 2 === 0 ? put('island') : REMOVE;
      cluster.request(a, { ...request, key: `k${i}`, mutation }, () => undefined);
    }
    cluster.run(60_000);
    for (const node of [a, b]) {
      cluster.crash(node);
      cluster.replaceDisk(node);
    }
    cluster.heal();
    for (const node of [a, b]) cluster.start(node);
    for (let i = 0; i < 10; i++) write(here, 'both', `n${i}`, put('meanwhile'), 2 + (i % 3));
    agreed(here, 400_000);
    const sent = [...here.hub.rows.objects.values()].filter(({ object }) => object.entries.length > 0);
    expect(sent.length).toBeGreaterThan(20);
  });

  test('the session breaks off again and again, nodes crash and the hub has an older store, ends like it', () => {
    for (let seed = 1; seed <= 2; seed++) {
      const here = site(3, 4, { seed });
      const { cluster, hub } = here;
      create(here, 'both', { sync: 'both', conflict: 'siblings' });
      for (let i = 0; i < 200; i++) write(here, 'both', `k${i % 120}`, i % 7 === 0 ? REMOVE : put(`${i}`), i % 3);
      for (let i = 0; i < 10; i++) write(here, 'both', 'count', COUNT, i % 3);
      reconciled(here);
      hub.save();
      for (let i = 0; i < 100; i++) write(here, 'both', `k${i}`, i % 5 === 0 ? REMOVE : put('late'), i % 3);
      reconciled(here);
      loseAllDisks(here);
      let requests = 0;
      hub.interfere = ({ type }) => {
        if (type !== 'hub-fetch' && type !== 'hub-compare') return;
        requests++;
        if (requests === 6) hub.restore();
        const node = cluster.nodes[requests % 3] as SimNode;
        if (requests % 5 === 0) hub.setCut(node, true);
        if (requests === 9 && node.running !== null) cluster.crash(node);
      };
      for (let i = 0; i < 20; i++) {
        cluster.run(15_000);
        for (const node of cluster.nodes) {
          hub.setCut(node, false);
          if (node.running === null) cluster.start(node);
        }
        write(here, 'both', `k${i}`, put('during'), i % 3);
      }
      hub.interfere = () => undefined;
      agreed(here, 400_000);
      expect(requests).toBeGreaterThan(9);
      expect(readCounter(read(here, 'both', 'count'))).toBe(10);
    }
  });

  test('a few events are lost costs what these are', () => {
    const here = site(3, 2);
    const { cluster, hub } = here;
    for (let i = 0; i < 1000; i++) write(here, 'default', `k${i}`, put('x'), i % 3);
    reconciled(here);
    const copy = cluster.nodes.map(({ disk }) => disk.clone());
    for (let i = 0; i < 10; i++) write(here, 'default', `k${i * 100}`, i % 2 === 0 ? put('late') : REMOVE, i % 3);
    reconciled(here);
    for (const node of cluster.nodes) cluster.crash(node);
    for (const [index, node] of cluster.nodes.entries()) {
      cluster.replaceDisk(node, copy[index]);
      cluster.start(node);
    }
    let items = 0;
    const { answer } = hub;
    hub.answer = (request) => {
      const reply = answer.call(hub, request);
      if (reply.type === 'hub-fetched') items += reply.items.length;
      return reply;
    };
    agreed(here);
    expect(items).toBeGreaterThan(0);
    expect(items).toBeLessThan(40);
    for (let i = 0; i < 10; i++) expect(textAt(here, 'default', `k${i * 100}`)).toBe(i % 2 === 0 ? 'late' : undefined);
  });
});

describe('a key that was deleted while the hub was away', () => {
  test('does not return, though a disk is lost and the hub still has it', () => {
    const here = site(3, 4);
    const { cluster, hub } = here;
    for (let i = 0; i < 40; i++) write(here, 'default', `k${i}`, put('x'), i % 3);
    reconciled(here);
    for (const node of cluster.nodes) hub.setCut(node, true);
    for (let i = 0; i < 40; i += 2) write(here, 'default', `k${i}`, REMOVE, i % 3);
    cluster.run(120_000);
    const [lost] = cluster.nodes as [SimNode];
    cluster.crash(lost);
    cluster.replaceDisk(lost);
    cluster.start(lost);
    for (const node of cluster.nodes) hub.setCut(node, false);
    agreed(here);
    for (let i = 0; i < 40; i++) expect(textAt(here, 'default', `k${i}`, i % 3)).toBe(i % 2 === 0 ? undefined : 'x');
  });
});

describe('buckets that a site has lost', () => {
  test('are there again with their settings, but for those that the hub has nothing of', () => {
    const here = site(3, 8);
    const { cluster } = here;
    create(here, 'up', { sync: 'up', ttlSeconds: 3600, island: 'refuse' });
    create(here, 'placed', { sync: 'both', conflict: 'siblings', replicas: 2, preferredZones: [] });
    create(here, 'local', { sync: 'none' });
    write(here, 'placed', 'key', put('before'));
    reconciled(here);
    const before = cluster.nodes[0]?.running?.node.buckets.filter(({ name }) => name !== 'local');
    loseAllDisks(here);
    cluster.run(20_000);
    for (const node of cluster.nodes) expect(node.running?.node.buckets).toEqual(before);
    write(here, 'placed', 'other', put('after'));
    reconciled(here);
  });

  test('of one island are known in another that has a session', () => {
    const here = site(4, 8);
    const { cluster } = here;
    const [a, b, c, d] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode];
    cluster.partition([a, b], [c, d]);
    cluster.run(30_000);
    create(here, 'late', { sync: 'both' });
    expect(bucketsAt(d)).not.toContain('late');
    here.hub.setCut(c, true);
    here.hub.setCut(d, true);
    cluster.run(60_000);
    here.hub.setCut(c, false);
    here.hub.setCut(d, false);
    cluster.run(90_000);
    expect(bucketsAt(d)).toContain('late');
    cluster.heal();
    reconciled(here);
  });
});
