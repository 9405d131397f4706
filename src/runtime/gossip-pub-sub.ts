import { failure, HoldfastError } from '../lib/failure.ts';
import { hash32 } from '../lib/hash.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import { VALUE_BYTES_MAX } from '../ports/node-handle.ts';
import { CHANNEL_BYTES_MAX, type Publication, type PublicationListener, type PubSub } from '../ports/pub-sub.ts';
import type { NodeId, Transport } from '../ports/transport.ts';
import { DecodeError } from '../wire/codec.ts';
import { decodePublication, encodePublication } from '../wire/publication.ts';

/**
 * Channels share this many topics, by hash: gossip keeps a mesh for each topic, and clients may use any number of
 * channels. A node takes part in the topics of its own subscribers; one with a subscriber of all channels in all.
 */
const TOPICS = 16;
const TOPIC_PREFIX = 'holdfast/pubsub/1/';
/** How long a topic stays after its last subscriber went: its mesh costs a round of messages to rebuild. */
const LINGER_MS = 30_000;
/**
 * Gossip keeps what passed in the last seconds for peers that missed it, without a bound in bytes. So what one node
 * sends is paced, with a burst; what is beyond waits, up to a bound, and is then dropped and counted.
 */
const BYTES_PER_SECOND = 8 * 1024 * 1024;
const BURST_BYTES = 8 * 1024 * 1024;
const WAITING_BYTES_MAX = 8 * 1024 * 1024;
const WAITING_MAX = 10_000;

export interface PubSubCounters {
  /** Given to gossip, and delivered from other nodes. */
  sent: number;
  received: number;
  /** Not sent to other nodes: too many waited, or gossip refused them. */
  dropped: number;
  /** From other nodes, undecodable. */
  refused: number;
}

interface Waiting {
  readonly topic: string;
  readonly data: Uint8Array;
  readonly done: () => void;
}

/** Application pub/sub over the transport's gossip. */
export class GossipPubSub implements PubSub {
  readonly counters: PubSubCounters = { sent: 0, received: 0, dropped: 0, refused: 0 };
  private readonly transport: Transport;
  private readonly clock: Clock;
  private readonly log: Log;
  private readonly listeners = new Map<string, Set<PublicationListener>>();
  private readonly listenersToAll = new Set<PublicationListener>();
  /** Subscribers by topic, and the topics that gossip has been told of. */
  private readonly wanted = new Map<string, number>();
  private readonly joined = new Set<string>();
  /** Cancels the end of a topic that nobody here wants any more. */
  private readonly lingering = new Map<string, () => void>();
  private waiting: Waiting[] = [];
  private waitingBytes = 0;
  /** May be overdrawn by one message. */
  private budgetBytes = BURST_BYTES;
  private budgetAtMs: number;
  private cancelPacing: (() => void) | null = null;
  private running = false;

  constructor(transport: Transport, clock: Clock, log: Log) {
    this.transport = transport;
    this.clock = clock;
    this.log = log;
    this.budgetAtMs = clock.now().monoMs;
  }

  /** Once the transport has started; until then and after `stop` messages stay at this node. */
  start(): void {
    this.running = true;
    for (const topic of this.wanted.keys()) this.join(topic);
  }

  stop(): void {
    this.running = false;
    this.cancelPacing?.();
    for (const cancel of this.lingering.values()) cancel();
    this.lingering.clear();
    this.counters.dropped += this.waiting.length;
    for (const { done } of this.waiting) done();
    this.waiting = [];
    this.waitingBytes = 0;
  }

  async publish(publication: Publication): Promise<number> {
    const { channel, message } = publication;
    if (channel.length > CHANNEL_BYTES_MAX) {
      throw new HoldfastError(
        failure('bad-request', `a channel is at most ${CHANNEL_BYTES_MAX} bytes, not ${channel.length}`),
      );
    }
    if (message.length > VALUE_BYTES_MAX) {
      throw new HoldfastError(
        failure('value-too-large', `a message is at most ${VALUE_BYTES_MAX} bytes, not ${message.length}`),
      );
    }
    const receivers = this.deliver(publication);
    if (this.running) await this.relay(topicOf(channel), encodePublication(publication));
    return receivers;
  }

  subscribe(channel: Uint8Array | null, listener: PublicationListener): () => void {
    const topics = channel === null ? ALL_TOPICS : [topicOf(channel)];
    const listeners = channel === null ? this.listenersToAll : this.listenersTo(textOf(channel));
    // One of its own, so that a listener may be given twice.
    const own: PublicationListener = (publication) => listener(publication);
    listeners.add(own);
    for (const topic of topics) {
      this.wanted.set(topic, (this.wanted.get(topic) ?? 0) + 1);
      this.join(topic);
    }
    return () => {
      if (!listeners.delete(own)) return;
      if (channel !== null && listeners.size === 0) this.listeners.delete(textOf(channel));
      for (const topic of topics) this.release(topic);
    };
  }

  /** A message that gossip brought. */
  handlePublication(topic: string, from: NodeId, data: Uint8Array): void {
    // Our own have been delivered when they were published.
    if (!topic.startsWith(TOPIC_PREFIX) || from === this.transport.self) return;
    try {
      const publication = decodePublication(data);
      this.counters.received++;
      this.deliver(publication);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.counters.refused++;
      this.transport.reportMisbehaviour(from, `a publication that cannot be decoded: ${error.message}`);
    }
  }

  private deliver(publication: Publication): number {
    let receivers = 0;
    for (const listener of this.listeners.get(textOf(publication.channel)) ?? []) receivers += listener(publication);
    for (const listener of this.listenersToAll) receivers += listener(publication);
    return receivers;
  }

  private relay(topic: string, data: Uint8Array): Promise<void> {
    this.refill();
    if (this.waiting.length === 0 && this.budgetBytes > 0) return this.send(topic, data);
    if (this.waiting.length >= WAITING_MAX || this.waitingBytes + data.length > WAITING_BYTES_MAX) {
      this.counters.dropped++;
      return Promise.resolve();
    }
    this.waitingBytes += data.length;
    return new Promise((done) => {
      this.waiting.push({ topic, data, done });
      this.pace();
    });
  }

  private async send(topic: string, data: Uint8Array): Promise<void> {
    this.budgetBytes -= data.length;
    try {
      await this.transport.publish(topic, data);
      this.counters.sent++;
    } catch (error) {
      this.counters.dropped++;
      this.log.debug('a publication was not sent', { reason: error instanceof Error ? error.message : String(error) });
    }
  }

  private async sendWaiting({ topic, data, done }: Waiting): Promise<void> {
    await this.send(topic, data);
    done();
  }

  private refill(): void {
    const nowMs = this.clock.now().monoMs;
    const earned = ((nowMs - this.budgetAtMs) * BYTES_PER_SECOND) / 1000;
    this.budgetBytes = Math.min(BURST_BYTES, this.budgetBytes + earned);
    this.budgetAtMs = nowMs;
  }

  private pace(): void {
    if (this.cancelPacing !== null) return;
    const delayMs = Math.max(1, Math.ceil((-this.budgetBytes * 1000) / BYTES_PER_SECOND));
    this.cancelPacing = this.clock.after(delayMs, () => {
      this.cancelPacing = null;
      this.refill();
      let sent = 0;
      for (const item of this.waiting) {
        if (this.budgetBytes <= 0) break;
        sent++;
        this.waitingBytes -= item.data.length;
        void this.sendWaiting(item);
      }
      this.waiting = this.waiting.slice(sent);
      if (this.waiting.length > 0) this.pace();
    });
  }

  private listenersTo(channel: string): Set<PublicationListener> {
    const known = this.listeners.get(channel);
    if (known !== undefined) return known;
    const created = new Set<PublicationListener>();
    this.listeners.set(channel, created);
    return created;
  }

  private join(topic: string): void {
    this.lingering.get(topic)?.();
    this.lingering.delete(topic);
    if (!this.running || this.joined.has(topic)) return;
    this.joined.add(topic);
    this.transport.subscribe(topic);
  }

  private release(topic: string): void {
    const left = (this.wanted.get(topic) ?? 0) - 1;
    if (left > 0) {
      this.wanted.set(topic, left);
      return;
    }
    this.wanted.delete(topic);
    if (!this.running) return;
    const cancel = this.clock.after(LINGER_MS, () => {
      this.lingering.delete(topic);
      if (this.joined.delete(topic)) this.transport.unsubscribe(topic);
    });
    this.lingering.set(topic, cancel);
  }
}

const ALL_TOPICS: readonly string[] = Array.from({ length: TOPICS }, (_, i) => `${TOPIC_PREFIX}${i}`);

function topicOf(channel: Uint8Array): string {
  return ALL_TOPICS[hash32(channel) % TOPICS] as string;
}

/** One character a byte, so that it can be the key of a map. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
