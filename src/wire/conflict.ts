import type { ConflictsAskMessage, ConflictsTellMessage } from '../protocol/replication/message.ts';
import type { ConflictKey, ConflictRecord, ConflictRow, ConflictWrite } from '../protocol/replication/record.ts';
import { CONFLICTS_LIMIT_MAX } from '../protocol/replication/request.ts';
import { boolean, type Codec, DecodeError, integer, list, mapped, nullable, record } from './codec.ts';
import { shard } from './sync-message.ts';
import { actorId, bucketName, objectName, oneEntry } from './value.ts';

/** Byte forms of what lost against concurrent writes, which the wire and the disk share. */

/** The last moment that has a date, Unix ms. */
const TIME_MS_MAX = 8_640_000_000_000_000;

const write = record<ConflictWrite>({ entry: oneEntry, bytes: integer(), byHub: boolean });

export const conflictRecord: Codec<ConflictRecord> = mapped(
  record<ConflictRecord>({ name: objectName, winner: write, loser: write, atMs: integer(TIME_MS_MAX) }),
  (value: ConflictRecord) => value,
  (value) => {
    const { winner, loser } = value;
    if (loser.entry.payload.kind !== 'register') throw new DecodeError('only registers lose');
    if (winner.entry.payload.kind === 'mark') throw new DecodeError('a mark is no value');
    return value;
  },
);

const key = record<ConflictKey>({ hlc: integer(), shard, actor: actorId, counter: integer() });

/** All of the key but the shard is in the record. */
const row: Codec<ConflictRow> = mapped(
  record<{ readonly shard: number; readonly record: ConflictRecord }>({ shard, record: conflictRecord }),
  (value: ConflictRow) => ({ shard: value.key.shard, record: value.record }),
  (value) => {
    const { hlc, dot } = value.record.loser.entry;
    return { key: { hlc, shard: value.shard, ...dot }, record: value.record };
  },
);

const id = integer();

export const conflictsAsk = record<Omit<ConflictsAskMessage, 'type'>>({
  id,
  bucket: nullable(bucketName),
  after: nullable(key),
  limit: integer(CONFLICTS_LIMIT_MAX),
});

export const conflictsTell = record<Omit<ConflictsTellMessage, 'type'>>({
  id,
  rows: list(row, CONFLICTS_LIMIT_MAX),
  more: boolean,
});
