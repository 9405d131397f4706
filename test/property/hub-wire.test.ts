import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { HubReply, HubRequest, UplinkItem } from '../../src/protocol/uplink/message.ts';
import { DecodeError, Writer } from '../../src/wire/codec.ts';
import {
  decodeHubAnswer,
  decodeHubRequest,
  encodeHubNews,
  encodeHubReply,
  encodeHubRequest,
} from '../../src/wire/hub-message.ts';
import {
  anyHubReply,
  anyHubRequest,
  HUB_REPLY_TYPES,
  HUB_REQUEST_TYPES,
  hubNews,
  hubReplyOf,
  hubRequestOf,
} from '../support/hub-arbitraries.ts';
import { mutated } from '../support/message-arbitraries.ts';

const id = fc.maxSafeNat();

/** A decoder may refuse its input in one way only. */
function decodesOrRefuses<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    return undefined;
  }
}

const garbage = fc.oneof(
  fc.uint8Array({ maxLength: 300, size: 'max' }),
  // Past the id, with a known tag.
  fc
    .tuple(fc.nat(12), fc.nat(12), fc.uint8Array({ maxLength: 120, size: 'max' }))
    .map(([first, second, rest]) => Uint8Array.of(first, second, ...rest)),
);

describe('requests to a hub', () => {
  test.each(HUB_REQUEST_TYPES)('%s survives the way over the wire', (type) => {
    fc.assert(
      fc.property(id, hubRequestOf(type), (number, request) => {
        const frame = encodeHubRequest(number, request);
        const decoded = decodeHubRequest(frame);
        expect(decoded).toEqual({ id: number, request, problem: null });
        expect(encodeHubRequest(number, request)).toEqual(frame);
        // Fields can be appended, and none may be missing.
        expect(decodeHubRequest(Uint8Array.of(...frame, 1, 2, 3)).request).toEqual(request);
        expect(decodeHubRequest(frame.subarray(0, frame.length - 1))).toMatchObject({ id: number, request: null });
      }),
      { numRuns: 80 },
    );
  });

  test('one that is malformed or of an unknown kind still says which answer it waits for', () => {
    expect(decodeHubRequest(Uint8Array.of(7, 99))).toEqual({ id: 7, request: null, problem: 'unknown tag 99' });
    expect(() => decodeHubRequest(new Uint8Array(0))).toThrow(DecodeError);
  });

  test('noise and damaged frames are decoded or refused, and what is decoded can be encoded again', () => {
    const damaged = mutated(fc.tuple(id, anyHubRequest).map(([number, request]) => encodeHubRequest(number, request)));
    fc.assert(
      fc.property(fc.oneof(garbage, damaged), (frame) => {
        const decoded = decodesOrRefuses(() => decodeHubRequest(frame));
        if (decoded === undefined || decoded.request === null) return;
        const again = encodeHubRequest(decoded.id, decoded.request);
        expect(decodeHubRequest(again)).toEqual(decoded);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('what a hub says', () => {
  test.each(HUB_REPLY_TYPES)('%s survives the way over the wire', (type) => {
    fc.assert(
      fc.property(id, hubReplyOf(type), (number, reply) => {
        const frame = encodeHubReply(number, reply);
        const expected = { type: 'hub-reply', id: number, reply };
        expect(decodeHubAnswer(frame)).toEqual(expected);
        expect(encodeHubReply(number, reply)).toEqual(frame);
        expect(decodeHubAnswer(Uint8Array.of(...frame, 1, 2, 3))).toEqual(expected);
        expect(() => decodeHubAnswer(frame.subarray(0, frame.length - 1))).toThrow(DecodeError);
      }),
      { numRuns: 80 },
    );
  });

  test('news survive the way over the wire', () => {
    fc.assert(
      fc.property(hubNews, (news) => {
        expect(decodeHubAnswer(encodeHubNews(news))).toEqual(news);
      }),
    );
  });

  test('what is unasked and of an unknown kind is skipped; an unknown answer is refused', () => {
    expect(decodeHubAnswer(Uint8Array.of(200, 1, 2))).toBeNull();
    expect(() => decodeHubAnswer(Uint8Array.of(0, 7, 99))).toThrow(/unknown tag 99/);
  });

  test('a refusal is cut to a length that the other end takes', () => {
    const frame = encodeHubReply(1, { type: 'hub-refused', code: 'busy', detail: 'ü€😀'.repeat(10_000) });
    expect(decodeHubAnswer(frame)).toMatchObject({
      reply: { code: 'busy', detail: expect.stringMatching(/^(ü€😀)+/) },
    });
    expect(frame.length).toBeLessThan(1600);
  });

  test('noise and damaged frames are decoded or refused, and what is decoded can be encoded again', () => {
    const damaged = mutated(fc.tuple(id, anyHubReply).map(([number, reply]) => encodeHubReply(number, reply)));
    fc.assert(
      fc.property(fc.oneof(garbage, damaged), (frame) => {
        const decoded = decodesOrRefuses(() => decodeHubAnswer(frame));
        if (decoded === undefined || decoded === null) return;
        const again = decoded.type === 'hub-news' ? encodeHubNews(decoded) : encodeHubReply(decoded.id, decoded.reply);
        expect(decodeHubAnswer(again)).toEqual(decoded);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('bounds', () => {
  test('a set of shards arrives in ascending order and without repeats', () => {
    const frame = encodeHubRequest(1, { type: 'hub-ask', shards: [9, 3, 3, 65_537], combined: null });
    expect(decodeHubRequest(frame).request).toEqual({ type: 'hub-ask', shards: [3, 9, 65_537], combined: null });
  });

  test.each([
    ['pushes', [3]],
    ['covers of a hub', [2, 0]],
  ])('%s that claim to be many are refused before anything is allocated', (_name, head) => {
    const writer = new Writer();
    for (const byte of [0, ...head]) writer.byte(byte);
    writer.varint(1_000_000);
    const frame = writer.take();
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 1000; i++) {
      expect(decodeHubRequest(frame).request).toBeNull();
      const answer = Uint8Array.of(0, ...frame);
      expect(() => decodeHubAnswer(answer)).toThrow(DecodeError);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });

  test('an item may not name more events than can be counted one by one', () => {
    const wide = CausalContext.fromRanges([{ actor: ACTORS[0] as string, from: 1, to: 2 ** 40 }]);
    const item: UplinkItem = { bucket: 'b', key: 'k', entries: [], past: null, events: wide, more: false, sent: null };
    const frame = encodeHubRequest(1, pushOf([item]));
    expect(decodeHubRequest(frame)).toMatchObject({ id: 1, request: null, problem: expect.stringMatching(/events/) });
  });
});

const ACTORS = ['a1b2c3d4e5f60718', 'b1b2c3d4e5f60719', 'c1b2c3d4e5f6071a'];

function contextOf(counter: number): CausalContext {
  return CausalContext.fromRanges(ACTORS.map((actor) => ({ actor, from: 1, to: counter })));
}

function pushOf(items: readonly UplinkItem[]): HubRequest {
  return {
    type: 'hub-push',
    pushes: [
      {
        shard: 17,
        context: contextOf(5000),
        items,
        later: new CausalContext(),
        skipped: new CausalContext(),
        skippedOf: [],
        own: new CausalContext(),
      },
    ],
  };
}

describe('what messages cost', () => {
  const shards = Array.from({ length: 256 }, (_, shard) => shard);

  test('to ask about every shard takes less than 50 bytes', () => {
    expect(encodeHubRequest(300, { type: 'hub-ask', shards, combined: 0xfedc_ba98 }).length).toBeLessThan(50);
  });

  test('what a hub covers of a shard takes five bytes a node, and each node is named once', () => {
    const own = CausalContext.fromRanges([{ actor: ACTORS[2] as string, from: 1, to: 5000 }]);
    const covers = shards.map((shard) => ({ shard, context: contextOf(5000), own }));
    const reply: HubReply = { type: 'hub-covers', same: false, covers };
    expect(encodeHubReply(1, reply).length).toBeLessThan(256 * 20 + 3 * 9);
  });

  test('a push of one small value takes less than 100 bytes, and of a second one less than 24', () => {
    const dot = { actor: ACTORS[0] as string, counter: 5000 };
    const payload = { kind: 'register' as const, value: new Uint8Array(), contentType: 'application/json' };
    const item: UplinkItem = {
      bucket: 'readings',
      key: 'k',
      entries: [{ dot, hlc: 1_750_000_000_000 * 2048, expiresAtMs: 0, payload }],
      past: null,
      events: CausalContext.fromDots([dot]),
      more: false,
      sent: null,
    };
    expect(encodeHubRequest(300, pushOf([item])).length).toBeLessThan(100);
    const second = encodeHubRequest(300, pushOf([item, { ...item, key: 'l' }])).length;
    expect(second - encodeHubRequest(300, pushOf([item])).length).toBeLessThan(24);
  });
});
