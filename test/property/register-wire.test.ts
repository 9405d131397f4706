import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FRAME_BYTES_MAX } from '../../src/ports/transport.ts';
import { VALUE_BYTES_MAX } from '../../src/protocol/causal/entry.ts';
import { type Ballot, COUNTER_MAX } from '../../src/protocol/register/ballot.ts';
import { type RegisterMessage, ROWS_PAGE_MAX } from '../../src/protocol/register/message.ts';
import {
  type AcceptorRow,
  compareNames,
  type NamedRow,
  type RegisterName,
  type RegisterWrite,
} from '../../src/protocol/register/record.ts';
import { DecodeError, decodeOne, encodeOne, union } from '../../src/wire/codec.ts';
import { decodeFrame, FrameWriter } from '../../src/wire/message.ts';
import { clearRanges, namesAfterRange, recordOf, shardRange, storageWrite, tableRange } from '../../src/wire/record.ts';
import { registerLane, registerMessages } from '../../src/wire/register-message.ts';
import {
  decodeRegister,
  decodeRegisterRow,
  decodeRegisterShardRow,
  registerKey,
} from '../../src/wire/register-record.ts';
import { CONTENT_TYPE_BYTES_MAX, KEY_BYTES_MAX } from '../../src/wire/value.ts';
import { mutated } from '../support/message-arbitraries.ts';
import { shard } from '../support/name-arbitraries.ts';
import {
  acceptorRow,
  REGISTER_MESSAGE_TYPES,
  registerMessageOf,
  registerName,
  shardRecord,
} from '../support/register-arbitraries.ts';

const codec = union<RegisterMessage, 'type'>('type', registerMessages);
const anyMessage = fc.oneof(...REGISTER_MESSAGE_TYPES.map(registerMessageOf));

/** A decoder may refuse its input in one way only. */
function decodesOrRefuses<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    return undefined;
  }
}

describe('messages of registers', () => {
  test.each(REGISTER_MESSAGE_TYPES)('%s survives the way over the wire', (type) => {
    fc.assert(
      fc.property(registerMessageOf(type), (message) => {
        const encoded = encodeOne(codec, message);
        const decoded = decodeOne(codec, encoded);
        expect(decoded).toEqual(message);
        expect(encodeOne(codec, decoded)).toEqual(encoded);
        // Fields can be appended, and none may be missing.
        expect(decodeOne(codec, Uint8Array.of(...encoded, 1, 2, 3))).toEqual(message);
        expect(() => decodeOne(codec, encoded.subarray(0, encoded.length - 1))).toThrow(DecodeError);
      }),
      { numRuns: 60 },
    );
  });

  test('have tags of their own', () => {
    const tags = Object.values(registerMessages).map(([tag]) => tag);
    expect(new Set(tags).size).toBe(REGISTER_MESSAGE_TYPES.length);
    expect(Math.min(...tags)).toBeGreaterThanOrEqual(90);
  });

  test('of a takeover give way to all others', () => {
    const bulk = REGISTER_MESSAGE_TYPES.filter((type) => registerLane(type) === 'bulk');
    expect(bulk).toEqual(['register-rows-ask', 'register-rows']);
  });

  test('damaged ones are decoded or refused, and what is decoded can be encoded again', () => {
    fc.assert(
      fc.property(mutated(anyMessage.map((message) => encodeOne(codec, message))), (input) => {
        const decoded = decodesOrRefuses(() => decodeOne(codec, input));
        if (decoded !== undefined) expect(decodeOne(codec, encodeOne(codec, decoded))).toEqual(decoded);
      }),
      { numRuns: 1500 },
    );
  });

  test('noise is decoded or refused', () => {
    const noise = fc
      .tuple(fc.integer({ min: 90, max: 104 }), fc.uint8Array({ maxLength: 120, size: 'max' }))
      .map(([tag, rest]) => Uint8Array.of(tag, ...rest));
    fc.assert(
      fc.property(noise, (input) => {
        decodesOrRefuses(() => decodeOne(codec, input));
      }),
      { numRuns: 2000 },
    );
  });
});

const PROPOSER = '00000000000000aa';
const NAME = { bucket: 'b', key: 'k' };
const ballot: Ballot = { counter: 1, proposer: PROPOSER };

function accept(bytes: Uint8Array, contentType: string): RegisterMessage {
  const value = { version: ballot, base: ballot, content: { bytes, contentType, expiresAtMs: null } };
  return { type: 'register-accept', shard: 1, name: NAME, epoch: 1, ballot, value, next: null };
}

function query(fields: Partial<Extract<RegisterMessage, { type: 'register-query' }>>): RegisterMessage {
  return { type: 'register-query', shard: 1, name: NAME, epoch: 1, ballot, ...fields };
}

function rows(count: number, bytes = 0): RegisterMessage {
  const value = { version: ballot, base: ballot, content: null };
  const accepted = { ballot, copied: false };
  const tombstone = { promised: ballot, accepted: { ...accepted, value }, generation: 1 };
  const large = { bytes: new Uint8Array(bytes), contentType: '', expiresAtMs: null };
  const all = Array.from({ length: count }, (_, i): NamedRow => ({ name: { ...NAME, key: `k${i}` }, row: tombstone }));
  all[0] = { name: NAME, row: { ...tombstone, accepted: { ...accepted, value: { ...value, content: large } } } };
  return { type: 'register-rows', shard: 1, epoch: 1, after: null, rows: all, last: null, floor: ballot };
}

describe('bounds', () => {
  const expectTaken = (message: RegisterMessage): void => {
    expect(decodeOne(codec, encodeOne(codec, message))).toEqual(message);
  };
  const expectRefused = (message: RegisterMessage): void => {
    expect(() => decodeOne(codec, encodeOne(codec, message))).toThrow(DecodeError);
  };

  test.each<readonly [string, RegisterMessage, RegisterMessage]>([
    [
      'the counter of a ballot',
      query({ ballot: { counter: COUNTER_MAX, proposer: PROPOSER } }),
      query({ ballot: { counter: COUNTER_MAX + 1, proposer: PROPOSER } }),
    ],
    ['the id of a shard', query({ shard: 2 ** 48 - 1 }), query({ shard: 2 ** 48 })],
    [
      'the bytes of a key',
      query({ name: { bucket: 'b', key: 'k'.repeat(KEY_BYTES_MAX) } }),
      query({ name: { bucket: 'b', key: 'k'.repeat(KEY_BYTES_MAX + 1) } }),
    ],
    ['the length of a key', query({}), query({ name: { bucket: 'b', key: '' } })],
    ['the name of a bucket', query({}), query({ name: { bucket: 'B', key: 'k' } })],
    [
      'the bytes of a value',
      accept(new Uint8Array(VALUE_BYTES_MAX), ''),
      accept(new Uint8Array(VALUE_BYTES_MAX + 1), ''),
    ],
    [
      'the bytes of a content type',
      accept(new Uint8Array(1), 't'.repeat(CONTENT_TYPE_BYTES_MAX)),
      accept(new Uint8Array(1), 't'.repeat(CONTENT_TYPE_BYTES_MAX + 1)),
    ],
    ['the rows of a page', rows(ROWS_PAGE_MAX), rows(ROWS_PAGE_MAX + 1)],
  ])('%s is bounded', (_name, within, beyond) => {
    expectTaken(within);
    expectRefused(beyond);
  });

  test('a page with the largest value fits a frame by far, also behind others', () => {
    const page = rows(ROWS_PAGE_MAX, VALUE_BYTES_MAX);
    expect(encodeOne(codec, page).length).toBeLessThan(FRAME_BYTES_MAX / 2);
    const writer = new FrameWriter();
    // A frame that is larger leaves before anything is added.
    while (writer.length < 64 * 1024) writer.add(query({}));
    expect(writer.add(page)).toBe(true);
    const frame = writer.take();
    expect(frame.length).toBeLessThan(FRAME_BYTES_MAX / 2);
    expect(decodeFrame(frame).messages.at(-1)).toEqual(page);
  });

  test('a proposer is written out once a message', () => {
    const once = encodeOne(codec, query({})).length;
    // Ballot, version, base and the sender's next ballot are of one proposer.
    const next = { counter: 2, proposer: PROPOSER };
    const message = { ...accept(new Uint8Array(0), ''), next } as RegisterMessage;
    expect(encodeOne(codec, message).length - once).toBeLessThan(16);
    // Each row: a key of three bytes and four ballots.
    const page = encodeOne(codec, rows(64)).length;
    expect((page - encodeOne(codec, rows(32)).length) / 32).toBeLessThan(24);
  });

  test('what is left of the time of a request is told in whole milliseconds', () => {
    const request = { type: 'strong-get', ...NAME } as const;
    const message = { type: 'register-forward', id: 1, origin: PROPOSER, run: '', budgetMs: 12.75, request } as const;
    expect(decodeOne(codec, encodeOne(codec, message))).toEqual({ ...message, budgetMs: 12 });
  });
});

describe('what acceptors keep on disk', () => {
  const rowOf = (write: RegisterWrite): { key: Uint8Array; value: Uint8Array } => {
    const { key, value } = storageWrite(write);
    if (value === null) throw new Error('the write deletes');
    return { key, value };
  };
  const keyOf = (at: number, name: RegisterName): Uint8Array =>
    storageWrite({ table: 'register', shard: at, name, value: null }).key;
  const isWithin = (key: Uint8Array, { from, to }: { from: Uint8Array; to: Uint8Array }): boolean =>
    Buffer.compare(from, key) <= 0 && Buffer.compare(key, to) < 0;

  test('both tables give back what was written, and the key says what it speaks of', () => {
    fc.assert(
      fc.property(shard, registerName, acceptorRow, (at, name, row) => {
        const stored = rowOf({ table: 'register', shard: at, name, value: row });
        expect(decodeRegisterRow(stored)).toEqual({ name, row });
        expect(decodeRegister(stored.value)).toEqual(row);
        expect(stored.key).toEqual(registerKey(at, name));
        expect(recordOf(stored.key)).toEqual({ table: 'register', shard: at, name });
        expect(isWithin(stored.key, tableRange('register'))).toBe(true);
      }),
    );
    fc.assert(
      fc.property(shard, shardRecord, (at, record) => {
        const stored = rowOf({ table: 'register-shard', shard: at, value: record });
        expect(decodeRegisterShardRow(stored)).toEqual({ shard: at, record });
        expect(recordOf(stored.key)).toEqual({ table: 'register-shard', shard: at });
        expect(isWithin(stored.key, tableRange('register-shard'))).toBe(true);
      }),
    );
  });

  test('a row that is dropped is deleted', () => {
    const write = { table: 'register', shard: 1, name: NAME, value: null } as const;
    expect(storageWrite(write)).toEqual({ key: registerKey(1, NAME), value: null });
  });

  test('rows of a shard lie together in the order of their names', () => {
    fc.assert(
      fc.property(shard, shard, registerName, registerName, (a, b, one, other) => {
        const order = Math.sign(compareNames(one, other));
        expect(Math.sign(Buffer.compare(keyOf(a, one), keyOf(a, other)))).toBe(order);
        expect(isWithin(keyOf(a, one), shardRange('register', a))).toBe(true);
        expect(isWithin(keyOf(b, one), shardRange('register', a))).toBe(a === b);
        expect(isWithin(keyOf(a, one), namesAfterRange('register', a, other))).toBe(order > 0);
        expect(isWithin(keyOf(a, one), namesAfterRange('register', a, null))).toBe(true);
      }),
    );
  });

  test('a replica is cleared without the registers of its shard, and they without its record', () => {
    const row = keyOf(1, NAME);
    const { key: record } = storageWrite({
      table: 'register-shard',
      shard: 1,
      value: { floor: ballot, epoch: 1, member: true, whole: [], generation: 0 },
    });
    const isCleared = (key: Uint8Array, table: 'shard' | 'register'): boolean =>
      clearRanges({ table, shard: 1 }).some((range) => isWithin(key, range));
    expect([isCleared(row, 'shard'), isCleared(record, 'shard')]).toEqual([false, false]);
    expect([isCleared(row, 'register'), isCleared(record, 'register')]).toEqual([true, false]);
    const { key: object } = storageWrite({ table: 'object', shard: 1, name: NAME, value: { entries: [], past: null } });
    expect([isCleared(object, 'shard'), isCleared(object, 'register')]).toEqual([true, false]);
  });

  test('a proposer is written out once a row', () => {
    const value = { version: ballot, base: ballot, content: null };
    const row: AcceptorRow = { promised: ballot, accepted: { ballot, value, copied: false }, generation: 0 };
    expect(rowOf({ table: 'register', shard: 1, name: NAME, value: row }).value.length).toBeLessThan(24);
  });

  test('noise and damage are decoded or refused', () => {
    const rows = acceptorRow.map((value) => rowOf({ table: 'register', shard: 1, name: NAME, value }).value);
    const records = shardRecord.map((value) => rowOf({ table: 'register-shard', shard: 1, value }).value);
    const input = fc.oneof(mutated(rows), mutated(records), fc.uint8Array({ maxLength: 120 }));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), input, (key, value) => {
        decodesOrRefuses(() => decodeRegisterRow({ key, value }));
        decodesOrRefuses(() => decodeRegisterShardRow({ key, value }));
        decodesOrRefuses(() => decodeRegister(value));
      }),
      { numRuns: 1500 },
    );
  });
});
