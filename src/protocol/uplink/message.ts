/**
 * What a site and its hub say to each other: requests of the site, each answered once. None of them counts on what was
 * said before but for revisions that it names: a request may be lost, repeated or overtaken, the hub may be another process or a
 * restored copy, and the worst that comes of it is that something is sent again.
 *
 * The hub is a causal replica of the site's shards outside its ring (Almeida, Shoker, Baquero 2018; Goncalves et al., "DottedDB",
 * SRDS 2017). Its context of a shard counts the events that were sent with their keys, and those that concern it not.
 */

import type { CausalContext } from '../causal/context.ts';
import type { ActorId } from '../causal/dot.ts';
import type { ConflictPolicy, Entries } from '../causal/entry.ts';
import type { ObjectName } from '../causal/name.ts';

/** `up`: from the site to the hub; `down`: from the hub to the site. */
export type SyncPolicy = 'none' | 'up' | 'down' | 'both';

/** A bucket of the site, by its qualified name. */
export interface SiteBucket {
  readonly name: string;
  readonly sync: SyncPolicy;
  readonly conflict: ConflictPolicy;
  /** Null: values are kept until they are deleted. */
  readonly ttlSeconds: number | null;
  /** Null: every site has it. */
  readonly origin: BucketOrigin | null;
}

/** What else a site's catalog says of a bucket: with it a site that has lost the bucket has the same one again. */
export interface BucketOrigin {
  readonly version: number;
  readonly replicas: number | null;
  readonly preferredZones: readonly string[];
  readonly island: 'accept' | 'refuse';
  readonly born: number;
}

export interface SiteActor {
  readonly actor: ActorId;
  /** Of the node, for people. */
  readonly name: string;
}

/** A copy of one key, or one of several parts of it that no single request can hold. */
export interface UplinkItem extends ObjectName {
  readonly entries: Entries;
  /** Superseded dots, and such of entries ahead of their events, beyond the sender's context. */
  readonly past: CausalContext | null;
  /** Events of the key that the receiver is to count from now on: at most 65,536, or the request is refused. */
  readonly events: CausalContext;
  /** More entries of the key follow: the item says nothing of what it lacks, and has no events. */
  readonly more: boolean;
  /** Dots of entries that items before this one have carried; null: none. */
  readonly sent: CausalContext | null;
}

/** What one shard has that the hub lacks. */
export interface ShardPush {
  readonly shard: number;
  /** All that the sender covered when it read the items: what it covers and they lack is gone. */
  readonly context: CausalContext;
  readonly items: readonly UplinkItem[];
  /** Of the context, events of other keys that the hub is not thought to count yet: they come later. */
  readonly later: CausalContext;
  /** Events that the hub counts without their keys, which it is not to have. */
  readonly skipped: CausalContext;
  /** The qualified names of the buckets of those. */
  readonly skippedOf: readonly string[];
  /** Of the items' events, those that were written at a hub: the sender is one, with a hub of its own. */
  readonly own: CausalContext;
}

/** Opens a session, and again when the buckets change. The hub keeps what it is told. */
export interface HubHelloRequest {
  readonly type: 'hub-hello';
  /** Of the site's key space. */
  readonly shards: number;
  /** Names the site's cluster: two clusters do not share a site. */
  readonly clusterId: string;
  readonly buckets: readonly SiteBucket[];
  readonly actors: readonly SiteActor[];
}

/** "What do you cover of these?" `combined`: `combinedDigest` of what the asker believes; null: it knows nothing. */
export interface HubAskRequest {
  readonly type: 'hub-ask';
  /** A set: it arrives in ascending order. */
  readonly shards: readonly number[];
  readonly combined: number | null;
}

export interface HubPushRequest {
  readonly type: 'hub-push';
  readonly pushes: readonly ShardPush[];
}

/** "I cover this: what have you written that I lack?" */
export interface HubPullRequest {
  readonly type: 'hub-pull';
  readonly shard: number;
  readonly context: CausalContext;
  /** Of that, events of the hub's own that every owner has: none of them will be asked for again. */
  readonly settled: CausalContext;
}

/**
 * Compares all keys of some buckets of a shard, where events alone do not tell the difference any more: sums of fingerprints
 * (`causal/fingerprint-tree.ts`) of the root's children, or of the leaves below the named ones. An empty list: all are zero.
 */
export interface HubCompareRequest {
  readonly type: 'hub-compare';
  readonly shard: number;
  readonly buckets: readonly string[];
  /** What the hub answered to the step before; null: this is the first. */
  readonly revision: string | null;
  readonly children: readonly number[] | null;
  readonly sums: readonly number[];
}

/** Copies of keys in leaves that differ; and an interval of names whose other keys in these leaves the hub is to name. */
export interface HubCopiesRequest {
  readonly type: 'hub-copies';
  readonly shard: number;
  readonly buckets: readonly string[];
  readonly revision: string;
  readonly context: CausalContext;
  /** Events that the hub is going to count once all is compared. */
  readonly floor: CausalContext;
  readonly leaves: readonly number[];
  /** Both ends may be open; `after` is excluded, `upto` included. Null: these are keys that the hub has named. */
  readonly interval: { readonly after: ObjectName | null; readonly upto: ObjectName | null } | null;
  readonly items: readonly UplinkItem[];
}

/** All has been compared. */
export interface HubDoneRequest {
  readonly type: 'hub-done';
  readonly shard: number;
  readonly buckets: readonly string[];
  readonly revision: string;
  /** What was covered here when it began. */
  readonly context: CausalContext;
  readonly floor: CausalContext;
  /** Buckets that the hub is not to have: it counts events of the floor without their keys. */
  readonly skippedOf: readonly string[];
}

/** "What do you have in these leaves?" After sums that showed where the difference is. */
export interface HubFetchRequest {
  readonly type: 'hub-fetch';
  readonly shard: number;
  readonly buckets: readonly string[];
  readonly leaves: readonly number[];
  /** The last key that an answer has told of; null: from the first on. */
  readonly after: ObjectName | null;
}

/**
 * "Which events of my actor do you know in these shards?" A disk that was restored from an older copy has forgotten some of them,
 * and must not use their dots again: the hub may be the only one that has heard of them.
 */
export interface HubKnowRequest {
  readonly type: 'hub-know';
  readonly actor: ActorId;
  readonly shards: readonly number[];
}

/** How the island is whose messages the session carries; sent when that changes, at most every few seconds. */
export interface HubReportRequest {
  readonly type: 'hub-report';
  /** Names. */
  readonly leader: string | null;
  readonly quorate: boolean;
  readonly members: readonly string[];
  /** Events that the hub is not known to count yet, and the age of the oldest of them, ms. */
  readonly backlogEvents: number;
  readonly oldestMs: number;
}

export type HubRequest =
  | HubHelloRequest
  | HubReportRequest
  | HubAskRequest
  | HubKnowRequest
  | HubPushRequest
  | HubPullRequest
  | HubCompareRequest
  | HubCopiesRequest
  | HubDoneRequest
  | HubFetchRequest;

export interface HubWelcomeReply {
  readonly type: 'hub-welcome';
  /** The site's name at the hub. */
  readonly site: string;
  /** The hub's, for people. */
  readonly hub: string;
  /** Buckets that the site exchanges with the hub, and did not name: it has lost them, or another island has made them. */
  readonly buckets: readonly SiteBucket[];
}

/** Shards where the hub knows none are left out. */
export interface HubKnownReply {
  readonly type: 'hub-known';
  readonly known: readonly { readonly shard: number; readonly context: CausalContext }[];
}

/** `same`: all is as the asker believes, and `covers` is empty. Shards that the hub has nothing of are left out. */
export interface HubCoversReply {
  readonly type: 'hub-covers';
  readonly same: boolean;
  readonly covers: readonly HubCover[];
}

export interface HubCover {
  readonly shard: number;
  readonly context: CausalContext;
  /** Events that were written at the hub. */
  readonly own: CausalContext;
}

/**
 * A shard without a result: nothing was done, since the hub has forgotten something that the sender counts on. What its items
 * have replaced of that would not be known here, and could come back.
 *
 * `applied`: all of it is durable. `compare`: nothing was; the hub counts events of these buckets without having had their keys,
 * so that these have to be compared first.
 */
export type PushResult =
  | {
      readonly shard: number;
      readonly status: 'applied' /** Of the hub's context now. */;
      readonly digest: number;
      readonly own: CausalContext;
    }
  | { readonly shard: number; readonly status: 'compare'; readonly buckets: readonly string[] };

export interface HubPushedReply {
  readonly type: 'hub-pushed';
  readonly results: readonly PushResult[];
}

export interface HubPulledReply {
  readonly type: 'hub-pulled';
  readonly shard: number;
  /** What the copies of buckets that go both ways have seen. */
  readonly context: CausalContext;
  /** What those of buckets that only come down have seen. */
  readonly own: CausalContext;
  readonly items: readonly UplinkItem[];
  readonly more: boolean;
  /** As in PushResult: these have to be compared before anything of them comes down. */
  readonly compare: readonly string[];
}

/** `revision` null: the hub's copy has changed since the step before, and the comparison begins anew. */
export interface HubDifferReply {
  readonly type: 'hub-differ';
  readonly revision: string | null;
  /** Positions in the list of sums. */
  readonly differing: readonly number[];
}

export interface HubCopiedReply {
  readonly type: 'hub-copied';
  readonly revision: string | null;
  /**
   * Keys that the hub has in the interval and leaves and was not sent, of which the sender has seen something; `UNNAMED_MAX` at
   * most, the first of them.
   */
  readonly unnamed: readonly ObjectName[];
}

export interface HubCompletedReply {
  readonly type: 'hub-completed';
  readonly done: boolean;
  readonly digest: number;
}

export interface HubFetchedReply {
  readonly type: 'hub-fetched';
  /** Of the hub's copy. Where it is another one than at the step before, the answers are not those of one moment. */
  readonly revision: string;
  readonly context: CausalContext;
  /** What the copies of `partial` buckets have seen. */
  readonly own: CausalContext;
  /** Of these buckets the context counts events without their keys. */
  readonly partial: readonly string[];
  /** False: a key was left out, since no answer can hold it, or was lost here, and its owner has not sent it again. */
  readonly isWhole: boolean;
  /** The shard has keys of buckets that were not named: another island of the site has made them. */
  readonly hasOthers: boolean;
  /** Copies of all keys after the one that was asked for, up to the one in `upto`. Their events: those of the entries. */
  readonly items: readonly UplinkItem[];
  /** Null: to the end. */
  readonly upto: ObjectName | null;
}

/** The request was refused, and would be again: nothing of it was done. */
export interface HubRefusedReply {
  readonly type: 'hub-refused';
  readonly code: HubRefusal;
  readonly detail: string;
}

/**
 * `other-cluster`: the site's token is used by two clusters, or by one that was made anew. `busy`: the hub's database does not
 * keep up, or is away. `bad-request`: not to be understood.
 */
export type HubRefusal = 'other-cluster' | 'busy' | 'bad-request';

export interface HubNotedReply {
  readonly type: 'hub-noted';
}

export type HubReply =
  | HubWelcomeReply
  | HubNotedReply
  | HubCoversReply
  | HubKnownReply
  | HubPushedReply
  | HubPulledReply
  | HubDifferReply
  | HubCopiedReply
  | HubCompletedReply
  | HubFetchedReply
  | HubRefusedReply;

/** Unasked: the hub has written in these shards. */
export interface HubNews {
  readonly type: 'hub-news';
  /** A set, in ascending order. */
  readonly shards: readonly number[];
}

/** Names that the hub tells at once. */
export const UNNAMED_MAX = 512;
/** Buckets of a site that a hub is told of: as many as a catalog holds, and the one that every site has. */
export const SITE_BUCKETS_MAX = 1025;
/** Nodes with their disks that a hub is told of. */
export const SITE_ACTORS_MAX = 4096;
/** Bytes of keys, entries and contexts in one request, about; a single item may exceed it. */
export const REQUEST_BYTES = 256 * 1024;

/** Entries of one item; what a key has beyond it travels in further items. */
export const ITEM_BYTES = 1024 * 1024;
