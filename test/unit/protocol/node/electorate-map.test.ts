import { describe, expect, test } from 'vitest';
import {
  type Elector,
  type Electorate,
  founded,
  refounded,
  settled,
  towards,
} from '../../../../src/protocol/electorate/electorate.ts';
import { ELECTORATE_SHARD, ElectorateMap } from '../../../../src/protocol/node/electorate-map.ts';
import { SHARD_ID_MAX } from '../../../../src/protocol/ring/shard.ts';

function electors(ids: readonly string[]) {
  return ids.map((id) => ({ id, weight: 1, zone: '', disk: `disk-${id}` }));
}

const FOUNDED = founded('1.a', { shards: 16, replicas: 3, electors: electors(['a', 'b', 'c', 'd']) });

function refound(before: Electorate, lost: readonly string[], left: readonly string[]): Electorate {
  const next = refounded(before, { founder: 'x', left: electors(left), lost, by: 'an operator' });
  if (next === null) throw new Error('refounded too often');
  return next;
}

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
      const expected = groups.length === 1 ? { since: 1, founders: latest } : { since: 3 };
      expect(after.placement(shard)).toEqual({ epoch: 3, groups: [latest], ...expected });
    }
    expect(during.heldShards('e').length).toBeGreaterThan(0);
    expect(after.heldShards('d')).toEqual([]);
  });

  test('who has been an acceptor since the founding is one of the founders, unless its disk is another one', () => {
    const [first, ...others] = electors(['a', 'b', 'c', 'd']);
    const next = settled(towards(FOUNDED, [{ ...(first as Elector), disk: 'another' }, ...others]));
    const map = new ElectorateMap(next);
    for (const shard of map.shards) {
      const { groups, founders } = map.placement(shard);
      expect(founders).toEqual(groups[0]?.filter((id) => id !== 'a'));
    }
  });

  test('after a loss for good, what is left of each group comes first, and its new owners copy from all of it', () => {
    const before = new ElectorateMap(FOUNDED);
    const next = refound(FOUNDED, ['a', 'b', 'c'], ['d']);
    const map = new ElectorateMap(next, before);
    let emptied = 0;
    for (const shard of map.shards) {
      const old = before.placement(shard);
      const left = (old.groups[0] ?? []).filter((id) => id === 'd');
      expect(map.placement(shard)).toEqual({ epoch: 2 ** 32 + 2, groups: [left, ['d']], remainsOf: old });
      if (left.length === 0) emptied++;
    }
    expect(emptied).toBeGreaterThan(0);
    expect(map.heldShards('a')).toEqual([]);
    expect(map.isEnough(new Set(['d']))).toBe(true);
    const after = new ElectorateMap(settled(next), map);
    for (const shard of after.shards) {
      expect(after.placement(shard)).toEqual({ epoch: 2 ** 32 + 3, groups: [['d']], since: 2 ** 32 + 3 });
    }
  });

  test('of a change that was under way when a majority was lost, both groups are asked', () => {
    const joint = towards(FOUNDED, electors(['a', 'b', 'e', 'f']));
    const map = new ElectorateMap(refound(joint, ['a', 'b', 'c'], ['d', 'e', 'f']));
    for (const shard of map.shards) {
      const [left, latest] = map.placement(shard).groups;
      const asked = new Set(new ElectorateMap(joint).placement(shard).groups.flat());
      expect(new Set(left)).toEqual(new Set([...asked].filter((id) => 'def'.includes(id))));
      expect(latest).toHaveLength(3);
    }
  });
});
