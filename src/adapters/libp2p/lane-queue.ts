import { FRAME_HEADER_BYTES } from './frame-reader.ts';

/**
 * Frames that wait for a lane's stream, bounded in bytes (length prefixes included). `take` cuts them into chunks
 * of bounded size, so that frames queued in one turn leave as one write and a large frame leaves in pieces between
 * which another lane can send.
 */
export class LaneQueue {
  private readonly bytesMax: number;
  private frames: Uint8Array[] = [];
  private head = 0;
  /** Bytes of the head frame, prefix included, that were already taken. */
  private headTaken = 0;
  private queuedBytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Bytes not yet taken, prefixes included. */
  get bytes(): number {
    return this.queuedBytes - this.headTaken;
  }

  /** True when no frame is half taken. */
  get isAtFrameBoundary(): boolean {
    return this.headTaken === 0;
  }

  /** False when the frame does not fit. An empty queue takes any frame, so that no legal frame is undeliverable. */
  offer(frame: Uint8Array): boolean {
    const size = FRAME_HEADER_BYTES + frame.byteLength;
    if (this.queuedBytes > 0 && this.queuedBytes + size > this.bytesMax) return false;
    this.frames.push(frame);
    this.queuedBytes += size;
    return true;
  }

  /** The next bytes to write, at most `bytesMax`; undefined when there are none. */
  take(bytesMax: number): Uint8Array | undefined {
    const size = Math.min(this.bytes, bytesMax);
    if (size === 0) return undefined;
    const chunk = new Uint8Array(size);
    let at = 0;
    while (at < size) at += this.takeFromHead(chunk, at);
    return chunk;
  }

  /** After a broken stream: the head frame starts again from its first byte; frames taken whole are gone. */
  rewind(): void {
    this.headTaken = 0;
  }

  private takeFromHead(chunk: Uint8Array, at: number): number {
    const frame = this.frames[this.head] as Uint8Array;
    const total = FRAME_HEADER_BYTES + frame.byteLength;
    const taken = Math.min(total - this.headTaken, chunk.byteLength - at);
    const end = this.headTaken + taken;
    let from = this.headTaken;
    let to = at;
    for (; from < FRAME_HEADER_BYTES && from < end; from++, to++) {
      chunk[to] = (frame.byteLength >>> (8 * (FRAME_HEADER_BYTES - 1 - from))) & 0xff;
    }
    if (from < end) chunk.set(frame.subarray(from - FRAME_HEADER_BYTES, end - FRAME_HEADER_BYTES), to);
    this.headTaken = end;
    if (end === total) this.dropHead(total);
    return taken;
  }

  private dropHead(size: number): void {
    this.queuedBytes -= size;
    this.headTaken = 0;
    this.head += 1;
    // Shifting an array for every frame would be quadratic; compact once half of it is gone.
    if (this.head > 32 && this.head * 2 > this.frames.length) {
      this.frames = this.frames.slice(this.head);
      this.head = 0;
    } else {
      this.frames[this.head - 1] = EMPTY;
    }
  }
}

const EMPTY = new Uint8Array(0);
