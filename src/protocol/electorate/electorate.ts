import { isWeight } from '../../lib/weight.ts';
import type { NodeId } from '../machine.ts';

/** A member whose word counts where a majority decides. */
export interface Elector {
  readonly id: NodeId;
  readonly weight: number;
  readonly zone: string;
  /** Names its disk: a member that lost what it had promised is another elector. */
  readonly disk: string;
}

/** Names a founding. Of two lineages the later generation is the cluster's; only operators begin one after the first. */
export interface Lineage {
  readonly generation: number;
  /** The term and the leader of the founding, or the run of the node that an operator asked: no two foundings share it. */
  readonly founder: string;
}

export interface PastElectors {
  readonly epoch: number;
  readonly electors: readonly Elector[];
}

/** An operator's decision, where a majority was lost for good and none could be asked. */
export interface Refounding {
  /** Members that never come back, sorted. */
  readonly lost: readonly NodeId[];
  /** The electorate until then, as far as it was known: what is left of its acceptors is what the new ones copy from. */
  readonly before: Electorate;
  /** Who asked, and where, for people. */
  readonly by: string;
}

export interface RefoundingTerms extends Omit<Refounding, 'before'> {
  readonly founder: string;
  readonly left: readonly Elector[];
}

/**
 * Who decides, as a majority of them has decided: the ring of strong buckets, and the members among whom a quorate leader
 * needs a majority. Immutable; every change is a new epoch.
 */
export interface Electorate {
  readonly lineage: Lineage;
  /** Counts the changes, from `FOUNDING_EPOCH`. */
  readonly epoch: number;
  /** Shards of strong buckets, and copies of each. */
  readonly shards: number;
  readonly replicas: number;
  /** Sorted by id. */
  readonly electors: readonly Elector[];
  /** While the electorate changes: those before, of whom a majority is needed as well. Null: it is at rest. */
  readonly previous: readonly Elector[] | null;
  /** In the first epoch of a lineage that an operator has begun; null in all others. */
  readonly refounding: Refounding | null;
  /** Those before them, the latest first, each with the epoch under which they were the only ones. */
  readonly past: readonly PastElectors[];
}

export const FOUNDING_EPOCH = 1;
/** Who was away for more changes copies its shards anew. */
const PAST_MAX = 8;
export const ELECTORS_MAX = 1024;
/** Of all stages in the past; the latest is always one of them. An electorate has to fit into a message, and a value. */
const PAST_ELECTORS_MAX = 2 * ELECTORS_MAX;
const TEXT_LENGTH_MAX = 200;
const ZONE_LENGTH_MAX = 64;
const EPOCH_MAX = 2 ** 32 - 1;
const GENERATION_MAX = 2 ** 20;
/** Refoundings of which each began before the one before it was complete. */
const REFOUNDINGS_MAX = 4;
const REFOUNDING_BYTES_MAX = 1_000_000;

export function founded(founder: string, config: Pick<Electorate, 'shards' | 'replicas' | 'electors'>): Electorate {
  const { shards, replicas, electors } = config;
  const lineage = { generation: 1, founder };
  const stages = { electors: sorted(electors), previous: null, refounding: null, past: [] };
  return { lineage, epoch: FOUNDING_EPOCH, shards, replicas, ...stages };
}

/**
 * The electorate of those that are left, by an operator's decision: a lineage of its own, which outranks the one before.
 * `founder`: names it, no other one ever. Null: the last few were each replaced before they were complete, and all of them
 * do not fit into one message.
 */
export function refounded(before: Electorate, { founder, left, lost, by }: RefoundingTerms): Electorate | null {
  const generation = before.lineage.generation + 1;
  if (refoundingsIn(before) >= REFOUNDINGS_MAX || generation > GENERATION_MAX) return null;
  const next = (kept: Electorate): Electorate => ({
    ...before,
    lineage: { generation, founder },
    epoch: before.epoch + 1,
    electors: sorted(left),
    previous: null,
    refounding: { lost: lost.toSorted(), before: kept, by: by.slice(0, TEXT_LENGTH_MAX).toWellFormed() },
    past: [],
  });
  // Without its past, what those hold that were away for a while is not known to be whole.
  const fitting = [before, { ...before, past: [] }].map(next);
  return fitting.find((one) => electorateBytes(one).length <= REFOUNDING_BYTES_MAX) ?? null;
}

/**
 * The next epoch on the way to these electors. To other electors, or other shares of them, it leads through an epoch of both;
 * an elector that merely has a new disk takes none.
 */
export function towards(now: Electorate, target: readonly Elector[]): Electorate {
  const electors = sorted(target);
  const isSameRing = textOf(electors, false) === textOf(now.electors, false);
  return next(now, { electors, previous: isSameRing ? null : now.electors });
}

/** True while others than the electors are asked as well. */
export function isChanging({ previous, refounding }: Electorate): boolean {
  return previous !== null || refounding !== null;
}

/** The epoch as registers count it: it grows with every change, from one lineage to the next as well. */
export function registerEpochOf({ lineage, epoch }: Pick<Electorate, 'lineage' | 'epoch'>): number {
  // The lost may have been further than those that are left could know.
  return (lineage.generation - 1) * (EPOCH_MAX + 1) + epoch;
}

/** The end of a change: only the new electors are left. */
export function settled(now: Electorate): Electorate {
  return next(now, { electors: now.electors, previous: null });
}

/** The change is given up. */
export function reverted(now: Electorate): Electorate {
  return next(now, { electors: now.previous ?? now.electors, previous: null });
}

export function isElectedAlready(now: Electorate, target: readonly Elector[]): boolean {
  return textOf(sorted(target), true) === textOf(now.electors, true);
}

/** True where `a` takes the place of `b`. */
export function supersedes(a: Electorate, b: Electorate | null): boolean {
  if (b === null) return true;
  if (a.lineage.generation !== b.lineage.generation) return a.lineage.generation > b.lineage.generation;
  return a.lineage.founder === b.lineage.founder && a.epoch > b.epoch;
}

/** True where the two clusters were founded apart, and neither outranks the other. */
export function isForeign(a: Lineage, b: Lineage): boolean {
  return a.generation === b.generation && a.founder !== b.founder;
}

/** All whose word counts now. */
export function electorsOf({ electors, previous }: Electorate): readonly Elector[] {
  const ids = new Set(electors.map(({ id }) => id));
  return [...electors, ...(previous ?? []).filter(({ id }) => !ids.has(id))];
}

export function idsOf(electors: readonly Elector[]): NodeId[] {
  return electors.map(({ id }) => id);
}

/** Of a large cluster so many are enough. */
const ACCEPTORS_MAX = 31;

/** Of these electors those that accept who the next ones are. */
export function acceptorsAmong(electors: readonly Elector[]): NodeId[] {
  return idsOf(electors).slice(0, ACCEPTORS_MAX);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** The value of the register that holds it; also what nodes tell each other, and keep. */
export function electorateBytes(electorate: Electorate): Uint8Array {
  return encoder.encode(JSON.stringify(electorate));
}

/** Null where the bytes are no valid electorate. */
export function electorateIn(bytes: Uint8Array): Electorate | null {
  try {
    return checked(JSON.parse(decoder.decode(bytes)) as Electorate);
  } catch {
    return null;
  }
}

function next(now: Electorate, change: Pick<Electorate, 'electors' | 'previous'>): Electorate {
  const past = isChanging(now) ? now.past : [{ epoch: now.epoch, electors: now.electors }, ...now.past];
  return { ...now, ...change, refounding: null, epoch: now.epoch + 1, past: latestOf(past) };
}

function latestOf(past: readonly PastElectors[]): PastElectors[] {
  const kept: PastElectors[] = [];
  let left = PAST_ELECTORS_MAX;
  for (const stage of past.slice(0, PAST_MAX)) {
    left -= stage.electors.length;
    if (left < 0) break;
    kept.push(stage);
  }
  return kept;
}

function refoundingsIn({ refounding }: Electorate): number {
  return refounding === null ? 0 : 1 + refoundingsIn(refounding.before);
}

function sorted(electors: readonly Elector[]): Elector[] {
  return electors.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

function textOf(electors: readonly Elector[], withDisk: boolean): string {
  return JSON.stringify(electors.map(({ id, weight, zone, disk }) => [id, weight, zone, withDisk ? disk : null]));
}

/** Takes unchecked data; throws a TypeError where its shape is another one. */
function checked(data: Electorate, depth = 0): Electorate | null {
  const { lineage, epoch, shards, replicas, previous } = data;
  const past = data.past.map((each) => ({ epoch: each.epoch, electors: checkedElectors(each.electors) }));
  const counts = [lineage.generation, epoch, shards, replicas, ...past.map((each) => each.epoch)];
  if (!counts.every((count) => Number.isSafeInteger(count) && count > 0)) return null;
  if (!isText(lineage.founder) || past.length > PAST_MAX || replicas > 7 || shards > 65_536) return null;
  const electors = checkedElectors(data.electors);
  const before = previous === null ? null : checkedElectors(previous);
  const groups = [electors, ...(before === null ? [] : [before]), ...past.map((each) => each.electors)];
  if (groups.some((group) => group === null)) return null;
  const { generation, founder } = lineage;
  if (epoch > EPOCH_MAX || generation > GENERATION_MAX) return null;
  const refounding = data.refounding === null ? null : checkedRefounding(data.refounding, depth);
  if (refounding === 'bad') return null;
  if (refounding !== null && (refounding.before.shards !== shards || refounding.before.replicas !== replicas))
    return null;
  return {
    lineage: { generation, founder },
    epoch,
    shards,
    replicas,
    electors: electors ?? [],
    previous: before,
    refounding,
    past: past.map((each) => ({ epoch: each.epoch, electors: each.electors ?? [] })),
  };
}

function checkedRefounding({ lost, before, by }: Refounding, depth: number): Refounding | 'bad' {
  if (depth >= REFOUNDINGS_MAX || lost.length > ELECTORS_MAX || !isText(by)) return 'bad';
  const ids = [...lost];
  if (!ids.every((id, i) => isText(id) && (i === 0 || (ids[i - 1] ?? '') < id))) return 'bad';
  const checkedBefore = checked(before, depth + 1);
  return checkedBefore === null ? 'bad' : { lost: ids, before: checkedBefore, by };
}

function checkedElectors(data: readonly Elector[]): readonly Elector[] | null {
  if (data.length === 0 || data.length > ELECTORS_MAX) return null;
  const electors = data.map(({ id, weight, zone, disk }) => ({ id, weight, zone, disk }));
  const isGood = electors.every(
    ({ id, weight, zone, disk }, i) =>
      isText(id) &&
      isText(zone, ZONE_LENGTH_MAX) &&
      isText(disk) &&
      // With weights beyond what members have, to lay out a ring would never end.
      isWeight(weight) &&
      isAfter(id, electors[i - 1]),
  );
  return isGood ? electors : null;
}

function isAfter(id: NodeId, before: Elector | undefined): boolean {
  return before === undefined || before.id < id;
}

function isText(value: unknown, lengthMax = TEXT_LENGTH_MAX): boolean {
  return typeof value === 'string' && value.length <= lengthMax && value.isWellFormed();
}
