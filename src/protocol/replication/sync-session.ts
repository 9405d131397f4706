import { CausalContext, type DotRange } from '../causal/context.ts';
import type { FingerprintTree } from '../causal/fingerprint-tree.ts';
import type { KeyEvents } from '../causal/key-events.ts';
import type { NodeId } from '../machine.ts';
import { type Cell, entriesBytes } from './cell-table.ts';
import { type SyncChunk, type SyncItem, WHOLE } from './message.ts';
import type { ObjectName } from './record.ts';
import type { Shard } from './shard-table.ts';

/** Bytes of objects in one chunk; one object may exceed it. */
export const CHUNK_BYTES = 64 * 1024;
/** A range of a context in a message. */
const RANGE_BYTES = 8;
/** Missing events that one pass over the index gathers, about. */
const PASS_EVENTS = 16_384;
/** Shards sent to one peer at a time. */
export const SESSIONS_PER_PEER = 16;
/** A peer that did not answer by then is given up until the next round. */
export const ANSWER_TIMEOUT_MS = 5000;

/** Sending what one peer misses of one shard. */
export interface Session {
  readonly peer: NodeId;
  readonly shard: Shard;
  /** What this node covered when the session began; the peer covers it after the last chunk. */
  readonly covered: CausalContext;
  /** The events that the peer missed then and that the index still names. */
  readonly missing: readonly DotRange[];
  /** The floor then, when the peer lacks some of it: those events have no index row, so all keys are compared. */
  readonly floor: CausalContext | null;
  /** Passes over the index: each takes the keys of one hash class, so that memory stays bounded. */
  readonly passes: number;
  pass: number;
  /** Where the pass is in `missing`. */
  rangeIndex: number;
  resumeAt: number | null;
  /** The keys of this pass and all their missing events: complete once the index has been read. */
  readonly ready: Map<string, KeyEvents>;
  readonly comparison: Comparison;
  /** What sends the messages that belong to the one before: the rest of a key that needs several. */
  rest: { readonly bytes: number; readonly send: () => void }[];
  /** The sequence number whose answer is due; 0: none. */
  awaiting: number;
  expiresAtMs: number;
  finishing: boolean;
}

/** The sending side of a comparison by keys. */
interface Comparison {
  /** What all its messages carry. */
  id: number;
  tree: FingerprintTree | null;
  /** Children of the root that differ; null until the peer said which. */
  children: readonly number[] | null;
  /** Leaves that differ; null until the peer said which. */
  leaves: ReadonlySet<number> | null;
  /** Where the last interval began and ended; null: at the start, none yet. */
  start: ObjectName | null;
  after: ObjectName | null;
  /** Keys that the peer asked for. */
  unnamed: readonly ObjectName[];
  done: boolean;
}

/** The peer covers `context` of the shard. */
export function newSession(peer: NodeId, shard: Shard, context: CausalContext): Session {
  const needsComparison = !context.covers(shard.floor);
  const missing = CausalContext.fromRanges(shard.context.minus(context)).minus(shard.floor);
  let events = 0;
  for (const range of missing) events += range.to - range.from + 1;
  return {
    peer,
    shard,
    covered: shard.context.clone(),
    missing,
    floor: needsComparison ? shard.floor.clone() : null,
    passes: Math.ceil(events / PASS_EVENTS),
    pass: 0,
    rangeIndex: 0,
    resumeAt: null,
    ready: new Map(),
    comparison: {
      id: 0,
      tree: null,
      children: null,
      leaves: null,
      start: null,
      after: null,
      unnamed: [],
      done: false,
    },
    rest: [],
    awaiting: 0,
    expiresAtMs: 0,
    finishing: false,
  };
}

export function sessionId(peer: NodeId, shard: number): string {
  return `${peer}/${shard}`;
}

export function itemOf(session: Session, cell: Cell, events: CausalContext): SyncItem {
  const { bucket, key } = cell.name;
  return {
    bucket,
    key,
    entries: cell.object.entries,
    past: pastSince(session, cell),
    events: eventsOf(session, cell, events),
    part: WHOLE,
  };
}

/**
 * The key's events that the peer missed at the start, and those of entries that came since: an entry without its event
 * could never be covered where the event's only other copy is lost with its disk.
 */
function eventsOf({ shard, covered }: Session, cell: Cell, missing: CausalContext): CausalContext {
  const { entries } = cell.object;
  if (entries.every(({ dot }) => covered.has(dot))) return missing;
  const events = missing.clone();
  for (const { dot } of entries) if (!covered.has(dot) && shard.context.has(dot)) events.add(dot);
  return events;
}

/**
 * The object's past, and what its list of events does not name of all that it has seen: the events applied since the
 * session began, and those on the floor.
 */
function pastSince(session: Session, cell: Cell): CausalContext | null {
  const { past } = cell.object;
  const { floor, shard, covered } = session;
  const since = shard.context.minus(covered);
  if (since.length === 0 && floor === null) return past;
  const open = CausalContext.fromRanges(since);
  if (past !== null) open.union(past);
  if (floor !== null) open.union(floor);
  return open;
}

/** How many of the first items fit one chunk: at least one, where there is one. */
export function fitting(items: readonly SyncItem[]): number {
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    bytes += itemBytes(item);
    if (index > 0 && bytes > CHUNK_BYTES) return index;
  }
  return items.length;
}

/** What the chunk takes on the wire, about. */
export function chunkBytes({ items, context }: SyncChunk): number {
  return itemsBytes(items) + context.rangeCount * RANGE_BYTES;
}

export function itemsBytes(items: readonly SyncItem[]): number {
  return items.reduce((sum, item) => sum + itemBytes(item), 0);
}

function itemBytes({ entries, key, past, events }: SyncItem): number {
  return entriesBytes(entries) + key.length + ((past?.rangeCount ?? 0) + events.rangeCount) * RANGE_BYTES;
}
