import type { Prng } from '../../lib/prng.ts';
import { Rotation } from '../../lib/rotation.ts';
import type { Catalog, CatalogChange } from '../catalog/catalog.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { CatalogExchange } from './message.ts';

/** Between two digests, to one peer after the other: heals whatever a lost message left unequal. */
const DIGEST_INTERVAL_MS = 5000;

export type CatalogSend = (to: NodeId, message: CatalogExchange) => void;

/** Keeps the catalogs of connected nodes equal: digests on connect and on a timer, states where they differ. */
export class CatalogExchanger {
  private readonly catalog: Catalog;
  private readonly rotation: Rotation;
  private readonly peers = new Set<NodeId>();
  /** Peers that have been asked for what they know, and have not answered. */
  private readonly asked = new Set<NodeId>();
  private nextDigestMs: number | undefined;

  constructor(catalog: Catalog, prng: Prng) {
    this.catalog = catalog;
    this.rotation = new Rotation(prng);
  }

  handleConnected(peer: NodeId, now: Instant, send: CatalogSend): void {
    this.peers.add(peer);
    this.nextDigestMs ??= now.monoMs + DIGEST_INTERVAL_MS;
    send(peer, { type: 'catalog-digest', digest: this.catalog.digest() });
  }

  handleDisconnected(peer: NodeId): void {
    this.peers.delete(peer);
    this.asked.delete(peer);
  }

  /** The peer speaks of something that is not known here. */
  ask(peer: NodeId, send: CatalogSend): void {
    if (this.asked.has(peer)) return;
    this.asked.add(peer);
    send(peer, { type: 'catalog-digest', digest: this.catalog.digest() });
  }

  /** The local catalog changed: tell everyone but the peer that it came from. */
  announce(except: NodeId | null, send: CatalogSend): void {
    for (const peer of this.peers) {
      if (peer !== except) send(peer, { type: 'catalog', state: this.catalog.state(), reply: false });
    }
  }

  /** Returns what the message changed in the local catalog. */
  handleMessage(from: NodeId, message: CatalogExchange, send: CatalogSend): CatalogChange | null {
    if (message.type === 'catalog-digest') {
      if (message.digest !== this.catalog.digest()) {
        send(from, { type: 'catalog', state: this.catalog.state(), reply: true });
      }
      return null;
    }
    this.asked.delete(from);
    const change = this.catalog.join(message.state);
    if (message.reply) send(from, { type: 'catalog', state: this.catalog.state(), reply: false });
    return change.members.length + change.buckets.length > 0 ? change : null;
  }

  handleTimeout(now: Instant, send: CatalogSend): void {
    if (this.nextDigestMs === undefined || this.nextDigestMs > now.monoMs) return;
    this.nextDigestMs = now.monoMs + DIGEST_INTERVAL_MS;
    // What was lost on the way is asked for again.
    this.asked.clear();
    const peer = this.rotation.next(
      () => this.peers,
      (id) => this.peers.has(id),
    );
    if (peer !== undefined) send(peer, { type: 'catalog-digest', digest: this.catalog.digest() });
  }

  nextDeadline(): number | undefined {
    return this.nextDigestMs;
  }
}
