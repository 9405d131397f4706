/** Bytes of the big-endian length before every frame. */
export const FRAME_HEADER_BYTES = 4;

/**
 * Cuts a byte stream into frames (uint32 big-endian length, then that many bytes). A length of zero or over the
 * limit is found before anything is allocated for it and breaks the reader for good: after that the position in
 * the stream is unknown.
 */
export class FrameReader {
  private bytesMax: number;
  private readonly header = new Uint8Array(FRAME_HEADER_BYTES);
  private headerFilled = 0;
  private frame: Uint8Array | undefined;
  private frameFilled = 0;
  private broken = false;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Sets another limit, for the frames after the one that is being handed out. */
  limit(bytesMax: number): void {
    this.bytesMax = bytesMax;
  }

  /**
   * Takes bytes as they arrive and hands out each frame they complete, as a copy that the callee owns. Returns
   * false when the stream is broken; the caller resets it.
   */
  push(data: Iterable<Uint8Array> | Uint8Array, handleFrame: (frame: Uint8Array) => void): boolean {
    if (data instanceof Uint8Array) return this.pushChunk(data, handleFrame);
    for (const chunk of data) {
      if (!this.pushChunk(chunk, handleFrame)) return false;
    }
    return true;
  }

  private pushChunk(chunk: Uint8Array, handleFrame: (frame: Uint8Array) => void): boolean {
    let at = 0;
    while (at < chunk.byteLength && !this.broken) {
      at += this.frame === undefined ? this.takeHeader(chunk, at) : this.takeBody(this.frame, chunk, at, handleFrame);
    }
    return !this.broken;
  }

  private takeHeader(chunk: Uint8Array, at: number): number {
    const taken = Math.min(FRAME_HEADER_BYTES - this.headerFilled, chunk.byteLength - at);
    this.header.set(chunk.subarray(at, at + taken), this.headerFilled);
    this.headerFilled += taken;
    if (this.headerFilled < FRAME_HEADER_BYTES) return taken;
    this.headerFilled = 0;
    const length = new DataView(this.header.buffer).getUint32(0);
    if (length === 0 || length > this.bytesMax) {
      this.broken = true;
    } else {
      this.frame = new Uint8Array(length);
      this.frameFilled = 0;
    }
    return taken;
  }

  private takeBody(frame: Uint8Array, chunk: Uint8Array, at: number, handleFrame: (frame: Uint8Array) => void): number {
    const taken = Math.min(frame.byteLength - this.frameFilled, chunk.byteLength - at);
    frame.set(chunk.subarray(at, at + taken), this.frameFilled);
    this.frameFilled += taken;
    if (this.frameFilled === frame.byteLength) {
      this.frame = undefined;
      handleFrame(frame);
    }
    return taken;
  }
}

/** One frame with its length prefix, for small messages outside the lanes. */
export function encodeFrame(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.byteLength);
  new DataView(bytes.buffer).setUint32(0, payload.byteLength);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}
