import { type Entries, payloadBytes } from '../causal/entry.ts';
import { ABSENT, type CausalObject } from '../causal/object.ts';
import { type HintRecord, nameId, type ObjectName, type ReadResult, type RecordRead } from './record.ts';

/** One key in memory: what the disk holds of it, plus changes that are on their way to the disk. */
export interface Cell {
  /** The text form of its name. */
  readonly id: string;
  readonly shard: number;
  readonly name: ObjectName;
  /** The key in the shard replica; absent where this node does not hold the shard. */
  object: CausalObject;
  /** The delta that waits here for other owners. */
  hint: HintRecord | null;
  /** The batch that last changed it. */
  persistId: number;
  /** Operations waiting for the disk; null once loaded. */
  waiting: ((cell: Cell) => void)[] | null;
  readsLeft: number;
  /** The shard was dropped, or the record lost, while the object was being read: what arrives is not held here. */
  dropped: boolean;
  touched: boolean;
  bytes: number;
}

const CELL_OVERHEAD_BYTES = 400;

/** Estimated memory of entries, for cache accounting. */
export function entriesBytes(entries: Entries): number {
  let bytes = 0;
  for (const { payload } of entries) bytes += 160 + payloadBytes(payload);
  return bytes;
}

interface CellTableOptions {
  readonly cacheBytes: number;
  /** Emits the read effect; the answer comes to `handleRead`. */
  readonly read: (id: number, key: RecordRead) => void;
  /** Which of a key's two records can exist on this disk. */
  readonly tables: (shard: number) => { object: boolean; hint: boolean };
  readonly isDurable: (persistId: number) => boolean;
}

/**
 * Serialises the operations of each key and caches keys within a bound. Operations on a key run in the
 * order they came, whether or not it had to be loaded first.
 */
export class CellTable {
  private readonly options: CellTableOptions;
  private readonly cells = new Map<string, Cell>();
  private readonly reads = new Map<number, Cell>();
  private hand = this.cells.values();
  private nextReadId = 1;
  private bytes = 0;

  constructor(options: CellTableOptions) {
    this.options = options;
  }

  /** Runs `use` with the key's cell, now if it is in memory, else once it is loaded. */
  open(shard: number, name: ObjectName, use: (cell: Cell) => void): void {
    const id = nameId(name);
    let cell = this.cells.get(id);
    if (cell === undefined) {
      cell = this.load(id, shard, name);
      this.cells.set(id, cell);
    }
    cell.touched = true;
    if (cell.waiting === null) use(cell);
    else cell.waiting.push(use);
  }

  /** True where the key is in memory as this run knows it, whatever the disk says. */
  isLoaded(name: ObjectName): boolean {
    const cell = this.cells.get(nameId(name));
    return cell !== undefined && cell.waiting === null;
  }

  /**
   * The key's record on disk is lost. A key in memory is as good as new: false. Otherwise its operations wait
   * until `release`.
   */
  hold(shard: number, name: ObjectName): boolean {
    const id = nameId(name);
    let cell = this.cells.get(id);
    if (cell !== undefined && cell.waiting === null) return false;
    if (cell === undefined) {
      cell = this.create(id, shard, name);
      this.cells.set(id, cell);
      if (this.options.tables(shard).hint) this.read(cell, { table: 'hint', shard, name });
    }
    cell.waiting ??= [];
    cell.dropped = true;
    cell.object = ABSENT;
    cell.readsLeft++;
    return true;
  }

  /** Lets the operations of a held key go on; its object is absent here. */
  release(name: ObjectName): void {
    const cell = this.cells.get(nameId(name));
    if (cell !== undefined && --cell.readsLeft === 0) this.becomeLoaded(cell);
  }

  handleRead(id: number, result: ReadResult): void {
    const cell = this.reads.get(id);
    if (cell === undefined) return;
    this.reads.delete(id);
    if (result.table === 'hint') cell.hint = result.value;
    else if (!cell.dropped) cell.object = result.value ?? ABSENT;
    if (--cell.readsLeft === 0) this.becomeLoaded(cell);
  }

  /** To be called after a cell's content changed, with the batch that persists it. */
  noteChanged(cell: Cell, persistId: number): void {
    cell.persistId = persistId;
    this.resize(cell);
  }

  /** Forgets the shard's objects after they were dropped from disk. */
  dropShard(shard: number): void {
    for (const cell of this.cells.values()) {
      if (cell.shard !== shard) continue;
      cell.dropped = cell.waiting !== null;
      cell.object = ABSENT;
      this.resize(cell);
    }
  }

  /**
   * Evicts clean cells until the cache fits; to be called once a turn. The hand of a clock (Corbato 1968): it goes on
   * where it stopped, and passes over a cell once that was used since it last came by.
   */
  trim(): void {
    // Once round at most, and the step back to the start.
    let budget = this.cells.size + 1;
    while (this.bytes > this.options.cacheBytes && budget-- > 0) {
      const next = this.hand.next();
      if (next.done === true) {
        this.hand = this.cells.values();
        continue;
      }
      const cell = next.value;
      const busy = cell.waiting !== null || !this.options.isDurable(cell.persistId);
      if (busy || cell.touched) {
        cell.touched = false;
      } else {
        this.cells.delete(cell.id);
        this.bytes -= cell.bytes;
      }
    }
  }

  get stats(): { readonly cells: number; readonly bytes: number } {
    return { cells: this.cells.size, bytes: this.bytes };
  }

  private load(id: string, shard: number, name: ObjectName): Cell {
    const cell = this.create(id, shard, name);
    const tables = this.options.tables(shard);
    if (tables.object) this.read(cell, { table: 'object', shard, name });
    if (tables.hint) this.read(cell, { table: 'hint', shard, name });
    return cell;
  }

  private create(id: string, shard: number, name: ObjectName): Cell {
    const cell: Cell = {
      id,
      shard,
      name,
      object: ABSENT,
      hint: null,
      persistId: 0,
      waiting: null,
      readsLeft: 0,
      dropped: false,
      touched: true,
      bytes: 0,
    };
    this.resize(cell);
    return cell;
  }

  private read(cell: Cell, key: RecordRead): void {
    const id = this.nextReadId++;
    cell.readsLeft++;
    cell.waiting ??= [];
    this.reads.set(id, cell);
    this.options.read(id, key);
  }

  private becomeLoaded(cell: Cell): void {
    const waiting = cell.waiting ?? [];
    cell.waiting = null;
    cell.dropped = false;
    this.resize(cell);
    for (const use of waiting) use(cell);
  }

  private resize(cell: Cell): void {
    const bytes =
      CELL_OVERHEAD_BYTES +
      cell.name.key.length * 2 +
      entriesBytes(cell.object.entries) +
      (cell.hint === null ? 0 : entriesBytes(cell.hint.entries));
    this.bytes += bytes - cell.bytes;
    cell.bytes = bytes;
  }
}
