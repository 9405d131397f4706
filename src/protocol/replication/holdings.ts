import { CausalContext, type DotRange, NOTHING } from '../causal/context.ts';
import type { ActorId } from '../causal/dot.ts';
import { type KeyEvents, noteEvent } from '../causal/key-events.ts';
import { type CausalObject, type RemoteObject, seenOf } from '../causal/object.ts';
import type { NodeId } from '../machine.ts';
import type { ConflictJournal } from './conflict-journal.ts';
import type { ReplicationCore } from './core.ts';
import type { SyncItem } from './message.ts';
import { nameId, type ObjectName, type ObjectRow } from './record.ts';
import type { Replica } from './replica.ts';
import type { ShardContext } from './request.ts';
import { isWhole, type Shard } from './shard-table.ts';

/** A copy from outside of the ring, and what it has seen beside its own past. */
export interface OutsideItem extends Omit<SyncItem, 'part'> {
  readonly seen: CausalContext;
}

/** A copy of a key, and what the shard has covered since the first of several was made. */
interface LateCopy extends CausalObject {
  readonly name: ObjectName;
  readonly since: CausalContext;
}

/** What a hub still had, as it was compared. */
export interface RestoredShard {
  readonly context: CausalContext;
  /** What was covered here before, and what came with copies since. */
  readonly before: CausalContext;
  readonly brought: CausalContext;
  /** Keys of which the hub has less. */
  readonly late: readonly Pick<SyncItem, 'bucket' | 'key' | 'entries' | 'past' | 'events'>[];
}

/** Rows read at once. */
const SCAN_ROWS = 1024;
/** How often keys that fell out of memory while others were read are read again, before they are read one by one. */
const READS_MAX = 3;

export interface HoldingsUses {
  readonly replica: Replica;
  readonly conflicts: ConflictJournal;
  readonly repairWith: (peer: NodeId, shard: Shard) => void;
  /** The hub counts more of the shard. */
  readonly onHub: (shard: Shard) => void;
  /** The hub tells which events of this node's actor it knows. */
  readonly onKnown: (known: readonly ShardContext[]) => void;
}

/** The shards that this node answers for outside of the ring, and what is in them. */
export class Holdings {
  private readonly core: ReplicationCore;
  private readonly uses: HoldingsUses;

  constructor(core: ReplicationCore, uses: HoldingsUses) {
    this.core = core;
    this.uses = uses;
  }

  /** Those of which this node is the first owner that is up and has all of it. */
  shards(): number[] {
    const { ring, shards, options } = this.core;
    const answered: number[] = [];
    for (const shard of shards.all()) {
      if (!this.isSound(shard)) continue;
      const first = ring
        .owners(shard.id)
        .find((owner) => owner === options.self || (this.core.isUp(owner) && !shard.waitingOwners.has(owner)));
      if (first === options.self) answered.push(shard.id);
    }
    return answered;
  }

  /** What is durable of the shard, not to be modified; null: nothing is to be said of it now. */
  covered(id: number): { readonly context: CausalContext; readonly floor: CausalContext } | null {
    const shard = this.find(id);
    return shard === null ? null : { context: this.core.shards.publicContext(shard), floor: shard.floor };
  }

  /** This node's actor, and the shards in which it may have written. */
  ownEvents(): { readonly actor: ActorId; readonly shards: readonly number[] } {
    return { actor: this.core.options.actor, shards: [...this.core.ring.shardIds()] };
  }

  noteKnown(known: readonly ShardContext[]): void {
    this.uses.onKnown(known);
  }

  /** Tells which events were written at the hub. */
  noteOwn(own: CausalContext): void {
    this.uses.conflicts.noteHub(own);
  }

  /** Keeps the index of what the hub does not count. */
  noteHub(id: number, context: CausalContext): void {
    const shard = this.core.shards.find(id);
    if (shard === undefined) return;
    shard.hub = context;
    this.uses.onHub(shard);
  }

  /** The keys behind these events, by the index; at most so many events are looked at. */
  keysOf(
    id: number,
    ranges: readonly DotRange[],
    eventsMax: number,
    use: (found: { readonly keys: readonly KeyEvents[]; readonly looked: CausalContext } | null) => void,
  ): void {
    const shard = this.find(id);
    const wanted = firstOf(ranges, eventsMax);
    const keys = new Map<string, KeyEvents>();
    const next = (index: number, from: number): void => {
      const range = wanted[index];
      if (shard === null || this.find(id) !== shard || range === undefined) {
        use(
          shard === null || this.find(id) !== shard
            ? null
            : { keys: [...keys.values()], looked: CausalContext.fromRanges(wanted) },
        );
        return;
      }
      const { actor, to } = range;
      this.core.scan({ table: 'dot', shard: id, actor, from, to, limit: SCAN_ROWS }, (result) => {
        for (const { counter, name } of result.rows) noteEvent(keys, name, { actor, counter });
        const last = result.rows.at(-1);
        if (result.more && last !== undefined && last.counter < to) next(index, last.counter + 1);
        else next(index + 1, wanted[index + 1]?.from ?? 0);
      });
    };
    // The index is read from disk: all that is covered must be there.
    this.core.journal.afterTurn(() => next(0, wanted[0]?.from ?? 0));
  }

  /** The keys as they are at one moment, and what the shard covered then; called back once that is durable. */
  read(
    id: number,
    names: readonly ObjectName[],
    use: (
      read: {
        readonly copies: readonly (CausalObject & { readonly name: ObjectName })[];
        readonly context: CausalContext;
      } | null,
    ) => void,
    attempt = 0,
  ): void {
    const shard = this.find(id);
    if (shard === null) {
      this.core.journal.afterTurn(() => use(null));
      return;
    }
    let open = names.length + 1;
    const opened = (): void => {
      if (--open > 0) return;
      // Memory is bounded: the first of them may be gone before the last one is there.
      if (attempt < READS_MAX && !names.every((name) => this.core.cells.isLoaded(name))) {
        this.read(id, names, use, attempt + 1);
        return;
      }
      this.take(shard, names, use);
    };
    for (const name of names) this.core.cells.open(id, name, opened);
    opened();
  }

  /** All objects on disk in the order of their names, page by page. */
  scan(
    id: number,
    after: ObjectName | null,
    use: (page: { readonly rows: readonly ObjectRow[]; readonly more: boolean } | null) => void,
  ): void {
    const shard = this.find(id);
    this.core.journal.afterTurn(() => {
      if (shard === null || this.find(id) !== shard) {
        use(null);
        return;
      }
      this.core.scan({ table: 'object', shard: id, after, limit: SCAN_ROWS }, (result) => {
        use(this.find(id) === shard ? result : null);
      });
    });
  }

  /** Takes in copies of keys; false: some were refused, and their events are not counted. */
  join(id: number, items: readonly OutsideItem[], use: (isTaken: boolean | null) => void): void {
    const shard = this.find(id);
    if (shard === null) {
      this.core.journal.afterTurn(() => use(null));
      return;
    }
    let isTaken = true;
    let open = items.length + 1;
    const done = (): void => {
      if (--open > 0) return;
      this.repairOthers(shard);
      this.core.journal.afterTurn(() => use(isTaken));
    };
    for (const { seen, ...item } of items) {
      if (!this.isWelcome(shard, item)) {
        isTaken = false;
        done();
        continue;
      }
      this.core.cells.open(id, { bucket: item.bucket, key: item.key }, (cell) => {
        if (this.find(id) === shard) {
          this.uses.replica.join(shard, cell, { ...item, ...knownOf(shard, seen, item.past) });
          this.core.restamp(cell);
        } else {
          isTaken = false;
        }
        done();
      });
    }
    done();
  }

  /** Opens them one after the other: each is in memory while it is looked at, and all of them in one turn if they are now. */
  private take(shard: Shard, names: readonly ObjectName[], use: Parameters<Holdings['read']>[2]): void {
    const copies: LateCopy[] = [];
    const context = shard.context.clone();
    const next = (index: number): void => {
      const name = names[index];
      if (this.find(shard.id) !== shard) {
        this.core.journal.afterTurn(() => use(null));
        return;
      }
      if (name !== undefined) {
        this.core.cells.open(shard.id, name, (cell) => {
          this.core.restamp(cell);
          // It may be gone from memory before the last one is there.
          const { entries, past } = cell.object;
          copies.push({ name, entries, past, since: CausalContext.fromRanges(shard.context.minus(context)) });
          next(index + 1);
        });
        return;
      }
      this.withoutLater(shard, copies, (settled) => use(settled === null ? null : { copies: settled, context }));
    };
    next(0);
  }

  /** One that was loaded alone may show events of its key that came since the first was: they are told as its past. */
  private withoutLater(
    shard: Shard,
    copies: readonly LateCopy[],
    use: (settled: readonly (CausalObject & { readonly name: ObjectName })[] | null) => void,
  ): void {
    const since = copies.at(-1)?.since ?? NOTHING;
    if (since.isEmpty) {
      this.core.journal.afterTurn(() => use(this.find(shard.id) === shard ? copies : null));
      return;
    }
    this.keysOf(shard.id, since.ranges(), Number.MAX_SAFE_INTEGER, (found) => {
      if (found === null) {
        use(null);
        return;
      }
      const events = new Map(found.keys.map((key) => [nameId(key.name), key.events]));
      use(
        copies.map(({ name, entries, past, since: seen }) => {
          const later = events.get(nameId(name))?.intersection(seen) ?? NOTHING;
          return { name, entries, past: later.isEmpty ? past : seenOf({ past }, later) };
        }),
      );
    });
  }

  /** Every owner of the shard is up. */
  areOwnersUp(id: number): boolean {
    const { ring, options } = this.core;
    return ring.owners(id).every((owner) => owner === options.self || this.core.isUp(owner));
  }

  /** As in `Restoring`: counts what the hub counts, and drops what that replaced; false where that is not to be said now. */
  settle(id: number, restored: RestoredShard, use: (isSettled: boolean | null) => void): void {
    const { late } = restored;
    let open = late.length + 1;
    const opened = (): void => {
      if (--open > 0) return;
      const shard = this.find(id);
      const isSettled = shard !== null && this.maySettle(shard, restored);
      if (isSettled) this.countRestored(shard, restored);
      this.core.journal.afterTurn(() => use(shard === null ? null : isSettled));
    };
    for (const { bucket, key } of late) this.core.cells.open(id, { bucket, key }, opened);
    opened();
  }

  /**
   * What has come meanwhile from elsewhere was compared with nothing. Other owners hear of all this by a comparison of keys, until
   * the end of which they have no vote: each has to be able to end it.
   */
  private maySettle(shard: Shard, { context, before, brought, late }: RestoredShard): boolean {
    return (
      shard.comparison === null &&
      this.areOwnersUp(shard.id) &&
      late.every((name) => this.core.cells.isLoaded(name)) &&
      brought.covers(shard.context.intersection(context).without(before))
    );
  }

  /** All in one turn. */
  private countRestored(shard: Shard, { context, late }: RestoredShard): void {
    this.core.shards.coverFloor(shard, context);
    for (const { bucket, key, entries, past, events } of late)
      this.core.cells.open(shard.id, { bucket, key }, (cell) =>
        this.uses.replica.join(shard, cell, { entries, seen: seenOf({ past }, context), events, past }),
      );
    this.repairOthers(shard);
  }

  private repairOthers(shard: Shard): void {
    for (const owner of this.core.ring.owners(shard.id)) {
      if (owner !== this.core.options.self && this.core.isUp(owner)) this.uses.repairWith(owner, shard);
    }
  }

  private find(id: number): Shard | null {
    const shard = this.core.shards.find(id);
    return shard !== undefined && this.isSound(shard) ? shard : null;
  }

  private isSound(shard: Shard): boolean {
    return shard.owned && shard.complete && isWhole(shard);
  }

  private isWelcome(shard: Shard, { bucket, key, entries }: Omit<SyncItem, 'part'>): boolean {
    if (!this.core.writable && entries.length > 0) return false;
    if (this.core.shardOf(bucket, key) !== shard.id) return false;
    // There is nobody else to have it from: by a clock that others confirm the stamp is wrong for good, and is marked.
    return this.core.clockDoubtfulSinceMs === null || this.uses.replica.refuseDrift('the hub', entries) === null;
  }
}

function firstOf(ranges: readonly DotRange[], eventsMax: number): DotRange[] {
  const first: DotRange[] = [];
  let left = eventsMax;
  for (const { actor, from, to } of ranges) {
    if (left === 0) break;
    const last = Math.min(to, from + left - 1);
    first.push({ actor, from, to: last });
    left -= last - from + 1;
  }
  return first;
}

/** What the copy has replaced may come from another node later, if it has not come yet: it is remembered until then. */
function knownOf(
  { context }: Shard,
  seen: CausalContext,
  past: CausalContext | null,
): Pick<RemoteObject, 'seen' | 'past'> {
  const all = seenOf({ past }, seen);
  return { seen: all, past: context.covers(all) ? null : all };
}
