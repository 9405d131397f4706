import fc from 'fast-check';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import {
  type HubNews,
  type HubReply,
  type HubRequest,
  type PushResult,
  UNNAMED_MAX,
  type UplinkItem,
} from '../../src/protocol/uplink/message.ts';
import type { UplinkMessage } from '../../src/protocol/uplink/relay.ts';
import { context, entries } from './causal-arbitraries.ts';
import { actor, bucket, key, shard, text } from './name-arbitraries.ts';

const count = fc.maxSafeNat();
const uint32 = fc.nat(0xffff_ffff);
const revision = actor;
const nodeName = text(128);
const few = <T>(item: fc.Arbitrary<T>, maxLength = 5): fc.Arbitrary<T[]> => fc.array(item, { maxLength });

/** Few names, so that they recur within a message. */
const someBucket = fc.oneof(bucket, fc.constantFrom('default', 'readings'));
const buckets = few(someBucket);
const name = fc.record({ bucket: someBucket, key });
const shardSet = fc
  .oneof(fc.uniqueArray(shard, { maxLength: 5 }), fc.uniqueArray(fc.nat(63)))
  .map((ids) => ids.sort((a, b) => a - b));

const events = few(fc.record({ actor, counter: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }) }), 8).map((dots) =>
  CausalContext.fromDots(dots),
);
const anyItem: fc.Arbitrary<UplinkItem> = fc.record({
  bucket: someBucket,
  key,
  entries,
  past: fc.option(context),
  events,
  more: fc.boolean(),
  sent: fc.option(context),
});
const item = fc.oneof(
  anyItem,
  // The usual case has a form of its own.
  anyItem.map((each) => ({ ...each, events: CausalContext.fromDots(each.entries.map(({ dot }) => dot)) })),
  anyItem.map((each) => ({ ...each, events: new CausalContext() })),
);
const items = few(item);

const pushResult: fc.Arbitrary<PushResult> = fc.oneof(
  fc.record({ shard, status: fc.constant('applied' as const), digest: uint32, own: context }),
  fc.record({ shard, status: fc.constant('compare' as const), buckets }),
);

type Fields<M extends { readonly type: string }> = {
  readonly [T in M['type']]: fc.Arbitrary<Omit<Extract<M, { readonly type: T }>, 'type'>>;
};

const siteBuckets = few(
  fc.record({
    name: bucket,
    sync: fc.constantFrom('none' as const, 'up' as const, 'down' as const, 'both' as const),
    conflict: fc.constantFrom('lww' as const, 'siblings' as const),
    ttlSeconds: fc.option(count),
    origin: fc.option(
      fc.record({
        version: count,
        replicas: fc.option(count),
        preferredZones: fc.array(text(64), { maxLength: 8 }),
        island: fc.constantFrom('accept' as const, 'refuse' as const),
        born: fc.nat(0xffff_ffff),
      }),
    ),
  }),
);

/** The fields of each message, its type left out; a new message does not compile until it is listed here. */
const REQUEST_FIELDS: Fields<HubRequest> = {
  'hub-hello': fc.record({
    shards: fc.nat(65_536),
    clusterId: text(256),
    buckets: siteBuckets,
    actors: few(fc.record({ actor, name: nodeName })),
  }),
  'hub-report': fc.record({
    leader: fc.option(nodeName),
    quorate: fc.boolean(),
    members: few(nodeName),
    backlogEvents: count,
    oldestMs: count,
  }),
  'hub-ask': fc.record({ shards: shardSet, combined: fc.option(uint32) }),
  'hub-push': fc.record({
    pushes: few(
      fc.record({ shard, context, items, later: context, skipped: context, skippedOf: buckets, own: context }),
    ),
  }),
  'hub-pull': fc.record({ shard, context, settled: context }),
  'hub-compare': fc.record({
    shard,
    buckets,
    revision: fc.option(revision),
    children: fc.option(few(fc.nat(63))),
    sums: few(uint32),
  }),
  'hub-copies': fc.record({
    shard,
    buckets,
    revision,
    context,
    floor: context,
    leaves: few(fc.nat(4095)),
    interval: fc.option(fc.record({ after: fc.option(name), upto: fc.option(name) })),
    items,
  }),
  'hub-know': fc.record({ actor, shards: shardSet }),
  'hub-fetch': fc.record({ shard, buckets, leaves: few(fc.nat(4095)), after: fc.option(name) }),
  'hub-done': fc.record({ shard, buckets, revision, context, floor: context, skippedOf: buckets }),
};

const REPLY_FIELDS: Fields<HubReply> = {
  'hub-welcome': fc.record({ site: text(63), hub: nodeName, buckets: siteBuckets }),
  'hub-noted': fc.record({}),
  'hub-known': fc.record({ known: few(fc.record({ shard, context })) }),
  'hub-covers': fc.record({ same: fc.boolean(), covers: few(fc.record({ shard, context, own: context })) }),
  'hub-pushed': fc.record({ results: few(pushResult) }),
  'hub-pulled': fc.record({ shard, context, own: context, items, more: fc.boolean(), compare: buckets }),
  'hub-differ': fc.record({ revision: fc.option(revision), differing: few(fc.nat(8191)) }),
  'hub-copied': fc.record({ revision: fc.option(revision), unnamed: fc.array(name, { maxLength: UNNAMED_MAX }) }),
  'hub-fetched': fc.record({
    revision,
    context,
    own: context,
    partial: buckets,
    isWhole: fc.boolean(),
    hasOthers: fc.boolean(),
    items,
    upto: fc.option(name),
  }),
  'hub-completed': fc.record({ done: fc.boolean(), digest: uint32 }),
  'hub-refused': fc.record({
    code: fc.constantFrom('other-cluster' as const, 'busy' as const, 'bad-request' as const),
    // Whole characters: a text that is cut may end in half of one.
    detail: fc.string({ unit: 'binary', maxLength: 250 }),
  }),
};

const withType = <M>(fields: fc.Arbitrary<object>, type: string): fc.Arbitrary<M> =>
  fields.map((rest) => ({ ...rest, type }) as M);

export const HUB_REQUEST_TYPES = Object.keys(REQUEST_FIELDS) as HubRequest['type'][];
export const HUB_REPLY_TYPES = Object.keys(REPLY_FIELDS) as HubReply['type'][];

/** Valid requests of one type. */
export function hubRequestOf(type: HubRequest['type']): fc.Arbitrary<HubRequest> {
  return withType(REQUEST_FIELDS[type], type);
}

export function hubReplyOf(type: HubReply['type']): fc.Arbitrary<HubReply> {
  return withType(REPLY_FIELDS[type], type);
}

export const anyHubRequest = fc.oneof(...HUB_REQUEST_TYPES.map(hubRequestOf));
export const anyHubReply = fc.oneof(...HUB_REPLY_TYPES.map(hubReplyOf));
export const hubNews: fc.Arbitrary<HubNews> = shardSet.map((shards) => ({ type: 'hub-news', shards }));

/** What nodes say to each other about their way to the hub. */
export const UPLINK_FIELDS: Fields<UplinkMessage> = {
  'uplink-state': fc.record({ session: count }),
  'uplink-request': fc.record({ id: count, urgent: fc.boolean(), request: anyHubRequest }),
  'uplink-reply': fc.record({ id: count, reply: fc.option(anyHubReply) }),
  'uplink-news': fc.record({ shards: shardSet }),
  'uplink-carry': fc.record({}),
  'uplink-covers': fc.record({ covers: few(fc.record({ shard, context })) }),
  'uplink-backlog': fc.record({ events: count, oldestMs: count }),
  'uplink-totals': fc.record({ events: count, oldestMs: count }),
};
