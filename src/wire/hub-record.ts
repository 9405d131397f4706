import type { Entry } from '../protocol/causal/entry.ts';
import type { ObjectName } from '../protocol/causal/name.ts';
import type { CausalObject } from '../protocol/causal/object.ts';
import { SITE_BUCKETS_MAX, type SiteBucket } from '../protocol/uplink/message.ts';
import type { HubShard } from '../protocol/uplink/transaction.ts';
import { bytes, type Codec, decodeOne, encodeOne, integer, list, nullable, record, text } from './codec.ts';
import { siteBuckets } from './site-bucket.ts';
import { bucketName, causalContext, entries, objectName, oneEntry } from './value.ts';

/** Byte forms of what a hub keeps. */

const REVISION_CHARS = 16;
const NAME_BYTES_MAX = 255;
const KEY_BYTES = 32;

const hubShard: Codec<HubShard> = record<HubShard>({
  context: causalContext,
  own: causalContext,
  stripped: causalContext,
  indexed: causalContext,
  skipped: causalContext,
  partial: list(bucketName, SITE_BUCKETS_MAX),
  doubtful: list(bucketName, SITE_BUCKETS_MAX),
  revision: text(REVISION_CHARS),
});

const hubObject: Codec<CausalObject> = record<CausalObject>({ entries, past: nullable(causalContext) });

/** What an embedded store keeps of a site under its name. `id`: how its rows name it. */
export interface StoredSite {
  readonly id: number;
  readonly key: Uint8Array;
  readonly createdMs: number;
  readonly clusterId: string | null;
  readonly shards: number | null;
  readonly seenMs: number | null;
}

const storedSite: Codec<StoredSite> = record<StoredSite>({
  id: integer(),
  key: bytes(KEY_BYTES),
  createdMs: integer(),
  clusterId: nullable(text(NAME_BYTES_MAX)),
  shards: nullable(integer()),
  seenMs: nullable(integer()),
});

/** A shard of an embedded store. */
export interface CountedShard {
  /** Null: the hub has not written it yet. */
  readonly shard: HubShard | null;
  /** Of its keys that have a value. */
  readonly keys: number;
  /** `StoreFormat.losses` when it was looked after. */
  readonly losses: number;
}

const countedShard: Codec<CountedShard> = record<CountedShard>({
  shard: nullable(hubShard),
  keys: integer(),
  losses: integer(),
});

/** Of an embedded store. */
export interface StoreFormat {
  readonly version: number;
  /** Differs after every time that records were lost which could not be named. */
  readonly losses: number;
}

const storeFormat: Codec<StoreFormat> = record<StoreFormat>({ version: integer(), losses: integer() });

export interface StoredConflict {
  readonly shard: number;
  readonly name: ObjectName;
  readonly winner: Entry;
  readonly loser: Entry;
  readonly atMs: number;
}

const storedConflict: Codec<StoredConflict> = record<StoredConflict>({
  shard: integer(),
  name: objectName,
  winner: oneEntry,
  loser: oneEntry,
  atMs: integer(),
});

const nodeName = text(NAME_BYTES_MAX);

/** What an embedded store keeps of a share, under the site that is given something and the bucket. */
export interface StoredShare {
  readonly from: string;
  readonly createdMs: number;
}

const storedShare: Codec<StoredShare> = record<StoredShare>({ from: text(NAME_BYTES_MAX), createdMs: integer() });

/** Every `decode` throws a DecodeError. */
interface HubRecord<T> {
  readonly encode: (value: T) => Uint8Array;
  readonly decode: (value: Uint8Array) => T;
}

function recordOf<T>(codec: Codec<T>): HubRecord<T> {
  return { encode: (value) => encodeOne(codec, value), decode: (value) => decodeOne(codec, value) };
}

/**
 * Those that a site has told of, and what it tells now: one of its islands may not have heard yet of what another has created.
 * What exceeds the bound of a record is left out: with it none of them could be read again.
 */
export function bucketsWith(before: readonly SiteBucket[], told: readonly SiteBucket[]): SiteBucket[] {
  const all = new Map([...before, ...told].map((bucket) => [bucket.name, bucket]));
  return [...all.values()].slice(0, SITE_BUCKETS_MAX);
}

export const HUB_RECORDS = {
  shard: recordOf(hubShard),
  object: recordOf(hubObject),
  entry: recordOf(oneEntry),
  objectName: recordOf(objectName),
  buckets: recordOf(siteBuckets),
  site: recordOf(storedSite),
  countedShard: recordOf(countedShard),
  conflict: recordOf(storedConflict),
  nodeName: recordOf(nodeName),
  share: recordOf(storedShare),
  number: recordOf(integer()),
  format: recordOf(storeFormat),
} as const;

/** Whether two shards differ in what the hub itself has written. */
export function hasOtherOwn(before: HubShard | null, after: HubShard): boolean {
  return before === null ? !after.own.isEmpty : !before.own.equals(after.own);
}
