import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { Entries, Entry } from '../../../../src/protocol/causal/entry.ts';
import type { Cell } from '../../../../src/protocol/replication/cell-table.ts';
import {
  CONFLICT_BYTES_MAX,
  CONFLICTS_MAX,
  ConflictJournal,
  compareConflicts,
  conflictBytes,
  KEPT_VALUE_BYTES_MAX,
} from '../../../../src/protocol/replication/conflict-journal.ts';
import type { ReplicationCore } from '../../../../src/protocol/replication/core.ts';
import type { ConflictKey, ConflictRow, RecordWrite } from '../../../../src/protocol/replication/record.ts';

const SITE = 'a'.repeat(16);
const HUB = 'b'.repeat(16);
const CELL = { shard: 3, name: { bucket: 'lww', key: 'k' } } as Cell;

function entry(actor: string, counter: number, bytes = 1): Entry {
  const payload = { kind: 'register', value: new Uint8Array(bytes), contentType: '' } as const;
  return { dot: { actor, counter }, hlc: counter, expiresAtMs: 0, payload };
}

/** A journal, and what is on its disk. */
class Disk {
  readonly rows = new Map<string, ConflictRow>();
  readonly writes: RecordWrite[] = [];
  readonly counters = { conflicts: 0 };
  readonly now = { monoMs: 0, wallMs: 1000.5 };

  start(): ConflictJournal {
    const core = {
      now: this.now,
      counters: this.counters,
      conflictOf: (bucket: string) => bucket,
      journal: { write: (write: RecordWrite) => this.write(write), afterTurn: (use: () => void) => use() },
      scan: ({ limit }: { limit: number }, use: (result: unknown) => void) => {
        const rows = [...this.rows.values()].sort((a, b) => compareConflicts(a.key, b.key));
        use({ rows: rows.slice(0, limit), more: rows.length > limit });
      },
    };
    const restored = [...this.rows.values()].map(({ key, record }) => {
      return { key, atMs: record.atMs, bytes: conflictBytes(record) };
    });
    return new ConflictJournal(core as unknown as ReplicationCore, restored);
  }

  private write(write: RecordWrite): void {
    if (write.table !== 'conflict') throw new Error('another table');
    this.writes.push(write);
    const id = JSON.stringify(write.key);
    if (write.value === null) this.rows.delete(id);
    else this.rows.set(id, { key: write.key, record: write.value });
  }
}

/** The first write loses against the second. */
function meet(journal: ConflictJournal, loser: Entry, winner: Entry, cell = CELL): void {
  journal.note(cell, { entries: [winner], past: null }, { entries: sorted(loser, winner), past: null });
}

function sorted(...entries: Entry[]): Entries {
  return entries.sort((a, b) => (a.dot.actor < b.dot.actor ? -1 : a.dot.counter - b.dot.counter));
}

function page(journal: ConflictJournal, limit = 100): { rows: readonly ConflictRow[]; more: boolean } {
  let found: { rows: readonly ConflictRow[]; more: boolean } | undefined;
  journal.page({ bucket: null, after: null, limit }, (each) => {
    found = each;
  });
  if (found === undefined) throw new Error('no page');
  return found;
}

describe('the journal of conflicts', () => {
  it('names a conflict by the loser, and writes it once, also after a restart', () => {
    const disk = new Disk();
    const journal = disk.start();
    meet(journal, entry(SITE, 1), entry(HUB, 2));
    const key: ConflictKey = { hlc: 1, shard: 3, actor: SITE, counter: 1 };
    const write = (each: Entry) => ({ entry: each, bytes: 1, byHub: false });
    const value = { name: CELL.name, winner: write(entry(HUB, 2)), loser: write(entry(SITE, 1)), atMs: 1000 };
    expect(disk.writes).toEqual([{ table: 'conflict', key, value }]);
    meet(journal, entry(SITE, 1), entry(HUB, 3));
    meet(disk.start(), entry(SITE, 1), entry(HUB, 4));
    expect([disk.writes.length, disk.counters.conflicts, disk.start().size]).toEqual([1, 1, 1]);
    // A dot is one of its shard.
    meet(journal, entry(SITE, 1), entry(HUB, 4), { ...CELL, shard: 4 });
    expect([journal.size, disk.counters.conflicts]).toEqual([2, 2]);
  });

  it('has nothing of buckets that keep all of what was written concurrently', () => {
    const disk = new Disk();
    meet(disk.start(), entry(SITE, 1), entry(HUB, 2), { ...CELL, name: { bucket: 'siblings', key: 'k' } });
    expect(disk.writes).toEqual([]);
  });

  it('waits until all is there that its entries have replaced', () => {
    const disk = new Disk();
    const journal = disk.start();
    const entries = sorted(entry(SITE, 1), entry(SITE, 3));
    const open = { entries, past: CausalContext.fromDots([{ actor: SITE, counter: 2 }]) };
    journal.note(CELL, { entries: [entry(SITE, 1)], past: null }, open);
    journal.note(CELL, open, { entries: [entry(SITE, 3)], past: null });
    expect(disk.writes).toEqual([]);
    journal.note(CELL, open, { entries, past: null });
    expect(disk.writes.length).toBe(1);
  });

  it('keeps the length of a value that is too long', () => {
    const disk = new Disk();
    meet(disk.start(), entry(SITE, 1, KEPT_VALUE_BYTES_MAX + 1), entry(HUB, 2, KEPT_VALUE_BYTES_MAX));
    const [row] = disk.rows.values();
    expect(row?.record.loser).toMatchObject({
      bytes: KEPT_VALUE_BYTES_MAX + 1,
      entry: { payload: { value: bytes(0) } },
    });
    expect(row?.record.winner.entry).toEqual(entry(HUB, 2, KEPT_VALUE_BYTES_MAX));
  });

  it('drops what was noticed first where there are too many, also after a restart', () => {
    const disk = new Disk();
    let journal = disk.start();
    // The later ones were written earlier.
    const lose = (counter: number): void => {
      disk.now.wallMs++;
      meet(journal, entry(SITE, counter), entry(HUB, 1_000_000));
    };
    for (let i = 0; i < CONFLICTS_MAX; i++) lose(500_000 - i);
    expect(journal.size).toBe(CONFLICTS_MAX);
    journal = disk.start();
    for (let i = 0; i < 3; i++) lose(100 + i);
    expect([journal.size, disk.rows.size]).toEqual([CONFLICTS_MAX, CONFLICTS_MAX]);
    const gone = disk.writes.filter((write) => write.table === 'conflict' && write.value === null);
    expect(gone.map((write) => write.table === 'conflict' && write.key.counter)).toEqual([500_000, 499_999, 499_998]);
  });

  it('drops what was noticed first where it is too much', () => {
    const disk = new Disk();
    const journal = disk.start();
    const count = 2 * (CONFLICT_BYTES_MAX / KEPT_VALUE_BYTES_MAX);
    for (let i = 1; i <= count; i++) meet(journal, entry(SITE, i, KEPT_VALUE_BYTES_MAX), entry(HUB, 1_000_000));
    let kept = 0;
    for (const { record } of disk.rows.values()) kept += conflictBytes(record);
    expect(kept).toBeLessThanOrEqual(CONFLICT_BYTES_MAX);
    expect(kept).toBeGreaterThan(CONFLICT_BYTES_MAX - 2 * KEPT_VALUE_BYTES_MAX);
    expect(disk.rows.has(JSON.stringify({ hlc: count, shard: 3, actor: SITE, counter: count }))).toBe(true);
  });

  it('answers in pages of a bounded size', () => {
    const disk = new Disk();
    const journal = disk.start();
    for (let i = 1; i <= 40; i++) meet(journal, entry(SITE, i, KEPT_VALUE_BYTES_MAX), entry(HUB, 1_000_000));
    const { rows, more } = page(journal);
    expect([rows.length, more]).toEqual([15, true]);
    expect(rows[0]?.key.counter).toBe(40);
    expect(page(journal, 3)).toMatchObject({ rows: [{ key: { counter: 40 } }, {}, {}], more: true });
  });

  it('knows a hub as the writer, also where it was told later', () => {
    const disk = new Disk();
    const journal = disk.start();
    meet(journal, entry(HUB, 1), entry(SITE, 2));
    expect(page(journal).rows[0]?.record.loser.byHub).toBe(false);
    journal.noteHub(CausalContext.fromDots([{ actor: HUB, counter: 1 }]));
    expect(page(journal).rows[0]?.record).toMatchObject({ loser: { byHub: true }, winner: { byHub: false } });
    meet(journal, entry(HUB, 3), entry(SITE, 4));
    const [latest] = page(disk.start()).rows;
    expect(latest?.record.loser).toMatchObject({ byHub: true, entry: { dot: { counter: 3 } } });
  });

  it('takes a bad record off the disk, and counts it no longer', () => {
    const disk = new Disk();
    const journal = disk.start();
    meet(journal, entry(SITE, 1), entry(HUB, 2));
    const key = { hlc: 1, shard: 3, actor: SITE, counter: 1 };
    journal.handleBad(key);
    expect([journal.size, disk.rows.size]).toEqual([0, 0]);
    // One that was bad before this run.
    journal.handleBad({ ...key, counter: 9 });
    expect(disk.writes.at(-1)).toEqual({ table: 'conflict', key: { ...key, counter: 9 }, value: null });
  });
});

function bytes(count: number): Uint8Array {
  return new Uint8Array(count);
}
