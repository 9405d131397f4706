import { hlcAt, hlcWallMs } from '../../lib/hlc.ts';
import { CausalContext } from '../causal/context.ts';
import type { Entry } from '../causal/entry.ts';
import { believed, expiresUnset } from '../causal/mark.ts';
import { liveEntries } from '../causal/value.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { ExpiryRow } from './record.ts';
import { sessionOf } from './request.ts';
import type { WriteCoordinator } from './write-coordinator.ts';

/** Between two looks at the schedule. */
const SWEEP_INTERVAL_MS = 1000;
/** The same while there is more than one look can take. */
const BACKLOG_INTERVAL_MS = 100;
/** Keys swept at one look. */
const SWEEP_ROWS = 1024;

/**
 * Removes expired values for good. Readers hide an expired value by the clock alone; what takes it off the
 * disks is an ordinary delete event by the first owner that is up, so replicas converge as for any delete.
 */
export class Sweeper {
  private readonly core: ReplicationCore;
  private readonly writer: WriteCoordinator;
  private nextSweepMs: number | undefined;
  private scanning = false;
  /** Where the last look ended, before the end of what is due. What it left is not in the way of what comes after. */
  private after: ExpiryRow | null = null;

  constructor(core: ReplicationCore, writer: WriteCoordinator) {
    this.core = core;
    this.writer = writer;
  }

  /** There may be something to sweep. */
  wake(): void {
    this.nextSweepMs ??= this.core.now.monoMs + SWEEP_INTERVAL_MS;
  }

  handleTimeout(): void {
    if (this.nextSweepMs === undefined || this.nextSweepMs > this.core.now.monoMs || this.scanning) return;
    this.nextSweepMs = this.core.now.monoMs + SWEEP_INTERVAL_MS;
    this.scanning = true;
    const { after } = this;
    this.core.scan({ table: 'expiry', beforeMs: this.core.now.wallMs, after, limit: SWEEP_ROWS }, (result) => {
      this.scanning = false;
      for (const row of result.rows) this.sweep(row);
      this.after = result.more ? (result.rows.at(-1) ?? null) : null;
      if (result.more && this.core.clockDoubtfulSinceMs === null) {
        this.nextSweepMs = this.core.now.monoMs + BACKLOG_INTERVAL_MS;
      }
    });
  }

  nextDeadline(): number | undefined {
    return this.scanning ? undefined : this.nextSweepMs;
  }

  private sweep(row: ExpiryRow): void {
    const { self } = this.core.options;
    const shard = this.core.shards.find(row.shard);
    if (shard !== undefined) {
      // Whoever is handed the values of a shard that is held for others sweeps them.
      const first = this.core.ring.owners(row.shard).find((owner) => this.core.isUp(owner));
      if (!shard.owned || first !== self) return;
    }
    this.core.cells.open(row.shard, row.name, (cell) => this.remove(row, cell));
  }

  private remove(row: ExpiryRow, cell: Cell): void {
    const shard = this.core.shards.find(row.shard);
    this.core.restamp(cell);
    const entries = believed(cell.object.entries);
    const { wallMs } = this.core.now;
    const isOpen = entries.some((entry) => entry.expiresAtMs === row.atMs && expiresUnset(entry, wallMs));
    // The clock has been set meanwhile, or the value has yet to get an expiry by this clock.
    if (row.atMs > wallMs || isOpen) return;
    const visible = new Set(liveEntries(entries, wallMs, this.core.conflictOf(row.name.bucket)));
    const expired = entries.filter((entry) => !visible.has(entry));
    // Whoever is handed the value sweeps it; unless this node becomes an owner again before.
    if (shard?.owned === false && expired.length > 0) return;
    if (shard === undefined || expired.length === 0) {
      // The value it spoke of is gone, hidden by another, or no longer here: so is the reminder. See `Replica`.
      this.core.journal.write({ table: 'expiry', ...row, value: null });
      return;
    }
    if (!expired.every((entry) => this.hasOutlived(entry))) return;
    this.core.counters.expired++;
    const context = sessionOf(CausalContext.fromDots(expired.map((entry) => entry.dot)));
    const { bucket, key } = row.name;
    const mutation = { type: 'delete' } as const;
    this.writer.handleMutate({ type: 'mutate', bucket, key, mutation, level: 'one', context }, () => undefined);
  }

  /**
   * Removal is for good, so it takes a clock that others confirm. A clock in doubt still measures the lives of values
   * that it has stamped itself: if it is a year ahead, so is their expiry. An expiry from before the stamp was set by
   * the clock of another node, which had forwarded the write.
   */
  private hasOutlived({ hlc, expiresAtMs }: Entry): boolean {
    const { clockDoubtfulSinceMs } = this.core;
    if (clockDoubtfulSinceMs === null) return true;
    return hlc >= hlcAt(clockDoubtfulSinceMs) && expiresAtMs > hlcWallMs(hlc);
  }
}
