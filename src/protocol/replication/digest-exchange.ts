import { hash32 } from '../../lib/hash.ts';
import type { NodeId } from '../machine.ts';
import { firstId, type ReplicationCore } from './core.ts';
import type { SyncDigestMessage, SyncDigestsMessage, SyncEqualMessage } from './message.ts';
import { type Shard, toldContext } from './shard-table.ts';

/** So long an exchange that this node has opened spares it the answer to one of the peer's. */
const ANSWER_MS = 1000;
/** Shards that are to be looked at again are gathered for so long. */
const AGAIN_MS = 100;
/** Exchanges with one peer that are remembered. */
const EXCHANGES_MAX = 8;

/** What this node has told a peer of its shards. */
interface Exchange {
  readonly shards: readonly number[];
  readonly digests: readonly number[];
  /** Of an exchange that this node has opened and that the peer is to answer: the events that it covered. */
  readonly asked: number | null;
  readonly atMs: number;
}

export interface DigestExchangeHooks {
  /** The peer's context of the shard equals this node's. */
  readonly onEqual: (peer: NodeId, shard: Shard) => void;
  readonly onDiffer: (peer: NodeId, shard: Shard) => void;
}

/**
 * Finds the shards in which two holders differ: one digest over all of them, where it differs one for each. Both sides
 * remember what they have told, so that it need not be said again which digests are equal.
 */
export class DigestExchange {
  private readonly core: ReplicationCore;
  private readonly hooks: DigestExchangeHooks;
  private readonly exchanges = new Map<NodeId, Map<number, Exchange>>();
  private readonly again = new Map<NodeId, Set<number>>();
  private againMs: number | undefined;
  private lastId: number;

  constructor(core: ReplicationCore, hooks: DigestExchangeHooks) {
    this.core = core;
    this.hooks = hooks;
    this.lastId = firstId(core.options.prng);
  }

  handlePeerDown(peer: NodeId): void {
    this.exchanges.delete(peer);
    this.again.delete(peer);
  }

  /** Opens an exchange about these shards. */
  open(peer: NodeId, ids: readonly number[]): void {
    if (ids.length === 0 || !this.core.isUp(peer)) return;
    const shards = ids.toSorted((a, b) => a - b);
    const digests = shards.map((id) => this.digestOf(id));
    const exchange = ++this.lastId;
    const count = shards.reduce((sum, id) => sum + (this.core.shards.find(id)?.context.dotCount ?? 0), 0);
    const events = Math.min(count, Number.MAX_SAFE_INTEGER);
    this.remember(peer, exchange, { shards, digests, asked: events, atMs: this.core.now.monoMs });
    this.core.sendDurable(peer, { type: 'sync-digest', exchange, shards, events, combined: combine(digests) });
  }

  /** The shard is to be looked at again with this peer, soon and along with others. */
  openSoon(peer: NodeId, shard: Shard): void {
    const waiting = this.again.get(peer);
    if (waiting === undefined) this.again.set(peer, new Set([shard.id]));
    else waiting.add(shard.id);
    this.againMs ??= this.core.now.monoMs + AGAIN_MS;
  }

  handleDigest(from: NodeId, message: SyncDigestMessage): void {
    const { exchange, shards } = message;
    const digests = shards.map((id) => this.digestOf(id));
    const isEqual = combine(digests) === message.combined;
    if (!isEqual && this.hasAsked(from, message)) return;
    this.giveWay(from, shards);
    if (isEqual) {
      this.sayEqual(from, exchange, shards);
      this.noteEqual(from, shards, digests);
    } else {
      this.remember(from, exchange, { shards, digests, asked: null, atMs: this.core.now.monoMs });
      this.core.sendDurable(from, { type: 'sync-digests', exchange, digests });
    }
  }

  handleDigests(from: NodeId, message: SyncDigestsMessage): void {
    const asked = this.take(from, message.exchange);
    if (asked === undefined || message.digests.length !== asked.shards.length) return;
    const equal: number[] = [];
    const digests: number[] = [];
    for (const [index, id] of asked.shards.entries()) {
      const shard = this.core.shards.find(id);
      if (shard === undefined) continue;
      const digest = toldContext(shard).digest();
      if (digest === message.digests[index]) {
        equal.push(id);
        digests.push(digest);
      } else {
        this.hooks.onDiffer(from, shard);
      }
    }
    if (equal.length === 0) return;
    this.sayEqual(from, message.exchange, equal);
    this.noteEqual(from, equal, digests);
  }

  handleEqual(from: NodeId, message: SyncEqualMessage): void {
    const told = this.take(from, message.exchange);
    if (told === undefined) return;
    const digestByShard = new Map(told.shards.map((id, index) => [id, told.digests[index]]));
    const digests = message.shards.map((id) => digestByShard.get(id));
    this.noteEqual(from, message.shards, digests);
  }

  handleTimeout(): void {
    if (this.againMs === undefined || this.againMs > this.core.now.monoMs) return;
    this.againMs = undefined;
    for (const [peer, ids] of this.again) {
      this.open(
        peer,
        [...ids].filter((id) => this.core.shards.find(id) !== undefined),
      );
    }
    this.again.clear();
  }

  nextDeadline(): number | undefined {
    return this.againMs;
  }

  /**
   * When both have opened an exchange, that of the one which covers less is answered: it will ask for what it misses,
   * while the other would first have to say what it has.
   */
  private hasAsked(peer: NodeId, { shards, events }: SyncDigestMessage): boolean {
    const sinceMs = this.core.now.monoMs - ANSWER_MS;
    for (const { asked, atMs, shards: of } of this.exchanges.get(peer)?.values() ?? []) {
      if (asked === null || atMs < sinceMs) continue;
      const isOurs = asked < events || (asked === events && this.core.options.self < peer);
      const ids = new Set(of);
      if (isOurs && shards.every((id) => ids.has(id))) return true;
    }
    return false;
  }

  /**
   * The peer's exchange is answered: it leaves those of this node that crossed it unanswered, and they spare this node no
   * answer to what the peer asks next. Nor do those about more shards, whose answer may have been lost: at worst two
   * answers say the same.
   */
  private giveWay(peer: NodeId, shards: readonly number[]): void {
    const exchanges = this.exchanges.get(peer);
    const ids = new Set(shards);
    for (const [id, exchange] of exchanges ?? []) {
      if (exchange.asked === null || !exchange.shards.some((shard) => ids.has(shard))) continue;
      exchanges?.set(id, { ...exchange, asked: null });
    }
  }

  private sayEqual(to: NodeId, exchange: number, shards: readonly number[]): void {
    this.core.sendDurable(to, { type: 'sync-equal', exchange, shards });
  }

  /** The peer's contexts had these digests, once: what they name is the same as here where it is still so here. */
  private noteEqual(from: NodeId, ids: readonly number[], digests: readonly (number | undefined)[]): void {
    for (const [index, id] of ids.entries()) {
      const shard = this.core.shards.find(id);
      if (shard === undefined) continue;
      if (toldContext(shard).digest() === digests[index]) this.hooks.onEqual(from, shard);
      // Others wait for the first word of what it covers.
      else if (!shard.known.has(from)) this.openSoon(from, shard);
    }
  }

  private remember(peer: NodeId, id: number, exchange: Exchange): void {
    const exchanges = this.exchanges.get(peer) ?? new Map<number, Exchange>();
    this.exchanges.set(peer, exchanges);
    exchanges.delete(id);
    exchanges.set(id, exchange);
    for (const oldest of exchanges.keys()) {
      if (exchanges.size <= EXCHANGES_MAX) break;
      exchanges.delete(oldest);
    }
  }

  private take(peer: NodeId, id: number): Exchange | undefined {
    const exchanges = this.exchanges.get(peer);
    const exchange = exchanges?.get(id);
    exchanges?.delete(id);
    return exchange;
  }

  private digestOf(id: number): number {
    const shard = this.core.shards.find(id);
    return shard === undefined ? 0 : toldContext(shard).digest();
  }
}

function combine(digests: readonly number[]): number {
  const bytes = new Uint8Array(Uint32Array.from(digests).buffer);
  return hash32(bytes);
}
