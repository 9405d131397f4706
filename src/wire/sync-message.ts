import type { CausalContext } from '../protocol/causal/context.ts';
import { FANOUT, LEAVES } from '../protocol/causal/fingerprint-tree.ts';
import { MEMBERSHIP_LIMITS } from '../protocol/membership/message.ts';
import {
  type HintCover,
  type ReplicationMessage,
  type ShardCover,
  type SyncAck,
  type SyncChunk,
  type SyncItem,
  type SyncPart,
  UNNAMED_MAX,
  WAITS_FOR_MAX,
} from '../protocol/replication/message.ts';
import { SHARD_ID_MAX } from '../protocol/ring/shard.ts';
import { boolean, type Codec, DecodeError, integer, list, mapped, nullable, record, text, uint32 } from './codec.ts';
import { DIFFERENCE_MAX, differences, recurring, scoped } from './recurring.ts';
import { SHARDS_MAX, shardSet } from './shard-set.ts';
import {
  actorId,
  bucketName,
  causalContext,
  contentType,
  eventsIn,
  keyText,
  objectName,
  valueCodecs,
} from './value.ts';

/**
 * The byte forms of anti-entropy. Its messages speak of many shards at once, and the same few actors, buckets and
 * content types occur in all of them: each is written out once a message.
 */

type Fields<T extends ReplicationMessage['type']> = Codec<Omit<Extract<ReplicationMessage, { type: T }>, 'type'>>;

export const shard = integer(SHARD_ID_MAX);
export const ITEMS_MAX = 4096;

const actors = recurring(actorId);
const buckets = recurring(bucketName);
const contentTypes = recurring(contentType);
const nextShard = differences(SHARD_ID_MAX);
const nextSequence = differences(DIFFERENCE_MAX);
const nodes = recurring(text(MEMBERSHIP_LIMITS.idLengthMax));
const memories = [actors, buckets, contentTypes, nextShard, nextSequence, nodes];

/** Of a complete replica nothing: it waits for nobody. */
const waitsFor = list(nodes.codec, WAITS_FOR_MAX);

const within = valueCodecs({ actor: actors.codec, actorOrSame: actors.orNull, contentType: contentTypes.codec });

const WANTS = 1;
const REPLY = 2;
const COMPLETE = 4;
const FORMER = 8;
const WITHHOLDS = 16;
const HINTED = 32;

const cover: Codec<ShardCover> = {
  encode: (writer, value) => {
    nextShard.codec.encode(writer, value.shard);
    const standing = (value.complete ? COMPLETE : 0) | (value.former ? FORMER : 0);
    const keeps = (value.withholds ? WITHHOLDS : 0) | (value.hinted ? HINTED : 0);
    writer.byte((value.wants ? WANTS : 0) | (value.reply ? REPLY : 0) | standing | keeps);
    within.causalContext.encode(writer, value.context);
    if (!value.complete) waitsFor.encode(writer, value.waitsFor);
  },
  decode: (reader) => {
    const id = nextShard.codec.decode(reader);
    const flags = reader.byte();
    if (flags > (WANTS | REPLY | COMPLETE | FORMER | WITHHOLDS | HINTED)) throw new DecodeError('an unknown flag');
    const complete = (flags & COMPLETE) !== 0;
    return {
      shard: id,
      wants: (flags & WANTS) !== 0,
      reply: (flags & REPLY) !== 0,
      complete,
      former: (flags & FORMER) !== 0,
      withholds: (flags & WITHHOLDS) !== 0,
      hinted: (flags & HINTED) !== 0,
      context: within.causalContext.decode(reader),
      waitsFor: complete ? [] : waitsFor.decode(reader),
    };
  },
};

const part: Codec<SyncPart> = mapped(
  integer(),
  ({ index, more }: SyncPart) => index * 2 + (more ? 1 : 0),
  (value) => ({ index: Math.floor(value / 2), more: value % 2 === 1 }),
);

const item: Codec<SyncItem> = record<SyncItem>({
  bucket: buckets.codec,
  key: keyText,
  entries: within.entries,
  past: nullable(within.causalContext),
  events: eventsIn(within.causalContext),
  part,
});
const items = list(item, ITEMS_MAX);

const MORE = 0;
const LAST = 1;
/** The last one, after which the receiver covers just what its context says: nothing came in between. */
const LAST_AS_ITS_CONTEXT = 2;

const chunk: Codec<SyncChunk> = {
  encode: (writer, { shard: id, sequence, context, items: sent, covered }) => {
    nextShard.codec.encode(writer, id);
    nextSequence.codec.encode(writer, sequence);
    within.causalContext.encode(writer, context);
    items.encode(writer, sent);
    writer.byte(covered === null ? MORE : covered === context ? LAST_AS_ITS_CONTEXT : LAST);
    if (covered !== null && covered !== context) within.causalContext.encode(writer, covered);
  },
  decode: (reader) => {
    const id = nextShard.codec.decode(reader);
    const sequence = nextSequence.codec.decode(reader);
    const context = within.causalContext.decode(reader);
    const sent = items.decode(reader);
    const end = reader.byte();
    if (end > LAST_AS_ITS_CONTEXT) throw new DecodeError('an unknown end of a chunk');
    let covered: CausalContext | null = null;
    if (end === LAST_AS_ITS_CONTEXT) covered = context;
    else if (end === LAST) covered = within.causalContext.decode(reader);
    return { shard: id, sequence, context, items: sent, covered };
  },
};

const ack: Codec<SyncAck> = record<SyncAck>({
  shard: nextShard.codec,
  sequence: nextSequence.codec,
  unnamed: list(objectName, UNNAMED_MAX),
});

export const hintAsk: Fields<'hint-ask'> = record({ id: integer(), shards: shardSet });
export const hintTell: Fields<'hint-tell'> = scoped(
  record({
    id: integer(),
    covers: list(
      record<HintCover>({ shard: nextShard.codec, context: within.causalContext, withholds: boolean }),
      SHARDS_MAX,
    ),
  }),
  memories,
);
export const syncDigest: Fields<'sync-digest'> = record({
  exchange: integer(),
  shards: shardSet,
  events: integer(),
  combined: uint32,
});
export const syncDigests: Fields<'sync-digests'> = record({ exchange: integer(), digests: list(uint32, SHARDS_MAX) });
export const syncEqual: Fields<'sync-equal'> = record({ exchange: integer(), shards: shardSet });
export const syncContext: Fields<'sync-context'> = scoped(
  record({ ring: uint32, covers: list(cover, SHARDS_MAX) }),
  memories,
);
export const syncObjects: Fields<'sync-objects'> = scoped(record({ chunks: list(chunk, SHARDS_MAX) }), memories);
export const syncAck: Fields<'sync-ack'> = scoped(record({ acks: list(ack, SHARDS_MAX) }), memories);
export const syncDone: Fields<'sync-done'> = record({
  shard,
  comparison: integer(),
  sequence: integer(),
  context: causalContext,
});
export const syncCompare: Fields<'sync-compare'> = record({
  shard,
  comparison: integer(),
  sequence: integer(),
  children: nullable(list(integer(FANOUT - 1), FANOUT)),
  sums: list(uint32, LEAVES * 2),
  floor: nullable(causalContext),
});
export const syncDiffer: Fields<'sync-differ'> = record({
  shard,
  sequence: integer(),
  differing: nullable(list(integer(LEAVES - 1), LEAVES)),
});
export const syncCopies: Fields<'sync-copies'> = scoped(
  record({
    shard,
    comparison: integer(),
    sequence: integer(),
    context: within.causalContext,
    interval: nullable(record({ after: nullable(objectName), upto: nullable(objectName) })),
    items,
  }),
  memories,
);
export const syncFetch: Fields<'sync-fetch'> = record({ shard, names: list(objectName, ITEMS_MAX) });
export const syncFetched: Fields<'sync-fetched'> = scoped(
  record({ shard, context: within.causalContext, items }),
  memories,
);
