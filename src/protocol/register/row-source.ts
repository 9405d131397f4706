import type { NodeId } from '../machine.ts';
import type { RegisterCore } from './core.ts';
import { ROWS_PAGE_BYTES_MAX, ROWS_PAGE_MAX, type RowsAskMessage } from './message.ts';
import type { NamedRow } from './record.ts';
import { valueBytes } from './value.ts';

/** Scans for peers at once; further asks are dropped, and repeated by who asked. */
const ROW_SCANS_MAX = 64;

/** Hands the rows of this acceptor to those that take a shard over (`takeover.ts`). */
export class RowSource {
  private readonly core: RegisterCore;
  private readonly scans = new Map<number, { readonly to: NodeId; readonly ask: RowsAskMessage }>();
  private asked = 0;
  private nextScanId = 1;

  constructor(core: RegisterCore) {
    this.core = core;
  }

  handleAsk(to: NodeId, ask: RowsAskMessage): void {
    const { journal } = this.core;
    if (!this.mayAnswer(to, ask)) return;
    if (this.asked >= ROW_SCANS_MAX) {
      this.core.counters.dropped++;
      return;
    }
    this.asked++;
    // What was accepted under the old epoch may still be on its way to the disk; so may the epoch itself, without which a
    // crash would let this acceptor go on under the old one.
    journal.whenDurable(journal.latestId, () => {
      const id = this.nextScanId++;
      this.scans.set(id, { to, ask });
      const { shard, after } = ask;
      this.core.emit({
        type: 'register-scan',
        id,
        shard,
        after,
        limit: ROWS_PAGE_MAX,
        bytesMax: ROWS_PAGE_BYTES_MAX,
      });
    });
  }

  handleScan(id: number, scanned: readonly NamedRow[], more: boolean): void {
    const scan = this.scans.get(id);
    if (scan === undefined) return;
    this.scans.delete(id);
    this.asked--;
    const { to, ask } = scan;
    if (!this.mayAnswer(to, ask)) return;
    const page = pageOf(scanned);
    const isLast = !more && page.length === scanned.length;
    const last = isLast ? null : page.at(-1)?.name;
    // A scan that says that there is more and shows nothing would never end.
    if (last === undefined) return;
    const { standings } = this.core;
    const generation = standings.generationOf(ask.shard);
    const rows = page.filter(({ row }) => row.generation === generation);
    const { shard, epoch, after } = ask;
    this.core.send(to, { type: 'register-rows', shard, epoch, after, rows, last, floor: standings.floorOf(shard) });
  }

  private mayAnswer(to: NodeId, { shard, epoch }: RowsAskMessage): boolean {
    const own = this.core.options.placement(shard).epoch;
    if (epoch < own) this.core.emit({ type: 'register-epoch-ahead', peer: to });
    if (epoch > own) this.core.emit({ type: 'register-epoch-behind', peer: to });
    if (epoch !== own) return false;
    this.core.standings.refresh(shard);
    return this.core.standings.isSource(shard);
  }
}

/** The first rows within the bound of bytes, one at the least. */
function pageOf(rows: readonly NamedRow[]): readonly NamedRow[] {
  let bytes = 0;
  let count = 0;
  for (const { row } of rows) {
    bytes += valueBytes(row.accepted?.value ?? null);
    if (count > 0 && bytes > ROWS_PAGE_BYTES_MAX) break;
    count++;
  }
  return rows.slice(0, count);
}
