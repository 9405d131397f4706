import fc from 'fast-check';
import type { CatalogState } from '../../src/protocol/catalog/record.ts';
import type { RingRecord, Setting } from '../../src/protocol/catalog/ring-record.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import type { MemberProfile } from '../../src/protocol/membership/member.ts';
import type { MemberUpdate } from '../../src/protocol/membership/message.ts';
import type { PeerMessage } from '../../src/protocol/node/message.ts';
import type { SyncChunk, SyncItem } from '../../src/protocol/replication/message.ts';
import type { ConflictRow } from '../../src/protocol/replication/record.ts';
import type { ClientReply, ClientRequest, SessionContext } from '../../src/protocol/replication/request.ts';
import { context, dot, entries, eventSet } from './causal-arbitraries.ts';
import { ELECTORATE_FIELDS } from './electorate-arbitraries.ts';
import { UPLINK_FIELDS } from './hub-arbitraries.ts';
import { actor, bucket, failure, key, shard, text } from './name-arbitraries.ts';
import { REGISTER_FIELDS } from './register-arbitraries.ts';

const count = fc.maxSafeNat();
const uint32 = fc.nat(0xffff_ffff);
const signed = fc.maxSafeInteger().map((value) => value + 0);
const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const bytes = fc.uint8Array({ maxLength: 40 });

const few = <T>(item: fc.Arbitrary<T>, maxLength = 5): fc.Arbitrary<T[]> => fc.array(item, { maxLength });

const prefix = text(1024);
const nodeId = text(128);

const hundredth = fc.integer({ min: -6_000_000, max: 6_000_000 }).map((value) => value / 100);
const coordinate = fc.record({
  x: hundredth,
  y: hundredth,
  z: hundredth,
  height: hundredth,
  error: fc.integer({ min: 0, max: 1500 }).map((value) => value / 1000),
});
const profile: fc.Arbitrary<MemberProfile> = fc.record({
  name: text(128),
  zone: text(128),
  labels: fc.dictionary(text(64), text(64), { maxKeys: 4, noNullPrototype: true }),
  capabilities: few(text(64)),
  addresses: few(text(256)),
  versionMin: count,
  versionMax: count,
  bootEpoch: count,
  score: finite,
  coordinate: fc.option(coordinate),
  weight: finite,
});
const signature = fc.uint8Array({ maxLength: 64 });
const alive = fc.record({ state: fc.constant('alive' as const), id: nodeId, incarnation: count, profile, signature });
const accusation = fc.record(
  {
    state: fc.constantFrom('suspect' as const, 'dead' as const),
    id: nodeId,
    incarnation: count,
    from: nodeId,
    signature,
    alive,
  },
  { requiredKeys: ['state', 'id', 'incarnation', 'from', 'signature'] },
);
const update: fc.Arbitrary<MemberUpdate> = fc.oneof(
  alive,
  accusation,
  fc.record({ state: fc.constant('left' as const), id: nodeId, incarnation: count, signature }),
);
const updates = few(update);

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({
    type: fc.constant('put' as const),
    value: bytes,
    contentType: text(256),
    expiresAtMs: fc.oneof(count, fc.constant('keep' as const)),
    onlyIf: fc.constantFrom('absent' as const, 'present' as const, null),
  }),
  fc.record({ type: fc.constant('delete' as const) }),
  fc.record({ type: fc.constant('expire' as const), expiresAtMs: count }),
  fc.record({ type: fc.constant('append' as const), value: bytes }),
  fc.record({ type: fc.constant('increment' as const), by: signed }),
  fc.record({ type: fc.constant('add' as const), members: few(bytes) }),
  fc.record({ type: fc.constant('remove' as const), members: few(bytes) }),
  fc.record({
    type: fc.constant('put-fields' as const),
    fields: few(fc.record({ field: bytes, value: bytes })),
    onlyIf: fc.constantFrom('absent' as const, null),
  }),
  fc.record({ type: fc.constant('remove-fields' as const), fields: few(bytes) }),
  fc.record({ type: fc.constant('increment-field' as const), field: bytes, by: signed }),
);
const level = fc.constantFrom('one' as const, 'quorum' as const, 'all' as const);
export const session: fc.Arbitrary<SessionContext> = fc.tuple(context, context).map(([known, bare]) => {
  const all = known.clone();
  all.union(bare);
  return { context: all, bare };
});
const request: fc.Arbitrary<ClientRequest> = fc.oneof(
  fc.record({
    type: fc.constant('mutate' as const),
    bucket,
    key,
    mutation,
    level,
    context: fc.option(session),
  }),
  fc.record({ type: fc.constant('get' as const), bucket, key, level, session: fc.option(session) }),
  fc.record({
    type: fc.constant('list' as const),
    bucket,
    prefix,
    after: prefix,
    limit: fc.nat(4096),
    values: fc.boolean(),
    snapshot: fc.boolean(),
  }),
  fc.record({ type: fc.constant('confirm' as const), bucket, key, dot }),
);
const listItems = few(fc.record({ key, entries, context: fc.option(context), past: fc.option(context) }));
const reply: fc.Arbitrary<ClientReply> = fc.oneof(
  fc.record({
    type: fc.constant('mutate' as const),
    applied: fc.boolean(),
    dot: fc.option(dot),
    context,
    bare: context,
    acks: count,
    owners: count,
    quorum: fc.constantFrom('strict' as const, 'sloppy' as const),
    before: entries,
    after: entries,
  }),
  fc.record({ type: fc.constant('get' as const), entries, context, bare: context, complete: fc.boolean() }),
  fc.record({
    type: fc.constant('list' as const),
    items: listItems,
    more: fc.boolean(),
    resumeAfter: prefix,
    complete: fc.boolean(),
    answered: few(nodeId),
    contexts: few(fc.record({ shard, context })),
  }),
  fc.record({ type: fc.constant('confirm' as const), nodes: count, owners: count }),
  fc.record({ type: fc.constant('failed' as const), failure }),
);

const objectName = fc.record({ bucket, key });

const syncItem: fc.Arbitrary<SyncItem> = fc.record({
  bucket,
  key,
  entries,
  past: fc.option(context),
  events: eventSet,
  part: fc.record({ index: fc.nat(), more: fc.boolean() }),
});
/** Near enough to each other that their differences can be written. */
const sequence = fc.nat({ max: 2 ** 52 - 1 });
const syncChunk: fc.Arbitrary<SyncChunk> = fc.oneof(
  fc.record({ shard, sequence, context, items: few(syncItem), covered: fc.option(context) }),
  // Most often nothing has come in between.
  fc.record({ shard, sequence, context, items: few(syncItem) }).map((rest) => ({ ...rest, covered: rest.context })),
);
/** Sparse ones and dense ones, which have forms of their own. */
const shardSet = fc
  .oneof(fc.uniqueArray(shard, { maxLength: 5 }), fc.uniqueArray(fc.nat(63)))
  .map((ids) => ids.sort((a, b) => a - b));
const shards = few(shard);
const digests = few(uint32);

const setting = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<Setting<T>> =>
  fc.record({ version: count, value, by: text(512) });
const ringRecord: fc.Arbitrary<RingRecord> = fc.record({
  id: nodeId,
  own: fc.record({ version: count, weight: finite, zone: text(128), actor }),
  place: setting(fc.constantFrom('in' as const, 'out' as const, 'removed' as const)),
  weight: setting(fc.option(finite)),
  zone: setting(fc.option(text(128))),
});

export const catalog: fc.Arbitrary<CatalogState> = fc.record({
  members: few(ringRecord),
  buckets: few(
    fc.record({
      name: bucket,
      version: count,
      consistency: fc.constantFrom('eventual' as const, 'strong' as const),
      conflict: fc.constantFrom('lww' as const, 'siblings' as const),
      replicas: fc.option(count),
      preferredZones: few(text(256)),
      born: uint32,
      sync: fc.constantFrom('none' as const, 'up' as const, 'down' as const, 'both' as const),
      ttlSeconds: fc.option(count),
      island: fc.constantFrom('accept' as const, 'refuse' as const),
    }),
  ),
});

const conflictWrite = fc.record({
  entry: fc.record({
    dot,
    hlc: count,
    expiresAtMs: count,
    payload: fc.record({ kind: fc.constant('register' as const), value: bytes, contentType: text(256) }),
  }),
  bytes: count,
  byHub: fc.boolean(),
});

/** What the key says beside the shard is in the record. */
const conflictRow: fc.Arbitrary<ConflictRow> = fc
  .record({
    shard,
    record: fc.record({
      name: objectName,
      winner: conflictWrite,
      loser: conflictWrite,
      atMs: fc.nat(8_640_000_000_000_000),
    }),
  })
  .map(({ shard: id, record }) => {
    const { hlc, dot: loser } = record.loser.entry;
    return { key: { hlc, shard: id, ...loser }, record };
  });

const term = fc.integer({ min: 0, max: 2 ** 48 });

/** The fields of each message, its type left out; a new message does not compile until it is listed here. */
const FIELDS: {
  readonly [T in PeerMessage['type']]: fc.Arbitrary<Omit<Extract<PeerMessage, { readonly type: T }>, 'type'>>;
} = {
  ping: fc.record({ seq: uint32, updates }),
  'ping-request': fc.record({ seq: uint32, target: nodeId, timeoutMs: finite, updates }),
  ack: fc.record({ seq: uint32, coordinate: fc.option(coordinate), updates }),
  nack: fc.record({ seq: uint32 }),
  gossip: fc.record({ updates }),
  'push-pull': fc.record({ digests: few(fc.record({ bucket: fc.nat(255), digest: uint32 })) }),
  'push-pull-reply': fc.record({ buckets: few(fc.nat(255)), updates }),
  'push-pull-return': fc.record({ updates }),
  forward: fc.record({ id: count, request }),
  'forward-reply': fc.record({ id: count, reply }),
  replicate: fc.record({ id: count, bucket, key, entries, events: eventSet, context, hintFor: few(nodeId) }),
  'replicate-ack': fc.record({
    id: count,
    status: fc.constantFrom(
      'stored' as const,
      'partial' as const,
      'former' as const,
      'hinted' as const,
      'refused' as const,
    ),
    failure: fc.option(failure),
    owners: uint32,
  }),
  read: fc.record({ id: count, bucket, key, dots: few(dot) }),
  'read-reply': fc.record({
    id: count,
    status: fc.constantFrom('same' as const, 'object' as const),
    standing: fc.constantFrom('stored' as const, 'partial' as const, 'former' as const, 'none' as const),
    entries,
    context,
    past: fc.option(context),
    bare: context,
    owners: uint32,
  }),
  list: fc.record({
    id: count,
    bucket,
    prefix,
    after: prefix,
    limit: fc.nat(4096),
    values: fc.boolean(),
    shards,
    snapshot: fc.boolean(),
  }),
  'list-reply': fc.record({
    id: count,
    items: few(fc.record({ key, entries })),
    more: fc.boolean(),
    partial: shards,
    contexts: few(fc.record({ shard, context })),
    owners: uint32,
  }),
  'conflicts-ask': fc.record({
    id: count,
    bucket: fc.option(bucket),
    after: fc.option(fc.record({ hlc: count, shard, actor, counter: count })),
    limit: fc.nat(100),
  }),
  'conflicts-tell': fc.record({ id: count, rows: few(conflictRow), more: fc.boolean() }),
  'counter-check': fc.record({ actor }),
  'counter-report': fc.record({
    actor,
    known: few(fc.record({ shard, context })),
    named: few(fc.record({ shard, context })),
  }),
  'sync-digest': fc.record({ exchange: count, shards: shardSet, events: count, combined: uint32 }),
  'sync-digests': fc.record({ exchange: count, digests }),
  'hint-ask': fc.record({ id: count, shards: shardSet }),
  'hint-tell': fc.record({ id: count, covers: few(fc.record({ shard, context, withholds: fc.boolean() })) }),
  'sync-equal': fc.record({ exchange: count, shards: shardSet }),
  'sync-context': fc.record({
    ring: uint32,
    covers: few(
      fc
        .record({
          shard,
          context,
          wants: fc.boolean(),
          reply: fc.boolean(),
          complete: fc.boolean(),
          former: fc.boolean(),
          withholds: fc.boolean(),
          hinted: fc.boolean(),
          waitsFor: few(nodeId),
        })
        .map((cover) => (cover.complete ? { ...cover, waitsFor: [] } : cover)),
    ),
  }),
  'sync-objects': fc.record({ chunks: few(syncChunk) }),
  'sync-done': fc.record({ shard, comparison: count, sequence: count, context }),
  'sync-compare': fc.record({
    shard,
    comparison: count,
    sequence: count,
    children: fc.option(few(fc.nat(63))),
    sums: few(uint32),
    floor: fc.option(context),
  }),
  'sync-differ': fc.record({ shard, sequence: count, differing: fc.option(few(fc.nat(4095))) }),
  'sync-copies': fc.record({
    shard,
    comparison: count,
    sequence: count,
    context,
    interval: fc.option(fc.record({ after: fc.option(objectName), upto: fc.option(objectName) })),
    items: few(syncItem),
  }),
  'sync-fetch': fc.record({ shard, names: few(objectName) }),
  'sync-fetched': fc.record({ shard, context, items: few(syncItem) }),
  'sync-ack': fc.record({ acks: few(fc.record({ shard, sequence, unnamed: few(objectName) })) }),
  'catalog-digest': fc.record({ digest: uint32 }),
  catalog: fc.record({ state: catalog, reply: fc.boolean() }),
  watch: fc.record({ id: count, buckets: few(bucket) }),
  change: fc.record({ seq: count, bucket, key, entries, context, past: fc.option(context) }),
  watching: fc.record({ id: count, run: uint32, rollbacks: count, seq: count }),
  'clock-ask': fc.record({ id: uint32 }),
  'clock-tell': fc.record({ id: uint32, wallMs: fc.option(count) }),
  'lease-ask': fc.record({
    kind: fc.constantFrom('poll' as const, 'vote' as const, 'renew' as const),
    term,
    epoch: count,
    round: count,
    quorate: fc.boolean(),
    votes: count,
    view: count,
  }),
  'lease-tell': fc.record({
    round: count,
    granted: fc.boolean(),
    term,
    holder: fc.option(fc.record({ leader: nodeId, term, quorate: fc.boolean() })),
    remainingMs: count,
  }),
  'lease-end': fc.record({ term, successor: fc.option(nodeId) }),
  ...REGISTER_FIELDS,
  ...ELECTORATE_FIELDS,
  ...UPLINK_FIELDS,
};

export const MESSAGE_TYPES = Object.keys(FIELDS) as PeerMessage['type'][];

/** Valid messages of one type. */
export function messageOf(type: PeerMessage['type']): fc.Arbitrary<PeerMessage> {
  const fields: fc.Arbitrary<object> = FIELDS[type];
  return fields.map((rest) => ({ ...rest, type }) as PeerMessage);
}

/** Valid messages of every type. */
export const anyMessage: fc.Arbitrary<PeerMessage> = fc.oneof(...MESSAGE_TYPES.map(messageOf));

/** Bytes that were valid once: some replaced, cut out, inserted, the rest kept. */
export function mutated(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    drop: fc.nat(6),
    insert: fc.uint8Array({ maxLength: 6 }),
  });
  return fc.tuple(valid, fc.array(edit, { minLength: 1, maxLength: 4 })).map(([original, edits]) => {
    let current = [...original];
    for (const { at, drop, insert } of edits) {
      const index = Math.floor(at * current.length);
      current = [...current.slice(0, index), ...insert, ...current.slice(index + drop)];
    }
    return Uint8Array.from(current);
  });
}
