import type { Connection, PeerId, Stream } from '@libp2p/interface';
import { assert } from '../../lib/assert.ts';
import type { Lane, NodeId } from '../../ports/transport.ts';
import { LANES } from '../../ports/transport.ts';
import type { Counters } from './counters.ts';
import { LaneQueue } from './lane-queue.ts';

/** Queue of each lane, in bytes; a frame that does not fit is dropped and `send` says so. */
const LANE_QUEUE_BYTES_MAX: Readonly<Record<Lane, number>> = {
  control: 1024 * 1024,
  data: 8 * 1024 * 1024,
  bulk: 8 * 1024 * 1024,
};

/** One write to a stream: small enough that a probe never waits long behind it. */
const WRITE_BYTES_MAX = 64 * 1024;
const OPEN_TIMEOUT_MS = 5_000;
const REOPEN_DELAY_MAX_MS = 2_000;
/** Lane streams that may fail to open in a row before the connection itself is given up. */
const OPEN_FAILURES_MAX = 5;
/** Streams of one lane and direction that may overlap on one connection, while one replaces the other. */
export const LANE_STREAMS_MAX = 4;

export function laneProtocol(lane: Lane): string {
  return `/holdfast/${lane}/1`;
}

interface OutboundLane {
  readonly lane: Lane;
  readonly queue: LaneQueue;
  stream: Stream | undefined;
  connection: Connection | undefined;
  opening: boolean;
  openFailures: number;
  reopenTimer: NodeJS.Timeout | undefined;
  /** Monotonic ms of the last time that queued bytes moved, or that the queue was empty. */
  progressAtMs: number;
}

/**
 * One admitted peer: its connections (more than one for a moment after both sides dialled at once) and the outbound
 * stream of each lane. All lanes are pumped together, control first, because libp2p wakes the streams of a drained
 * connection in the order in which they were opened and would let a busy early one starve the rest.
 */
export class PeerLink {
  readonly peer: NodeId;
  readonly peerId: PeerId;
  private readonly counters: Counters;
  private readonly open: Connection[] = [];
  private readonly lanes: Readonly<Record<Lane, OutboundLane>>;
  private preferred: Connection | undefined;
  private pumpScheduled = false;
  private bulkFirst = false;
  private closed = false;
  readonly sinceMs: number;
  /** When a frame last left for the peer or came from it. */
  usedMs: number;
  /** Latest inbound stream of each lane. */
  readonly inbound: Partial<Record<Lane, Stream>> = {};

  constructor(peerId: PeerId, counters: Counters, nowMs: number) {
    this.peerId = peerId;
    this.peer = peerId.toString();
    this.counters = counters;
    this.sinceMs = nowMs;
    this.usedMs = nowMs;
    const lane = (name: Lane): OutboundLane => ({
      lane: name,
      queue: new LaneQueue(LANE_QUEUE_BYTES_MAX[name]),
      stream: undefined,
      connection: undefined,
      opening: false,
      openFailures: 0,
      reopenTimer: undefined,
      progressAtMs: nowMs,
    });
    this.lanes = { control: lane('control'), data: lane('data'), bulk: lane('bulk') };
  }

  get connections(): readonly Connection[] {
    return this.open;
  }

  has(connection: Connection): boolean {
    return this.open.includes(connection);
  }

  add(connection: Connection): void {
    this.open.push(connection);
  }

  /** Returns true when that was the last one; the link is then of no more use. */
  remove(connection: Connection): boolean {
    const at = this.open.indexOf(connection);
    if (at >= 0) this.open.splice(at, 1);
    if (this.preferred === connection) this.preferred = undefined;
    return this.open.length === 0;
  }

  /** New streams use this connection, and lanes on others move to it as soon as they have nothing in flight. */
  prefer(connection: Connection): void {
    this.preferred = connection;
    this.schedulePump();
  }

  /** The connection that new streams should use. */
  current(): Connection | undefined {
    if (this.preferred?.status === 'open') return this.preferred;
    return this.open.find((connection) => connection.status === 'open');
  }

  /** Queues a frame; everything queued in one turn leaves in as few writes as possible. */
  send(lane: Lane, frame: Uint8Array, nowMs: number): boolean {
    const outbound = this.lanes[lane];
    this.usedMs = nowMs;
    if (outbound.queue.bytes === 0) outbound.progressAtMs = nowMs;
    if (this.closed || !outbound.queue.offer(frame)) return false;
    this.schedulePump();
    return true;
  }

  queuedBytes(lane: Lane): number {
    return this.lanes[lane].queue.bytes;
  }

  /** True when some lane has had bytes waiting without progress for that long. */
  isStalled(nowMs: number, limitMs: number): boolean {
    return LANES.some((lane) => this.lanes[lane].queue.bytes > 0 && nowMs - this.lanes[lane].progressAtMs > limitMs);
  }

  close(): void {
    this.closed = true;
    for (const lane of LANES) clearTimeout(this.lanes[lane].reopenTimer);
  }

  private schedulePump(): void {
    if (this.pumpScheduled || this.closed) return;
    this.pumpScheduled = true;
    queueMicrotask(() => {
      this.pumpScheduled = false;
      this.pump();
    });
  }

  private pump(): void {
    if (this.closed) return;
    this.bulkFirst = !this.bulkFirst;
    this.pumpLane(this.lanes.control);
    this.pumpLane(this.bulkFirst ? this.lanes.bulk : this.lanes.data);
    this.pumpLane(this.bulkFirst ? this.lanes.data : this.lanes.bulk);
  }

  private pumpLane(outbound: OutboundLane): void {
    this.retireFromOldConnection(outbound);
    const stream = outbound.stream;
    if (stream === undefined) {
      if (outbound.queue.bytes > 0) this.openStream(outbound);
      return;
    }
    while (outbound.queue.bytes > 0 && !stream.writableNeedsDrain && stream.writeBufferLength < WRITE_BYTES_MAX) {
      const chunk = outbound.queue.take(WRITE_BYTES_MAX);
      assert(chunk !== undefined, 'a queue with bytes gives a chunk');
      outbound.progressAtMs = performance.now();
      this.counters.add(`bytes_sent_total_${outbound.lane}`, chunk.byteLength);
      try {
        if (!stream.send(chunk)) return;
      } catch {
        // Closed under us; its close event follows and reopens the lane.
        return;
      }
    }
  }

  /** Leaves a redundant connection only between frames and with nothing unsent, so that no frame is lost by moving. */
  private retireFromOldConnection(outbound: OutboundLane): void {
    const { stream, connection } = outbound;
    if (stream === undefined || this.preferred === undefined || connection === this.preferred) return;
    if (this.preferred.status !== 'open' || stream.writeBufferLength > 0 || !outbound.queue.isAtFrameBoundary) return;
    outbound.stream = undefined;
    outbound.connection = undefined;
    stream.close().catch((cause: unknown) => stream.abort(asError(cause)));
    this.openStream(outbound);
  }

  private openStream(outbound: OutboundLane): void {
    const connection = this.current();
    if (outbound.opening || outbound.reopenTimer !== undefined || connection === undefined) return;
    outbound.opening = true;
    connection
      .newStream(laneProtocol(outbound.lane), {
        signal: AbortSignal.timeout(OPEN_TIMEOUT_MS),
        maxOutboundStreams: LANE_STREAMS_MAX,
      })
      .then(
        (stream) => this.adoptStream(outbound, stream, connection),
        () => this.handleOpenFailed(outbound, connection),
      );
  }

  private adoptStream(outbound: OutboundLane, stream: Stream, connection: Connection): void {
    outbound.opening = false;
    if (this.closed || stream.status !== 'open') {
      stream.abort(new Error('peer is gone'));
      if (!this.closed) this.handleOpenFailed(outbound, connection);
      return;
    }
    outbound.openFailures = 0;
    outbound.stream = stream;
    outbound.connection = connection;
    // Lanes are one-way; a peer that answers on one is broken, and unread bytes would pile up.
    stream.addEventListener('message', () => stream.abort(new Error('unexpected bytes on an outbound lane')));
    stream.addEventListener('drain', () => this.schedulePump());
    stream.addEventListener('idle', () => this.schedulePumpIfQueued(outbound));
    stream.addEventListener('close', () => this.handleStreamClosed(outbound, stream));
    this.schedulePump();
  }

  private schedulePumpIfQueued(outbound: OutboundLane): void {
    if (outbound.queue.bytes > 0) this.schedulePump();
  }

  private handleStreamClosed(outbound: OutboundLane, stream: Stream): void {
    if (outbound.stream !== stream) return;
    outbound.stream = undefined;
    outbound.connection = undefined;
    outbound.queue.rewind();
    if (!this.closed && this.open.length > 0) this.openStream(outbound);
  }

  private handleOpenFailed(outbound: OutboundLane, connection: Connection): void {
    outbound.opening = false;
    outbound.openFailures += 1;
    if (this.closed) return;
    if (outbound.openFailures >= OPEN_FAILURES_MAX) {
      connection.abort(new Error('lane streams cannot be opened'));
      return;
    }
    const delayMs = Math.min(REOPEN_DELAY_MAX_MS, 50 * 2 ** outbound.openFailures);
    outbound.reopenTimer = setTimeout(() => {
      outbound.reopenTimer = undefined;
      this.openStream(outbound);
    }, delayMs);
  }
}

export function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}
