import type { NodeId } from '../../ports/transport.ts';

export type DialFailure = 'refused' | 'timeout' | 'unreachable' | 'denied';

/** `self`: the address turned out to be this node's own. */
export type DialResult =
  | { readonly kind: 'connected'; readonly peer: NodeId }
  | { readonly kind: 'self' }
  | { readonly kind: 'failed'; readonly reason: DialFailure };

export interface DialerOptions {
  /** Tries the addresses of a peer in order, admission included. Never rejects. */
  readonly dialPeer: (peer: NodeId, addresses: readonly string[]) => Promise<DialResult>;
  /** Dials one configured address, of whatever peer answers there. Never rejects. */
  readonly dialSeed: (address: string) => Promise<DialResult>;
  readonly isConnected: (peer: NodeId) => boolean;
  readonly connectedCount: () => number;
  /** Reports the outcome of a dial that was asked for, not of one made in the background. */
  readonly handleFailed: (peer: NodeId, reason: DialFailure) => void;
  readonly random: () => number;
  readonly selfFirst: (peer: NodeId) => boolean;
}

/** Peers whose addresses are remembered for dialling. */
const PEERS_MAX = 4_096;
/** Background dials at once; those asked for by the protocol are not held back by them. */
const BACKGROUND_DIALS_MAX = 16;
const REQUESTED_DIALS_MAX = 128;
/** With this many peers connected, membership finds the rest: lost peers are no longer redialled from here. */
const BACKGROUND_PEERS_ENOUGH = 256;

const BACKOFF_FIRST_MS = 250;
const SEED_BACKOFF_MAX_MS = 10_000;
const PEER_BACKOFF_MAX_MS = 10_000;
/** Failures after which a known peer is only tried now and then. */
const PEER_FAILURES_QUICK = 8;
const PEER_BACKOFF_SLOW_MAX_MS = 60_000;
/** After a refused admission: somebody has to change a configuration first. */
const DENIED_DELAY_MIN_MS = 5_000;
/** The node with the greater id waits this long before it dials a discovered peer, which often dials it meanwhile. */
const TIE_BREAK_DELAY_MS = 100;

interface Target {
  readonly key: string;
  /** Undefined for a seed that has not been reached yet. */
  peer: NodeId | undefined;
  addresses: readonly string[];
  readonly seed: boolean;
  failures: number;
  lastFailure: DialFailure | undefined;
  dialling: boolean;
  /** The protocol asked for this dial and waits for the outcome. */
  requested: boolean;
  /** Whether it is dialled again by itself after a failure or a lost connection. */
  background: boolean;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Decides when to dial whom: seeds for ever, known and discovered peers in the background while few peers are
 * connected, and any peer at once when the protocol asks. All waiting is exponential backoff with full jitter
 * (Brooker, "Exponential Backoff And Jitter", 2015).
 */
export class Dialer {
  private readonly options: DialerOptions;
  private readonly peers = new Map<NodeId, Target>();
  private readonly seeds: Target[] = [];
  private backgroundDials = 0;
  private requestedDials = 0;
  private stopped = false;

  constructor(options: DialerOptions) {
    this.options = options;
  }

  /** Dials the address until whoever answers there is connected, and again whenever that peer is lost. */
  addSeed(address: string): void {
    const target = newTarget(address, undefined, [address], true);
    this.seeds.push(target);
    this.schedule(target, 0);
  }

  /** A peer of the address book: dialled now, with backoff. */
  addKnown(peer: NodeId, addresses: readonly string[]): void {
    const target = this.targetOf(peer, addresses);
    if (target === undefined) return;
    target.background = true;
    if (!this.options.isConnected(peer)) this.schedule(target, this.options.random() * BACKOFF_FIRST_MS);
  }

  /** A peer that just announced itself on the network. Returns false when it was known and nothing needs doing. */
  addDiscovered(peer: NodeId, addresses: readonly string[]): boolean {
    const isNew = !this.peers.has(peer);
    const target = this.targetOf(peer, addresses);
    if (target === undefined || this.options.isConnected(peer)) return false;
    target.background = true;
    if (target.dialling || target.lastFailure === 'denied') return isNew;
    const delayMs = this.options.selfFirst(peer) ? 0 : TIE_BREAK_DELAY_MS * (1 + this.options.random());
    this.schedule(target, delayMs);
    return isNew;
  }

  /** Dials now because the protocol asked; the failure, if it fails, is reported. */
  request(peer: NodeId, addresses: readonly string[]): void {
    if (this.stopped || this.options.isConnected(peer)) return;
    const target = this.targetOf(peer, addresses);
    if (target === undefined || (!target.dialling && this.requestedDials >= REQUESTED_DIALS_MAX)) {
      queueMicrotask(() => this.options.handleFailed(peer, 'unreachable'));
      return;
    }
    target.requested = true;
    if (!target.dialling) void this.run(target);
  }

  /** Where a connected peer can be dialled from now on, best first. */
  handleConnected(peer: NodeId, addresses: readonly string[]): void {
    const target = this.targetOf(peer, addresses);
    if (target === undefined) return;
    target.background = true;
    target.failures = 0;
    target.lastFailure = undefined;
    clearTimer(target);
  }

  /** `wanted`: the connection broke; otherwise this node itself ended it and does not hurry to get it back. */
  handleDisconnected(peer: NodeId, wanted: boolean): void {
    const target = this.peers.get(peer);
    if (target !== undefined) {
      if (!wanted) target.failures = PEER_FAILURES_QUICK;
      this.retry(target);
    }
    for (const seed of this.seeds) {
      if (seed.peer === peer) this.retry(seed);
    }
  }

  stop(): void {
    this.stopped = true;
    for (const target of [...this.peers.values(), ...this.seeds]) clearTimer(target);
  }

  private targetOf(peer: NodeId, addresses: readonly string[]): Target | undefined {
    let target = this.peers.get(peer);
    if (target === undefined) {
      if (this.peers.size >= PEERS_MAX && !this.forgetOne()) return undefined;
      target = newTarget(peer, peer, [], false);
      this.peers.set(peer, target);
    }
    target.addresses = [...new Set([...addresses, ...target.addresses])].slice(0, ADDRESSES_KEPT);
    return target;
  }

  /** Makes room by forgetting the first peer that is neither connected nor being dialled. */
  private forgetOne(): boolean {
    for (const [peer, target] of this.peers) {
      if (target.dialling || this.options.isConnected(peer)) continue;
      clearTimer(target);
      return this.peers.delete(peer);
    }
    return false;
  }

  private schedule(target: Target, delayMs: number): void {
    if (this.stopped || target.dialling) return;
    clearTimer(target);
    target.timer = setTimeout(() => {
      target.timer = undefined;
      this.runInBackground(target);
    }, delayMs);
  }

  private runInBackground(target: Target): void {
    if (this.stopped || target.dialling || this.isSatisfied(target)) return;
    if (!target.seed && this.options.connectedCount() >= BACKGROUND_PEERS_ENOUGH) {
      this.schedule(target, PEER_BACKOFF_SLOW_MAX_MS * (0.5 + this.options.random() / 2));
      return;
    }
    if (this.backgroundDials >= BACKGROUND_DIALS_MAX) {
      this.schedule(target, BACKOFF_FIRST_MS * (0.5 + this.options.random()));
      return;
    }
    this.backgroundDials += 1;
    void this.run(target).finally(() => {
      this.backgroundDials -= 1;
    });
  }

  private isSatisfied(target: Target): boolean {
    return target.peer !== undefined && this.options.isConnected(target.peer);
  }

  private async run(target: Target): Promise<void> {
    clearTimer(target);
    target.dialling = true;
    const counted = target.requested;
    if (counted) this.requestedDials += 1;
    const result = await (target.seed || target.peer === undefined
      ? this.options.dialSeed(target.key)
      : this.options.dialPeer(target.peer, target.addresses));
    target.dialling = false;
    if (counted) this.requestedDials -= 1;
    if (!this.stopped) this.handleResult(target, result);
  }

  private handleResult(target: Target, result: DialResult): void {
    const requested = target.requested;
    target.requested = false;
    if (result.kind === 'self') return;
    if (result.kind === 'connected') {
      target.failures = 0;
      target.lastFailure = undefined;
      if (target.seed) target.peer = result.peer;
      // It may have been lost again while the dial was being settled.
      if (!this.isSatisfied(target)) this.retry(target);
      return;
    }
    target.failures += 1;
    target.lastFailure = result.reason;
    if (requested && target.peer !== undefined && !this.isSatisfied(target)) {
      this.options.handleFailed(target.peer, result.reason);
    }
    this.retry(target);
  }

  private retry(target: Target): void {
    if (!target.seed && !target.background) return;
    if (!this.isSatisfied(target)) this.schedule(target, this.backoffMs(target));
  }

  private backoffMs(target: Target): number {
    const quick = target.seed || target.failures < PEER_FAILURES_QUICK;
    const capMs = quick ? (target.seed ? SEED_BACKOFF_MAX_MS : PEER_BACKOFF_MAX_MS) : PEER_BACKOFF_SLOW_MAX_MS;
    if (target.lastFailure === 'denied') {
      return DENIED_DELAY_MIN_MS + this.options.random() * (capMs - DENIED_DELAY_MIN_MS);
    }
    return this.options.random() * Math.min(capMs, BACKOFF_FIRST_MS * 2 ** Math.min(target.failures, 16));
  }
}

const ADDRESSES_KEPT = 16;

function newTarget(key: string, peer: NodeId | undefined, addresses: readonly string[], seed: boolean): Target {
  return {
    key,
    peer,
    addresses,
    seed,
    failures: 0,
    lastFailure: undefined,
    dialling: false,
    requested: false,
    background: seed,
    timer: undefined,
  };
}

function clearTimer(target: Target): void {
  clearTimeout(target.timer);
  target.timer = undefined;
}
