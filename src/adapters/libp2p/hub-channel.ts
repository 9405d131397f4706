import type { Connection, Stream, StreamMessageEvent } from '@libp2p/interface';
import { concat } from 'uint8arrays/concat';
import { fromString } from 'uint8arrays/from-string';
import { toString as textOf } from 'uint8arrays/to-string';
import { HUB_FRAME_BYTES_MAX } from '../../ports/hub-link.ts';
import { closeSoon } from './admissions.ts';
import { type Compression, compress, decompress } from './frame-compression.ts';
import { encodeFrame, FRAME_HEADER_BYTES, FrameReader } from './frame-reader.ts';
import { KeepAlive } from './keep-alive.ts';
import { HANDSHAKE_BYTES_MAX } from './mutual-handshake.ts';
import { asError } from './peer-link.ts';
import { delayWindowUpdates } from './window-updates.ts';

/** The first byte of a frame, once the handshake is over. */
const RAW = 0;
const COMPRESSED = 1;
const PING = 2;
const PONG = 3;
/** Why the other end closes the session, as text. */
const BYE = 4;

const REASON_BYTES_MAX = 512;
/** An answer to a ping is left out while so much else is on its way to the peer, which says as much. */
const PONG_QUEUE_BYTES_MAX = 64 * 1024;
const TICKS_PER_INTERVAL = 12;

export interface Traffic {
  sentBytes: number;
  receivedBytes: number;
}

export interface HubChannelOptions {
  readonly stream: Stream;
  readonly connection: Connection;
  /** True: this end pings. */
  readonly pings: boolean;
  readonly keepAliveMs: number;
  /** Counts the bytes of frames, their lengths included, beside the channel's own count. */
  readonly total?: Traffic;
  /** A message of the handshake, or the decompressed body of a frame after it. */
  readonly handleBody: (body: Uint8Array) => void;
  /** Some of what waited for the peer has left. */
  readonly handleDrained?: () => void;
  /** Once, for whatever reason but a `close` or `abort` of this end: one clause. */
  readonly handleClosed: (detail: string) => void;
}

/**
 * Frames on the one stream of a session: those of the handshake as they are, and after `begin` each with a byte that
 * says what it is, compressed where that makes it smaller. What is sent in one turn leaves in one write. A peer that
 * is silent for too long or breaks the format ends the channel.
 */
export class HubChannel {
  readonly traffic: Traffic = { sentBytes: 0, receivedBytes: 0 };
  private readonly options: HubChannelOptions;
  private readonly reader = new FrameReader(HANDSHAKE_BYTES_MAX);
  private readonly outbox: Uint8Array[] = [];
  /** Frames that have arrived and are not handed out. */
  private inbox: Uint8Array[] = [];
  /** Of those, how many have been handed out since. */
  private handedOut = 0;
  private outboxBytes = 0;
  private compression: Compression | undefined;
  private keepAlive: KeepAlive | undefined;
  private timer: NodeJS.Timeout | undefined;
  private flushing = false;
  private held = false;
  private handingOut = false;
  private over = false;

  constructor(options: HubChannelOptions) {
    this.options = options;
    const { stream, connection } = options;
    delayWindowUpdates(stream);
    stream.addEventListener('message', (event: StreamMessageEvent) => this.handleBytes(event.data));
    stream.addEventListener('drain', () => {
      this.keepAlive?.noteHeard(performance.now());
      options.handleDrained?.();
    });
    stream.addEventListener('idle', () => options.handleDrained?.());
    // What the stream still holds is handed out after it has closed.
    const failSoon = (detail: string): unknown => setImmediate(() => this.fail(detail));
    stream.addEventListener('remoteCloseWrite', () => failSoon('the other end closed the session'));
    stream.addEventListener('close', () => failSoon('the connection was lost'));
    connection.addEventListener('close', () => failSoon('the connection was lost'));
  }

  /** Bytes that the peer has not taken yet. */
  get queuedBytes(): number {
    return this.outboxBytes + this.options.stream.writeBufferLength;
  }

  get isOpen(): boolean {
    return !this.over;
  }

  /** A message of the handshake. */
  sendHandshake(message: Uint8Array): void {
    this.enqueue(encodeFrame(message));
  }

  /** The handshake is over. */
  begin(compression: Compression): void {
    const { keepAliveMs, pings } = this.options;
    this.compression = compression;
    // A byte says what the frame is.
    this.reader.limit(HUB_FRAME_BYTES_MAX + 1);
    this.keepAlive = new KeepAlive({ intervalMs: keepAliveMs, pings, nowMs: performance.now() });
    this.timer = setInterval(() => this.tick(), keepAliveMs / TICKS_PER_INTERVAL);
  }

  /** `body`: 1 to HUB_FRAME_BYTES_MAX bytes. */
  send(body: Uint8Array): void {
    const compressed = this.compression === undefined ? null : compress(this.compression, body);
    const sent = compressed ?? body;
    this.keepAlive?.noteAsked(performance.now(), sent.byteLength);
    this.sendFrame(compressed === null ? RAW : COMPRESSED, sent);
  }

  /** Hands out nothing more until `release`; what arrives meanwhile is bounded by the stream's window. */
  hold(): void {
    if (this.held || this.over) return;
    this.held = true;
    if (this.options.stream.readStatus === 'readable') this.options.stream.pause();
  }

  release(): void {
    if (!this.held || this.over) return;
    this.held = false;
    this.handOut();
    // Not at once: the stream hands out what it holds, and these bytes may be asked for in the middle of others.
    setImmediate(() => {
      if (!this.held && !this.over && this.options.stream.readStatus === 'paused') this.options.stream.resume();
    });
  }

  /** Tells the peer why and lets what was sent leave. */
  close(reason: string): void {
    if (this.over) return;
    if (this.compression !== undefined) this.sendFrame(BYE, fromString(reason).subarray(0, REASON_BYTES_MAX));
    this.flush();
    this.finish();
    closeSoon(this.options.connection);
  }

  abort(reason: string): void {
    if (this.over) return;
    this.finish();
    this.options.connection.abort(new Error(reason));
  }

  private finish(): void {
    this.over = true;
    this.inbox = [];
    this.outbox.length = 0;
    this.outboxBytes = 0;
    clearInterval(this.timer);
  }

  private fail(detail: string): void {
    if (this.over) return;
    this.abort(detail);
    this.options.handleClosed(detail);
  }

  private tick(): void {
    const due = this.keepAlive?.due(performance.now());
    if (due === 'give-up') this.fail('the other end does not answer any more');
    else if (due === 'ping') this.sendFrame(PING, EMPTY);
    // A ping may be among what is not read.
    else if (this.held) this.pong();
  }

  private pong(): void {
    if (this.queuedBytes < PONG_QUEUE_BYTES_MAX) this.sendFrame(PONG, EMPTY);
  }

  // Outbound

  private sendFrame(kind: number, body: Uint8Array): void {
    const frame = new Uint8Array(1 + body.byteLength);
    frame[0] = kind;
    frame.set(body, 1);
    this.enqueue(encodeFrame(frame));
  }

  private enqueue(frame: Uint8Array): void {
    if (this.over) return;
    this.outbox.push(frame);
    this.outboxBytes += frame.byteLength;
    this.count('sentBytes', frame.byteLength);
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(() => {
      this.flushing = false;
      const problem = this.flush();
      if (problem !== undefined) this.fail(problem);
    });
  }

  /** Why the stream takes no more. */
  private flush(): string | undefined {
    if (this.outbox.length === 0) return undefined;
    const bytes = this.outbox.length === 1 ? (this.outbox[0] as Uint8Array) : concat(this.outbox);
    this.outbox.length = 0;
    this.outboxBytes = 0;
    this.keepAlive?.noteSent(performance.now());
    try {
      this.options.stream.send(bytes);
      return undefined;
    } catch (cause) {
      return asError(cause).message;
    }
  }

  // Inbound

  private handleBytes(data: StreamMessageEvent['data']): void {
    if (this.over) return;
    this.keepAlive?.noteHeard(performance.now());
    const intact = this.reader.push(data, (frame) => {
      this.count('receivedBytes', FRAME_HEADER_BYTES + frame.byteLength);
      this.inbox.push(frame);
      this.handOut();
    });
    if (!intact) this.fail('the other end sent a frame of an impossible length');
  }

  private handOut(): void {
    if (this.handingOut) return;
    this.handingOut = true;
    while (this.handedOut < this.inbox.length && !this.held && !this.over) {
      this.handleFrame(this.inbox[this.handedOut++] as Uint8Array);
    }
    if (this.handedOut >= this.inbox.length) {
      this.inbox = [];
      this.handedOut = 0;
    }
    this.handingOut = false;
  }

  private handleFrame(frame: Uint8Array): void {
    const { compression } = this;
    if (compression === undefined) this.options.handleBody(frame);
    else this.handleKind(compression, frame[0] as number, frame.subarray(1));
  }

  private handleKind(compression: Compression, kind: number, body: Uint8Array): void {
    switch (kind) {
      case RAW:
        this.options.handleBody(body);
        break;
      case COMPRESSED:
        this.handleCompressed(compression, body);
        break;
      case PING:
        this.pong();
        break;
      case PONG:
        break;
      case BYE:
        this.fail(`the other end closed the session: ${textOf(body.subarray(0, REASON_BYTES_MAX))}`);
        break;
      default:
        this.fail('the other end sent a frame of an unknown kind');
    }
  }

  private handleCompressed(compression: Compression, compressed: Uint8Array): void {
    const body = decompress(compression, compressed, HUB_FRAME_BYTES_MAX);
    if (body === undefined) this.fail('the other end sent a frame that cannot be decompressed');
    else this.options.handleBody(body);
  }

  private count(direction: keyof Traffic, bytes: number): void {
    this.traffic[direction] += bytes;
    if (this.options.total !== undefined) this.options.total[direction] += bytes;
  }
}

const EMPTY = new Uint8Array(0);
