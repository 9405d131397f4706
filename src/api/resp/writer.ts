import {
  ErrorReply,
  MapReply,
  NullArrayReply,
  PushReply,
  Replies,
  type Reply,
  type RespVersion,
  SetReply,
  SimpleReply,
  VerbatimReply,
} from './reply.ts';

const CHUNK_BYTES = 16 * 1024;
/** Values from this size on are sent as they are instead of being copied. */
const COPY_BYTES_MAX = 4 * 1024;
/** Below this, writing characters one by one is cheaper than a call into the runtime. */
const SHORT_TEXT = 32;

/**
 * Encodes replies and collects them, so that those of a pipelined batch leave in one socket write. Small replies
 * are copied one after the other into a chunk; a chunk's bytes are never written twice.
 */
export class ReplyWriter {
  private chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  private start = 0;
  private offset = 0;
  private segments: Uint8Array[] = [];
  private segmentBytes = 0;

  get isEmpty(): boolean {
    return this.segments.length === 0 && this.offset === this.start;
  }

  /** Encoded and not yet taken. */
  get bytes(): number {
    return this.segmentBytes + this.offset - this.start;
  }

  /** The encoded bytes since the last call, in order. */
  take(): Uint8Array[] {
    this.cut();
    const segments = this.segments;
    this.segments = [];
    this.segmentBytes = 0;
    return segments;
  }

  write(reply: Reply, version: RespVersion): void {
    if (typeof reply === 'number') return this.line(':', String(reply));
    if (typeof reply === 'string') return this.bulk(Buffer.from(reply));
    if (reply === null) return this.text(version === 3 ? '_\r\n' : '$-1\r\n');
    if (reply instanceof SimpleReply) return this.line('+', reply.text);
    if (reply instanceof Uint8Array) return this.bulk(reply);
    if (reply instanceof ErrorReply) return this.line('-', reply.text.replaceAll(/[\r\n]/g, ' '));
    if (reply instanceof MapReply) return this.map(reply, version);
    if (reply instanceof SetReply) return this.items(version === 3 ? '~' : '*', reply.items, version);
    if (reply instanceof VerbatimReply) return this.verbatim(reply, version);
    if (reply instanceof PushReply) return this.items(version === 3 ? '>' : '*', reply.items, version);
    if (reply instanceof NullArrayReply) return this.text(version === 3 ? '_\r\n' : '*-1\r\n');
    if (reply instanceof Replies) return this.all(reply, version);
    return this.items('*', reply, version);
  }

  private all({ list }: Replies, version: RespVersion): void {
    for (const reply of list) this.write(reply, version);
  }

  private map(reply: MapReply, version: RespVersion): void {
    if (version === 3) this.line('%', String(reply.pairs.length));
    else this.line('*', String(reply.pairs.length * 2));
    for (const [key, value] of reply.pairs) {
      this.write(key, version);
      this.write(value, version);
    }
  }

  private items(type: string, items: readonly Reply[], version: RespVersion): void {
    this.line(type, String(items.length));
    for (const item of items) this.write(item, version);
  }

  private verbatim(reply: VerbatimReply, version: RespVersion): void {
    if (version === 2) return this.bulk(Buffer.from(reply.text));
    const bytes = Buffer.from(`txt:${reply.text}`);
    this.line('=', String(bytes.length));
    this.raw(bytes);
    this.text('\r\n');
  }

  private bulk(value: Uint8Array): void {
    this.line('$', String(value.length));
    this.raw(value);
    this.text('\r\n');
  }

  private line(type: string, text: string): void {
    this.text(type);
    this.text(text);
    this.text('\r\n');
  }

  /** Characters below 256, one byte each. */
  private text(text: string): void {
    const length = text.length;
    if (length > COPY_BYTES_MAX) return this.raw(Buffer.from(text, 'latin1'));
    this.reserve(length);
    if (length < SHORT_TEXT) {
      for (let i = 0; i < length; i++) this.chunk[this.offset + i] = text.charCodeAt(i);
    } else {
      this.chunk.write(text, this.offset, 'latin1');
    }
    this.offset += length;
  }

  private raw(value: Uint8Array): void {
    if (value.length > COPY_BYTES_MAX) {
      this.cut();
      this.append(value);
      return;
    }
    this.reserve(value.length);
    this.chunk.set(value, this.offset);
    this.offset += value.length;
  }

  private reserve(length: number): void {
    if (this.offset + length <= this.chunk.length) return;
    this.cut();
    this.chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.start = 0;
    this.offset = 0;
  }

  private cut(): void {
    if (this.offset === this.start) return;
    this.append(this.chunk.subarray(this.start, this.offset));
    this.start = this.offset;
  }

  private append(segment: Uint8Array): void {
    this.segments.push(segment);
    this.segmentBytes += segment.length;
  }
}
