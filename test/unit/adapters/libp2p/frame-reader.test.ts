import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameReader } from '../../../../src/adapters/libp2p/frame-reader.ts';

const LIMIT = 64;

/** Cuts bytes at the given fractions. */
function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const positions = [...new Set(cuts.map((at) => Math.floor(at * bytes.byteLength)))].toSorted((a, b) => a - b);
  return [...positions, bytes.byteLength].map((end, i) => bytes.subarray(i === 0 ? 0 : positions[i - 1], end));
}

describe('FrameReader', () => {
  it('finds the same frames however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: LIMIT }), { maxLength: 10 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 }),
        fc.boolean(),
        (frames, cuts, asList) => {
          const chunks = cut(Buffer.concat(frames.map(encodeFrame)), cuts);
          const reader = new FrameReader(LIMIT);
          const found: Uint8Array[] = [];
          const collect = (frame: Uint8Array): number => found.push(frame);
          if (asList) expect(reader.push(chunks, collect)).toBe(true);
          else for (const chunk of chunks) expect(reader.push(chunk, collect)).toBe(true);
          expect(found.map((frame) => [...frame])).toEqual(frames.map((frame) => [...frame]));
        },
      ),
    );
  });

  it('breaks on a length over the limit or of zero, before any body arrives, and stays broken', () => {
    for (const length of [0, LIMIT + 1, 0xffff_ffff]) {
      const reader = new FrameReader(LIMIT);
      const header = new Uint8Array(4);
      new DataView(header.buffer).setUint32(0, length);
      const found: Uint8Array[] = [];
      expect(reader.push(encodeFrame(new Uint8Array([1])), (frame) => found.push(frame))).toBe(true);
      expect(reader.push(header, (frame) => found.push(frame))).toBe(false);
      expect(reader.push(encodeFrame(new Uint8Array([2])), (frame) => found.push(frame))).toBe(false);
      expect(found.length).toBe(1);
    }
  });

  it('survives arbitrary bytes without handing out a frame over the limit', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (chunks) => {
        const reader = new FrameReader(LIMIT);
        reader.push(chunks, (frame) => expect(frame.byteLength).toBeLessThanOrEqual(LIMIT));
      }),
    );
  });

  it('gives away frames that later input does not overwrite', () => {
    const chunk = encodeFrame(new Uint8Array([1, 2, 3]));
    const found: Uint8Array[] = [];
    new FrameReader(LIMIT).push(chunk, (frame) => found.push(frame));
    chunk.fill(0xff);
    expect([...(found[0] ?? [])]).toEqual([1, 2, 3]);
  });

  it('holds later frames to a limit that is set while one is handed out', () => {
    const large = encodeFrame(new Uint8Array(LIMIT + 1));
    const found: number[] = [];
    const reader = new FrameReader(LIMIT);
    const chunk = Buffer.concat([encodeFrame(new Uint8Array([1])), large]);
    const intact = reader.push(chunk, (frame) => {
      found.push(frame.byteLength);
      reader.limit(LIMIT + 1);
    });
    expect(intact).toBe(true);
    expect(found).toEqual([1, LIMIT + 1]);
    expect(reader.push(encodeFrame(new Uint8Array(LIMIT + 2)), () => undefined)).toBe(false);
  });
});
