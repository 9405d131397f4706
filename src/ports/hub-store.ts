import { compareUtf8 } from '../lib/utf8.ts';
import type { ActorId } from '../protocol/causal/dot.ts';
import type { Entries, Entry } from '../protocol/causal/entry.ts';
import type { SiteActor, SiteBucket } from '../protocol/uplink/message.ts';
import type { HubTransaction } from '../protocol/uplink/transaction.ts';

export { CausalContext } from '../protocol/causal/context.ts';
export type { ActorId, Dot } from '../protocol/causal/dot.ts';
export { dotText } from '../protocol/causal/dot.ts';
export type { Entries, Entry } from '../protocol/causal/entry.ts';
export type { ObjectName } from '../protocol/causal/name.ts';
export { compareNames, nameId } from '../protocol/causal/name.ts';
export type { CausalObject } from '../protocol/causal/object.ts';
export type { SiteActor, SiteBucket } from '../protocol/uplink/message.ts';
export type {
  HubEventRow,
  HubObjectRow,
  HubRead,
  HubRows,
  HubShard,
  HubTransaction,
  HubWrite,
  ShardObjectName,
} from '../protocol/uplink/transaction.ts';
export type { WriteSet } from '../protocol/uplink/write-set.ts';
export { writeSetOf } from '../protocol/uplink/write-set.ts';

/**
 * `unavailable`: the database does not answer, retry; `in-use`: another process holds the embedded store; `disk-full`;
 * `unreadable`: the schema or the data are not what this version knows; `no-site`: there is no site of that name, or not any
 * more; `io`: anything else.
 */
export type HubStoreErrorCode = 'unavailable' | 'in-use' | 'disk-full' | 'unreadable' | 'no-site' | 'io';

/** The message names the cause and the fix. */
export class HubStoreError extends Error {
  override readonly name = 'HubStoreError';
  readonly code: HubStoreErrorCode;

  constructor(code: HubStoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export function noSite(name: string): HubStoreError {
  return new HubStoreError(
    'no-site',
    `There is no site ${JSON.stringify(name)}: it was never added, or it was removed.`,
  );
}

/** A site as the hub knows it. */
export interface SiteRecord {
  readonly name: string;
  /** What its token proves: see `adapters/libp2p/hub-admission.ts`. 32 bytes. Of a site of a site: not asked for, its holder's is. */
  readonly key: Uint8Array;
  /** Unix ms. */
  readonly createdMs: number;
  /** Null until its first session. */
  readonly clusterId: string | null;
  readonly shards: number | null;
  /** Unix ms of the last request; null: none yet. It may lag `SEEN_LAG_MS` behind. */
  readonly seenMs: number | null;
}

/** `noteSeen` need not write a time that is not later by as much than the one it wrote last. */
export const SEEN_LAG_MS = 5000;

export interface StoredValue {
  readonly key: string;
  readonly entries: Entries;
}

/** Conflicts of one site that a store keeps, about: with further ones, those noticed first go. */
export const SITE_CONFLICTS_MAX = 10_000;

/** A write that lost against a concurrent one, kept for people. */
export interface ConflictRecord {
  readonly bucket: string;
  readonly key: string;
  readonly winner: Entry;
  readonly loser: Entry;
  /** Names of the nodes that wrote them; the actor ids where they are not known. */
  readonly wonBy: string;
  readonly lostBy: string;
  /** When the hub noticed, Unix ms. */
  readonly atMs: number;
}

/** A bucket that one site is given from another. Both have it by that name, as sites show it. */
export interface Share {
  readonly to: string;
  readonly bucket: string;
  readonly from: string;
  /** Unix ms. */
  readonly createdMs: number;
}

export function compareShares(a: Share, b: Share): number {
  return compareUtf8(a.to, b.to) || compareUtf8(a.bucket, b.bucket);
}

/** Of one site. */
export interface SiteTotals {
  readonly keys: number;
  readonly conflicts: number;
}

/**
 * What a hub keeps, of all its sites. Every method throws a HubStoreError. Several processes may work on one store at a time where
 * `isShared`; each transaction is atomic, isolated by the shards that it locks, and durable once it resolves.
 */
export interface HubStore {
  readonly isShared: boolean;
  /** Runs it against the site's rows; again from the start after a conflict with another one. Rejects with what it throws. */
  transact<T>(site: string, transaction: () => HubTransaction<T>): Promise<T>;

  /** False where there is one of that name. */
  addSite(site: Pick<SiteRecord, 'name' | 'key' | 'createdMs'>): Promise<boolean>;
  /** False where there is none. */
  replaceKey(name: string, key: Uint8Array): Promise<boolean>;
  /** With all that is kept of it, and what it gives to others. False where there is none. */
  removeSite(name: string): Promise<boolean>;
  /** Sorted by name. */
  sites(): Promise<readonly SiteRecord[]>;
  site(name: string): Promise<SiteRecord | null>;
  /** What the site has said of itself: adds to the buckets and the actors, since one of its islands may know less than another. */
  noteSite(
    name: string,
    told: {
      readonly clusterId: string;
      readonly shards: number;
      readonly buckets: readonly SiteBucket[];
      readonly actors: readonly SiteActor[];
      readonly atMs: number;
    },
  ): Promise<void>;
  noteSeen(name: string, atMs: number): Promise<void>;
  buckets(site: string): Promise<readonly SiteBucket[]>;
  actors(site: string): Promise<ReadonlyMap<ActorId, string>>;

  /**
   * Keys that have a value, in the order of their UTF-8 bytes, after `after`, `limit` of them unless there are no more. Expired
   * values included.
   */
  list(
    site: string,
    bucket: string,
    range: { readonly prefix: string; readonly after: string; readonly limit: number },
  ): Promise<readonly StoredValue[]>;
  /** The latest first; `before`: the position of the last one of the page before. */
  conflicts(
    site: string,
    page: { readonly before: number | null; readonly limit: number },
  ): Promise<readonly (ConflictRecord & { readonly position: number })[]>;
  totals(site: string): Promise<SiteTotals>;
  /**
   * Shards in which any process has written events of the hub's own (`HubShard.own`) since the call that returned this cursor; and
   * the cursor for the next call. Some may be named again; null: from now on, and none are named.
   */
  changedSince(
    site: string,
    cursor: string | null,
  ): Promise<{ readonly shards: readonly number[]; readonly cursor: string }>;

  /** Sorted by site that is given something, and bucket. */
  shares(): Promise<readonly Share[]>;
  /** False where the site is given the bucket already. `no-site`: one of the two is not there. */
  addShare(share: Share): Promise<boolean>;
  /** False where there is none. */
  removeShare(share: Pick<Share, 'to' | 'bucket'>): Promise<boolean>;
  close(): Promise<void>;
}
