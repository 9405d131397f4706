import type { Prng } from '../../src/lib/prng.ts';
import { NO_ELECTORATE } from '../../src/protocol/electorate/keeper.ts';
import { tableOf, type VirtualDisk } from './virtual-disk.ts';

/** The share of a table's records that are gone, and of those that are as they were in an older copy. */
interface Odds {
  readonly gone: number;
  readonly older: number;
}

const WHOLE: Odds = { gone: 0, older: 0 };
const NOTHING_LEFT: Odds = { gone: 1, older: 0 };

/**
 * What a store that had to be repaired has left of a disk: of each table some records are gone, and some are as they were
 * in an older copy.
 */
export function repaired(disk: VirtualDisk, copy: VirtualDisk, prng: Prng): VirtualDisk {
  const left = disk.clone();
  lose(prng, left.shards, copy.shards);
  lose(prng, left.floors, copy.floors);
  lose(prng, left.lost, copy.lost);
  lose(prng, left.counters, copy.counters);
  lose(prng, left.hints, copy.hints);
  lose(prng, left.expiries, copy.expiries);
  lose(prng, left.members, copy.members);
  const objects = drawOdds(prng);
  for (const shard of union(left.objects, copy.objects)) {
    lose(prng, tableOf(left.objects, shard), copy.objects.get(shard), objects);
  }
  const dots = drawOdds(prng);
  for (const shard of union(left.dots, copy.dots)) {
    lose(prng, tableOf(left.dots, shard), copy.dots.get(shard), dots);
  }
  const meta = drawOdds(prng);
  left.bootEpoch = pick(prng, meta, left.bootEpoch, copy.bootEpoch, 0);
  left.incarnation = pick(prng, meta, left.incarnation, copy.incarnation, 0);
  left.catalog = pick(prng, meta, left.catalog, copy.catalog, { members: [], buckets: [] });
  lose(prng, left.registers.shards, copy.registers.shards);
  const registers = drawOdds(prng);
  for (const shard of union(left.registers.rows, copy.registers.rows)) {
    lose(prng, tableOf(left.registers.rows, shard), copy.registers.rows.get(shard), registers);
  }
  left.electorate = pick(prng, meta, left.electorate, copy.electorate, NO_ELECTORATE);
  return left;
}

/** Mostly little is lost, and of many tables nothing; of some all. */
function drawOdds(prng: Prng): Odds {
  const kind = prng.float();
  if (kind < 0.4) return WHOLE;
  if (kind < 0.5) return NOTHING_LEFT;
  const gone = prng.float() ** 2;
  return { gone, older: prng.float() ** 2 * (1 - gone) };
}

function lose<K, V>(prng: Prng, rows: Map<K, V>, copy: ReadonlyMap<K, V> = new Map(), odds = drawOdds(prng)): void {
  for (const key of union(rows, copy)) {
    const value = pick(prng, odds, rows.get(key), copy.get(key), undefined);
    if (value === undefined) rows.delete(key);
    else rows.set(key, value);
  }
}

function pick<T>(prng: Prng, odds: Odds, present: T, older: T, gone: T): T {
  const draw = prng.float();
  if (draw < odds.gone) return gone;
  return draw < odds.gone + odds.older ? older : present;
}

function union<K>(a: ReadonlyMap<K, unknown>, b: ReadonlyMap<K, unknown>): Set<K> {
  return new Set([...a.keys(), ...b.keys()]);
}
