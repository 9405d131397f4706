import { CausalContext } from '../causal/context.ts';
import type { Entries } from '../causal/entry.ts';
import { joinEntries } from '../causal/join.ts';
import type { CausalObject } from '../causal/object.ts';
import type { NodeId } from '../machine.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import { type SyncFetchedMessage, type SyncFetchMessage, type SyncItem, WHOLE } from './message.ts';
import { nameId } from './record.ts';
import type { Replica } from './replica.ts';
import type { Shard } from './shard-table.ts';
import { messagesOf, type PartGatherer } from './sync-parts.ts';
import { fitting } from './sync-session.ts';

/** Keys asked for at once whose record was bad. */
const FETCH_MAX = 64;

/** What holders without a whole copy of a key know of it together. */
interface Known {
  readonly holders: Set<NodeId>;
  entries: Entries;
  readonly seen: CausalContext;
  readonly past: null;
}

export interface LostKeyFetcherParts {
  readonly replica: Replica;
  readonly parts: PartGatherer;
  /** A lost key is here again. */
  readonly onRestored: (shard: Shard) => void;
}

/** Fetches keys whose record was bad from the others who hold their shard. */
export class LostKeyFetcher {
  private readonly core: ReplicationCore;
  private readonly uses: LostKeyFetcherParts;
  /** Lost keys of which others do not have a whole copy either. */
  private readonly partial = new Map<Shard, Map<string, Known>>();
  /** Where the next round begins among the keys: the first of them may be ones that nobody can send now. */
  private turn = 0;

  constructor(core: ReplicationCore, uses: LostKeyFetcherParts) {
    this.core = core;
    this.uses = uses;
  }

  handleDropped(shard: Shard): void {
    this.partial.delete(shard);
  }

  /** Asks the others for the keys that are lost here. */
  fetch(shard: Shard): void {
    this.turn++;
    for (const holder of this.holders(shard)) this.ask(holder, shard);
  }

  /** The other owners, and those who may hold the shard for them, also while they are away. */
  private holders(shard: Shard): NodeId[] {
    const { ring, options } = this.core;
    const owners = ring.owners(shard.id).filter((owner) => owner !== options.self);
    const sources = [...shard.sources, ...shard.synced.keys()].filter((source) => !ring.isGone(source));
    return [...new Set([...owners, ...sources])];
  }

  private ask(owner: NodeId, shard: Shard): void {
    if (shard.lost.size === 0 || !this.core.isUp(owner)) return;
    const all = [...shard.lost.values()].map(({ name }) => name);
    const start = (this.turn * FETCH_MAX) % all.length;
    const names = [...all.slice(start), ...all.slice(0, start)].slice(0, FETCH_MAX);
    this.core.sendDurable(owner, { type: 'sync-fetch', shard: shard.id, names });
  }

  handleFetch(from: NodeId, message: SyncFetchMessage): void {
    const shard = this.core.shards.find(message.shard);
    const lost = message.names.filter((name) => shard === undefined || shard.lost.has(nameId(name)));
    if (lost.length > 0) {
      const items = lost.map(
        (name): SyncItem => ({ ...name, entries: [], past: null, events: new CausalContext(), part: WHOLE }),
      );
      const context = new CausalContext();
      this.core.sendDurable(from, { type: 'sync-fetched', shard: message.shard, context, items });
    }
    const held = message.names.filter((name) => !lost.includes(name));
    if (shard === undefined || held.length === 0) return;
    const { bare } = shard;
    const context = shard.context.without(bare);
    const items: SyncItem[] = [];
    let isWhole = true;
    for (const name of held) {
      this.core.cells.open(shard.id, name, (cell) => {
        // Dropped while the key was read: it would be sent as absent.
        if (this.core.shards.find(shard.id) !== shard) return;
        this.core.restamp(cell);
        const { entries } = cell.object;
        const past = withBare(cell.object, bare);
        items.push({ ...name, entries, past, events: new CausalContext(), part: WHOLE });
        // One of them may be absent for being bad here too, and the context is from before: the peer asks again.
        if (shard.losing > 0) isWhole = false;
        if (items.length < held.length || !isWhole) return;
        // The peer asks again for those that do not fit.
        for (const fitted of messagesOf(items.slice(0, fitting(items)))) {
          this.core.sendDurable(from, { type: 'sync-fetched', shard: shard.id, context, items: fitted });
        }
      });
    }
  }

  handleFetched(from: NodeId, message: SyncFetchedMessage): void {
    const shard = this.core.shards.find(message.shard);
    if (shard === undefined) return;
    let open = message.items.length;
    let restored = 0;
    for (const item of message.items) {
      const whole = this.uses.parts.add(from, 'fetched', shard.id, item);
      if (whole === 'more' || whole === 'lost') continue;
      this.core.cells.open(shard.id, { bucket: item.bucket, key: item.key }, (cell) => {
        // Dropped while the key was read: it would stay on the disk.
        if (this.core.shards.find(shard.id) !== shard) return;
        const id = nameId(item);
        const wasLost = shard.lost.has(id);
        if (wasLost) this.takeIn(from, shard, message.context, whole, cell);
        if (wasLost && !shard.lost.has(id)) {
          restored++;
          this.forget(shard, id);
          this.uses.onRestored(shard);
        }
        // It had no room for more, maybe. What it could not help with waits for the next round.
        if (--open === 0 && restored > 0) this.ask(from, shard);
      });
    }
  }

  private forget(shard: Shard, id: string): void {
    const ofShard = this.partial.get(shard);
    ofShard?.delete(id);
    if (ofShard?.size === 0) this.partial.delete(shard);
  }

  private takeIn(from: NodeId, shard: Shard, context: CausalContext, item: SyncItem, cell: Cell): void {
    const lost = shard.lost.get(nameId(item));
    if (lost === undefined) return;
    const { entries, past } = item;
    // A stamp far ahead says nothing of whether the copy is whole: its sender marks it, and is asked again.
    if (this.uses.replica.refuseDrift(from, entries) !== null) return;
    const seen = context.clone();
    if (past !== null) seen.union(past);
    // Only then has it everything whose events are not named here any more.
    const isWhole = context.covers(shard.floor);
    const known = isWhole ? { entries, seen, past } : this.allKnown(from, shard, item, seen);
    if (known === null) return;
    // The events of its values are in nobody else's transfers, should its disk be lost before its own.
    const dots = isWhole ? entries.map(({ dot }) => dot).filter((dot) => context.has(dot)) : [];
    this.uses.replica.restore(shard, cell, { ...known, events: CausalContext.fromDots(dots) }, lost);
  }

  /**
   * What all holders together know of a lost key, once it is heard from each that its copy is not whole, and none names
   * another for whom it waits: there is no more.
   */
  private allKnown(from: NodeId, shard: Shard, item: SyncItem, seen: CausalContext): Known | null {
    const id = nameId(item);
    const ofShard = this.partial.get(shard) ?? new Map<string, Known>();
    this.partial.set(shard, ofShard);
    const known = ofShard.get(id) ?? { holders: new Set(), entries: [], seen: new CausalContext(), past: null };
    const before = known.seen.clone();
    for (const { dot } of known.entries) before.add(dot);
    const theirs = seen.clone();
    for (const { dot } of item.entries) theirs.add(dot);
    known.entries = joinEntries(
      known.entries,
      (dot) => before.has(dot),
      item.entries,
      (dot) => theirs.has(dot),
    ).entries;
    known.seen.union(seen);
    ofShard.set(id, known);
    known.holders.add(from);
    const isEveryone = [...shard.sources].every((source) => this.core.ring.isGone(source));
    return isEveryone && this.holders(shard).every((holder) => known.holders.has(holder)) ? known : null;
  }
}

/** The object's past, and those of its entries of which nobody here knows what they had replaced. */
function withBare({ entries, past }: CausalObject, bare: CausalContext): CausalContext | null {
  const dots = entries.map(({ dot }) => dot).filter((dot) => bare.has(dot));
  if (dots.length === 0) return past;
  const seen = CausalContext.fromDots(dots);
  if (past !== null) seen.union(past);
  return seen;
}
