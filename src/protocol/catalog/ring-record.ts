/**
 * A member's place in the ring: four registers, each joined by itself, so that a command on one side of a partition
 * never undoes a different one on the other. What the node's own configuration says is written by the node alone; what
 * operators say outranks it, and outlasts its restarts.
 */
import { isWeight, WEIGHT_MAX, WEIGHT_MIN } from '../../lib/weight.ts';
import type { ActorId } from '../causal/dot.ts';
import type { NodeId } from '../machine.ts';

/**
 * `in`: owns shards. `missing`: owns none while it is gone, which the leader has decided; it is put in when it is back.
 * `out`: owns none, and hands over what it holds; it still serves requests. `removed`: out for good; it is not waited for
 * any more.
 */
export type Place = 'in' | 'missing' | 'out' | 'removed';

/** The nearest first; the order of the words is that of the alphabet, which decides between commands given at once. */
export const PLACES = ['in', 'missing', 'out', 'removed'] as const satisfies Place[];

/** What operators have said of one thing. */
export interface Setting<T> {
  /** Counts the changes; 0: none yet. */
  readonly version: number;
  readonly value: T;
  /** Who asked last, for people; '' while nobody has. */
  readonly by: string;
}

/** What the node's own configuration says. */
export interface OwnSettings {
  /** Counts the changes; 0: the node has not spoken yet. */
  readonly version: number;
  readonly weight: number;
  readonly zone: string;
  /** Names its disk: a node that lost what it held is another one as far as new classes of shards are concerned. */
  readonly actor: ActorId;
}

export interface RingRecord {
  readonly id: NodeId;
  readonly own: OwnSettings;
  readonly place: Setting<Place>;
  /** Null: the node's own. */
  readonly weight: Setting<number | null>;
  readonly zone: Setting<string | null>;
}

/** What an operator asks for; fields that are left out stay. Null: back to the node's own configuration. */
export interface RingChange {
  readonly place?: Place;
  readonly weight?: number | null;
  readonly zone?: string | null;
}

/** What holds of a member, by all that was said. */
export interface RingPlace {
  readonly id: NodeId;
  readonly place: Place;
  /** Owns shards: its place is `in`, or nobody's is (see `Catalog.ringMembers`). */
  readonly in: boolean;
  readonly weight: number;
  readonly zone: string;
}

export const RING_MEMBERS_MAX = 10_000;
/** Leaves room to add up all versions in one safe integer, and a peer no way to exhaust them by accident. */
export const VERSION_MAX = 0xffff_ffff;
export const ASKER_LENGTH_MAX = 128;
const NODE_ID_LENGTH_MAX = 128;
const ZONE_LENGTH_MAX = 64;
const ACTOR_ID = /^(?:[0-9a-f]{16})?$/;
const NODE_ID = /^[\x21-\x7e]+$/;

/** A member of which nothing is known but its id. */
export function unspoken(id: NodeId): RingRecord {
  return {
    id,
    own: { version: 0, weight: 1, zone: '', actor: '' },
    place: { version: 0, value: 'in', by: '' },
    weight: { version: 0, value: null, by: '' },
    zone: { version: 0, value: null, by: '' },
  };
}

/** What is wrong with a record, null when nothing is. Takes unchecked data of the right shape. */
export function ringRecordProblem({ id, own, place, weight, zone }: RingRecord): string | null {
  if (typeof id !== 'string' || id.length > NODE_ID_LENGTH_MAX || !NODE_ID.test(id)) return 'not a node id';
  for (const { version } of [own, place, weight, zone]) {
    if (!Number.isInteger(version) || version < 0 || version > VERSION_MAX) return 'not a version';
  }
  for (const { by } of [place, weight, zone]) {
    if (typeof by !== 'string' || by.length > ASKER_LENGTH_MAX || !by.isWellFormed()) return 'not the name of an asker';
  }
  if (own.weight === null || own.zone === null) return 'not the settings of a node';
  if (typeof own.actor !== 'string' || !ACTOR_ID.test(own.actor)) return 'not an actor';
  return (
    ringChangeProblem({ weight: own.weight, zone: own.zone }) ??
    ringChangeProblem({ place: place.value, weight: weight.value, zone: zone.value })
  );
}

/** What is wrong with settings, null when nothing is. Takes unchecked data. */
export function ringChangeProblem({ place, weight, zone }: RingChange): string | null {
  if (place !== undefined && !PLACES.includes(place)) return 'a place is in, missing, out or removed';
  if (typeof zone === 'string' ? zone.length > ZONE_LENGTH_MAX || !zone.isWellFormed() : (zone ?? null) !== null) {
    return `a zone has at most ${ZONE_LENGTH_MAX} characters`;
  }
  if ((weight ?? null) === null) return null;
  return isWeight(weight) ? null : `a weight is ${WEIGHT_MIN} to ${WEIGHT_MAX}`;
}

/** Joins two records of one member, register by register: the later version, and of equal ones the greater content. */
export function joinRingRecords(a: RingRecord, b: RingRecord): RingRecord {
  return {
    id: a.id,
    own: later(a.own, b.own, ({ weight, zone, actor }) => [weight, zone, actor]),
    // Of two commands at once the one that takes further out.
    place: later(a.place, b.place, contentOf),
    weight: later(a.weight, b.weight, contentOf),
    zone: later(a.zone, b.zone, contentOf),
  };
}

/** The record after an operator's command; the same object when it says nothing new. */
export function changedRecord(record: RingRecord, change: RingChange, by: string): RingRecord {
  // Who was removed for good is out already.
  const isOut = change.place === 'out' && record.place.value === 'removed';
  const place = isOut ? record.place : changed(record.place, change.place, by);
  const weight = changed(record.weight, change.weight, by);
  const zone = changed(record.zone, change.zone, by);
  const isSame = place === record.place && weight === record.weight && zone === record.zone;
  return isSame ? record : { ...record, place, weight, zone };
}

/** Changes that a record has seen. */
export function changesOf({ own, place, weight, zone }: RingRecord): number {
  return own.version + place.version + weight.version + zone.version;
}

/** One text a content, whatever the order or surplus of an object's fields. */
export function ringRecordText({ id, own, place, weight, zone }: RingRecord): string {
  const settings = [place, weight, zone].map(({ version, value, by }) => [version, value, by]);
  return JSON.stringify([id, own.version, own.weight, own.zone, own.actor, ...settings]);
}

function changed<T>(setting: Setting<T>, value: T | undefined, by: string): Setting<T> {
  if (value === undefined || value === setting.value) return setting;
  return { version: setting.version + 1, value, by };
}

function later<S extends { readonly version: number }>(a: S, b: S, content: (setting: S) => unknown): S {
  if (a.version !== b.version) return a.version > b.version ? a : b;
  return JSON.stringify(content(b)) > JSON.stringify(content(a)) ? b : a;
}

function contentOf<T>({ value, by }: Setting<T>): readonly [T, string] {
  return [value, by];
}
