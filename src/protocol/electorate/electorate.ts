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
  /** The term and the leader of the founding: two clusters that were founded apart differ in it. */
  readonly founder: string;
}

export interface PastElectors {
  readonly epoch: number;
  readonly electors: readonly Elector[];
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

export function founded(founder: string, config: Pick<Electorate, 'shards' | 'replicas' | 'electors'>): Electorate {
  const { shards, replicas, electors } = config;
  const lineage = { generation: 1, founder };
  return { lineage, epoch: FOUNDING_EPOCH, shards, replicas, electors: sorted(electors), previous: null, past: [] };
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
  const past = now.previous === null ? [{ epoch: now.epoch, electors: now.electors }, ...now.past] : now.past;
  return { ...now, ...change, epoch: now.epoch + 1, past: latestOf(past) };
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

function sorted(electors: readonly Elector[]): Elector[] {
  return electors.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

function textOf(electors: readonly Elector[], withDisk: boolean): string {
  return JSON.stringify(electors.map(({ id, weight, zone, disk }) => [id, weight, zone, withDisk ? disk : null]));
}

/** Takes unchecked data; throws a TypeError where its shape is another one. */
function checked(data: Electorate): Electorate | null {
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
  return {
    lineage: { generation, founder },
    epoch,
    shards,
    replicas,
    electors: electors ?? [],
    previous: before,
    past: past.map((each) => ({ epoch: each.epoch, electors: each.electors ?? [] })),
  };
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
