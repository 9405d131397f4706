import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FRAME_BYTES_MAX } from '../../src/ports/transport.ts';
import { VALUE_BYTES_MAX } from '../../src/protocol/causal/entry.ts';
import { type Ballot, COUNTER_MAX } from '../../src/protocol/register/ballot.ts';
import { type RegisterMessage, ROWS_PAGE_MAX } from '../../src/protocol/register/message.ts';
import type { NamedRow } from '../../src/protocol/register/record.ts';
import { DecodeError, decodeOne, encodeOne, union } from '../../src/wire/codec.ts';
import { registerLane, registerMessages } from '../../src/wire/register-message.ts';
import { CONTENT_TYPE_BYTES_MAX, KEY_BYTES_MAX } from '../../src/wire/value.ts';
import { mutated } from '../support/message-arbitraries.ts';
import { REGISTER_MESSAGE_TYPES, registerMessageOf } from '../support/register-arbitraries.ts';

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

  test('a page with the largest value fits a frame by far', () => {
    expect(encodeOne(codec, rows(ROWS_PAGE_MAX, VALUE_BYTES_MAX)).length).toBeLessThan(FRAME_BYTES_MAX / 2);
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
