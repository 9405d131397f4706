import { FRAME_BYTES_MAX, type Lane } from '../ports/transport.ts';
import { BUCKETS_MAX } from '../protocol/catalog/record.ts';
import { RING_MEMBERS_MAX } from '../protocol/catalog/ring-record.ts';
import { COLLECTION_ENTRIES_MAX, VALUE_BYTES_MAX } from '../protocol/causal/entry.ts';
import type { MapField, Mutation } from '../protocol/causal/mutation.ts';
import type { LeaderNews } from '../protocol/election/message.ts';
import type { VoteRecord } from '../protocol/election/options.ts';
import { isElectorateMessage } from '../protocol/electorate/message.ts';
import type { PeerMessage } from '../protocol/node/message.ts';
import { isRegisterMessage } from '../protocol/register/message.ts';
import type { PageItem } from '../protocol/replication/message.ts';
import type {
  ClientReply,
  ClientRequest,
  ListItem,
  SessionContext,
  ShardContext,
} from '../protocol/replication/request.ts';
import { isUplinkMessage } from '../protocol/uplink/relay.ts';
import { catalogMessage } from './catalog.ts';
import { coordinate, nodeId, updates } from './claim.ts';
import {
  boolean,
  bytes,
  type Codec,
  DecodeError,
  integer,
  list,
  mapped,
  nullable,
  number,
  oneOf,
  Reader,
  record,
  signed,
  text,
  uint32,
  union,
  Writer,
} from './codec.ts';
import { conflictsAsk, conflictsTell } from './conflict.ts';
import { ELECTORATE_LANE, electorateMessages } from './electorate-message.ts';
import { failure } from './failure.ts';
import { registerLane, registerMessages } from './register-message.ts';
import { SHARDS_MAX } from './shard-set.ts';
import {
  hintAsk,
  hintTell,
  ITEMS_MAX,
  shard,
  syncAck,
  syncCompare,
  syncContext,
  syncCopies,
  syncDiffer,
  syncDigest,
  syncDigests,
  syncDone,
  syncEqual,
  syncFetch,
  syncFetched,
  syncObjects,
} from './sync-message.ts';
import { uplinkLane, uplinkMessages } from './uplink-message.ts';
import {
  actorId,
  bucketName,
  CONTENT_TYPE_BYTES_MAX,
  causalContext,
  collectionBytes,
  dot,
  dots,
  entries,
  eventSet,
  KEY_BYTES_MAX,
  keyText,
} from './value.ts';

/** The version of the messages below. A node offers a range of versions at admission. */
export const WIRE_VERSION = 2;

const id = integer();

const seq = integer(0xffff_ffff);

const expiry: Codec<number | 'keep'> = mapped(
  nullable(integer()),
  (value: number | 'keep') => (value === 'keep' ? null : value),
  (value) => value ?? 'keep',
);
const collectionKeys = list(collectionBytes, COLLECTION_ENTRIES_MAX);
const mutation: Codec<Mutation> = union<Mutation, 'type'>('type', {
  put: [
    0,
    record({
      value: bytes(VALUE_BYTES_MAX),
      contentType: text(CONTENT_TYPE_BYTES_MAX),
      expiresAtMs: expiry,
      onlyIf: nullable(oneOf('absent', 'present')),
    }),
  ],
  delete: [1, record({})],
  expire: [2, record({ expiresAtMs: integer() })],
  append: [3, record({ value: bytes(VALUE_BYTES_MAX) })],
  increment: [4, record({ by: signed })],
  add: [5, record({ members: collectionKeys })],
  remove: [6, record({ members: collectionKeys })],
  'put-fields': [
    7,
    record({
      fields: list(record<MapField>({ field: collectionBytes, value: collectionBytes }), COLLECTION_ENTRIES_MAX),
      onlyIf: nullable(oneOf('absent')),
    }),
  ],
  'remove-fields': [8, record({ fields: collectionKeys })],
  'increment-field': [9, record({ field: collectionBytes, by: signed })],
});

const level = oneOf('one', 'quorum', 'all');
const prefix = text(KEY_BYTES_MAX);
const LIST_LIMIT_MAX = 4096;
const sessionContext: Codec<SessionContext> = record<SessionContext>({ context: causalContext, bare: causalContext });
const request: Codec<ClientRequest> = union<ClientRequest, 'type'>('type', {
  mutate: [0, record({ bucket: bucketName, key: keyText, mutation, level, context: nullable(sessionContext) })],
  get: [1, record({ bucket: bucketName, key: keyText, level, session: nullable(sessionContext) })],
  list: [
    2,
    record({
      bucket: bucketName,
      prefix,
      after: prefix,
      limit: integer(LIST_LIMIT_MAX),
      values: boolean,
      snapshot: boolean,
    }),
  ],
  confirm: [3, record({ bucket: bucketName, key: keyText, dot })],
});

const shardContext: Codec<ShardContext> = record<ShardContext>({ shard, context: causalContext });
const listItem: Codec<ListItem> = record<ListItem>({
  key: keyText,
  entries,
  context: nullable(causalContext),
  past: nullable(causalContext),
});
const pageItem: Codec<PageItem> = record<PageItem>({ key: keyText, entries });
const reply: Codec<ClientReply> = union<ClientReply, 'type'>('type', {
  mutate: [
    0,
    record({
      applied: boolean,
      dot: nullable(dot),
      context: causalContext,
      bare: causalContext,
      acks: integer(),
      owners: integer(),
      quorum: oneOf('strict', 'sloppy'),
      before: entries,
      after: entries,
    }),
  ],
  get: [1, record({ entries, context: causalContext, bare: causalContext, complete: boolean })],
  list: [
    2,
    record({
      items: list(listItem, ITEMS_MAX),
      more: boolean,
      resumeAfter: prefix,
      complete: boolean,
      answered: list(nodeId, RING_MEMBERS_MAX),
      contexts: list(shardContext, SHARDS_MAX),
    }),
  ],
  failed: [3, record({ failure })],
  confirm: [4, record({ nodes: integer(), owners: integer() })],
});

const shards = list(shard, SHARDS_MAX);
const standing = oneOf('stored', 'partial', 'former', 'none');

/** Room for more elections than there will be, and for counting on. */
const TERM_MAX = 2 ** 48;
const term = integer(TERM_MAX);
const leaderNews = record<LeaderNews>({ leader: nodeId, term, quorate: boolean });
/** The disk's record of the last vote. */
export const voteRecord: Codec<VoteRecord> = record<VoteRecord>({
  term: integer(),
  votedFor: nullable(nodeId),
  boundTo: nullable(nodeId),
});

/**
 * Tags are for ever: 1-19 membership, 20-49 replication, 50-59 catalog, 60-69 watch, 70-79 clocks, 80-89 election,
 * 90-109 registers,
 * 110-118 the electorate, 120-127 the way to the hub.
 */
const peerMessage = union<PeerMessage, 'type'>('type', {
  ping: [1, record({ seq, updates })],
  'ping-request': [2, record({ seq, target: nodeId, timeoutMs: number, updates })],
  ack: [3, record({ seq, coordinate, updates })],
  nack: [4, record({ seq })],
  gossip: [5, record({ updates })],
  'push-pull': [
    6,
    record({
      digests: list(record<{ bucket: number; digest: number }>({ bucket: integer(255), digest: uint32 }), 256),
    }),
  ],
  'push-pull-reply': [7, record({ buckets: list(integer(255), 256), updates })],
  'push-pull-return': [8, record({ updates })],
  forward: [20, record({ id, request })],
  'forward-reply': [21, record({ id, reply })],
  replicate: [
    22,
    record({
      id,
      bucket: bucketName,
      key: keyText,
      entries,
      events: eventSet,
      context: causalContext,
      hintFor: list(nodeId, 64),
    }),
  ],
  'replicate-ack': [
    23,
    record({
      id,
      status: oneOf('stored', 'partial', 'former', 'hinted', 'refused'),
      failure: nullable(failure),
      owners: uint32,
    }),
  ],
  read: [24, record({ id, bucket: bucketName, key: keyText, dots })],
  'read-reply': [
    25,
    record({
      id,
      status: oneOf('same', 'object'),
      standing,
      entries,
      context: causalContext,
      past: nullable(causalContext),
      bare: causalContext,
      owners: uint32,
    }),
  ],
  list: [
    26,
    record({
      id,
      bucket: bucketName,
      prefix,
      after: prefix,
      limit: integer(LIST_LIMIT_MAX),
      values: boolean,
      shards,
      snapshot: boolean,
    }),
  ],
  'list-reply': [
    27,
    record({
      id,
      items: list(pageItem, ITEMS_MAX),
      more: boolean,
      partial: shards,
      contexts: list(shardContext, SHARDS_MAX),
      owners: uint32,
    }),
  ],
  'counter-check': [28, record({ actor: actorId })],
  'counter-report': [
    29,
    record({
      actor: actorId,
      known: list(shardContext, SHARDS_MAX),
      named: list(shardContext, SHARDS_MAX),
    }),
  ],
  'sync-digest': [30, syncDigest],
  'sync-digests': [31, syncDigests],
  'sync-equal': [32, syncEqual],
  'sync-context': [33, syncContext],
  'sync-objects': [34, syncObjects],
  'sync-done': [35, syncDone],
  'sync-ack': [36, syncAck],
  'sync-compare': [37, syncCompare],
  'sync-differ': [38, syncDiffer],
  'sync-copies': [39, syncCopies],
  'sync-fetch': [40, syncFetch],
  'sync-fetched': [41, syncFetched],
  'hint-ask': [42, hintAsk],
  'hint-tell': [43, hintTell],
  'conflicts-ask': [44, conflictsAsk],
  'conflicts-tell': [45, conflictsTell],
  'catalog-digest': [50, record({ digest: uint32 })],
  catalog: [51, catalogMessage],
  watch: [60, record({ id, buckets: list(bucketName, BUCKETS_MAX) })],
  change: [
    61,
    record({
      seq: integer(),
      bucket: bucketName,
      key: keyText,
      entries,
      context: causalContext,
      past: nullable(causalContext),
    }),
  ],
  watching: [62, record({ id, run: uint32, rollbacks: integer(), seq: integer() })],
  'clock-ask': [70, record({ id: seq })],
  'clock-tell': [71, record({ id: seq, wallMs: nullable(integer()) })],
  'lease-ask': [
    80,
    record({
      kind: oneOf('poll', 'vote', 'renew'),
      term,
      epoch: integer(),
      round: integer(),
      quorate: boolean,
      votes: integer(),
      view: integer(),
    }),
  ],
  'lease-tell': [
    81,
    record({ round: integer(), granted: boolean, term, holder: nullable(leaderNews), remainingMs: integer() }),
  ],
  'lease-end': [82, record({ term, successor: nullable(nodeId) })],
  ...registerMessages,
  ...electorateMessages,
  ...uplinkMessages,
});

/** Probes never wait behind data, data never behind transfers. */
export function laneOf(message: PeerMessage): Lane {
  if (isRegisterMessage(message)) return registerLane(message.type);
  if (isElectorateMessage(message)) return ELECTORATE_LANE;
  if (isUplinkMessage(message)) return uplinkLane(message.type);
  switch (message.type) {
    case 'ping':
    case 'ping-request':
    case 'ack':
    case 'nack':
    case 'gossip':
    case 'push-pull':
    case 'push-pull-reply':
    case 'push-pull-return':
    case 'catalog':
    case 'catalog-digest':
    case 'watch':
    case 'clock-ask':
    case 'clock-tell':
    case 'lease-ask':
    case 'lease-tell':
    case 'lease-end':
      return 'control';
    case 'forward':
    case 'forward-reply':
    case 'replicate':
    case 'replicate-ack':
    case 'read':
    case 'read-reply':
    case 'change':
    case 'watching':
    case 'counter-check':
    case 'counter-report':
    case 'hint-ask':
    case 'hint-tell':
    case 'sync-digest':
    case 'sync-digests':
    case 'sync-equal':
      return 'data';
    case 'conflicts-ask':
    case 'conflicts-tell':
    case 'list':
    case 'list-reply':
    case 'sync-context':
    case 'sync-objects':
    case 'sync-done':
    case 'sync-ack':
    case 'sync-compare':
    case 'sync-differ':
    case 'sync-copies':
    case 'sync-fetch':
    case 'sync-fetched':
      return 'bulk';
  }
}

/** Leaves room in the largest frame for what was gathered before the message. */
const MESSAGE_BYTES_MAX = FRAME_BYTES_MAX - 128 * 1024;

/** Messages of one frame at most. */
const FRAME_MESSAGES_MAX = 65_536;

/** Collects messages of one peer and lane into a frame: each with its length before it. */
export class FrameWriter {
  private readonly frame = new Writer(4096);
  private readonly message = new Writer(1024);
  private messages = 0;

  get length(): number {
    return this.frame.length;
  }

  get isFull(): boolean {
    return this.messages >= FRAME_MESSAGES_MAX;
  }

  /** False for a message over MESSAGE_BYTES_MAX, which is left out. */
  add(message: PeerMessage): boolean {
    peerMessage.encode(this.message, message);
    if (this.message.length > MESSAGE_BYTES_MAX) {
      this.message.take();
      return false;
    }
    this.message.moveTo(this.frame);
    this.messages++;
    return true;
  }

  take(): Uint8Array {
    this.messages = 0;
    return this.frame.take();
  }
}

export interface DecodedFrame {
  readonly messages: readonly PeerMessage[];
  /** Messages of a newer kind, which this node skips. */
  readonly unknown: number;
}

/** Throws `DecodeError` for a frame that breaks the format. */
export function decodeFrame(frame: Uint8Array): DecodedFrame {
  const reader = new Reader(frame);
  const messages: PeerMessage[] = [];
  let unknown = 0;
  while (reader.remaining > 0) {
    const message = reader.nested(frame.length);
    if (messages.length >= FRAME_MESSAGES_MAX) throw new DecodeError('a frame has too many messages');
    if (!peerMessage.tags.has(message.peek() ?? 0)) unknown++;
    else messages.push(peerMessage.decode(message));
  }
  return { messages, unknown };
}
