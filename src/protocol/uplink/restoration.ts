import { CausalContext, NOTHING } from '../causal/context.ts';
import { FingerprintTree, leafBelow, leafOf } from '../causal/fingerprint-tree.ts';
import { compareNames, nameId, type ObjectName } from '../causal/name.ts';
import { stripPast } from '../causal/object.ts';
import { areWithin } from './comparison.ts';
import { itemBytes } from './item.ts';
import type { HubFetchedReply, HubReply, HubRequest, UplinkItem } from './message.ts';
import type { KeyCopy, Restoring, UplinkSource } from './source.ts';

export interface RestorationScope {
  readonly shard: number;
  /** Qualified names, sorted. */
  readonly buckets: readonly string[];
  /** What the hub is known to count, and what is covered here before anything is compared. */
  readonly hub: CausalContext;
  readonly before: CausalContext;
}

export interface RestorationHooks {
  readonly source: UplinkSource;
  readonly restoring: Restoring;
  readonly request: (request: HubRequest, use: (reply: HubReply | null) => void) => void;
  /** `kept`: all keys are here, and the missing events are not counted. */
  readonly onEnd: (end: 'settled' | 'kept' | 'failed') => void;
}

/** Of one more key, and of all that are kept until the end. */
const LATE_BYTES = 256;
const LATE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Brings back what a site has lost with its disks and the hub still has, whoever wrote it: finds the keys that differ as a
 * `Comparison` does, takes the hub's copies of those with events that are missing here, each of which knows all that the hub has
 * seen: it may end anywhere. At last it drops what the hub knows to be gone and counts what the hub counts, in one step.
 */
export class Restoration {
  private readonly scope: RestorationScope;
  private readonly hooks: RestorationHooks;
  private readonly brought = new CausalContext();
  /** Something is left that cannot be told of. */
  private isPartial = false;
  /** There are keys here, or at the hub, of a bucket that was not known here when it began. */
  private hasOthers = false;
  /** Keys that have lost something at the hub, as they are there. */
  private readonly late: UplinkItem[] = [];
  private lateBytes = 0;
  private revision: string | null = null;
  /** The hub's copy has changed on the way: what came says nothing of what is gone. */
  private isMoved = false;
  private leaves: ReadonlySet<number> = new Set();

  constructor(scope: RestorationScope, hooks: RestorationHooks) {
    this.scope = scope;
    this.hooks = hooks;
  }

  start(): void {
    const tree = new FingerprintTree();
    this.scan(
      null,
      null,
      ({ name, ...object }) => tree.add(nameId(name), stripPast(object, this.scope.hub)),
      () => this.compareTop(tree),
    );
  }

  private compareTop(tree: FingerprintTree): void {
    this.differ(null, tree.top(), (children) => {
      if (children.length === 0) this.fetch(null);
      else {
        this.differ(children, tree.below(children), (positions) => {
          this.leaves = new Set(positions.map((position) => leafBelow(children, position)));
          this.fetch(null);
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
    // Whatever has changed since the step before, what is missing is brought nearer.
    this.hooks.request({ type: 'hub-compare', shard, buckets, revision: null, children, sums: told }, (reply) => {
      if (reply?.type !== 'hub-differ' || reply.revision === null || !areWithin(reply.differing, children)) {
        this.hooks.onEnd('failed');
        return;
      }
      this.noteRevision(reply.revision);
      use(reply.differing);
    });
  }

  private fetch(after: ObjectName | null): void {
    const { shard, buckets } = this.scope;
    const leaves = [...this.leaves];
    this.hooks.request({ type: 'hub-fetch', shard, buckets, leaves, after }, (reply) => {
      if (reply?.type !== 'hub-fetched') this.hooks.onEnd('failed');
      else this.take(after, reply);
    });
  }

  private noteRevision(revision: string): void {
    this.isMoved ||= this.revision !== null && this.revision !== revision;
    this.revision = revision;
  }

  private take(after: ObjectName | null, reply: HubFetchedReply): void {
    const { revision, context, own, partial, isWhole, hasOthers, items, upto } = reply;
    this.noteRevision(revision);
    this.isPartial ||= partial.length > 0 || !isWhole;
    this.hasOthers ||= hasOthers;
    const named = new Set(items.map(nameId));
    // What brings no event with it belongs to one that is gone for good: others would not hear of it before that is counted.
    const fresh = items.filter(({ events }) => !this.scope.before.covers(events));
    for (const item of items) if (!fresh.includes(item)) this.keep(item);
    const look = ({ name, entries }: KeyCopy): void => {
      if (!this.leaves.has(leafOf(nameId(name))) || named.has(nameId(name)) || partial.includes(name.bucket)) return;
      if (entries.some(({ dot }) => context.has(dot)))
        this.keep({ ...name, entries: [], past: null, events: NOTHING, more: false, sent: null });
    };
    const join = (): void => {
      const { source } = this.hooks;
      source.join(this.scope.shard, { items: fresh, context, own, partial }, (isTaken) => {
        if (isTaken !== true || (upto !== null && after !== null && compareNames(upto, after) <= 0)) {
          this.hooks.onEnd('failed');
          return;
        }
        for (const { events } of items) this.brought.union(events);
        if (upto === null) this.finish(context);
        else this.fetch(upto);
      });
    };
    if (this.leaves.size === 0) join();
    else this.scan(after, upto, look, join);
  }

  private keep(item: UplinkItem): void {
    this.lateBytes += LATE_BYTES + itemBytes(item);
    if (this.lateBytes <= LATE_BYTES_MAX) this.late.push(item);
  }

  private finish(context: CausalContext): void {
    const isAll = !this.isPartial && this.lateBytes <= LATE_BYTES_MAX;
    if (!isAll && !this.hasOthers) {
      this.hooks.onEnd('kept');
      return;
    }
    if (this.hasOthers || this.isMoved) {
      this.hooks.onEnd('failed');
      return;
    }
    const { shard, before } = this.scope;
    const { brought, late } = this;
    this.hooks.restoring.settle(shard, { context, before, brought, late }, (isSettled) =>
      this.hooks.onEnd(isSettled === true ? 'settled' : 'failed'),
    );
  }

  /** The keys of these buckets, both ends open where null; `after` is excluded, `upto` included. */
  private scan(
    after: ObjectName | null,
    upto: ObjectName | null,
    look: (row: KeyCopy) => void,
    done: () => void,
  ): void {
    this.hooks.source.scan(this.scope.shard, after, (page) => {
      if (page === null) {
        this.hooks.onEnd('failed');
        return;
      }
      for (const row of page.rows) {
        if (upto !== null && compareNames(row.name, upto) > 0) {
          done();
          return;
        }
        if (this.scope.buckets.includes(row.name.bucket)) look(row);
        else this.hasOthers ||= this.hooks.source.policyOf(row.name.bucket) !== 'none';
      }
      const last = page.rows.at(-1);
      if (page.more && last !== undefined) this.scan(last.name, upto, look, done);
      else done();
    });
  }
}
