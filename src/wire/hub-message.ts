import { CausalContext } from '../protocol/causal/context.ts';
import type { Entries } from '../protocol/causal/entry.ts';
import { FANOUT, LEAVES } from '../protocol/causal/fingerprint-tree.ts';
import type { ObjectName } from '../protocol/causal/name.ts';
import { MEMBERSHIP_LIMITS } from '../protocol/membership/message.ts';
import { SHARD_ID_MAX, SHARDS_MAX as SHARDS_OF_SITE_MAX } from '../protocol/ring/shard.ts';
import {
  type HubCover,
  type HubNews,
  type HubReply,
  type HubRequest,
  type PushResult,
  type ShardPush,
  SITE_ACTORS_MAX,
  SITE_BUCKETS_MAX,
  type SiteActor,
  UNNAMED_MAX,
  type UplinkItem,
} from '../protocol/uplink/message.ts';
import {
  boolean,
  type Codec,
  DecodeError,
  encodeOne,
  integer,
  list,
  mapped,
  nullable,
  oneOf,
  Reader,
  record,
  text,
  uint32,
  union,
} from './codec.ts';
import { differences, recurring, scoped } from './recurring.ts';
import { SHARDS_MAX, shardSet } from './shard-set.ts';
import { siteBuckets } from './site-bucket.ts';
import { actorId, bucketName, contentType, eventsIn, keyText, valueCodecs } from './value.ts';

/**
 * The byte forms of what a site and its hub say to each other. The line between them may be metered: what recurs in a
 * message is written out once, and the usual case of each field takes a bit.
 */

/** The version of the messages below. Both ends name a range of versions when they meet. */
export const HUB_WIRE_VERSION = 1;

/** Items of one list: as many small ones as a request may hold. */
const ITEMS_MAX = 65_536;
const CLUSTER_ID_BYTES_MAX = 1024;
const DETAIL_UNITS_MAX = 500;
/** Of a site, which tokens hold to less; and of a hub. */
const SITE_NAME_BYTES_MAX = 256;
/** Up to four UTF-8 bytes a character. */
const nodeName = text(MEMBERSHIP_LIMITS.nameLengthMax * 4);

const actors = recurring(actorId);
const buckets = recurring(bucketName);
const contentTypes = recurring(contentType);
const nextShard = differences(SHARD_ID_MAX);
const nextLeaf = differences(LEAVES - 1);
const nextPosition = differences(2 * LEAVES - 1);
const memories = [actors, buckets, contentTypes, nextShard, nextLeaf, nextPosition];

const { causalContext, entries } = valueCodecs({
  actor: actors.codec,
  actorOrSame: actors.orNull,
  contentType: contentTypes.codec,
});
const events = eventsIn(causalContext);
const bucketNames = list(buckets.codec, SITE_BUCKETS_MAX);
const name: Codec<ObjectName> = record<ObjectName>({ bucket: buckets.codec, key: keyText });
/** Sixteen hex digits as eight bytes, as an actor. */
const revision = actorId;

/** Which fields of an item are there. */
const PAST = 1;
const SENT = 2;
const EVENTS = 4;
/** The events are those of the entries, as of most keys, and are not written. */
const EVENTS_OF_ENTRIES = 8;
const MORE = 16;
const FLAGS_MAX = PAST | SENT | EVENTS_OF_ENTRIES | MORE;

const item: Codec<UplinkItem> = {
  encode: (writer, value) => {
    const counted = countedFlag(value);
    const seen = (value.past === null ? 0 : PAST) | (value.sent === null ? 0 : SENT);
    writer.byte(seen | counted | (value.more ? MORE : 0));
    name.encode(writer, value);
    entries.encode(writer, value.entries);
    if (value.past !== null) causalContext.encode(writer, value.past);
    if (value.sent !== null) causalContext.encode(writer, value.sent);
    if (counted === EVENTS) events.encode(writer, value.events);
  },
  decode: (reader) => {
    const flags = reader.byte();
    const counted = flags & (EVENTS | EVENTS_OF_ENTRIES);
    if (flags > FLAGS_MAX || counted === (EVENTS | EVENTS_OF_ENTRIES)) throw new DecodeError('an unknown flag');
    const { bucket, key } = name.decode(reader);
    const values = entries.decode(reader);
    const past = (flags & PAST) === 0 ? null : causalContext.decode(reader);
    const sent = (flags & SENT) === 0 ? null : causalContext.decode(reader);
    return {
      bucket,
      key,
      entries: values,
      past,
      events: counted === EVENTS ? events.decode(reader) : dotsOf(counted === 0 ? [] : values),
      more: (flags & MORE) !== 0,
      sent,
    };
  },
};
const items = list(item, ITEMS_MAX);

function countedFlag({ entries: values, events: counted }: UplinkItem): number {
  if (counted.isEmpty) return 0;
  if (counted.dotCount !== values.length) return EVENTS;
  return values.every(({ dot }) => counted.has(dot)) ? EVENTS_OF_ENTRIES : EVENTS;
}

function dotsOf(values: Entries): CausalContext {
  return CausalContext.fromDots(values.map(({ dot }) => dot));
}

/** A set: it arrives in ascending order. */
const shards: Codec<readonly number[]> = mapped(
  shardSet,
  (ids: readonly number[]) => [...new Set(ids)].sort((a, b) => a - b),
  (ids) => ids,
);

const siteActor: Codec<SiteActor> = record<SiteActor>({ actor: actorId, name: nodeName });

const push: Codec<ShardPush> = record<ShardPush>({
  shard: nextShard.codec,
  context: causalContext,
  items,
  later: causalContext,
  skipped: causalContext,
  skippedOf: bucketNames,
  own: causalContext,
});

/** Tags are for ever. */
const request: Codec<HubRequest> = scoped(
  union<HubRequest, 'type'>('type', {
    'hub-hello': [
      1,
      record({
        shards: integer(SHARDS_OF_SITE_MAX),
        clusterId: text(CLUSTER_ID_BYTES_MAX),
        buckets: siteBuckets,
        actors: list(siteActor, SITE_ACTORS_MAX),
      }),
    ],
    'hub-ask': [2, record({ shards, combined: nullable(uint32) })],
    'hub-push': [3, record({ pushes: list(push, SHARDS_MAX) })],
    'hub-pull': [4, record({ shard: nextShard.codec, context: causalContext, settled: causalContext })],
    'hub-compare': [
      5,
      record({
        shard: nextShard.codec,
        buckets: bucketNames,
        revision: nullable(revision),
        children: nullable(list(integer(FANOUT - 1), FANOUT)),
        sums: list(uint32, LEAVES * 2),
      }),
    ],
    'hub-copies': [
      6,
      record({
        shard: nextShard.codec,
        buckets: bucketNames,
        revision,
        context: causalContext,
        floor: causalContext,
        leaves: list(nextLeaf.codec, LEAVES),
        interval: nullable(record({ after: nullable(name), upto: nullable(name) })),
        items,
      }),
    ],
    'hub-done': [
      7,
      record({
        shard: nextShard.codec,
        buckets: bucketNames,
        revision,
        context: causalContext,
        floor: causalContext,
        skippedOf: bucketNames,
      }),
    ],
    'hub-fetch': [
      10,
      record({
        shard: nextShard.codec,
        buckets: bucketNames,
        leaves: list(nextLeaf.codec, LEAVES),
        after: nullable(name),
      }),
    ],
    'hub-know': [9, record({ actor: actors.codec, shards })],
    'hub-report': [
      8,
      record({
        leader: nullable(nodeName),
        quorate: boolean,
        members: list(nodeName, MEMBERSHIP_LIMITS.membersMax + 1),
        backlogEvents: integer(),
        oldestMs: integer(),
      }),
    ],
  }),
  memories,
);

const cover: Codec<HubCover> = record<HubCover>({
  shard: nextShard.codec,
  context: causalContext,
  own: causalContext,
});

const pushResult: Codec<PushResult> = union<PushResult, 'status'>('status', {
  applied: [0, record({ shard: nextShard.codec, digest: uint32, own: causalContext })],
  compare: [1, record({ shard: nextShard.codec, buckets: bucketNames })],
});

const detail: Codec<string> = mapped(
  text(DETAIL_UNITS_MAX * 3),
  (value: string) => value.slice(0, DETAIL_UNITS_MAX),
  (value) => value,
);

/** Tags are for ever. */
const reply: Codec<HubReply> = scoped(
  union<HubReply, 'type'>('type', {
    'hub-welcome': [1, record({ site: text(SITE_NAME_BYTES_MAX), hub: nodeName, buckets: siteBuckets })],
    'hub-covers': [2, record({ same: boolean, covers: list(cover, SHARDS_MAX) })],
    'hub-pushed': [3, record({ results: list(pushResult, SHARDS_MAX) })],
    'hub-pulled': [
      4,
      record({
        shard: nextShard.codec,
        context: causalContext,
        own: causalContext,
        items,
        more: boolean,
        compare: bucketNames,
      }),
    ],
    'hub-differ': [5, record({ revision: nullable(revision), differing: list(nextPosition.codec, LEAVES * 2) })],
    'hub-copied': [6, record({ revision: nullable(revision), unnamed: list(name, UNNAMED_MAX) })],
    'hub-completed': [7, record({ done: boolean, digest: uint32 })],
    'hub-fetched': [
      11,
      record({
        revision,
        context: causalContext,
        own: causalContext,
        partial: bucketNames,
        isWhole: boolean,
        hasOthers: boolean,
        items,
        upto: nullable(name),
      }),
    ],
    'hub-noted': [8, record({})],
    'hub-known': [10, record({ known: list(record({ shard: nextShard.codec, context: causalContext }), SHARDS_MAX) })],
    'hub-refused': [9, record({ code: oneOf('other-cluster', 'busy', 'bad-request'), detail })],
  }),
  memories,
);

/** What the hub says: the answer to a request, or something unasked. */
export type HubAnswer = { readonly type: 'hub-reply'; readonly id: number; readonly reply: HubReply } | HubNews;

const exchangeId = integer();
const exchange = record<{ id: number; request: HubRequest }>({ id: exchangeId, request });
const answer = union<HubAnswer, 'type'>('type', {
  'hub-reply': [0, record({ id: exchangeId, reply })],
  'hub-news': [1, record({ shards })],
});

export type DecodedHubRequest =
  | { readonly id: number; readonly request: HubRequest; readonly problem: null }
  /** The body is malformed, or of a kind that this version does not know: the id is there to answer so. */
  | { readonly id: number; readonly request: null; readonly problem: string };

/** `id`: a safe integer from 0, which the answer repeats. */
export function encodeHubRequest(id: number, value: HubRequest): Uint8Array {
  return encodeOne(exchange, { id, request: value });
}

/** Throws `DecodeError` where not even the id can be read. */
export function decodeHubRequest(frame: Uint8Array): DecodedHubRequest {
  const reader = new Reader(frame);
  const id = exchangeId.decode(reader);
  try {
    return { id, request: request.decode(reader), problem: null };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { id, request: null, problem: error.message };
  }
}

/** The text of a refusal is cut where it is too long. */
export function encodeHubReply(id: number, value: HubReply): Uint8Array {
  return encodeOne(answer, { type: 'hub-reply', id, reply: value });
}

export function encodeHubNews(value: HubNews): Uint8Array {
  return encodeOne(answer, value);
}

/** Null: something unasked of a kind that this version does not know, to be skipped. Throws `DecodeError`. */
export function decodeHubAnswer(frame: Uint8Array): HubAnswer | null {
  const reader = new Reader(frame);
  const tag = reader.peek();
  if (tag !== undefined && !answer.tags.has(tag)) return null;
  return answer.decode(reader);
}
