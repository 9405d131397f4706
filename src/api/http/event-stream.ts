import type { IncomingMessage, ServerResponse } from 'node:http';
import { failure, HoldfastError } from '../../lib/failure.ts';
import type { HttpLimits } from './limits.ts';

const RECONNECT_MS = 1000;
const RUN_CHARACTERS_MAX = 64;

/** A numbered feed as an event stream sees it. */
export interface StreamSource<T extends { readonly seq: number }> {
  readonly run: string;
  latest(): number;
  /** What is retained after `seq`, in order; null when some of it is gone. */
  after(seq: number): readonly T[] | null;
  subscribe(listener: (item: T) => void): () => void;
  /** The event's name and data. */
  describe(item: T): { readonly event: string; readonly data: unknown };
}

/** Where a stream starts: after `seq`, or anew because the client's position means nothing here. */
export type StreamStart = { readonly seq: number } | { readonly reset: ResetReason; readonly seq: number };

/** Why a client has missed events and must read the whole state again. */
type ResetReason = 'other-run' | 'too-old' | 'unknown-position';

/**
 * The position named by a `Last-Event-ID` (`<run>:<seq>`) in a feed; null without one. A position that cannot be
 * resumed starts at `fallback`. Throws `bad-request` for malformed text.
 */
export function resumeAt(
  header: string | string[] | undefined,
  source: Pick<StreamSource<{ seq: number }>, 'run' | 'latest' | 'after'>,
  fallback: number,
): StreamStart | null {
  if (header === undefined || header === '') return null;
  const match = typeof header === 'string' ? /^([^:\s]+):(0|[1-9][0-9]{0,15})$/.exec(header) : null;
  const [, run = '', digits] = match ?? [];
  const seq = Number(digits);
  if (match === null || run.length > RUN_CHARACTERS_MAX || !Number.isSafeInteger(seq)) {
    throw new HoldfastError(failure('bad-request', 'Last-Event-ID must be an id of this stream, "<run>:<number>"'));
  }
  if (run !== source.run) return { reset: 'other-run', seq: fallback };
  if (seq > source.latest()) return { reset: 'unknown-position', seq: fallback };
  return source.after(seq) === null ? { reset: 'too-old', seq: fallback } : { seq };
}

/** All open event streams (WHATWG HTML, section 9.2): their number, their keep-alive, and their end. */
export class EventStreams {
  private readonly limits: HttpLimits;
  private readonly open = new Set<EventStream>();
  private readonly timer: NodeJS.Timeout;

  constructor(limits: HttpLimits) {
    this.limits = limits;
    this.timer = setInterval(() => {
      const now = performance.now();
      for (const stream of this.open) stream.keepAlive(now);
    }, limits.streamKeepAliveIntervalMs);
    this.timer.unref();
  }

  /** Throws `too-many-requests` when no more streams are allowed. */
  admit(): void {
    const { streamsMax } = this.limits;
    if (this.open.size < streamsMax) return;
    throw new HoldfastError(
      failure(
        'too-many-requests',
        `this node already serves ${streamsMax} event streams; use another node or come back later`,
        {
          data: { limit: 'streamsMax', max: streamsMax },
        },
      ),
    );
  }

  /** Takes the response over and streams until the client goes, `close` is called or, without `follow`, the feed is read. */
  start<T extends { readonly seq: number }>(
    request: IncomingMessage,
    response: ServerResponse,
    source: StreamSource<T>,
    start: StreamStart,
    follow = true,
  ): void {
    const stream = new FeedStream(response, source, this.limits);
    this.open.add(stream);
    const forget = (): void => {
      stream.stop();
      this.open.delete(stream);
    };
    response.on('close', forget).on('error', forget);
    request.on('error', forget);
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    stream.begin(start, follow);
  }

  close(): void {
    clearInterval(this.timer);
    for (const stream of this.open) stream.end();
  }
}

interface EventStream {
  keepAlive(nowMs: number): void;
  end(): void;
}

/**
 * One client of a feed. Live events are written as they come while the client keeps up. When its buffer is full it
 * is paused, and reads on from the feed's retained part once the buffer has drained: a slow client costs one
 * bounded buffer, however far it lags. One that does not drain at all is disconnected.
 */
class FeedStream<T extends { readonly seq: number }> implements EventStream {
  private readonly response: ServerResponse;
  private readonly source: StreamSource<T>;
  private readonly limits: HttpLimits;
  private cursor = 0;
  private follow = true;
  /** When the buffer became full; null while there is room. */
  private pausedAtMs: number | null = null;
  private unsubscribe: () => void = () => undefined;

  constructor(response: ServerResponse, source: StreamSource<T>, limits: HttpLimits) {
    this.response = response;
    this.source = source;
    this.limits = limits;
  }

  begin(start: StreamStart, follow: boolean): void {
    this.cursor = start.seq;
    this.follow = follow;
    this.response.on('drain', () => this.handleDrain());
    // The first id lets a client resume from here even when nothing happens before it is cut off.
    this.write(`retry: ${RECONNECT_MS}\nid: ${this.id()}\n\n`);
    if ('reset' in start) this.writeReset(start.reset);
    if (follow) {
      this.unsubscribe = this.source.subscribe((item) => {
        if (this.pausedAtMs === null && item.seq > this.cursor) this.writeItem(item);
      });
    }
    this.catchUp();
  }

  keepAlive(nowMs: number): void {
    if (this.pausedAtMs !== null) {
      if (nowMs - this.pausedAtMs >= this.limits.streamStallMs) this.response.destroy();
      return;
    }
    // A feed may go on without anything for this client: the id keeps its position from growing too old.
    this.cursor = Math.max(this.cursor, this.source.latest());
    this.write(`: keep-alive\nid: ${this.id()}\n\n`);
  }

  end(): void {
    this.stop();
    this.response.end();
  }

  stop(): void {
    this.unsubscribe();
  }

  private handleDrain(): void {
    this.pausedAtMs = null;
    this.catchUp();
  }

  private catchUp(): void {
    if (this.pausedAtMs !== null || this.response.writableEnded) return;
    const items = this.source.after(this.cursor);
    if (items === null) {
      this.cursor = this.source.latest();
      this.writeReset('too-old');
    } else {
      for (const item of items) {
        this.writeItem(item);
        if (this.pausedAtMs !== null) return;
      }
    }
    if (!this.follow && this.pausedAtMs === null) this.end();
  }

  private writeItem(item: T): void {
    const { event, data } = this.source.describe(item);
    this.cursor = item.seq;
    this.write(`id: ${this.id()}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  private writeReset(reason: ResetReason): void {
    this.write(`id: ${this.id()}\nevent: reset\ndata: ${JSON.stringify({ reason })}\n\n`);
  }

  private write(text: string): void {
    this.response.write(text);
    if (this.pausedAtMs === null && this.response.writableLength > this.limits.streamBufferBytesMax) {
      this.pausedAtMs = performance.now();
    }
  }

  private id(): string {
    return `${this.source.run}:${this.cursor}`;
  }
}
