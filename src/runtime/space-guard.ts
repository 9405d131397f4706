import { bytesText } from '../config/keys.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Storage } from '../ports/storage.ts';

/** Space is back only well above the headroom, so that the mode does not flap. */
const RECOVERY = 1.25;
/** No disk of this program's kind fills faster; the next look comes before the headroom could be reached. */
const FILL_BYTES_PER_MS_MAX = 64 * 1024;
const LOOK_MIN_MS = 250;
const LOOK_MAX_MS = 5000;
/** Reclaiming reads and writes: it gets at most this share of the time. */
const RECLAIM_SHARE = 0.25;
const RECLAIM_PAUSE_MIN_MS = 2000;

/** Why writes are refused: free space is below the headroom, or the store could not commit. */
export type Shortage = 'headroom' | 'refused';

export interface SpaceGuardOptions {
  readonly storage: Pick<Storage, 'usage' | 'reclaim'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Free space below which writes are refused. */
  readonly headroomBytes: number;
  /** Called when writes must stop, for another reason than before, and when they may go on (null). */
  readonly onShortage: (shortage: Shortage | null, before: Shortage | null) => void;
}

/**
 * Keeps the disk's headroom: the fuller the disk, the more often it is looked at. While it is full, the space of what
 * has been deleted meanwhile is given back.
 */
export class SpaceGuard {
  private readonly options: SpaceGuardOptions;
  private latest = { usedBytes: 0, freeBytes: 0 };
  private low = false;
  private refused = false;
  private told: Shortage | null = null;
  private reclaiming = false;
  private reclaimAtMs = Number.NEGATIVE_INFINITY;
  private stopped = false;
  private cancel: (() => void) | null = null;

  constructor(options: SpaceGuardOptions) {
    this.options = options;
  }

  /** Bytes, as last measured. */
  get usage(): { readonly usedBytes: number; readonly freeBytes: number } {
    return this.latest;
  }

  /** Null: writes are taken. */
  get shortage(): Shortage | null {
    return this.told;
  }

  /** Looks once, and from then on by itself. */
  async start(): Promise<void> {
    await this.look();
  }

  stop(): void {
    this.stopped = true;
    this.cancel?.();
  }

  /** The store refused a commit, or took it at last. */
  handleRefused(refused: boolean): void {
    this.refused = refused;
    this.tell();
  }

  private async look(): Promise<void> {
    const { storage, headroomBytes, clock, log } = this.options;
    let pauseMs = LOOK_MAX_MS;
    try {
      this.latest = await storage.usage();
      const { freeBytes } = this.latest;
      this.low = freeBytes < headroomBytes * (this.low ? RECOVERY : 1);
      pauseMs = lookPauseMs(freeBytes - headroomBytes);
      this.tell();
      this.reclaim();
    } catch (error) {
      log.warn('the disk could not be measured', { reason: error instanceof Error ? error.message : String(error) });
    }
    if (!this.stopped) this.cancel = clock.after(pauseMs, () => void this.look());
  }

  private tell(): void {
    const before = this.told;
    const shortage = this.low ? 'headroom' : this.refused ? 'refused' : null;
    if (shortage === before) return;
    this.told = shortage;
    this.options.onShortage(shortage, before);
  }

  private reclaim(): void {
    const { storage, clock, log } = this.options;
    const startedMs = clock.now().monoMs;
    if (this.told === null || this.reclaiming || this.stopped || startedMs < this.reclaimAtMs) return;
    this.reclaiming = true;
    storage
      .reclaim()
      .catch((error: unknown) => {
        log.warn('deleted records could not be compacted away', {
          reason: error instanceof Error ? error.message : String(error),
        });
      })
      .finally(() => {
        this.reclaiming = false;
        const nowMs = clock.now().monoMs;
        const tookMs = nowMs - startedMs;
        this.reclaimAtMs = nowMs + Math.max(RECLAIM_PAUSE_MIN_MS, tookMs * (1 / RECLAIM_SHARE - 1));
      });
  }
}

/** Until the headroom could be reached at full speed. */
function lookPauseMs(spareBytes: number): number {
  return Math.min(LOOK_MAX_MS, Math.max(LOOK_MIN_MS, spareBytes / FILL_BYTES_PER_MS_MAX));
}

/** What those are told whose writes are refused. */
export function shortageText(shortage: Shortage, name: string, headroomBytes: number): string {
  const goesOn = 'Reads and deletes go on';
  if (shortage === 'refused') return `the disk of node ${name} is full; free space or grow the volume. ${goesOn}`;
  const neededText = bytesText(Math.ceil(headroomBytes * RECOVERY));
  return `node ${name} takes no writes until its disk has ${neededText} free, a quarter more than tuning.diskHeadroomBytes (${bytesText(headroomBytes)}); free space, grow the volume, or lower that key. ${goesOn}`;
}
