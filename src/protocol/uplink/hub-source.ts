import { CausalContext } from '../causal/context.ts';
import type { ObjectName } from '../causal/name.ts';
import { hubKept, hubKeys, hubKeysOf, hubPage, hubStrip, hubTake, type ShardKept } from './hub-holdings.ts';
import type { HubMoment } from './hub-replica.ts';
import type { SiteBucket, SyncPolicy } from './message.ts';
import type { UplinkSource } from './source.ts';
import type { HubTransaction } from './transaction.ts';

export interface HubSourceOptions {
  /** Runs a transaction upon the rows of the site; calls back later with its result, or with null where the store is away. */
  readonly run: <T>(transaction: () => HubTransaction<T>, use: (result: T | null) => void) => void;
  /** As in HubMoment. */
  readonly revision: () => string;
  /** All is known of the shards, or more than before. */
  readonly onLoaded: () => void;
  /** What had come down is durable. */
  readonly onTaken: (shard: number, names: readonly ObjectName[]) => void;
  /** The store is an older copy of itself: nothing that was believed of it holds. */
  readonly onRolledBack: () => void;
}

/** Shards that are read at once. */
const LOAD_SHARDS = 256;
/** Index rows of a shard, or ranges, that are forgotten at once. */
const STRIPPED_MIN = 256;

/**
 * One of a hub's sites, as the hub reconciles it with a hub of its own. What each shard covers is kept in memory: of what other
 * processes write to the store it is told late, and goes on with less than there is, at no harm. Each answer says what the store
 * covers at that moment: where that is less than was known when it was asked, the store has been restored from a copy.
 */
export class HubSource implements UplinkSource {
  private readonly options: HubSourceOptions;
  private readonly kept = new Map<number, ShardKept>();
  private readonly stale = new Set<number>();
  private readonly stripping = new Set<number>();
  private isLoading = false;
  private policies: ReadonlyMap<string, SiteBucket> = new Map();
  private names: readonly string[] = [];
  private ids: readonly number[] = [];

  constructor(options: HubSourceOptions) {
    this.options = options;
  }

  /** Every shard has been read. */
  get isLoaded(): boolean {
    return this.ids.length > 0 && this.ids.every((shard) => this.kept.has(shard));
  }

  /** What the site has told of itself. `ids`: of all its shards, in ascending order. */
  describe(buckets: readonly SiteBucket[], ids: readonly number[]): void {
    this.policies = new Map(buckets.map((bucket) => [bucket.name, bucket]));
    this.names = buckets.map(({ name }) => name);
    this.ids = ids;
    for (const shard of ids) if (!this.kept.has(shard)) this.stale.add(shard);
  }

  /** They are read again at the next `load`. */
  noteChanged(shards: readonly number[]): void {
    for (const shard of shards) this.stale.add(shard);
  }

  noteAllChanged(): void {
    this.noteChanged(this.ids);
  }

  load(): void {
    if (this.isLoading || this.stale.size === 0) return;
    this.isLoading = true;
    const shards = [...this.stale].slice(0, LOAD_SHARDS);
    for (const shard of shards) this.stale.delete(shard);
    const before = shards.map((shard) => ({ shard, known: this.kept.get(shard) }));
    this.options.run(
      () => hubKept(shards),
      (found) => {
        this.isLoading = false;
        if (found === null) this.noteChanged(shards);
        else if (before.some(({ shard, known }) => !isAtLeast(found.get(shard), known))) this.rollBack();
        else for (const [shard, kept] of found) this.kept.set(shard, kept);
        if (found !== null) this.options.onLoaded();
      },
    );
  }

  shards(): readonly number[] {
    return this.ids;
  }

  covered(shard: number): { readonly context: CausalContext; readonly floor: CausalContext } | null {
    const kept = this.kept.get(shard);
    return kept !== undefined && this.isSound(kept) ? kept : null;
  }

  policyOf(bucket: string): SyncPolicy | undefined {
    return this.policies.get(bucket)?.sync;
  }

  buckets(): readonly string[] {
    return this.names;
  }

  readonly keysOf: UplinkSource['keysOf'] = (shard, events, eventsMax, use) => {
    const wanted = { context: CausalContext.fromRanges(events) };
    this.ask(shard, () => hubKeysOf(shard, events, eventsMax), use, wanted);
  };

  readonly read: UplinkSource['read'] = (shard, names, use) => this.ask(shard, () => hubKeys(shard, names), use);

  readonly scan: UplinkSource['scan'] = (shard, after, use) => this.ask(shard, () => hubPage(shard, after), use);

  readonly join: UplinkSource['join'] = (shard, pulled, use) => {
    const { run, onTaken } = this.options;
    run(
      () => hubTake(shard, pulled, this.moment()),
      (isAll) => {
        if (isAll !== null) onTaken(shard, pulled.items);
        use(isAll);
      },
    );
  };

  /** The hub above counts these: what is kept for it alone is forgotten, by the batch. */
  noteCovered(shard: number, covered: CausalContext): void {
    const kept = this.kept.get(shard);
    if (kept === undefined || this.stripping.has(shard)) return;
    const isEnough =
      kept.indexed.intersection(covered).dotCount >= STRIPPED_MIN ||
      kept.skipped.intersection(covered).rangeCount >= STRIPPED_MIN;
    if (!isEnough) return;
    this.stripping.add(shard);
    const known = covered.clone();
    this.options.run(
      () => hubStrip(shard, known, this.moment()),
      () => {
        this.stripping.delete(shard);
        this.noteChanged([shard]);
      },
    );
  }

  private moment(): HubMoment {
    const { policies } = this;
    return { revision: this.options.revision(), isChained: true, bucketOf: (name) => policies.get(name) };
  }

  /** Null: nothing is to be said of the shard just now. `wanted`: what else the store has to cover. */
  private ask<T extends { readonly kept: ShardKept }>(
    shard: number,
    transaction: () => HubTransaction<T>,
    use: (found: T | null) => void,
    wanted?: Pick<ShardKept, 'context'>,
  ): void {
    const known = this.kept.get(shard);
    this.options.run(transaction, (found) => {
      if (found === null || !this.isSound(found.kept)) use(null);
      else if (isAtLeast(found.kept, known) && isAtLeast(found.kept, wanted)) use(found);
      else {
        use(null);
        this.rollBack();
      }
    });
  }

  private rollBack(): void {
    this.kept.clear();
    this.noteAllChanged();
    this.options.onRolledBack();
  }

  /** Of a bucket that goes up, all that is counted is there: what a damaged disk has lost would pass for deleted above. */
  private isSound({ partial }: ShardKept): boolean {
    return !partial.some((bucket) => ['up', 'both'].includes(this.policyOf(bucket) ?? 'none'));
  }
}

function isAtLeast(
  found: Pick<ShardKept, 'context'> | undefined,
  known: Pick<ShardKept, 'context'> | undefined,
): boolean {
  return known === undefined || found?.context.covers(known.context) === true;
}
