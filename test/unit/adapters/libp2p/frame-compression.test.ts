import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compress, compressions, decompress } from '../../../../src/adapters/libp2p/frame-compression.ts';

const LIMIT = 1024 * 1024;

describe.each([...compressions()])('%s', (how) => {
  it('gives back what it took, and never makes a frame larger', () => {
    const text = fc.array(fc.constantFrom('{"sensor":', '"north",', '"value":', '17}'), {
      minLength: 1,
      maxLength: 400,
    });
    const bodies = fc.oneof(
      fc.uint8Array({ maxLength: 2000, size: 'max' }),
      text.map((words) => Buffer.from(words.join(''))),
    );
    fc.assert(
      fc.property(bodies, (body) => {
        const compressed = compress(how, body);
        if (compressed === null) return;
        expect(compressed.length).toBeLessThan(body.length);
        expect(Buffer.from(decompress(how, compressed, LIMIT) ?? []).equals(body)).toBe(true);
      }),
    );
    expect(compress(how, Buffer.from('"value":'.repeat(100)))?.length).toBeLessThan(100);
    expect(compress(how, Buffer.alloc(50))).toBeNull();
  });

  it('does not unpack more than the limit, nor anything else than what it has made', () => {
    const bomb = compress(how, Buffer.alloc(64 * LIMIT)) ?? new Uint8Array(0);
    expect(bomb.length).toBeGreaterThan(0);
    expect(bomb.length).toBeLessThan(LIMIT / 8);
    expect(decompress(how, bomb, LIMIT)).toBeUndefined();
    const exact = compress(how, Buffer.alloc(LIMIT)) ?? new Uint8Array(0);
    expect(decompress(how, exact, LIMIT)?.length).toBe(LIMIT);
    expect(decompress(how, exact, LIMIT - 1)).toBeUndefined();
    expect(decompress(how, exact.subarray(0, exact.length - 4), LIMIT)).toBeUndefined();
    expect(decompress(how, new Uint8Array(0), LIMIT)).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(decompress(how, bytes, LIMIT)?.length ?? 0).toBeLessThanOrEqual(LIMIT);
      }),
    );
  });
});

it('everybody knows deflate', () => {
  expect(compressions()).toContain('deflate');
});
