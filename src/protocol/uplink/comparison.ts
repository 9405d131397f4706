import { type CausalContext, NOTHING } from '../causal/context.ts';
import { FANOUT, FingerprintTree, LEAVES, leafBelow, leafOf } from '../causal/fingerprint-tree.ts';
import { nameId, type ObjectName } from '../causal/name.ts';
import type { Chunk } from './chunk.ts';
import { itemBytes, itemsOf } from './item.ts';
import type { HubReply, HubRequest, UplinkItem } from './message.ts';
import { UNNAMED_MAX } from './message.ts';
import type { UplinkSource } from './source.ts';

export interface ComparisonScope {
  readonly shard: number;
  /** Qualified names, sorted. */
  readonly buckets: readonly string[];
  /** What is covered here when it begins. */
  readonly context: CausalContext;
  /** What the hub counts once all is compared. */
  readonly floor: CausalContext;
  readonly skippedOf: readonly string[];
}

export interface ComparisonHooks {
  readonly source: UplinkSource;
  readonly request: (request: HubRequest, use: (reply: HubReply | null) => void) => void;
  readonly chunk: () => Chunk;
  readonly onEnd: (isDone: boolean) => void;
}

/** Keys of one request. */
const KEYS_MAX = 256;

/**
 * Compares all keys of some buckets of a shard with the hub's (range-based set reconciliation, as in `replication/`): sums
 * of fingerprints, then the copies in the ranges that differ, each way what the other lacks or has too much. Every step names the
 * revision of the hub's copy that the step before has left; a hub that is another one by then begins anew.
 */
export class Comparison {
  private readonly scope: ComparisonScope;
  private readonly hooks: ComparisonHooks;
  private revision = '';
  private leaves: ReadonlySet<number> = new Set();

  constructor(scope: ComparisonScope, hooks: ComparisonHooks) {
    this.scope = scope;
    this.hooks = hooks;
  }

  start(): void {
    this.readTree(new FingerprintTree(), null, (tree) => this.compareTop(tree));
  }

  private readTree(tree: FingerprintTree, after: ObjectName | null, use: (tree: FingerprintTree) => void): void {
    this.hooks.source.scan(this.scope.shard, after, (page) => {
      if (page === null) {
        this.hooks.onEnd(false);
        return;
      }
      if (page.rows.some(({ name }) => this.isUnknown(name.bucket))) {
        this.hooks.onEnd(false);
        return;
      }
      for (const row of page.rows) if (this.scope.buckets.includes(row.name.bucket)) tree.add(nameId(row.name), row);
      const last = page.rows.at(-1);
      if (page.more && last !== undefined) this.readTree(tree, last.name, use);
      else use(tree);
    });
  }

  /** Of a bucket that this holder had not heard of when it began, the hub would count events without its keys. */
  private isUnknown(bucket: string): boolean {
    const { buckets, skippedOf, floor } = this.scope;
    return !floor.isEmpty && !buckets.includes(bucket) && !skippedOf.includes(bucket);
  }

  private compareTop(tree: FingerprintTree): void {
    this.differ(null, tree.top(), (children) => {
      if (children.length === 0) this.finish();
      else {
        this.differ(children, tree.below(children), (positions) => {
          this.leaves = new Set(positions.map((position) => leafBelow(children, position)));
          if (this.leaves.size === 0) this.finish();
          else this.sendInterval(null);
        });
      }
    });
  }

  private differ(
    children: readonly number[] | null,
    sums: readonly number[],
    use: (positions: readonly number[]) => void,
  ): void {
    const { shard, buckets } = this.scope;
    const told = sums.some((sum) => sum !== 0) ? sums : [];
    const revision = children === null ? null : this.revision;
    this.hooks.request({ type: 'hub-compare', shard, buckets, revision, children, sums: told }, (reply) => {
      if (reply?.type !== 'hub-differ' || reply.revision === null || !areWithin(reply.differing, children)) {
        this.hooks.onEnd(false);
        return;
      }
      this.revision = reply.revision;
      use(reply.differing);
    });
  }

  /** Sends the copies of the next keys in leaves that differ. */
  private sendInterval(after: ObjectName | null): void {
    this.namesAfter(after, [], (names, upto) => {
      this.sendCopies(names, { after, upto }, (found) => {
        // Of a request that follows others in the interval the hub takes those of the others for unnamed.
        const named = new Set(names.map(nameId));
        const unnamed = found.filter((name) => !named.has(nameId(name)));
        const next = (): void => {
          // There may be more of them: the interval is gone through again.
          if (found.length === UNNAMED_MAX) this.sendInterval(after);
          else if (upto === null) this.finish();
          else this.sendInterval(upto);
        };
        if (unnamed.length === 0) next();
        else this.sendCopies(unnamed, null, next);
      });
    });
  }

  /** The next names, and up to where these are all; null: to the end. */
  private namesAfter(
    after: ObjectName | null,
    names: ObjectName[],
    use: (names: readonly ObjectName[], upto: ObjectName | null) => void,
  ): void {
    const keysMax = Math.min(KEYS_MAX, this.hooks.chunk().keys);
    this.hooks.source.scan(this.scope.shard, after, (page) => {
      if (page === null) {
        this.hooks.onEnd(false);
        return;
      }
      for (const { name } of page.rows) {
        if (!this.scope.buckets.includes(name.bucket) || !this.leaves.has(leafOf(nameId(name)))) continue;
        names.push(name);
        if (names.length >= keysMax) {
          use(names, name);
          return;
        }
      }
      const last = page.rows.at(-1);
      if (page.more && last !== undefined) this.namesAfter(last.name, names, use);
      else use(names, null);
    });
  }

  /** In as many requests as it takes; `interval` goes with the last one. */
  private sendCopies(
    names: readonly ObjectName[],
    interval: { readonly after: ObjectName | null; readonly upto: ObjectName | null } | null,
    use: (unnamed: readonly ObjectName[]) => void,
  ): void {
    this.hooks.source.read(this.scope.shard, names, (read) => {
      if (read === null) {
        this.hooks.onEnd(false);
        return;
      }
      const items = read.copies.flatMap((copy) => itemsOf(copy, NOTHING));
      const groups = this.groupsOf(items);
      const send = (index: number, unnamed: readonly ObjectName[]): void => {
        const group = groups[index];
        if (group === undefined) {
          use(unnamed);
          return;
        }
        const isLast = index === groups.length - 1;
        this.copy(group, read.context, isLast ? interval : null, (found) => send(index + 1, found));
      };
      send(0, []);
    });
  }

  private copy(
    items: readonly UplinkItem[],
    context: CausalContext,
    interval: { readonly after: ObjectName | null; readonly upto: ObjectName | null } | null,
    use: (unnamed: readonly ObjectName[]) => void,
  ): void {
    const { shard, buckets, floor } = this.scope;
    const ids = { shard, buckets, revision: this.revision, context, floor, leaves: [...this.leaves] };
    this.hooks.request({ type: 'hub-copies', ...ids, interval, items }, (reply) => {
      if (reply?.type !== 'hub-copied' || reply.revision === null) {
        this.hooks.onEnd(false);
        return;
      }
      this.revision = reply.revision;
      use(reply.unnamed);
    });
  }

  /** At least one group, though it be empty. */
  private groupsOf(items: readonly UplinkItem[]): UplinkItem[][] {
    const groups: UplinkItem[][] = [[]];
    let bytes = 0;
    for (const item of items) {
      const size = itemBytes(item);
      if (bytes > 0 && bytes + size > this.hooks.chunk().bytes) {
        groups.push([]);
        bytes = 0;
      }
      groups.at(-1)?.push(item);
      bytes += size;
    }
    return groups;
  }

  private finish(): void {
    const { revision } = this;
    this.hooks.request({ type: 'hub-done', ...this.scope, revision }, (reply) => {
      this.hooks.onEnd(reply?.type === 'hub-completed' && reply.done);
    });
  }
}

/** What a hub has answered to a step of a comparison. */
export function areWithin(positions: readonly number[], children: readonly number[] | null): boolean {
  const end = children === null ? FANOUT : children.length * FANOUT;
  return end <= LEAVES && positions.every((position) => position < end);
}
