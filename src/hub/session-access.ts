import { type Failure, failure } from '../lib/failure.ts';
import { CausalContext, NOTHING } from '../protocol/causal/context.ts';
import type { ActorId, Dot } from '../protocol/causal/dot.ts';
import type { Entries } from '../protocol/causal/entry.ts';
import type { Mutation } from '../protocol/causal/mutation.ts';
import { liveEntries } from '../protocol/causal/value.ts';
import type { SessionContext } from '../protocol/replication/request.ts';
import { coversSession, knownTo } from '../protocol/replication/session-cover.ts';
import { tooManyValues } from '../protocol/replication/value-bounds.ts';
import { MUTATION_FAILURES } from '../protocol/replication/write-coordinator.ts';
import { type HubKey, hubMutate, hubRead } from '../protocol/uplink/hub-access.ts';
import type { SiteBucket } from '../protocol/uplink/message.ts';
import type { HubTransaction, ShardObjectName } from '../protocol/uplink/transaction.ts';
import { conflictsIn } from './hub-counters.ts';

/** Who asks for a key, and when. */
export interface SessionAccess {
  readonly name: ShardObjectName;
  readonly bucket: Pick<SiteBucket, 'sync' | 'conflict'>;
  /** What the client has seen; null: it does not say. */
  readonly session: SessionContext | null;
  readonly wallMs: number;
}

/** What the client has seen with the answer. */
export interface SessionRead extends SessionContext {
  /** Live ones. */
  readonly entries: Entries;
  /** As in HubKey, of a bucket that goes up. */
  readonly isPartial: boolean;
}

/** Of the process that writes. */
export interface SessionWriter {
  readonly actor: ActorId;
  /** The last counter that it has used in the shard; 0: none. */
  readonly lastCounter: number;
  /** Random, as in HubMoment. */
  readonly revision: string;
}

/** No more than the client can have seen: with all that the hub has, its next write would replace what nobody has looked at. */
export interface SessionWritten extends SessionContext {
  /** Null: there was nothing to do. */
  readonly dot: Dot | null;
  /** Live ones, before and after; none after where there was nothing to do. */
  readonly before: Entries;
  readonly entries: Entries;
  /** Writes that are noted as lost. */
  readonly conflicts: number;
}

const BEHIND = failure(
  'session-unavailable',
  'the hub does not have all yet that the Holdfast-Context has seen; retry once the site has sent it, or go on without it',
);

/** Reads a key for a client, who is never shown less than its session has seen. */
export function* sessionRead(access: SessionAccess): HubTransaction<SessionRead | Failure> {
  const { name, bucket, session, wallMs } = access;
  const found = (yield* hubRead(name)).result;
  const copy = copyOf(found, access);
  if (isBehind(copy, session)) return { writes: [], result: BEHIND };
  const { context, bare } = knownTo([copy]);
  if (session !== null) context.union(session.context);
  const entries = liveEntries(copy.entries, wallMs, bucket.conflict);
  // Half-way through a comparison of keys some are shown ahead of their events: they have been seen all the same.
  for (const { dot } of entries) context.add(dot);
  const isPartial = bucket.sync !== 'down' && found.isPartial;
  return { writes: [], result: { entries, context, bare, isPartial } };
}

/** Writes a key for a client. What the client has seen and the hub has not could not be replaced: it would come back later. */
export function* sessionWrite(
  access: SessionAccess,
  mutation: Mutation,
  writer: SessionWriter,
): HubTransaction<SessionWritten | Failure> {
  const { name, bucket, session, wallMs } = access;
  const found = (yield* hubRead(name, true)).result;
  if (isBehind(copyOf(found, access), session)) return { writes: [], result: BEHIND };
  const { conflict } = bucket;
  const how = { ...writer, wallMs, conflict, context: session?.context ?? null };
  const { writes, result } = yield* hubMutate(name, mutation, how);
  const before = liveEntries(found.object.entries, wallMs, conflict);
  const bare = session?.bare ?? NOTHING;
  if (!result.applied) {
    if (result.failure !== null) return { writes: [], result: MUTATION_FAILURES[result.failure] };
    const context = session?.context ?? new CausalContext();
    return { writes: [], result: { dot: null, before, entries: [], context, bare, conflicts: 0 } };
  }
  const problem = tooManyValues(found.object.entries, result.object.entries);
  if (problem !== null) return { writes: [], result: problem };
  const dot = { actor: writer.actor, counter: result.lastCounter };
  const entries = liveEntries(result.object.entries, wallMs, conflict);
  const context = CausalContext.fromDots([dot]);
  // The client is told the sum: it has seen each of the totals.
  if (mutation.type === 'increment')
    for (const entry of entries) if (entry.payload.kind === 'counter') context.add(entry.dot);
  if (session !== null) context.union(session.context);
  return { writes, result: { dot, before, entries, context, bare, conflicts: conflictsIn(writes) } };
}

type KnownCopy = Parameters<typeof knownTo>[0][number];

function isBehind(copy: KnownCopy, session: SessionContext | null): boolean {
  return session !== null && !coversSession([copy], session);
}

/** What of the hub's copy counts for sessions: of a bucket whose events it has not all had, only its own. */
function copyOf({ object, context, own, isPartial }: HubKey, { bucket }: SessionAccess): KnownCopy {
  const isWhole = bucket.sync !== 'down' && !isPartial;
  return { entries: object.entries, context: isWhole ? context : own, past: object.past, bare: NOTHING };
}
