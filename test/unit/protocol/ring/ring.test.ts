import { describe, expect, it } from 'vitest';
import { hash32, hashString } from '../../../../src/lib/hash.ts';
import { fairShares as exactShares, type Placed } from '../../../../src/protocol/ring/fair-share.ts';
import { Ring, type RingMember } from '../../../../src/protocol/ring/ring.ts';
import { shardOf } from '../../../../src/protocol/ring/shard.ts';
import { vnodeDistances } from '../../../../src/protocol/ring/vnode.ts';

function member(id: string, rest: Partial<RingMember> = {}): RingMember {
  return { id, zone: '', weight: 1, in: true, ...rest };
}

describe('Ring', () => {
  it('keeps a member that is out off every shard', () => {
    const ring = new Ring({ members: [member('a'), member('b', { in: false }), member('c')], shards: 16 });
    expect(ring.memberCount).toBe(2);
    expect(ring.members.map((each) => each.id)).toEqual(['a', 'b', 'c']);
    for (let shard = 0; shard < 16; shard++) expect([...ring.preference(shard)].sort()).toEqual(['a', 'c']);
    expect(ring.shardsOf('b')).toEqual([]);
  });

  it('is empty without members', () => {
    const ring = new Ring({ members: [] });
    expect(ring.owners(255)).toEqual([]);
    expect(ring.preference(0)).toEqual([]);
    expect(ring.balance()).toEqual({ shardsMean: 0, shardsMax: 0, loadMax: 0 });
  });

  it('gives a lone member everything', () => {
    const ring = new Ring({ members: [member('a')] });
    expect(ring.shardsOf('a').length).toBe(256);
    expect(ring.balance()).toEqual({ shardsMean: 256, shardsMax: 256, loadMax: 1 });
  });

  it('never changes: placement is part of the data format', () => {
    const members = Array.from({ length: 7 }, (_, i) =>
      member(`node-${i}`, { zone: `z${i % 4}`, weight: 1 + (i % 2) }),
    );
    const ring = new Ring({ members });
    const all = Array.from({ length: 256 }, (_, shard) => ring.preference(shard).join()).join(';');
    expect(ring.owners(0)).toMatchInlineSnapshot(`
      [
        "node-1",
        "node-2",
        "node-3",
      ]
    `);
    expect(hashString(all)).toMatchInlineSnapshot(`2367523183`);
  });

  it('refuses what no configuration may hold', () => {
    expect(() => new Ring({ members: [member('a'), member('a')] })).toThrow('listed once');
    expect(() => new Ring({ members: [member('a', { weight: 0 })] })).toThrow('above 0');
    expect(() => new Ring({ members: [], shards: 0 })).toThrow('shards must be');
    expect(() => new Ring({ members: [], replicas: 8 })).toThrow('replicas must be');
    expect(() => new Ring({ members: [] }).owners(256)).toThrow('no such shard');
  });
});

describe('shardOf', () => {
  it('takes the high bits of the hash of bucket NUL key', () => {
    const bytes = new TextEncoder().encode('default\0sensor/ä');
    expect(shardOf('default', 'sensor/ä', 256)).toBe(hash32(bytes) >>> 24);
    expect(shardOf('default', 'k', 1)).toBe(0);
    expect(new Ring({ members: [], shards: 16 }).shardOf('default', 'sensor/ä')).toBe(hash32(bytes) >>> 28);
  });

  it('spreads keys evenly', () => {
    const counts = Array.from({ length: 256 }, () => 0);
    const keys = 100_000;
    for (let i = 0; i < keys; i++) {
      const shard = shardOf('default', `node/edge-${i}/cpu`, 256);
      counts[shard] = (counts[shard] as number) + 1;
    }
    const mean = keys / 256;
    const chiSquare = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
    // 255 degrees of freedom: mean 255, standard deviation 22.6.
    expect(chiSquare).toBeLessThan(255 + 5 * 22.6);
  });
});

describe('vnodeDistances', () => {
  it('run once through evenly spaced levels', () => {
    const distances = new Float64Array(64);
    vnodeDistances('some-node', 1, distances);
    const levels = [...distances].map((distance) => Math.floor((1 - Math.exp(-distance)) * 64)).sort((a, b) => a - b);
    expect(levels).toEqual(Array.from({ length: 64 }, (_, i) => i));
  });

  it('shrink with the weight', () => {
    const light = new Float64Array(16);
    const heavy = new Float64Array(16);
    vnodeDistances('some-node', 1, light);
    vnodeDistances('some-node', 4, heavy);
    expect([...heavy].map((distance) => distance * 4)).toEqual([...light]);
  });
});

describe('fairShares', () => {
  const zone = (name: string, weight = 1): Placed => ({ zone: name, weight });
  const fairShares = (members: Placed[], shards: number, replicas: number): number[] =>
    exactShares(members, shards, replicas).map((share) => Math.round(share * 1e9) / 1e9);

  it('are equal for equals and proportional to weight', () => {
    expect(fairShares([zone(''), zone(''), zone(''), zone('')], 256, 3)).toEqual([192, 192, 192, 192]);
    expect(fairShares([zone('', 2), zone(''), zone(''), zone(''), zone('')], 90, 2)).toEqual([60, 30, 30, 30, 30]);
  });

  it('stop at one replica a shard and member, and one a zone', () => {
    expect(fairShares([zone('', 9), zone(''), zone('')], 100, 2)).toEqual([100, 50, 50]);
    expect(fairShares([zone('a'), zone('b'), zone('b'), zone('c'), zone('c')], 100, 3)).toEqual([100, 50, 50, 50, 50]);
    expect(fairShares([zone('a'), zone('b')], 100, 3)).toEqual([100, 100]);
  });

  it('fill up from any zone where there are too few', () => {
    const shares = fairShares([zone('a'), zone('b'), zone('b'), zone('b')], 120, 3);
    expect(shares[0]).toBe(120);
    expect(shares.slice(1)).toEqual([80, 80, 80]);
  });
});
