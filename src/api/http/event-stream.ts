import type { IncomingMessage, ServerResponse } from 'node:http';
import { failure, HoldfastError } from '../../lib/failure.ts';
import type { HttpLimits } from './limits.ts';

const RECONNECT_MS = 1000;
const RUN_CHARACTERS_MAX = 64;
/** At least between two times that the whole state is sent to one client. */
const RESTART_INTERVAL_MS = 1000;

/** A numbered feed as an event stream sees it. */
export interface StreamSource<T extends { readonly seq: number }> {
  readonly run: string;
  latest(): number;
  /** What is retained after `seq`, in order; null when some of it is gone. */
  after(seq: number): readonly T[] | null;
  subscribe(listener: (item: T) => void): () => void;
  /** The event's name and data. */
  describe(item: T): { readonly event: string; readonly data: unknown };
  /** Of a feed about some state: what sends it to a client that cannot go on where it was. */
  state?(client: StateClient): StateReader<T>;
}

/** A client that is being sent the state that a feed is about. */
export interface StateClient {
  /** Resolves once the client takes more. */
  writable(): Promise<void>;
  /** An event of the state, or one that ends it. */
  write(event: string, data: unknown): void;
  /** The state begins here: all earlier changes are part of it. */
  begin(): void;
  /** The client may have missed something that it can be shown now. */
  onStale(): void;
}

/** Sends the state of a feed, and knows whether a client that has it may have missed a change since. */
export interface StateReader<T> {
  /** What of an id names the state that its holder relies on, after the run; null while it is being sent. */
  readonly mark: string | null;
  /** The client goes on from the `mark` of an earlier stream, or without one begins with what changes from now on. */
  resume(mark: string | null): void;
  isStale(): boolean;
  /** The client is told of a change, now or as soon as it takes more. */
  noteChange(item: T): void;
  /** The state that is about to be sent will hold all changes up to then: the client is told of none. */
  readonly isHolding: boolean;
  run(): Promise<void>;
  stop(): void;
}

/** Where a stream starts: after `seq`, or anew because the client's position means nothing here. */
export type StreamStart =
  | { readonly seq: number; readonly mark: string | null }
  | { readonly reset: ResetReason; readonly seq: number };

/** Why a client begins anew: what it has may lack events, or it has asked for the whole state. */
export type ResetReason = 'other-run' | 'too-old' | 'unknown-position' | 'interrupted' | 'missed' | 'snapshot';

/** Of an id without a mark: its holder relies on nothing. */
const NO_MARK = '0';
/** In an id, in place of the number: the client was being sent the state. */
const INTERRUPTED = 'snapshot';

/**
 * The position named by a `Last-Event-ID` (`<run>:<seq>` or `<run>~<mark>:<seq>`) in a feed; null without one. A position
 * that cannot be resumed starts at `fallback`. Throws `bad-request` for malformed text.
 */
export function resumeAt(
  header: string | string[] | undefined,
  source: Pick<StreamSource<{ seq: number }>, 'run' | 'latest' | 'after'>,
  fallback: number,
): StreamStart | null {
  if (header === undefined || header === '') return null;
  const match =
    typeof header === 'string' ? /^([^:~\s]+)(?:~([0-9]{1,15}))?:(snapshot|0|[1-9][0-9]{0,15})$/.exec(header) : null;
  const [, run = '', mark = null, position] = match ?? [];
  const seq = position === INTERRUPTED ? 0 : Number(position);
  if (match === null || run.length > RUN_CHARACTERS_MAX || !Number.isSafeInteger(seq)) {
    throw new HoldfastError(
      failure(
        'bad-request',
        'Last-Event-ID is no id of an event stream; send the last one received as it was, or none',
      ),
    );
  }
  if (run !== source.run) return { reset: 'other-run', seq: fallback };
  if (position === INTERRUPTED) return { reset: 'interrupted', seq: fallback };
  if (seq > source.latest()) return { reset: 'unknown-position', seq: fallback };
  return source.after(seq) === null ? { reset: 'too-old', seq: fallback } : { seq, mark: mark ?? NO_MARK };
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
  private readonly state: StateReader<T> | null;
  /** Those who wait for room in the buffer. */
  private waiting: (() => void)[] = [];
  private restartedMs = Number.NEGATIVE_INFINITY;
  private restartTimer: NodeJS.Timeout | null = null;
  private stopped = false;

  constructor(response: ServerResponse, source: StreamSource<T>, limits: HttpLimits) {
    this.response = response;
    this.source = source;
    this.limits = limits;
    this.state =
      source.state?.({
        writable: () => this.writable(),
        write: (event, data) => this.writeEvent(event, data),
        begin: () => {
          this.cursor = this.source.latest();
        },
        onStale: () => this.checkState(),
      }) ?? null;
  }

  begin(start: StreamStart, follow: boolean): void {
    this.cursor = start.seq;
    this.follow = follow;
    this.response.on('drain', () => this.handleDrain());
    // The first id lets a client resume from here even when nothing happens before it is cut off.
    this.write(`retry: ${RECONNECT_MS}\nid: ${this.id()}\n\n`);
    if (follow) {
      this.unsubscribe = this.source.subscribe((item) => {
        this.state?.noteChange(item);
        if (this.pausedAtMs === null && !this.isHolding && item.seq > this.cursor) this.writeItem(item);
      });
    }
    if ('reset' in start) {
      this.reset(start.reset);
    } else {
      this.state?.resume(start.mark);
      this.checkState();
    }
    this.catchUp();
  }

  keepAlive(nowMs: number): void {
    if (this.pausedAtMs !== null) {
      if (nowMs - this.pausedAtMs >= this.limits.streamStallMs) this.response.destroy();
      return;
    }
    this.checkState();
    // A feed may go on without anything for this client: the id keeps its position from growing too old.
    this.cursor = Math.max(this.cursor, this.source.latest());
    this.write(`: keep-alive\nid: ${this.id()}\n\n`);
  }

  end(): void {
    this.stop();
    this.response.end();
  }

  stop(): void {
    this.stopped = true;
    this.unsubscribe();
    this.state?.stop();
    if (this.restartTimer !== null) clearTimeout(this.restartTimer);
    this.wake();
  }

  private handleDrain(): void {
    this.pausedAtMs = null;
    this.catchUp();
    this.wake();
  }

  private wake(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }

  private async writable(): Promise<void> {
    while (this.pausedAtMs !== null && !this.stopped) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  /** Begins anew where the client may have missed something; not more often than now and then. */
  private checkState(): void {
    if (this.stopped || this.restartTimer !== null || this.state?.isStale() !== true) return;
    const waitMs = this.restartedMs + RESTART_INTERVAL_MS - performance.now();
    if (waitMs <= 0) {
      this.reset('missed');
      return;
    }
    this.restartTimer = setTimeout(() => {
      this.restartTimer = null;
      this.checkState();
    }, waitMs);
  }

  /** Tells the client that it may have missed events, and sends it the state where the feed is about one. */
  private reset(reason: ResetReason): void {
    const { state } = this;
    // What is older than the state is left out: not all that followed it may have arrived here.
    if (state !== null) this.cursor = this.source.latest();
    this.restartedMs = performance.now();
    const sent = state?.run();
    this.writeEvent('reset', { reason });
    // A fault of this program: the client connects again.
    sent?.catch((error: unknown) => this.response.destroy(error instanceof Error ? error : undefined));
  }

  private get isHolding(): boolean {
    return this.state?.isHolding === true;
  }

  private catchUp(): void {
    if (this.pausedAtMs !== null || this.isHolding || this.response.writableEnded) return;
    const items = this.source.after(this.cursor);
    if (items === null) {
      this.cursor = this.source.latest();
      this.reset('too-old');
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
    this.writeEvent(event, data);
  }

  private writeEvent(event: string, data: unknown): void {
    this.write(`id: ${this.id()}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  private write(text: string): void {
    this.response.write(text);
    if (this.pausedAtMs === null && this.response.writableLength > this.limits.streamBufferBytesMax) {
      this.pausedAtMs = performance.now();
    }
  }

  private id(): string {
    const { run } = this.source;
    const mark = this.state === null ? '' : this.state.mark;
    if (mark === null) return `${run}:${INTERRUPTED}`;
    return mark === '' ? `${run}:${this.cursor}` : `${run}~${mark}:${this.cursor}`;
  }
}
