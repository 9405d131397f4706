import { type AcceptorRow, nameId, type RegisterName } from './record.ts';
import { valueBytes } from './value.ts';

/** One row in memory: what the disk holds, plus changes that are on their way to it. */
export interface RowCell {
  readonly id: string;
  readonly shard: number;
  readonly name: RegisterName;
  row: AcceptorRow | null;
  /** The batch that last changed it. */
  persistId: number;
  /** Operations waiting for the disk; null once loaded. */
  waiting: ((cell: RowCell) => void)[] | null;
  bytes: number;
}

const CELL_OVERHEAD_BYTES = 300;
/** Operations that wait for one row to be read; further ones are dropped, as a network may. */
const ROW_WAITERS_MAX = 256;
/** Rows that are being read at once; operations on others are dropped meanwhile. */
const ROW_READS_MAX = 4096;

interface RowTableOptions {
  readonly bytesMax: number;
  readonly read: (id: number, shard: number, name: RegisterName) => void;
  /** The generation of rows that count (`ShardRecord`). */
  readonly generationOf: (shard: number) => number;
  readonly isDurable: (persistId: number) => boolean;
}

/**
 * Serialises the operations on each row and keeps rows in memory within a bound; those that are not synced stay whatever
 * the bound. Operations run in the order they came, whether or not the row had to be read first.
 */
export class RowTable {
  private readonly options: RowTableOptions;
  /** The least recently used first. */
  private readonly cells = new Map<string, RowCell>();
  private readonly reads = new Map<number, RowCell>();
  private nextReadId = 1;
  private bytes = 0;

  constructor(options: RowTableOptions) {
    this.options = options;
  }

  /** False: too much is waiting for the disk; `use` is not called. */
  open(shard: number, name: RegisterName, use: (cell: RowCell) => void): boolean {
    const id = nameId(name);
    let cell = this.cells.get(id);
    if (cell === undefined) {
      if (this.reads.size >= ROW_READS_MAX) return false;
      cell = this.load(id, shard, name);
    } else {
      this.cells.delete(id);
      this.cells.set(id, cell);
    }
    if (cell.waiting === null) use(cell);
    else if (cell.waiting.length >= ROW_WAITERS_MAX) return false;
    else cell.waiting.push(use);
    return true;
  }

  handleRead(id: number, row: AcceptorRow | null): void {
    const cell = this.reads.get(id);
    if (cell === undefined) return;
    this.reads.delete(id);
    cell.row = row !== null && row.generation === this.options.generationOf(cell.shard) ? row : null;
    this.resize(cell);
    const waiting = cell.waiting ?? [];
    cell.waiting = null;
    for (const use of waiting) use(cell);
  }

  set(cell: RowCell, row: AcceptorRow | null, persistId: number): void {
    cell.row = row;
    cell.persistId = persistId;
    this.resize(cell);
  }

  /** The shard's generation has changed: all rows are those of an earlier one. Those being read are compared then. */
  dropShard(shard: number): void {
    for (const cell of this.cells.values()) {
      if (cell.shard !== shard) continue;
      cell.row = null;
      this.resize(cell);
    }
  }

  /** Evicts clean rows, the least recently used first, until the rest fits; to be called once a turn. */
  trim(): void {
    if (this.bytes <= this.options.bytesMax) return;
    for (const cell of this.cells.values()) {
      if (this.bytes <= this.options.bytesMax) return;
      if (cell.waiting !== null || !this.options.isDurable(cell.persistId)) continue;
      this.cells.delete(cell.id);
      this.bytes -= cell.bytes;
    }
  }

  get stats(): { readonly rows: number; readonly bytes: number } {
    return { rows: this.cells.size, bytes: this.bytes };
  }

  private load(id: string, shard: number, name: RegisterName): RowCell {
    const cell: RowCell = { id, shard, name, row: null, persistId: 0, waiting: [], bytes: 0 };
    this.cells.set(id, cell);
    this.resize(cell);
    const readId = this.nextReadId++;
    this.reads.set(readId, cell);
    this.options.read(readId, shard, name);
    return cell;
  }

  private resize(cell: RowCell): void {
    const bytes = CELL_OVERHEAD_BYTES + cell.name.key.length * 2 + valueBytes(cell.row?.accepted?.value ?? null);
    this.bytes += bytes - cell.bytes;
    cell.bytes = bytes;
  }
}
