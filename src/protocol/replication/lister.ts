import { DeadlineQueue } from '../../lib/deadline-queue.ts';
import { failure } from '../../lib/failure.ts';
import { compareUtf8 } from '../../lib/utf8.ts';
import { CausalContext, NOTHING } from '../causal/context.ts';
import { type Entries, sizeOf, withoutBytes } from '../causal/entry.ts';
import { liveEntries } from '../causal/value.ts';
import type { NodeId } from '../machine.ts';
import type { ReplicationCore } from './core.ts';
import type { HintStore } from './hint-store.ts';
import type { ListMessage, ListReplyMessage, PageItem } from './message.ts';
import { ownersDigest } from './placement.ts';
import type { ReadCoordinator } from './read-coordinator.ts';
import type { ListingRow } from './record.ts';
import type { ListItem, ListRequest, Respond, ShardContext } from './request.ts';
import type { Shard } from './shard-table.ts';

/** Bytes of entries in one page from one node. */
const PAGE_BYTES_MAX = 1024 * 1024;

const NOT_SETTLED = failure('quorum-unavailable', 'nodes went away while a snapshot was read; read it again');

/** What one node holds of the shards that it was asked for. */
type Page = Omit<ListReplyMessage, 'type' | 'id'>;

interface Listing {
  readonly id: number;
  readonly request: ListRequest;
  readonly respond: Respond;
  /** Who owns the shards that each was asked for. */
  readonly owners: Map<NodeId, number>;
  /** Nodes asked, and the shards each answers for. */
  readonly asked: Map<NodeId, ReadonlySet<number>>;
  readonly pages: Map<NodeId, Page>;
  complete: boolean;
  ended: boolean;
}

/** One node's copy of a key. */
interface Copy {
  readonly node: NodeId;
  readonly entries: Entries;
}

/**
 * Ordered listing over the whole cluster: every shard is asked of a majority of its owners, of a snapshot all, pages are
 * merged in key order, and keys on which the owners differ are settled by a read of the key.
 */
export class Lister {
  private readonly core: ReplicationCore;
  private readonly reader: ReadCoordinator;
  private readonly hints: HintStore;
  private readonly nextId: () => number;
  private readonly listings = new Map<number, Listing>();
  private readonly deadlines: DeadlineQueue<Listing>;

  constructor(core: ReplicationCore, reader: ReadCoordinator, hints: HintStore, nextId: () => number) {
    this.core = core;
    this.reader = reader;
    this.hints = hints;
    this.nextId = nextId;
    this.deadlines = new DeadlineQueue(core.options.requestTimeoutMs);
  }

  handleRequest(request: ListRequest, respond: Respond): void {
    const listing: Listing = {
      id: this.nextId(),
      request,
      respond,
      owners: new Map(),
      asked: new Map(),
      pages: new Map(),
      complete: true,
      ended: false,
    };
    this.listings.set(listing.id, listing);
    this.deadlines.push(listing, this.core.now.monoMs);
    const plan = this.plan(listing);
    for (const [node, shards] of plan) {
      listing.asked.set(node, new Set(shards));
      listing.owners.set(node, ownersDigest(this.core.ring, shards));
    }
    const { bucket, prefix, after, values, snapshot } = request;
    for (const [node, shards] of plan) {
      const limit = this.shareOf(request.limit, shards.length);
      const query = { bucket, prefix, after, limit, values, shards, snapshot };
      if (node === this.core.options.self) this.page(query, (page) => this.handlePage(listing.id, node, page));
      else this.core.send(node, { type: 'list', id: listing.id, ...query });
    }
    if (plan.size === 0) this.finish(listing);
  }

  handleList(from: NodeId, message: ListMessage): void {
    this.page(message, (page) => this.core.send(from, { type: 'list-reply', id: message.id, ...page }));
  }

  handleListReply(from: NodeId, message: ListReplyMessage): void {
    this.handlePage(message.id, from, message);
  }

  handlePeerDown(peer: NodeId): void {
    for (const listing of this.listings.values()) {
      if (!listing.asked.has(peer) || listing.pages.has(peer)) continue;
      listing.asked.delete(peer);
      listing.complete = false;
      if (listing.pages.size === listing.asked.size) this.finish(listing);
    }
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (let late = this.deadlines.pop(nowMs); late !== undefined; late = this.deadlines.pop(nowMs)) {
      late.complete = false;
      this.finish(late);
    }
  }

  nextDeadline(): number | undefined {
    return this.deadlines.next();
  }

  /** A majority of the owners of every shard, this node first; holders of hints where owners are away. */
  private plan(listing: Listing): Map<NodeId, number[]> {
    const { self } = this.core.options;
    const plan = new Map<NodeId, number[]>();
    for (const shard of this.core.ring.shardIdsOf(listing.request.bucket)) {
      const owners = this.core.ring.owners(shard);
      const up = owners.filter((node) => this.core.isUp(node)).sort((a, b) => Number(b === self) - Number(a === self));
      const majority = Math.floor(owners.length / 2) + 1;
      const chosen = listing.request.snapshot ? up : up.slice(0, majority);
      if (chosen.length < majority) {
        listing.complete = false;
        chosen.push(...this.standIns(shard, owners.length));
      } else if (!chosen.includes(self) && this.hints.mayHold(shard)) {
        chosen.push(self);
      }
      for (const node of chosen) {
        const shards = plan.get(node);
        if (shards === undefined) plan.set(node, [shard]);
        else shards.push(shard);
      }
    }
    return plan;
  }

  /**
   * How many keys a node is asked for that answers for some of the shards: what lies beyond the end of the page is read in
   * vain. Keys are spread by a hash; three deviations above the mean, the page is seldom cut short by one node.
   */
  private shareOf(limit: number, shards: number): number {
    const mean = (limit * shards) / this.core.ring.shards;
    return Math.min(limit, Math.ceil(mean + 3 * Math.sqrt(mean)) + 1);
  }

  /** The nodes that take writes while the owners are away: the next ones that are up. */
  private standIns(shard: number, count: number): NodeId[] {
    const found: NodeId[] = [];
    const preference = this.core.ring.preference(shard);
    for (let i = count; i < preference.length && found.length < count; i++) {
      const node = preference[i] as NodeId;
      if (this.core.isUp(node)) found.push(node);
    }
    return found;
  }

  private page(query: Omit<ListMessage, 'type' | 'id'>, use: (page: Page) => void): void {
    const { bucket, prefix, after, limit } = query;
    const wanted = [...new Set(query.shards)];
    const held = wanted.flatMap((shard) => this.core.shards.find(shard) ?? []);
    const shards = held.map(({ id }) => id);
    const hints = wanted.filter((shard) => this.hints.mayHold(shard));
    const partial = wanted.filter((id) => {
      const shard = this.core.shards.find(id);
      return shard?.owned !== true || !shard.complete;
    });
    const owners = ownersDigest(this.core.ring, wanted);
    const contexts = query.snapshot ? contextsOf(held) : [];
    const scan = { table: 'listing', bucket, shards, hints, prefix, after, limit } as const;
    // The scan reads the disk. What the contexts cover, and what others may have been told of, is to be there.
    this.core.journal.afterTurn(() => {
      const { losses } = this.core;
      const { count, open } = losses;
      this.core.scan(scan, ({ rows, more }) => {
        // A row that is bad is missing from the scan, or all of a shard that was dropped: the contexts would say that their
        // keys are deleted.
        const isHeld = held.every((shard) => this.core.shards.find(shard.id) === shard);
        const isWhole = isHeld && open === 0 && losses.count === count;
        const told = isWhole ? { partial, contexts } : { partial: wanted, contexts: [] };
        use({ ...pageOf(rows, more), ...told, owners });
      });
    });
  }

  private handlePage(id: number, from: NodeId, page: Page): void {
    const listing = this.listings.get(id);
    if (listing === undefined || !listing.asked.has(from) || listing.pages.has(from)) return;
    listing.pages.set(from, page);
    if (listing.pages.size === listing.asked.size) this.finish(listing);
  }

  private finish(listing: Listing): void {
    listing.ended = true;
    this.listings.delete(listing.id);
    if (!this.isCounted(listing)) listing.complete = false;
    // A page that was cut says nothing about keys after its last one.
    let bound: string | null = null;
    for (const page of listing.pages.values()) {
      const last = page.items.at(-1)?.key;
      if (page.more && last !== undefined && (bound === null || compareUtf8(last, bound) < 0)) bound = last;
    }
    const byKey = new Map<string, Copy[]>();
    for (const [node, page] of listing.pages) {
      for (const item of page.items) {
        if (bound !== null && compareUtf8(item.key, bound) > 0) break;
        const copies = byKey.get(item.key);
        if (copies === undefined) byKey.set(item.key, [{ node, entries: item.entries }]);
        else copies.push({ node, entries: item.entries });
      }
    }
    const keys = [...byKey.keys()].sort(compareUtf8);
    const cut = keys.slice(0, listing.request.limit);
    const more = keys.length > cut.length || bound !== null;
    this.settle(listing, cut, byKey, more);
  }

  /** True when a majority of the owners of every shard have answered with complete replicas. */
  private isCounted({ asked, owners, pages, request }: Listing): boolean {
    const counts = new Map<number, number>();
    for (const [node, shards] of asked) {
      const page = pages.get(node);
      if (page === undefined || page.owners !== owners.get(node)) continue;
      const partial = new Set(page.partial);
      for (const shard of shards) if (!partial.has(shard)) counts.set(shard, (counts.get(shard) ?? 0) + 1);
    }
    for (const shard of this.core.ring.shardIdsOf(request.bucket)) {
      if ((counts.get(shard) ?? 0) <= this.core.ring.owners(shard).length / 2) return false;
    }
    return true;
  }

  /** Keys on which all asked owners agree are taken as they are, the others are read. */
  private settle(
    listing: Listing,
    keys: readonly string[],
    byKey: ReadonlyMap<string, readonly Copy[]>,
    more: boolean,
  ): void {
    const { bucket, values, snapshot } = listing.request;
    const items: (ListItem | null)[] = [];
    const contexts = contextsIn(listing);
    let open = 1;
    const done = (): void => {
      if (--open > 0) return;
      const found = items.filter((item): item is ListItem => item !== null);
      // To leave a key out of a snapshot would be to say that it is absent.
      if (snapshot && found.length < items.length) {
        listing.respond({ type: 'failed', failure: NOT_SETTLED });
        return;
      }
      // A snapshot tells what is there, expired or not: the clock may be set while a client follows it.
      const live = snapshot ? found : this.live(bucket, found);
      listing.respond({
        type: 'list',
        items: values ? live : live.map(withoutValues),
        more,
        resumeAfter: more ? (keys.at(-1) ?? '') : '',
        complete: listing.complete,
        answered: [...listing.pages.keys()],
        contexts: [...contexts].map(([shard, context]) => ({ shard, context })),
      });
    };
    for (const [index, key] of keys.entries()) {
      const copies = byKey.get(key) ?? [];
      const shard = this.core.shardOf(bucket, key);
      const agreed = this.agreed(listing, shard, copies);
      if (agreed !== null) {
        items[index] = { key, entries: agreed, context: contexts.get(shard) ?? null, past: null };
        continue;
      }
      open++;
      items[index] = null;
      this.read(listing, key, { copies, context: contexts.get(shard) ?? null }, (item) => {
        items[index] = item;
        done();
      });
    }
    done();
  }

  private live(bucket: string, items: readonly ListItem[]): ListItem[] {
    const { wallMs } = this.core.now;
    const conflict = this.core.conflictOf(bucket);
    return items.flatMap(({ entries, ...item }) => {
      const live = liveEntries(entries, wallMs, conflict);
      return live.length === 0 ? [] : [{ ...item, entries: live }];
    });
  }

  /** The entries that all nodes asked for the shard hold; null where they differ, or where it takes a read to know. */
  private agreed({ asked, pages }: Listing, shard: number, copies: readonly Copy[]): Entries | null {
    const [first] = copies;
    if (first === undefined || first.entries.length === 0) return null;
    let expected = 0;
    for (const [node, shards] of asked) if (shards.has(shard) && pages.has(node)) expected++;
    if (copies.length !== expected) return null;
    return copies.every((copy) => sameEntries(copy.entries, first.entries)) ? first.entries : null;
  }

  /** Reads a key on which the pages differ. What they have shown, and in a snapshot have seen, is not lost on the way. */
  private read(listing: Listing, key: string, pages: Differing, use: (item: ListItem | null) => void): void {
    const { bucket, snapshot } = listing.request;
    const shown = CausalContext.fromDots(pages.copies.flatMap(({ entries }) => entries.map(({ dot }) => dot)));
    const read = (covered: CausalContext, otherwise: () => void): void => {
      const context = covered.clone();
      context.union(shown);
      // What they have shown has to be there, or replaced; what it had replaced need not be known.
      const session = { context, bare: shown.without(covered) };
      this.reader.read({ bucket, key, level: 'quorum', session }, (state) => {
        if (!('entries' in state)) otherwise();
        else
          use({
            key,
            entries: state.entries,
            context: snapshot ? state.context : null,
            past: snapshot ? state.past : null,
          });
      });
    };
    const fail = (): void => {
      listing.complete = false;
      use(null);
    };
    if (pages.context === null) read(NOTHING, fail);
    else read(pages.context, () => read(NOTHING, fail));
  }
}

/** The copies of a key on which pages differ, and in a snapshot what they are together the state of. */
interface Differing {
  readonly copies: readonly Copy[];
  readonly context: CausalContext | null;
}

/** Of shards whose context says what is true of all keys: of a lost one it may still count events on the floor. */
function contextsOf(shards: readonly Shard[]): ShardContext[] {
  return shards
    .filter(({ bare, lost }) => bare.isEmpty && lost.size === 0)
    .map(({ id, context }) => ({ shard: id, context: context.clone() }));
}

/** What the pages are together the state of, by shard. */
function contextsIn({ pages }: Listing): Map<number, CausalContext> {
  const contexts = new Map<number, CausalContext>();
  for (const page of pages.values()) {
    for (const { shard, context } of page.contexts) {
      const known = contexts.get(shard);
      if (known === undefined) contexts.set(shard, context.clone());
      else known.union(context);
    }
  }
  return contexts;
}

/** As many rows as fit in a page. */
function pageOf(rows: readonly ListingRow[], more: boolean): Pick<Page, 'items' | 'more'> {
  const items: PageItem[] = [];
  let bytes = 0;
  for (const { name, entries } of rows) {
    bytes += 64 + name.key.length + sizeOf(entries);
    if (items.length > 0 && bytes > PAGE_BYTES_MAX) return { items, more: true };
    items.push({ key: name.key, entries });
  }
  return { items, more };
}

function sameEntries(a: Entries, b: Entries): boolean {
  return (
    a.length === b.length &&
    a.every((entry, i) => entry.dot.counter === b[i]?.dot.counter && entry.dot.actor === b[i]?.dot.actor)
  );
}

function withoutValues({ entries, ...item }: ListItem): ListItem {
  return { ...item, entries: entries.map((entry) => ({ ...entry, payload: withoutBytes(entry.payload) })) };
}
