import type { Failure } from '../../lib/failure.ts';
import { type CausalContext, NOTHING } from '../causal/context.ts';
import type { Dot } from '../causal/dot.ts';
import type { Entries } from '../causal/entry.ts';
import type { Mutation } from '../causal/mutation.ts';
import type { NodeId } from '../machine.ts';
import type { ConflictKey, ConflictRow } from './record.ts';

/** How many replicas must answer: one, a majority of the key's owners, or all of them. */
export type Level = 'one' | 'quorum' | 'all';

/** What the session of a client has seen of a key. */
export interface SessionContext {
  readonly context: CausalContext;
  /**
   * The part of it that only replicas with bare events (`Shard.bare`) have shown: none of them knew what that had replaced,
   * so that the client may have seen this beside it. Whoever shows it again need not know that either.
   */
  readonly bare: CausalContext;
}

/** Of a session that has seen what the context is the state of. */
export function sessionOf(context: CausalContext): SessionContext {
  return { context, bare: NOTHING };
}

export interface MutateRequest {
  readonly type: 'mutate';
  readonly bucket: string;
  readonly key: string;
  readonly mutation: Mutation;
  readonly level: Level;
  /** What the client has read; the write replaces that and nothing else. Absent: replaces what the coordinator has. */
  readonly context: SessionContext | null;
}

export interface GetRequest {
  readonly type: 'get';
  readonly bucket: string;
  readonly key: string;
  readonly level: Level;
  /** What the client's session has seen of the key: the answer covers it, or the read fails. Null: no session. */
  readonly session: SessionContext | null;
}

export interface ListRequest {
  readonly type: 'list';
  readonly bucket: string;
  readonly prefix: string;
  /** Only keys after this one, in UTF-8 byte order; '' from the start. */
  readonly after: string;
  /** 1 to 1000. */
  readonly limit: number;
  readonly values: boolean;
  /**
   * For those who follow changes from here on: every owner that is up is asked rather than a majority, values come as
   * replicas keep them, with the context that they are the state of, and the reply says who has answered.
   */
  readonly snapshot: boolean;
}

/** How many nodes have synced an event by now? Its reply was given as soon as the level was met. */
export interface ConfirmRequest {
  readonly type: 'confirm';
  readonly bucket: string;
  readonly key: string;
  /** From the reply of the write. */
  readonly dot: Dot;
}

export type ClientRequest = MutateRequest | GetRequest | ListRequest | ConfirmRequest;

/** The context covers the write and everything it replaced. */
export interface MutateReply extends SessionContext {
  readonly type: 'mutate';
  /** False when a condition of the mutation did not hold; nothing was written then. */
  readonly applied: boolean;
  /** The event's name (the first one, of an event that took several); null when nothing was written. */
  readonly dot: Dot | null;
  /** Nodes that had synced it when the reply was made, and the number of owners of the key. */
  readonly acks: number;
  readonly owners: number;
  /** `sloppy`: fewer than the asked level of the key's owners; fallbacks made up for the rest. */
  readonly quorum: 'strict' | 'sloppy';
  /**
   * The live entries before and after the mutation, as the coordinator saw them. Of a change of a set or map only those
   * of the members or fields that it names.
   */
  readonly before: Entries;
  readonly after: Entries;
}

export interface GetReply extends SessionContext {
  readonly type: 'get';
  /** Live entries (not expired); empty when the key is absent. */
  readonly entries: Entries;
  /** False when too few owners of the key could be asked: the answer may be missing newer writes. */
  readonly complete: boolean;
}

export interface ListItem {
  readonly key: string;
  readonly entries: Entries;
  /** What the entries are the state of, in a snapshot. Null: not asked for. */
  readonly context: CausalContext | null;
  /** In a snapshot: further dots of the key that are known to be superseded. */
  readonly past: CausalContext | null;
}

export interface ListReply {
  readonly type: 'list';
  /** In UTF-8 byte order of the key. */
  readonly items: readonly ListItem[];
  /** True when there is more after the last item (or after `resumeAfter`). */
  readonly more: boolean;
  /** The `after` of the next page; '' when there is none. */
  readonly resumeAfter: string;
  /** False when some shard had no reachable owner. */
  readonly complete: boolean;
  /** Nodes that have answered for all that they hold. */
  readonly answered: readonly NodeId[];
  /** Of a snapshot: what the absence of all other keys up to `resumeAfter` is the state of, by shard. */
  readonly contexts: readonly ShardContext[];
}

export interface ShardContext {
  readonly shard: number;
  readonly context: CausalContext;
}

export interface ConfirmReply {
  readonly type: 'confirm';
  /** Nodes that answered and have it on disk: owners of the key, and fallbacks that keep it for them. */
  readonly nodes: number;
  readonly owners: number;
}

/** Conflicts of one bucket, or of all. */
export interface ConflictsQuery {
  readonly bucket: string | null;
  /** Only those after this one; null: from the latest on. */
  readonly after: ConflictKey | null;
  /** 1 to CONFLICTS_LIMIT_MAX. */
  readonly limit: number;
}

export const CONFLICTS_LIMIT_MAX = 100;

/** What the members that are up have noticed, each conflict once, the latest lost write first. */
export interface ConflictsReply {
  readonly type: 'conflicts';
  readonly rows: readonly ConflictRow[];
  /** There are more after the last one. */
  readonly more: boolean;
  /** Members that have not answered: they may know of others. */
  readonly missing: readonly NodeId[];
}

export interface FailedReply {
  readonly type: 'failed';
  readonly failure: Failure;
}

export type ClientReply = MutateReply | GetReply | ListReply | ConfirmReply | FailedReply;

export type ReplyOf<R extends ClientRequest> = R extends MutateRequest
  ? MutateReply
  : R extends GetRequest
    ? GetReply
    : R extends ListRequest
      ? ListReply
      : ConfirmReply;

/** Takes the reply of a request; called once. */
export type Respond = (reply: ClientReply) => void;

/** How many replicas a level asks for. */
export function needed(level: Level, owners: number): number {
  switch (level) {
    case 'one':
      return 1;
    case 'quorum':
      return Math.floor(owners / 2) + 1;
    case 'all':
      return owners;
  }
}
