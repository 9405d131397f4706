import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../../src/lib/failure.ts';
import { hash32 } from '../../../src/lib/hash.ts';
import { CausalContext, type DotRange, NOTHING } from '../../../src/protocol/causal/context.ts';
import { type SessionContext, sessionOf } from '../../../src/protocol/replication/request.ts';
import { decodeContextToken, encodeContextToken } from '../../../src/wire/context-token.ts';

const SUBJECT = { bucket: 'carts', key: 'ann' };
/** The hash of the subject. */
const NAME = [0x1d, 0xf6, 0xe4, 0xe5];
/** A context of one dot. */
const ONE = [1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0];

const actor = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((bits) => bits.toString(16).padStart(16, '0'));
const counter = fc.oneof(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 2 ** 52 }));
const range: fc.Arbitrary<DotRange> = fc
  .tuple(actor, counter, fc.integer({ min: 0, max: 2 ** 50 }))
  .map(([id, from, length]) => ({ actor: id, from, to: from + length }));
const context = fc.array(range, { maxLength: 40 }).map((ranges) => CausalContext.fromRanges(ranges));
const session = fc.tuple(context, fc.oneof(fc.constant(NOTHING), context)).map(([known, bare]) => {
  const all = known.clone();
  all.union(bare);
  return { context: all, bare };
});

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
  return 'no failure';
}

/** Any bytes, with the checksum that makes the decoder look at them. */
function sealed(bytes: Uint8Array): string {
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(hash32(bytes, 0x48464354));
  return Buffer.concat([bytes, tail]).toString('base64url');
}

describe('context token', () => {
  it('brings every context back', () => {
    fc.assert(
      fc.property(session, (original) => {
        const token = encodeContextToken(original, SUBJECT) as string;
        expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(decodeContextToken(token, SUBJECT)).toEqual(original);
      }),
    );
  });

  it('has a stable form', () => {
    const sample = CausalContext.fromRanges([
      { actor: '00000000000000aa', from: 1, to: 300 },
      { actor: '00000000000000aa', from: 302, to: 302 },
      { actor: '00000000000000ab', from: 7, to: 7 },
    ]);
    expect(encodeContextToken(sessionOf(sample), SUBJECT)).toBe('Ah325OUCAAAAAAAAAKoCAasCAgAAAAAAAAAAqwEHANQ8Fto');
    const bare = CausalContext.fromDots([{ actor: '00000000000000ab', counter: 7 }]);
    expect(encodeContextToken({ context: sample, bare }, SUBJECT)).toBe(
      'Ah325OUCAAAAAAAAAKoCAasCAgAAAAAAAAAAqwEHAAEAAAAAAAAAqwEHAILziDY',
    );
  });

  it('is refused for another key, since dots mean something else there', () => {
    const token = encodeContextToken(sessionOf(NOTHING), SUBJECT) as string;
    expect(codeOf(() => decodeContextToken(token, { bucket: 'carts', key: 'bob' }))).toBe('bad-context');
    expect(() => decodeContextToken(token, { bucket: 'cart', key: 'ann' })).toThrow('another key');
  });

  it('refuses garbage with bad-context, and never anything else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String(), fc.uint8Array().map(sealed)), (text) => {
        let decoded: SessionContext;
        try {
          decoded = decodeContextToken(text, SUBJECT);
        } catch (error) {
          expect(error).toBeInstanceOf(HoldfastError);
          expect((error as HoldfastError).code).toBe('bad-context');
          return;
        }
        expect(encodeContextToken(decoded, SUBJECT)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  it('accepts sealed bytes only in their one canonical form', () => {
    // Close to the real grammar, so that many get far into the decoder.
    const body = fc
      .tuple(
        fc.integer({ min: 0, max: 3 }),
        fc.array(fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 255 })), { maxLength: 40 }),
      )
      .map(([actors, rest]) => Uint8Array.from([2, ...NAME, actors, ...rest]));
    fc.assert(
      fc.property(body, (bytes) => {
        const token = sealed(bytes);
        let decoded: SessionContext;
        try {
          decoded = decodeContextToken(token, SUBJECT);
        } catch (error) {
          expect((error as HoldfastError).code).toBe('bad-context');
          return;
        }
        expect(encodeContextToken(decoded, SUBJECT)).toBe(token);
      }),
      { numRuns: 2000 },
    );
  });

  it('tells what is no base64url from what has lost its end', () => {
    const actor = '00000000000000a1';
    // So long that the last character has bits to spare.
    const token = encodeContextToken(
      sessionOf(CausalContext.fromRanges([{ actor, from: 1, to: 900 }])),
      SUBJECT,
    ) as string;
    expect(token.length % 4).not.toBe(0);
    for (let cut = 1; cut < 8; cut++) {
      expect(() => decodeContextToken(token.slice(0, -cut), SUBJECT), `${cut}`).toThrow(
        /its end is missing or changed|its checksum does not match/,
      );
    }
    expect(() => decodeContextToken(`${token}A`, SUBJECT)).toThrow(/its end is missing or changed|checksum/);
    for (const text of [`${token}=`, ` ${token}`, token.replace(/.$/, '+'), `${token}é`]) {
      expect(() => decodeContextToken(text, SUBJECT), text).toThrow(/it is not base64url/);
    }
  });

  it('notices every flipped bit and every truncation', () => {
    fc.assert(
      fc.property(session, fc.nat(), (original, position) => {
        const bytes = Buffer.from(encodeContextToken(original, SUBJECT) as string, 'base64url');
        const bit = position % (bytes.length * 8);
        const flipped = Buffer.from(bytes);
        flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
        expect(codeOf(() => decodeContextToken(flipped.toString('base64url'), SUBJECT))).toBe('bad-context');
        const cut = bytes.subarray(0, position % bytes.length).toString('base64url');
        expect(codeOf(() => decodeContextToken(cut, SUBJECT))).toBe('bad-context');
      }),
    );
  });

  it.each([
    ['another version', 'version', [1, ...NAME, 0]],
    ['more actors than allowed', 'more than 1024 actors', [2, ...NAME, 0x81, 0x08]],
    ['an actor without ranges', 'each actor has a range', [2, ...NAME, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0]],
    [
      'the same actor twice',
      'out of order',
      [2, ...NAME, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0],
    ],
    ['ranges that touch', 'range is out of order', [2, ...NAME, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 1, 0]],
    ['a range from 0', 'range is out of order', [2, ...NAME, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0]],
    ['more ranges than allowed', 'at most 4096', [2, ...NAME, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x81, 0x20, 1, 0]],
    ['an overlong number', 'malformed', [2, ...NAME, 0x80, 0x00]],
    [
      'a counter above 2^53 - 1',
      'range is out of order',
      [2, ...NAME, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 1],
    ],
    ['a bare part that is empty', 'its bare part', [2, ...NAME, 0, 0]],
    ['a bare part that is no part of it', 'its bare part', [2, ...NAME, 0, ...ONE]],
    ['trailing bytes', 'trailing', [2, ...NAME, ...ONE, ...ONE, 0]],
  ])('refuses %s', (_name, cause, bytes) => {
    const token = sealed(Uint8Array.from(bytes));
    expect(codeOf(() => decodeContextToken(token, SUBJECT))).toBe('bad-context');
    expect(() => decodeContextToken(token, SUBJECT)).toThrow(cause);
  });

  it('gives no token for a context beyond the bounds, and refuses an oversized one', () => {
    const many = new CausalContext();
    for (let i = 1; i <= 1025; i++) many.add({ actor: i.toString(16).padStart(16, '0'), counter: 1 });
    expect(encodeContextToken(sessionOf(many), SUBJECT)).toBeNull();
    const holes = new CausalContext();
    for (let i = 1; i <= 4097; i++) holes.add({ actor: '00000000000000aa', counter: i * 2 });
    expect(encodeContextToken(sessionOf(holes), SUBJECT)).toBeNull();
    const long = new CausalContext();
    for (let i = 1; i <= 1000; i++) long.add({ actor: i.toString(16).padStart(16, '0'), counter: 1 });
    expect(encodeContextToken(sessionOf(long), SUBJECT)).toBeNull();
    expect(codeOf(() => decodeContextToken('A'.repeat(8193), SUBJECT))).toBe('bad-context');
  });
});
