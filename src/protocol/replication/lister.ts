import { DeadlineQueue } from '../../lib/deadline-queue.ts';
import { compareUtf8 } from '../../lib/utf8.ts';
import { type Entries, sizeOf, withoutBytes } from '../causal/entry.ts';
import { liveEntries } from '../causal/value.ts';
import type { NodeId } from '../machine.ts';
import type { ReplicationCore } from './core.ts';
import type { ListMessage, ListReplyMessage } from './message.ts';
import type { ReadCoordinator } from './read-coordinator.ts';
import type { ListItem, ListRequest, Respond } from './request.ts';

/** Bytes of entries in one page from one node. */
const PAGE_BYTES_MAX = 1024 * 1024;

/** What one node holds of the shards that it was asked for. */
type Page = Omit<ListReplyMessage, 'type' | 'id'>;

interface Listing {
  readonly id: number;
  readonly request: ListRequest;
  readonly respond: Respond;
  /** Nodes asked, and the shards each answers for. */
  readonly asked: Map<NodeId, readonly number[]>;
  readonly pages: Map<NodeId, Page>;
  complete: boolean;
  ended: boolean;
}

/**
 * Ordered listing over the whole cluster: every shard is asked of a majority of its owners, pages are merged
 * in key order, and keys on which the owners differ are settled by a read of the key.
 */
export class Lister {
  private readonly core: ReplicationCore;
  private readonly reader: ReadCoordinator;
  private readonly nextId: () => number;
  private readonly listings = new Map<number, Listing>();
  private readonly deadlines: DeadlineQueue<Listing>;

  constructor(core: ReplicationCore, reader: ReadCoordinator, nextId: () => number) {
    this.core = core;
    this.reader = reader;
    this.nextId = nextId;
    this.deadlines = new DeadlineQueue(core.options.requestTimeoutMs);
  }

  handleRequest(request: ListRequest, respond: Respond): void {
    const listing: Listing = {
      id: this.nextId(),
      request,
      respond,
      asked: new Map(),
      pages: new Map(),
      complete: true,
      ended: false,
    };
    this.listings.set(listing.id, listing);
    this.deadlines.push(listing, this.core.now.monoMs);
    const plan = this.plan(listing);
    for (const [node, shards] of plan) listing.asked.set(node, shards);
    for (const [node, shards] of plan) {
      const { bucket, prefix, after, limit, values } = request;
      if (node === this.core.options.self) {
        this.page({ bucket, prefix, after, limit, values, shards }, (page) => this.handlePage(listing.id, node, page));
      } else {
        this.core.send(node, { type: 'list', id: listing.id, bucket, prefix, after, limit, values, shards });
      }
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
    for (let shard = 0; shard < this.core.ring.shards; shard++) {
      const owners = this.core.ring.owners(shard);
      const up = owners.filter((node) => this.core.isUp(node)).sort((a, b) => Number(b === self) - Number(a === self));
      const majority = Math.floor(owners.length / 2) + 1;
      const chosen = up.slice(0, majority);
      if (chosen.length < majority) {
        listing.complete = false;
        for (const node of this.core.ring.preference(shard).slice(owners.length, owners.length * 2)) {
          if (this.core.isUp(node)) chosen.push(node);
        }
      }
      for (const node of chosen) {
        const shards = plan.get(node);
        if (shards === undefined) plan.set(node, [shard]);
        else shards.push(shard);
      }
    }
    return plan;
  }

  private page(query: Omit<ListMessage, 'type' | 'id'>, use: (page: Page) => void): void {
    const { bucket, prefix, after, limit } = query;
    const held = new Set(query.shards.filter((shard) => this.core.shards.find(shard) !== undefined));
    const shards = [...held];
    const partial = query.shards.filter((id) => {
      const shard = this.core.shards.find(id);
      return shard?.owned !== true || !shard.complete;
    });
    this.core.scan({ table: 'listing', bucket, shards, prefix, after, limit }, (result) => {
      const items: ListItem[] = [];
      let bytes = 0;
      for (const row of result.rows) {
        bytes += 64 + row.name.key.length + sizeOf(row.entries);
        if (items.length > 0 && bytes > PAGE_BYTES_MAX) return use({ items, more: true, partial });
        items.push({ key: row.name.key, entries: row.entries });
      }
      return use({ items, more: result.more, partial });
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
    const byKey = new Map<string, { node: NodeId; entries: Entries }[]>();
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
  private isCounted({ asked, pages }: Listing): boolean {
    const counts = new Map<number, number>();
    for (const [node, shards] of asked) {
      const partial = new Set(pages.get(node)?.partial ?? shards);
      for (const shard of shards) if (!partial.has(shard)) counts.set(shard, (counts.get(shard) ?? 0) + 1);
    }
    for (let shard = 0; shard < this.core.ring.shards; shard++) {
      if ((counts.get(shard) ?? 0) <= this.core.ring.owners(shard).length / 2) return false;
    }
    return true;
  }

  /** Keys on which all asked owners agree are taken as they are, the others are read. */
  private settle(
    listing: Listing,
    keys: readonly string[],
    byKey: ReadonlyMap<string, readonly { node: NodeId; entries: Entries }[]>,
    more: boolean,
  ): void {
    const { bucket, values } = listing.request;
    const items: (ListItem | null)[] = [];
    let open = 1;
    const done = (): void => {
      if (--open > 0) return;
      const live = items.filter((item): item is ListItem => item !== null && item.entries.length > 0);
      listing.respond({
        type: 'list',
        items: values ? live : live.map(withoutValues),
        more,
        resumeAfter: more ? (keys.at(-1) ?? '') : '',
        complete: listing.complete,
      });
    };
    for (const [index, key] of keys.entries()) {
      const copies = byKey.get(key) ?? [];
      const shard = this.core.shardOf(bucket, key);
      let asked = 0;
      for (const [node, shards] of listing.asked) if (listing.pages.has(node) && shards.includes(shard)) asked++;
      const first = copies[0];
      if (
        first !== undefined &&
        copies.length === asked &&
        copies.every((copy) => sameEntries(copy.entries, first.entries))
      ) {
        const entries = liveEntries(first.entries, this.core.now.wallMs, this.core.conflictOf(bucket));
        items[index] = { key, entries };
        continue;
      }
      open++;
      items[index] = null;
      this.reader.handleGet({ type: 'get', bucket, key, level: 'quorum', session: null }, (reply) => {
        if (reply.type === 'get') items[index] = { key, entries: reply.entries };
        else listing.complete = false;
        done();
      });
    }
    done();
  }
}

function sameEntries(a: Entries, b: Entries): boolean {
  return (
    a.length === b.length &&
    a.every((entry, i) => entry.dot.counter === b[i]?.dot.counter && entry.dot.actor === b[i]?.dot.actor)
  );
}

function withoutValues({ key, entries }: ListItem): ListItem {
  return { key, entries: entries.map((entry) => ({ ...entry, payload: withoutBytes(entry.payload) })) };
}
