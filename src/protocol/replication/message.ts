import type { Failure } from '../../lib/failure.ts';
import type { CausalContext } from '../causal/context.ts';
import type { ActorId, Dot } from '../causal/dot.ts';
import type { Entries } from '../causal/entry.ts';
import type { NodeId } from '../machine.ts';
import type { ConflictRow, ObjectName } from './record.ts';
import type { ClientReply, ClientRequest, ConflictsQuery, ShardContext } from './request.ts';

/** A replica's copy of one key, and all the key's events that the receiver misses; or one part of that. */
export interface SyncItem {
  readonly bucket: string;
  readonly key: string;
  readonly entries: Entries;
  readonly past: CausalContext | null;
  readonly events: CausalContext;
  /** What one message cannot hold travels in parts, which mean something together only. */
  readonly part: SyncPart;
}

export interface SyncPart {
  /** Counts from 0. */
  readonly index: number;
  /** False for the last one. */
  readonly more: boolean;
}

/** The part of an item that is whole. */
export const WHOLE: SyncPart = { index: 0, more: false };

/** A client's request handed to a node that owns the key. */
export interface ForwardMessage {
  readonly type: 'forward';
  readonly id: number;
  readonly request: ClientRequest;
}

export interface ForwardReplyMessage {
  readonly type: 'forward-reply';
  readonly id: number;
  readonly reply: ClientReply;
}

/** One new event for a key: what a coordinator sends to the other owners, and a fallback to a returning one. */
export interface ReplicateMessage {
  readonly type: 'replicate';
  readonly id: number;
  readonly bucket: string;
  readonly key: string;
  readonly entries: Entries;
  /** One event, or of a hint several. */
  readonly events: CausalContext;
  /** The events and everything they replaced. */
  readonly context: CausalContext;
  /** Owners for whom the receiver keeps it as a hint; empty when it is itself an owner. */
  readonly hintFor: readonly NodeId[];
}

/**
 * `stored`: synced by an owner that is complete for the shard. `partial`: synced by an owner that is still
 * taking the shard over. `former`: synced by one that no longer owns it, whose copy was complete. `hinted`: synced as a
 * hint.
 */
export type AckStatus = 'stored' | 'partial' | 'former' | 'hinted' | 'refused';

/** What a replica's answer is worth to a reader: see AckStatus. `none`: it knows nothing that counts. */
export type Standing = 'stored' | 'partial' | 'former' | 'none';

export interface ReplicateAckMessage {
  readonly type: 'replicate-ack';
  readonly id: number;
  readonly status: AckStatus;
  /** Set when refused. */
  readonly failure: Failure | null;
  /** `ownersDigest` of the shard by the sender's ring. */
  readonly owners: number;
}

export interface ReadMessage {
  readonly type: 'read';
  readonly id: number;
  readonly bucket: string;
  readonly key: string;
  /** The entries the reader has already; a replica with just those answers `same`. */
  readonly dots: readonly Dot[];
}

export interface ReadReplyMessage {
  readonly type: 'read-reply';
  readonly id: number;
  readonly status: 'same' | 'object';
  readonly standing: Standing;
  readonly entries: Entries;
  readonly context: CausalContext;
  /** The part of the context that is known to be superseded, but not what it had replaced; null: none. */
  readonly past: CausalContext | null;
  /** The part of the context that is bare at the sender: see `LocalCopy`. */
  readonly bare: CausalContext;
  /** `ownersDigest` of the shard by the sender's ring. */
  readonly owners: number;
}

export interface ListMessage {
  readonly type: 'list';
  readonly id: number;
  readonly bucket: string;
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
  readonly values: boolean;
  readonly shards: readonly number[];
  /** The contexts of the shards are wanted too. */
  readonly snapshot: boolean;
}

export interface ListReplyMessage {
  readonly type: 'list-reply';
  readonly id: number;
  /** A key without entries here: this node alone cannot say what it holds. */
  readonly items: readonly PageItem[];
  readonly more: boolean;
  /** Shards asked for that the sender does not own or has not complete: its answer does not count for them. */
  readonly partial: readonly number[];
  /** What the page is at least the state of, in a snapshot. */
  readonly contexts: readonly ShardContext[];
  /** `ownersDigest` of the shards asked for by the sender's ring. */
  readonly owners: number;
}

export interface PageItem {
  readonly key: string;
  readonly entries: Entries;
}

/** "Which conflicts have you noticed?" The latest lost write first, after one of them. */
export interface ConflictsAskMessage extends ConflictsQuery {
  readonly type: 'conflicts-ask';
  readonly id: number;
}

export interface ConflictsTellMessage {
  readonly type: 'conflicts-tell';
  readonly id: number;
  readonly rows: readonly ConflictRow[];
  readonly more: boolean;
}

/** "Which of my events do you know?" */
export interface CounterCheckMessage {
  readonly type: 'counter-check';
  readonly actor: ActorId;
}

/** What the sender knows of the actor, of shards where it knows anything. */
export interface CounterReportMessage {
  readonly type: 'counter-report';
  readonly actor: ActorId;
  /** Its events. */
  readonly known: readonly ShardContext[];
  /** Dots that something names as replaced: whether the events are anywhere is not said, but their dots are used up. */
  readonly named: readonly ShardContext[];
}

/** Opens anti-entropy: one digest over the contexts of all named shards, which are in ascending order. */
/** "I keep hints for you in these shards: what do you cover?" */
export interface HintAskMessage {
  readonly type: 'hint-ask';
  readonly id: number;
  readonly shards: readonly number[];
}

/** The answer, without the shards of which the sender is still waiting to be sent what others have. */
export interface HintTellMessage {
  readonly type: 'hint-tell';
  readonly id: number;
  readonly covers: readonly HintCover[];
}

export interface HintCover extends ShardContext {
  /** The sender passes on nothing of the shard for now. */
  readonly withholds: boolean;
}

export interface SyncDigestMessage {
  readonly type: 'sync-digest';
  /** Carried by the answers; both sides remember which digests they have told under it. */
  readonly exchange: number;
  readonly shards: readonly number[];
  /** How many events the sender covers in them. */
  readonly events: number;
  readonly combined: number;
}

/** The answer when the combined digest differs: one digest for each shard that was named, same order. */
export interface SyncDigestsMessage {
  readonly type: 'sync-digests';
  readonly exchange: number;
  readonly digests: readonly number[];
}

/** The contexts of these shards, in ascending order, are here what the receiver has told in the exchange. */
export interface SyncEqualMessage {
  readonly type: 'sync-equal';
  readonly exchange: number;
  readonly shards: readonly number[];
}

export const WAITS_FOR_MAX = 64;

/** "This is what I cover"; with `wants` also "send me what I miss"; with `reply` "tell me what you cover". */
export interface ShardCover {
  readonly shard: number;
  readonly context: CausalContext;
  readonly wants: boolean;
  readonly reply: boolean;
  /** The sender owns the shard, and nothing of what it covers is missing there. */
  readonly complete: boolean;
  /** It owned the shard in the ring before this one, and nothing of that time is missing there. */
  readonly former: boolean;
  /** The sender cannot send what it covers before it knows more of it. */
  readonly withholds: boolean;
  /** The sender keeps hints of the shard. */
  readonly hinted: boolean;
  /** Whom the sender has still to sync with before it is complete, at most WAITS_FOR_MAX. */
  readonly waitsFor: readonly NodeId[];
}

export interface SyncContextMessage {
  readonly type: 'sync-context';
  /** Digest of the sender's ring when it covered just this. */
  readonly ring: number;
  readonly covers: readonly ShardCover[];
}

/** Objects of one shard behind dots that the receiver misses. */
export interface SyncChunk {
  readonly shard: number;
  /** Answered by an acknowledgement with the same number. */
  readonly sequence: number;
  /** All that the sender covers, for what it dropped. */
  readonly context: CausalContext;
  readonly items: readonly SyncItem[];
  /** With the last one: what the receiver covers after it, unless something was refused. Null: more follows. */
  readonly covered: CausalContext | null;
}

export interface SyncObjectsMessage {
  readonly type: 'sync-objects';
  readonly chunks: readonly SyncChunk[];
}

/** Opens a comparison by keys, or goes into it deeper. */
export interface SyncCompareMessage {
  readonly type: 'sync-compare';
  readonly shard: number;
  readonly comparison: number;
  /** Answered by `sync-differ` with the same number. */
  readonly sequence: number;
  /** Null: `sums` are those of the root's children. Else those of the leaves below these children. */
  readonly children: readonly number[] | null;
  /** Two words each, see FingerprintTree. */
  readonly sums: readonly number[];
  /** With the first one: the events that the sender covers without an index row. */
  readonly floor: CausalContext | null;
}

/** Positions in the `sums` at which the sender has others; null when it compares with another holder just now. */
export interface SyncDifferMessage {
  readonly type: 'sync-differ';
  readonly shard: number;
  readonly sequence: number;
  readonly differing: readonly number[] | null;
}

/**
 * All that the sender has in the leaves that differ, from after one name up to and including another (null: to the
 * end). The receiver asks for keys that it has between them and that were not among them. `interval` null: the copies
 * that it asked for.
 */
export interface SyncCopiesMessage {
  readonly type: 'sync-copies';
  readonly shard: number;
  readonly comparison: number;
  /** Answered by `sync-ack` with the same number. */
  readonly sequence: number;
  readonly context: CausalContext;
  readonly interval: { readonly after: ObjectName | null; readonly upto: ObjectName | null } | null;
  readonly items: readonly SyncItem[];
}

/** Asks an owner for its copies of keys whose record was bad here. */
export interface SyncFetchMessage {
  readonly type: 'sync-fetch';
  readonly shard: number;
  readonly names: readonly ObjectName[];
}

/** Copies of all the keys asked for; `context`: what the sender covers, of a key that is lost there too only its own. */
export interface SyncFetchedMessage {
  readonly type: 'sync-fetched';
  readonly shard: number;
  readonly context: CausalContext;
  readonly items: readonly SyncItem[];
}

/** After the last key of a comparison: the receiver now covers `context`, unless something was refused. */
export interface SyncDoneMessage {
  readonly type: 'sync-done';
  readonly shard: number;
  /** After which the receiver covers the sender's floor. */
  readonly comparison: number;
  /** Answered by an acknowledgement with the same number. */
  readonly sequence: number;
  readonly context: CausalContext;
}

/** Keys asked for with one acknowledgement. */
export const UNNAMED_MAX = 512;

export interface SyncAck {
  readonly shard: number;
  readonly sequence: number;
  /** Of `sync-copies`: keys of the receiver, at most UNNAMED_MAX, of which the sender has seen something: whose copies it wants too. */
  readonly unnamed: readonly ObjectName[];
}

export interface SyncAckMessage {
  readonly type: 'sync-ack';
  readonly acks: readonly SyncAck[];
}

export type SyncMessage =
  | SyncObjectsMessage
  | SyncCompareMessage
  | SyncDifferMessage
  | SyncCopiesMessage
  | SyncFetchMessage
  | SyncFetchedMessage
  | SyncDoneMessage
  | SyncAckMessage;

export type ReplicationMessage =
  | ForwardMessage
  | ForwardReplyMessage
  | ReplicateMessage
  | ReplicateAckMessage
  | ReadMessage
  | ReadReplyMessage
  | ListMessage
  | ListReplyMessage
  | ConflictsAskMessage
  | ConflictsTellMessage
  | CounterCheckMessage
  | CounterReportMessage
  | HintAskMessage
  | HintTellMessage
  | SyncDigestMessage
  | SyncDigestsMessage
  | SyncEqualMessage
  | SyncContextMessage
  | SyncMessage;
