import type { RedisType } from './keyspace.ts';
import { SCAN_READ_AHEAD_MS, SCAN_READ_AHEADS_MAX } from './limits.ts';

export interface ScannedKey {
  readonly key: string;
  readonly type: RedisType;
}

/** Keys of a listing that a scan has not handed out yet. */
export interface KeyPage {
  readonly keys: readonly ScannedKey[];
  /** Where the listing goes on after these keys; '' at its end. */
  readonly resumeAfter: string;
  /** Monotonic ms. */
  readonly fetchedAtMs: number;
}

/**
 * What running scans have read and not handed out. A listing asks every shard of the cluster, so that a page of
 * 1000 keys costs about as much as one of the 10 that SCAN returns by default. Held for seconds only; a scan that
 * is slower, or whose page had to make room, lists again from its cursor.
 */
export class ScanReadAhead {
  private readonly pages = new Map<string, KeyPage>();

  /** Removes and returns the page that goes on after a key. */
  take(prefix: string, after: string, nowMs: number): KeyPage | undefined {
    const place = placeOf(prefix, after);
    const page = this.pages.get(place);
    this.pages.delete(place);
    return page !== undefined && nowMs - page.fetchedAtMs <= SCAN_READ_AHEAD_MS ? page : undefined;
  }

  put(prefix: string, after: string, page: KeyPage): void {
    const place = placeOf(prefix, after);
    this.pages.delete(place);
    this.pages.set(place, page);
    if (this.pages.size > SCAN_READ_AHEADS_MAX) this.pages.delete(this.pages.keys().next().value as string);
  }
}

function placeOf(prefix: string, after: string): string {
  return `${String(prefix.length)}:${prefix}${after}`;
}
