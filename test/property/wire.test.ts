import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HoldfastError } from '../../src/lib/failure.ts';
import { FRAME_BYTES_MAX } from '../../src/ports/transport.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { PeerMessage } from '../../src/protocol/node/message.ts';
import type { RecordWrite } from '../../src/protocol/replication/record.ts';
import { catalogState } from '../../src/wire/catalog.ts';
import { memberProfile } from '../../src/wire/claim.ts';
import {
  boolean,
  bytes,
  type Codec,
  DecodeError,
  decodeOne,
  encodeOne,
  integer,
  list,
  nullable,
  number,
  oneOf,
  Reader,
  signed,
  text,
  uint32,
  Writer,
} from '../../src/wire/codec.ts';
import { decodeContextToken, encodeContextToken } from '../../src/wire/context-token.ts';
import { decodeFrame, FrameWriter } from '../../src/wire/message.ts';
import {
  decodeCounterRow,
  decodeDotRow,
  decodeExpiryRow,
  decodeHint,
  decodeHintRow,
  decodeObject,
  decodeObjectRow,
  decodeShardRow,
  shardRange,
  storageWrite,
} from '../../src/wire/record.ts';
import { causalContext, entries as entriesCodec } from '../../src/wire/value.ts';
import { context, entries } from '../support/causal-arbitraries.ts';
import { anyMessage, catalog, MESSAGE_TYPES, messageOf, mutated, session } from '../support/message-arbitraries.ts';
import { actor, bucket, key } from '../support/name-arbitraries.ts';

/** A decoder may refuse its input in one way only. */
function decodesOrRefuses<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    return undefined;
  }
}

function frameOf(messages: readonly PeerMessage[]): Uint8Array {
  const writer = new FrameWriter();
  for (const message of messages) writer.add(message);
  return writer.take();
}

const randomBytes = fc.uint8Array({ maxLength: 300, size: 'max' });
/** Bytes that look like a frame: one message with a known tag in front of noise. */
const tagged = fc.tuple(fc.nat(130), fc.uint8Array({ maxLength: 120, size: 'max' })).map(([tag, rest]) => {
  const writer = new Writer();
  writer.bytes(Uint8Array.of(tag, ...rest));
  return writer.take();
});
const validFrame = fc.array(anyMessage, { minLength: 1, maxLength: 3 }).map(frameOf);

describe('frames', () => {
  test.each(MESSAGE_TYPES)('%s survives the way over the wire', (type) => {
    fc.assert(
      fc.property(fc.array(messageOf(type), { minLength: 1, maxLength: 3 }), (messages) => {
        const frame = frameOf(messages);
        const decoded = decodeFrame(frame);
        expect(decoded).toEqual({ messages, unknown: 0 });
        // One byte form a message: digests and comparisons rely on it.
        expect(frameOf(decoded.messages)).toEqual(frame);
      }),
      { numRuns: 60 },
    );
  });

  test('noise is decoded or refused, never anything else', () => {
    fc.assert(
      fc.property(fc.oneof(randomBytes, tagged), (frame) => {
        decodesOrRefuses(() => decodeFrame(frame));
      }),
      { numRuns: 3000 },
    );
  });

  test('a damaged frame is decoded or refused, and what is decoded can be encoded again', () => {
    fc.assert(
      fc.property(mutated(validFrame), (frame) => {
        const decoded = decodesOrRefuses(() => decodeFrame(frame));
        if (decoded === undefined) return;
        const again = frameOf(decoded.messages);
        expect(decodeFrame(again).messages).toEqual(decoded.messages);
      }),
      { numRuns: 1500 },
    );
  });

  test('a frame that is cut short is refused, or ends with a whole message', () => {
    fc.assert(
      fc.property(
        fc.array(anyMessage, { minLength: 1, maxLength: 3 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (messages, share) => {
          const frame = frameOf(messages);
          const cut = frame.slice(0, Math.floor(share * frame.length));
          const decoded = decodesOrRefuses(() => decodeFrame(cut));
          if (decoded !== undefined) expect(messages.slice(0, decoded.messages.length)).toEqual(decoded.messages);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('messages of an unknown kind are skipped and counted', () => {
    const writer = new Writer();
    writer.bytes(Uint8Array.of(250, 1, 2, 3));
    const unknown = writer.take();
    const known: PeerMessage = { type: 'nack', seq: 7 };
    const frame = Uint8Array.of(...unknown, ...frameOf([known]), ...unknown);
    expect(decodeFrame(frame)).toEqual({ messages: [known], unknown: 2 });
  });

  test('fields that a newer version appends are ignored', () => {
    const writer = new Writer();
    writer.bytes(Uint8Array.of(...encodedMessage({ type: 'nack', seq: 7 }), 99, 98));
    expect(decodeFrame(writer.take()).messages).toEqual([{ type: 'nack', seq: 7 }]);
  });

  test('a byte order mark in front of a key stays part of it, on the wire and on disk', () => {
    const message: PeerMessage = {
      type: 'change',
      bucket: 'default',
      key: '\ufeffkey',
      entries: [],
      seq: 1,
      context: new CausalContext(),
      past: null,
    };
    expect(decodeFrame(frameOf([message])).messages).toEqual([message]);
    const of = { bucket: 'default', key: '\ufeffkey' };
    const row = storageWrite({ table: 'object', shard: 1, name: of, value: { entries: [], past: null } });
    expect(decodeObjectRow({ key: row.key, value: row.value ?? new Uint8Array() }).name).toEqual(of);
  });

  test('names of built-in properties are no failure codes', () => {
    const valid: PeerMessage = {
      type: 'replicate-ack',
      id: 1,
      status: 'refused',
      owners: 0,
      failure: { code: 'disk-full', message: 'm', stateChanged: 'no' },
    };
    const frame = Buffer.from(frameOf([valid])).toString('latin1');
    for (const name of ['toString!', 'valueOf..']) {
      const word = name.replace(/[!.]/g, '');
      const forged = frame.replace('\x09disk-full', `${String.fromCharCode(word.length)}${word}`);
      const bytesOf = Buffer.from(forged, 'latin1');
      bytesOf[0] = bytesOf.length - 1;
      expect(() => decodeFrame(bytesOf)).toThrow(DecodeError);
    }
  });
});

function encodedMessage(message: PeerMessage): Uint8Array {
  const frame = frameOf([message]);
  return frame.subarray(1);
}

describe('a claim of size costs nothing', () => {
  const CLAIM = 2 ** 40;

  const claimed = (build: (writer: Writer) => void): Uint8Array => {
    const writer = new Writer();
    build(writer);
    return writer.take();
  };

  test.each<readonly [string, Codec<unknown>]>([
    ['a text', text(CLAIM)],
    ['a byte string', bytes(CLAIM)],
    ['a list', list(boolean, CLAIM)],
    ['a context', causalContext],
    ['entries', entriesCodec],
    ['a catalog', catalogState],
    ['a profile', memberProfile],
  ])('%s that claims 2^40 items is refused before anything is allocated', (_name, codec) => {
    const input = claimed((writer) => writer.varint(CLAIM));
    const before = process.memoryUsage();
    for (let i = 0; i < 1000; i++) expect(() => decodeOne(codec, input)).toThrow(DecodeError);
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(16 * 1024 * 1024);
  });

  test('a frame full of the smallest items is decoded in time and memory that its size justifies', () => {
    const ranges = Math.floor(FRAME_BYTES_MAX / 11);
    const input = claimed((writer) => {
      writer.varint(ranges);
      for (let i = 0; i < ranges; i++) {
        writer.byte(0);
        writer.uint32(0);
        writer.uint32(i);
        writer.varint(3);
        writer.varint(0);
      }
    });
    // In a time that grows with the square of them it would not end within the time of a test.
    const decoded = decodeOne(causalContext, input);
    expect(decoded.rangeCount).toBe(ranges);
  });

  test('a context has as many ranges as its bytes hold, and not in an order that is costly to merge', () => {
    const build = (ranges: number): Uint8Array =>
      claimed((writer) => {
        writer.varint(ranges);
        writer.byte(0);
        writer.uint32(1);
        writer.uint32(1);
        for (let i = 0; i < 200_000; i++) {
          if (i > 0) writer.byte(1);
          writer.varint(2);
          writer.varint(0);
        }
      });
    expect(decodeOne(causalContext, build(200_000)).rangeCount).toBe(200_000);
    expect(() => decodeOne(causalContext, build(300_000))).toThrow(DecodeError);
    // Alternating actors with descending counters.
    const costly = claimed((writer) => {
      writer.varint(4);
      for (let i = 0; i < 4; i++) {
        writer.byte(0);
        writer.uint32(0);
        writer.uint32(i % 2);
        writer.varint((4 - i) * 3);
        writer.varint(0);
      }
    });
    expect(() => decodeOne(causalContext, costly)).toThrow(/out of order/);
  });
});

describe('single values', () => {
  const expectRoundTrips = <T>(codec: Codec<T>, values: fc.Arbitrary<T>): void => {
    fc.assert(
      fc.property(values, (value) => {
        const encoded = encodeOne(codec, value);
        expect(decodeOne(codec, encoded)).toEqual(value);
        const cut = encoded.subarray(0, encoded.length - 1);
        expect(() => decodeOne(codec, cut)).toThrow(DecodeError);
      }),
    );
  };

  test('integers, numbers, texts, bytes, choices, lists and absent values', () => {
    expectRoundTrips(integer(), fc.maxSafeNat());
    expectRoundTrips(signed, fc.maxSafeInteger());
    expectRoundTrips(uint32, fc.nat(0xffff_ffff));
    expectRoundTrips(number, fc.double({ noNaN: true, noDefaultInfinity: true }));
    expectRoundTrips(boolean, fc.boolean());
    expectRoundTrips(text(4000), fc.string({ unit: 'binary', maxLength: 1000, size: 'max' }));
    expectRoundTrips(bytes(1000), fc.uint8Array({ maxLength: 1000, size: 'max' }));
    expectRoundTrips(oneOf('a', 'b', 'c'), fc.constantFrom('a' as const, 'b' as const, 'c' as const));
    expectRoundTrips(list(integer(), 20), fc.array(fc.maxSafeNat(), { maxLength: 20 }));
    expectRoundTrips(nullable(text(40)), fc.option(fc.string({ unit: 'binary', maxLength: 10 })));
  });

  test.each<readonly [string, Codec<unknown>, readonly number[]]>([
    ['an integer above 2^53 - 1', integer(), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
    ['an integer that never ends', integer(), [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]],
    ['an integer above its bound', integer(10), [11]],
    ['a byte string above its bound', bytes(3), [4, 1, 2, 3, 4]],
    ['a text above its bound', text(3), [4, 65, 65, 65, 65]],
    ['a text that is no UTF-8', text(3), [2, 0xc3, 0x28]],
    ['a text with half a surrogate pair', text(3), [3, 0xed, 0xa0, 0x80]],
    ['a list above its bound', list(boolean, 1), [2, 0, 0]],
    ['a list longer than the input', list(boolean, 100), [50, 0]],
    ['a boolean that is neither', boolean, [2]],
    ['a sign that is neither', signed, [2, 1]],
    ['a choice beyond the last', oneOf('a'), [1]],
    ['a number that is none', number, [0x7f, 0xf8, 0, 0, 0, 0, 0, 0]],
    ['an infinite number', number, [0x7f, 0xf0, 0, 0, 0, 0, 0, 0]],
  ])('%s is refused', (_name, codec, input) => {
    expect(() => decodeOne(codec, Uint8Array.from(input))).toThrow(DecodeError);
  });

  test('a reader never reads past its end, whatever is asked of it', () => {
    const step = fc.constantFrom<(reader: Reader) => unknown>(
      (reader) => reader.byte(),
      (reader) => reader.varint(),
      (reader) => reader.uint32(),
      (reader) => reader.float64(),
      (reader) => reader.bytes(50),
      (reader) => reader.text(50),
      (reader) => reader.raw(9),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.array(step, { maxLength: 12 }), (input, steps) => {
        const padded = Uint8Array.of(...input, ...new Uint8Array(64).fill(0x41));
        const reader = new Reader(padded, 0, input.length);
        for (const each of steps) {
          const before = reader.remaining;
          const result = decodesOrRefuses(() => each(reader));
          expect(reader.remaining).toBeGreaterThanOrEqual(0);
          if (result === undefined) return;
          expect(reader.remaining).toBeLessThanOrEqual(before);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('a copy of bytes does not keep its frame alive', () => {
    const input = encodeOne(bytes(10), Uint8Array.of(1, 2, 3));
    const decoded = decodeOne(bytes(10), input);
    expect(decoded.buffer).not.toBe(input.buffer);
    expect(decoded.buffer.byteLength).toBe(3);
  });
});

describe('records on disk', () => {
  const shard = fc.oneof(fc.nat(4095), fc.integer({ min: 0, max: 2 ** 48 - 1 }));
  const name = fc.record({ bucket, key });
  const object = fc.record({ entries, past: fc.option(context) });
  const counter = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });

  const rowOf = (write: RecordWrite): { key: Uint8Array; value: Uint8Array } => {
    const row = storageWrite(write);
    if (row.value === null) throw new Error('the write deletes');
    return { key: row.key, value: row.value };
  };

  test('every table gives back what was written', () => {
    fc.assert(
      fc.property(shard, name, object, (at, of, value) => {
        const row = rowOf({ table: 'object', shard: at, name: of, value });
        expect(decodeObjectRow(row)).toEqual({ name: of, ...value });
        expect(decodeObject(row.value)).toEqual(value);
      }),
    );
    fc.assert(
      fc.property(shard, actor, counter, name, (at, by, number, of) => {
        const row = rowOf({ table: 'dot', shard: at, actor: by, counter: number, value: of });
        expect(decodeDotRow(row)).toEqual({ actor: by, counter: number, name: of });
      }),
    );
    fc.assert(
      fc.property(
        shard,
        context,
        fc.boolean(),
        fc.array(fc.string({ maxLength: 30 })),
        context,
        context,
        (at, covered, complete, ids, bare, named) => {
          const value = { context: covered, complete, sources: new Set(ids), bare, named };
          expect(decodeShardRow(rowOf({ table: 'shard', shard: at, value }))).toEqual({ shard: at, record: value });
        },
      ),
    );
    fc.assert(
      fc.property(shard, fc.maxSafeNat(), (at, last) => {
        const row = rowOf({ table: 'counter', shard: at, value: last });
        expect(decodeCounterRow(row)).toEqual({ shard: at, counter: last });
      }),
    );
    const hint = fc.record({
      entries,
      events: context,
      context,
      targets: fc.array(fc.string({ maxLength: 30 }), { maxLength: 4 }),
    });
    fc.assert(
      fc.property(shard, name, hint, (at, of, value) => {
        const row = rowOf({ table: 'hint', shard: at, name: of, value });
        expect(decodeHintRow(row)).toEqual({ shard: at, name: of, hint: value });
      }),
    );
    fc.assert(
      fc.property(fc.maxSafeNat(), shard, name, (atMs, at, of) => {
        const row = rowOf({ table: 'expiry', atMs, shard: at, name: of, value: true });
        expect(decodeExpiryRow(row)).toEqual({ atMs, shard: at, name: of });
      }),
    );
  });

  test('the rows of a shard lie together, and shards in the order of their ids', () => {
    fc.assert(
      fc.property(shard, shard, name, name, (a, b, one, other) => {
        fc.pre(a < b);
        const keyOf = (at: number, of: typeof one): Uint8Array =>
          storageWrite({ table: 'object', shard: at, name: of, value: null }).key;
        expect(Buffer.compare(keyOf(a, one), keyOf(b, other))).toBe(-1);
        const { from, to } = shardRange('object', a);
        expect(Buffer.compare(from, keyOf(a, other))).toBeLessThan(1);
        expect(Buffer.compare(keyOf(a, other), to)).toBe(-1);
        expect(Buffer.compare(to, keyOf(b, one))).toBeLessThan(1);
      }),
    );
  });

  test.each<readonly [string, (row: { key: Uint8Array; value: Uint8Array }) => unknown]>([
    ['object', decodeObjectRow],
    ['hint', decodeHintRow],
    ['dot', decodeDotRow],
    ['shard', decodeShardRow],
    ['counter', decodeCounterRow],
    ['expiry', decodeExpiryRow],
  ])('noise in table %s is decoded or refused', (_table, decode) => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 60 }),
        fc.uint8Array({ maxLength: 120 }),
        (rowKey, value) => {
          decodesOrRefuses(() => decode({ key: rowKey, value }));
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('damaged objects and hints are decoded or refused', () => {
    const objects = object.map(
      (value) => rowOf({ table: 'object', shard: 1, name: { bucket: 'b', key: 'k' }, value }).value,
    );
    fc.assert(
      fc.property(mutated(objects), (value) => {
        decodesOrRefuses(() => decodeObject(value));
        decodesOrRefuses(() => decodeHint(value));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('what nodes and clients keep', () => {
  test('catalogs and contexts', () => {
    fc.assert(
      fc.property(catalog, (state) => {
        expect(decodeOne(catalogState, encodeOne(catalogState, state))).toEqual(state);
      }),
    );
    fc.assert(
      fc.property(context, (covered) => {
        const decoded = decodeOne(causalContext, encodeOne(causalContext, covered));
        expect(decoded.equals(covered)).toBe(true);
      }),
    );
  });

  test('a context token comes back whole, and a changed one is refused by its code', () => {
    const subject = { bucket: 'default', key: 'k' };
    const refuses = (token: string): void => {
      try {
        const decoded = decodeContextToken(token, subject);
        expect(encodeContextToken(decoded, subject)).toBe(token);
      } catch (error) {
        expect(error).toBeInstanceOf(HoldfastError);
        expect((error as HoldfastError).code).toBe('bad-context');
      }
    };
    fc.assert(
      fc.property(
        session,
        fc.nat(),
        fc.constantFrom('A', 'Z', 'a', '0', '-', '_', '+', '/', '=', ' ', '\u00e9'),
        (seen, at, character) => {
          const token = encodeContextToken(seen, subject);
          if (token === null) throw new Error('a small context has a token');
          expect(decodeContextToken(token, subject)).toEqual(seen);
          const index = at % token.length;
          const changed = token.slice(0, index) + character + token.slice(index + 1);
          if (changed !== token) expect(() => decodeContextToken(changed, subject)).toThrow(HoldfastError);
          refuses(token.slice(0, index));
        },
      ),
      { numRuns: 300 },
    );
    fc.assert(fc.property(fc.oneof(fc.string(), fc.base64String()), refuses), { numRuns: 1000 });
  });
});
