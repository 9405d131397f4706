import type { Clock } from '../ports/clock.ts';
import { type HubLink, NOT_SENT } from '../ports/hub-link.ts';
import type { Log } from '../ports/log.ts';
import type { Storage, StorageWrite } from '../ports/storage.ts';
import type { Lane, Transport, TransportHandler } from '../ports/transport.ts';
import type { Entries } from '../protocol/causal/entry.ts';
import type { FenceOutcome } from '../protocol/election/effect.ts';
import type { NodeId } from '../protocol/machine.ts';
import type { BucketOutcome, NodeEffect, NodeEvent, NodeInput, RingOutcome } from '../protocol/node/effect.ts';
import type { Node } from '../protocol/node/node.ts';
import type { RefoundOutcome } from '../protocol/node/refounding.ts';
import type { NodeReply } from '../protocol/node/request.ts';
import type { ConflictsReply, FailedReply } from '../protocol/replication/request.ts';
import { DecodeError } from '../wire/codec.ts';
import { decodeFrame } from '../wire/message.ts';
import { addConfirmation } from './confirmation.ts';
import { DiskEffects } from './disk-effects.ts';
import { FrameBatcher } from './frame-batcher.ts';
import { hubHandler } from './hub-handler.ts';

/** Passes over the inbox in one turn, before the event loop gets a chance. */
const PASSES_MAX = 16;
/** A timer later than this is reported as lag of the event loop. */
const LAG_REPORT_MS = 100;

export interface DriverHooks {
  readonly onReply: (id: number, reply: NodeReply) => void;
  readonly onBucketReply: (id: number, outcome: BucketOutcome) => void;
  readonly onRingReply: (id: number, outcome: RingOutcome) => void;
  readonly onConflictsReply: (id: number, reply: ConflictsReply | FailedReply) => void;
  readonly onRefoundReply: (id: number, outcome: RefoundOutcome) => void;
  readonly onFenceReply: (id: number, outcome: FenceOutcome) => void;
  readonly onChanged: (bucket: string, key: string, entries: Entries) => void;
  /** Others tell of changes now, or some of what they told may be lost. */
  readonly onWatchCoverage: () => void;
  readonly onEvent: (event: NodeEvent) => void;
  readonly onPublication: (topic: string, from: NodeId, data: Uint8Array) => void;
  /** The store refuses a commit, which waits, or has taken it at last. */
  readonly onCommitRefused: (refused: boolean) => void;
  /** The node cannot go on. */
  readonly onFatal: (error: unknown) => void;
}

export interface DriverOptions {
  readonly node: Node;
  readonly storage: Storage;
  /** The records of the node itself, as they are on the disk. */
  readonly meta: readonly StorageWrite[];
  readonly transport: Transport;
  /** Null: there is no hub. */
  readonly hub: HubLink | null;
  readonly clock: Clock;
  readonly log: Log;
  readonly hooks: DriverHooks;
}

export interface DriverCounters {
  turns: number;
  inputs: number;
  framesReceived: number;
  framesRefused: number;
  messagesUnknown: number;
  messagesOversized: number;
}

/**
 * Runs a node: one inbox, one timer. Inputs gather while I/O is served; a turn takes them all, executes the
 * effects, and ends with one frame a peer and one group commit.
 */
export class Driver implements TransportHandler {
  readonly counters: DriverCounters = {
    turns: 0,
    inputs: 0,
    framesReceived: 0,
    framesRefused: 0,
    messagesUnknown: 0,
    messagesOversized: 0,
  };
  private readonly options: DriverOptions;
  private readonly disk: DiskEffects;
  private readonly frames: FrameBatcher;
  private inbox: NodeInput[] = [];
  private scheduled = false;
  private stopped = false;
  private cancelTimer: (() => void) | null = null;
  private timerAtMs = Number.POSITIVE_INFINITY;

  constructor(options: DriverOptions) {
    this.options = options;
    const { storage, meta, clock, log, hooks } = options;
    this.frames = new FrameBatcher(options.transport, log);
    this.disk = new DiskEffects({
      storage,
      meta,
      clock,
      post: (input) => this.post(input),
      confirm: (input) => {
        addConfirmation(this.inbox, input);
        this.schedule();
      },
      onRefused: (error) => {
        log.error('the disk refuses writes; they wait and are tried again', { reason: error.message });
        hooks.onCommitRefused(true);
      },
      onRecovered: () => {
        log.info('the disk takes writes again');
        hooks.onCommitRefused(false);
      },
      onFatal: hooks.onFatal,
      onScanFailed: (error) => {
        if (!this.stopped) hooks.onFatal(error);
      },
    });
  }

  /** What was sent to peers, by type of message. */
  get sent(): FrameBatcher['sent'] {
    return this.frames.sent;
  }

  /** Begins turning; the node's first deadlines are armed. */
  start(): void {
    this.schedule();
  }

  post(input: NodeInput): void {
    this.inbox.push(input);
    this.schedule();
  }

  /** Ends at once: what is under way is neither finished nor answered, and nothing is sent. `stop` is still to come. */
  halt(): void {
    this.stopped = true;
    this.cancelTimer?.();
    this.inbox = [];
  }

  /** Takes no more inputs and resolves once everything persisted is synced. */
  async stop(): Promise<void> {
    this.turn();
    this.stopped = true;
    this.cancelTimer?.();
    await this.disk.drain();
  }

  /** Writes a record of the node itself. */
  writeMeta(write: StorageWrite): void {
    this.disk.writeMeta(write);
    this.schedule();
  }

  /** The record went bad on the disk. */
  restoreMeta(key: Uint8Array): void {
    this.disk.restoreMeta(key);
    this.schedule();
  }

  handleConnected(peer: NodeId): void {
    this.post({ type: 'connected', peer });
  }

  handleDisconnected(peer: NodeId): void {
    this.post({ type: 'disconnected', peer });
  }

  handleDialFailed(peer: NodeId, reason: 'refused' | 'timeout' | 'unreachable' | 'denied'): void {
    this.post({ type: 'dial-failed', peer, reason });
  }

  handleFrame(peer: NodeId, lane: Lane, frame: Uint8Array): void {
    this.counters.framesReceived++;
    try {
      const { messages, unknown } = decodeFrame(frame);
      this.counters.messagesUnknown += unknown;
      for (const message of messages) this.inbox.push({ type: 'message', from: peer, message });
      this.schedule();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.counters.framesRefused++;
      this.options.transport.reportMisbehaviour(peer, `a frame on ${lane} that cannot be decoded: ${error.message}`);
    }
  }

  handlePublication(topic: string, from: NodeId, data: Uint8Array): void {
    this.options.hooks.onPublication(topic, from, data);
  }

  private schedule(): void {
    if (this.scheduled || this.stopped) return;
    this.scheduled = true;
    this.options.clock.soon(() => {
      this.scheduled = false;
      this.turn();
    });
  }

  private turn(): void {
    if (this.stopped) return;
    try {
      this.runTurn();
    } catch (error) {
      this.options.hooks.onFatal(error);
    }
  }

  private runTurn(): void {
    const { node, clock } = this.options;
    this.counters.turns++;
    const now = clock.now();
    for (let pass = 0; pass < PASSES_MAX && this.inbox.length > 0; pass++) {
      const inputs = this.inbox;
      this.inbox = [];
      this.counters.inputs += inputs.length;
      for (const input of inputs) this.execute(node.handle(input, now));
      this.disk.startReads();
    }
    const deadline = node.nextDeadline();
    if (deadline !== undefined && deadline <= now.monoMs) {
      this.execute(node.handleTimeout(now));
      this.disk.startReads();
    }
    this.frames.flush();
    this.counters.messagesOversized = this.frames.oversized;
    this.disk.flush();
    if (this.inbox.length > 0) this.schedule();
    this.armTimer(now.monoMs);
  }

  private armTimer(nowMs: number): void {
    const deadline = this.options.node.nextDeadline();
    if (deadline === this.timerAtMs && this.cancelTimer !== null) return;
    this.cancelTimer?.();
    this.cancelTimer = null;
    if (deadline === undefined) return;
    this.timerAtMs = deadline;
    this.cancelTimer = this.options.clock.after(Math.max(0, deadline - nowMs), () => {
      this.cancelTimer = null;
      const lagMs = this.options.clock.now().monoMs - deadline;
      if (lagMs > LAG_REPORT_MS) this.inbox.push({ type: 'lag', lagMs });
      this.turn();
    });
  }

  private execute(effects: readonly NodeEffect[]): void {
    for (const effect of effects) this.executeOne(effect);
  }

  private executeOne(effect: NodeEffect): void {
    const { transport, hooks, hub } = this.options;
    switch (effect.type) {
      case 'send':
        return this.frames.add(effect.to, effect.message);
      case 'dial':
        return transport.dial(effect.peer, effect.addresses);
      case 'disconnect':
        return transport.disconnect(effect.peer);
      case 'misbehaviour':
        return transport.reportMisbehaviour(effect.peer, effect.reason);
      case 'hub-open':
        return hub?.open(hubHandler((input) => this.post(input)));
      case 'hub-close':
        return hub?.close();
      case 'hub-send':
        if (hub?.send(effect.id, effect.request) === 0)
          this.post({ type: 'hub-reply', id: effect.id, reply: NOT_SENT });
        return;
      case 'fence-reply':
        return hooks.onFenceReply(effect.id, effect);
      case 'reply':
        return hooks.onReply(effect.id, effect.reply);
      case 'conflicts-reply':
        return hooks.onConflictsReply(effect.id, effect.reply);
      case 'bucket-reply':
        return hooks.onBucketReply(effect.id, effect.outcome);
      case 'refound-reply':
        return hooks.onRefoundReply(effect.id, effect.outcome);
      case 'ring-reply':
        return hooks.onRingReply(effect.id, effect.outcome);
      case 'watch-coverage':
        return hooks.onWatchCoverage();
      case 'changed':
        return hooks.onChanged(effect.bucket, effect.key, effect.entries);
      case 'event':
        return hooks.onEvent(effect.event);
      default:
        return this.disk.execute(effect);
    }
  }
}
