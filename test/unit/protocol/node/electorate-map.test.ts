import { describe, expect, test } from 'vitest';
import { founded, settled, towards } from '../../../../src/protocol/electorate/electorate.ts';
import { ELECTORATE_SHARD, ElectorateMap } from '../../../../src/protocol/node/electorate-map.ts';
import { SHARD_ID_MAX } from '../../../../src/protocol/ring/shard.ts';

function electors(ids: readonly string[]) {
  return ids.map((id) => ({ id, weight: 1, zone: '', disk: `disk-${id}` }));
}

const FOUNDED = founded('1.a', { shards: 16, replicas: 3, electors: electors(['a', 'b', 'c', 'd']) });

describe('the map of an electorate', () => {
  test('nobody accepts for a shard that there is none of, whatever a peer says', () => {
    const map = new ElectorateMap(FOUNDED);
    for (const shard of [16, 300, 65_536, SHARD_ID_MAX - 1]) {
      expect(map.placement(shard)).toEqual({ epoch: 1, groups: [] });
    }
    expect(map.placement(15).groups).toHaveLength(1);
    expect(map.placement(ELECTORATE_SHARD).groups).toEqual([['a', 'b', 'c', 'd']]);
  });

  test('a change of the ring has both groups where they differ, and remembers since when the first one is there', () => {
    const joint = towards(FOUNDED, electors(['a', 'b', 'c', 'e']));
    const before = new ElectorateMap(FOUNDED);
    const during = new ElectorateMap(joint, before);
    const after = new ElectorateMap(settled(joint), during);
    for (const shard of during.shards) {
      const { groups, since } = during.placement(shard);
      expect(groups[0]).toEqual(before.placement(shard).groups[0]);
      expect(since).toBe(1);
      const latest = groups.at(-1) ?? [];
      expect(after.placement(shard)).toEqual({ epoch: 3, groups: [latest], since: groups.length === 1 ? 1 : 3 });
    }
    expect(during.heldShards('e').length).toBeGreaterThan(0);
    expect(after.heldShards('d')).toEqual([]);
  });
});
