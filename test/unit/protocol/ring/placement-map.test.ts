import { describe, expect, it } from 'vitest';
import { qualifiedName } from '../../../../src/lib/bucket-name.ts';
import { type PlacedClass, PlacementMap } from '../../../../src/protocol/ring/placement-map.ts';
import { SHARD_ID_MAX } from '../../../../src/protocol/ring/shard.ts';

const MEMBERS = ['a', 'b', 'c', 'd', 'e'].map((id, i) => ({ id, zone: i < 2 ? 'hall' : '', weight: 1, in: true }));
const SINGLE: PlacedClass = { number: 7, replicas: 1, preferredZones: [] };
const HALL: PlacedClass = { number: 0x7fff_ffff, replicas: 2, preferredZones: ['hall'] };

function mapOf(classes: readonly PlacedClass[], before: PlacementMap | null = null, members = MEMBERS): PlacementMap {
  const sets = { newborn: new Set([7]), gone: new Set(['e']) };
  return new PlacementMap({ members, shards: 16, replicas: 3, classes, ...sets }, before);
}

describe('a placement map', () => {
  it('counts as remaining who is out of the ring, unless for good', () => {
    const members = MEMBERS.map((member) => ({ ...member, in: !['d', 'e'].includes(member.id) }));
    expect(mapOf([], null, members).remaining).toEqual(['a', 'b', 'c', 'd']);
  });

  it('has shards and owners of their own for each class', () => {
    const map = mapOf([SINGLE, HALL]);
    const ids = [...map.shardIds()];
    expect(ids).toHaveLength(48);
    expect(new Set(ids).size).toBe(48);
    for (const id of ids) expect(id).toBeLessThanOrEqual(SHARD_ID_MAX);
    for (const [number, replicas] of [
      [0, 3],
      [7, 1],
      [HALL.number, 2],
    ] as const) {
      const bucket = qualifiedName('x', number);
      const shards = map.shardIdsOf(bucket);
      for (let key = 0; key < 100; key++) {
        const shard = map.shardOf(bucket, `k${key}`);
        expect(shards).toContain(shard);
        expect(map.replicasOf(shard)).toBe(replicas);
        expect(map.owners(shard)).toHaveLength(replicas);
        if (number === HALL.number) expect([...map.owners(shard)].sort()).toEqual(['a', 'b']);
        expect(map.preference(shard).slice(0, replicas)).toEqual(map.owners(shard));
        expect(map.isNewborn(shard)).toBe(number === 7);
      }
    }
    expect(map.isGone('e')).toBe(true);
    expect(map.isGone('a')).toBe(false);
    expect(map.remaining).toEqual(MEMBERS.map(({ id }) => id));
  });

  it('names the shard of a class that it does not know, and nobody who owns it', () => {
    const map = mapOf([SINGLE]);
    const bucket = qualifiedName('x', HALL.number);
    const shard = map.shardOf(bucket, 'k');
    expect(shard).toBe(mapOf([SINGLE, HALL]).shardOf(bucket, 'k'));
    expect(map.knowsShard(shard)).toBe(false);
    expect(map.owners(shard)).toEqual([]);
    expect(map.preference(shard)).toEqual([]);
    expect(map.isOwner(shard, 'a')).toBe(false);
    expect([...map.shardIds()]).not.toContain(shard);
  });

  it('does not know shards beyond the number that a class has', () => {
    expect(mapOf([]).knowsShard(15)).toBe(true);
    expect(mapOf([]).knowsShard(16)).toBe(false);
    expect(mapOf([]).owners(16)).toEqual([]);
  });

  it('computes only what is new: the rings of the others are the same objects', () => {
    const before = mapOf([SINGLE]);
    const after = mapOf([SINGLE, HALL], before);
    expect(after.ringOf(0)).toBe(before.ringOf(0));
    expect(after.ringOf(7)).toBe(before.ringOf(7));
    expect(after.digest).not.toBe(before.digest);
    expect(mapOf([{ ...SINGLE, replicas: 2 }], before).ringOf(7)).not.toBe(before.ringOf(7));
    expect(mapOf([SINGLE], before, [...MEMBERS]).ringOf(7)).not.toBe(before.ringOf(7));
    expect(mapOf([SINGLE], null).digest).toBe(before.digest);
  });
});
