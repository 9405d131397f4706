import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader } from '../../../../src/adapters/libp2p/frame-reader.ts';
import { LaneQueue } from '../../../../src/adapters/libp2p/lane-queue.ts';

describe('LaneQueue', () => {
  it('gives chunks of at most the asked size that a FrameReader turns back into the frames', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 80 }),
        fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 20 }),
        (frames, sizes) => {
          const queue = new LaneQueue(1 << 20);
          for (const frame of frames) expect(queue.offer(frame)).toBe(true);
          const reader = new FrameReader(300);
          const found: number[][] = [];
          for (let i = 0; queue.bytes > 0; i++) {
            const size = sizes[i % sizes.length] as number;
            const before = queue.bytes;
            const chunk = queue.take(size) as Uint8Array;
            expect(chunk.byteLength).toBe(Math.min(size, before));
            reader.push(chunk, (frame) => found.push([...frame]));
          }
          expect(found).toEqual(frames.map((frame) => [...frame]));
          expect(queue.take(100)).toBeUndefined();
        },
      ),
    );
  });

  it('refuses what does not fit, but takes any frame when empty', () => {
    const queue = new LaneQueue(100);
    expect(queue.offer(new Uint8Array(500))).toBe(true);
    expect(queue.offer(new Uint8Array(1))).toBe(false);
    queue.take(504);
    expect(queue.offer(new Uint8Array(40))).toBe(true);
    expect(queue.offer(new Uint8Array(52))).toBe(true);
    expect(queue.offer(new Uint8Array(1))).toBe(false);
    expect(queue.bytes).toBe(100);
  });

  it('starts the half-sent frame again after a broken stream', () => {
    const queue = new LaneQueue(1000);
    queue.offer(new Uint8Array([1]));
    queue.offer(new Uint8Array([2, 3, 4]));
    queue.take(5 + 6);
    expect(queue.isAtFrameBoundary).toBe(false);
    queue.rewind();
    expect(queue.isAtFrameBoundary).toBe(true);
    expect([...(queue.take(100) ?? [])]).toEqual([0, 0, 0, 3, 2, 3, 4]);
    expect(queue.bytes).toBe(0);
  });
});
