import type { Connection } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import type { NodeId } from '../../ports/transport.ts';
import { dialable, parseAddress, peerOf } from './addresses.ts';
import type { Admissions } from './admissions.ts';
import type { Counters } from './counters.ts';
import { classifyDialError } from './dial-error.ts';
import type { DialFailure, DialResult } from './dialer.ts';
import type { Host } from './host.ts';

/** Addresses of one peer that share its dial timeout; further ones are tried only if time is left. */
const ADDRESSES_SHARING_TIMEOUT = 3;
/**
 * A process that is being killed closes its connections before its listener: for a moment it accepts and resets. A
 * second look after this time tells "refused", which membership acts on, from a broken network.
 */
const SECOND_LOOK_DELAY_MS = 50;
const SECOND_LOOK_WITHIN_MS = 250;

export interface AddressDialerOptions {
  readonly self: NodeId;
  readonly host: () => Host;
  readonly admissions: Admissions;
  readonly counters: Counters;
  readonly isConnected: (peer: NodeId) => boolean;
  /** Time for one peer, over all its addresses. */
  readonly timeoutMs: number;
}

/** Dials addresses through libp2p and waits for admission. Its methods never reject. */
export class AddressDialer {
  private readonly options: AddressDialerOptions;

  constructor(options: AddressDialerOptions) {
    this.options = options;
  }

  /** Tries the addresses of a peer in order until one leads to it. */
  async dialPeer(peer: NodeId, texts: readonly string[]): Promise<DialResult> {
    const addresses = dialable(texts, peer, this.options.host().listening());
    const shareMs = this.options.timeoutMs / Math.max(1, Math.min(addresses.length, ADDRESSES_SHARING_TIMEOUT));
    const deadlineMs = performance.now() + this.options.timeoutMs;
    const reasons: DialFailure[] = [];
    for (const address of addresses) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) break;
      const result = await this.dialTwice(address, Math.min(leftMs, shareMs));
      if (this.options.isConnected(peer)) return this.counted({ kind: 'connected', peer });
      if (result.kind === 'failed') reasons.push(result.reason);
      if (result.kind === 'failed' && result.reason === 'denied') break;
    }
    return this.counted({ kind: 'failed', reason: summary(reasons) });
  }

  /** Dials a configured address, with or without peer id. */
  async dialSeed(text: string): Promise<DialResult> {
    const address = parseAddress(text);
    if (peerOf(address) === this.options.self) return { kind: 'self' };
    return this.counted(await this.dialOnce(address, this.options.timeoutMs));
  }

  private counted(result: DialResult): DialResult {
    this.options.counters.add('dials_total');
    if (result.kind === 'failed') this.options.counters.add(`dial_failures_total_${result.reason}`);
    return result;
  }

  private async dialTwice(address: Multiaddr, timeoutMs: number): Promise<DialResult> {
    const startedMs = performance.now();
    const result = await this.dialOnce(address, timeoutMs);
    if (result.kind !== 'failed' || result.reason !== 'unreachable') return result;
    if (performance.now() - startedMs > SECOND_LOOK_WITHIN_MS) return result;
    await new Promise((resolve) => {
      setTimeout(resolve, SECOND_LOOK_DELAY_MS);
    });
    return this.dialOnce(address, timeoutMs);
  }

  private async dialOnce(address: Multiaddr, timeoutMs: number): Promise<DialResult> {
    const { host, admissions, isConnected } = this.options;
    let connection: Connection;
    try {
      // Forced, or libp2p would answer with a connection to the peer that is just being closed.
      const signal = AbortSignal.timeout(Math.ceil(timeoutMs));
      connection = await host().libp2p.dial(address, { signal, force: true });
    } catch (cause) {
      return classifyDialError(cause);
    }
    const peer = connection.remotePeer.toString();
    const outcome = await admissions.outcome(connection);
    if (isConnected(peer)) return { kind: 'connected', peer };
    // This connection was given up for another one that is still being admitted.
    const other = admissions.pendingOutbound(peer, connection);
    if (outcome.kind === 'closed' && other !== undefined) await admissions.outcome(other);
    if (isConnected(peer)) return { kind: 'connected', peer };
    if (outcome.kind !== 'refused') return { kind: 'failed', reason: 'unreachable' };
    return { kind: 'failed', reason: outcome.code === 'timeout' ? 'timeout' : 'denied' };
  }
}

/** Only when nothing listened at any address is that said of the peer. */
function summary(reasons: readonly DialFailure[]): DialFailure {
  if (reasons.includes('denied')) return 'denied';
  if (reasons.length > 0 && reasons.every((reason) => reason === 'refused')) return 'refused';
  return reasons.includes('timeout') ? 'timeout' : 'unreachable';
}
