import { hashString } from '../../lib/hash.ts';
import { SCAN_CURSORS_MAX } from './limits.ts';

/**
 * Positions of unfinished scans. Redis clients hold a scan's position as a 64-bit integer, into which the key to go
 * on after does not fit, so it is kept here, least recently used first to go. A cursor is a hash of its key: asking
 * twice gives the same one, and a cursor of another node or an earlier run is never mistaken for a different place.
 */
export class ScanCursors {
  private readonly keys = new Map<string, string>();
  private readonly countMax: number;

  constructor(countMax = SCAN_CURSORS_MAX) {
    this.countMax = countMax;
  }

  /** A cursor that continues after `key`: a decimal integer from 1 to 2^53. */
  remember(key: string): string {
    let number = (hashString(key, 0x5ca1ab1e) & 0x1f_ffff) * 0x1_0000_0000 + hashString(key, 0x0ddba11) + 1;
    let known = this.keys.get(String(number));
    while (known !== undefined && known !== key) known = this.keys.get(String(++number));
    const cursor = String(number);
    this.keys.delete(cursor);
    this.keys.set(cursor, key);
    if (this.keys.size > this.countMax) this.keys.delete(this.keys.keys().next().value as string);
    return cursor;
  }

  /** The key to go on after; undefined when the cursor is not, or no longer, known here. */
  recall(cursor: string): string | undefined {
    const key = this.keys.get(cursor);
    if (key === undefined) return undefined;
    this.keys.delete(cursor);
    this.keys.set(cursor, key);
    return key;
  }
}
