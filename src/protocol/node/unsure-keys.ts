import type { CausalContext } from '../causal/context.ts';
import { bytesOf, idOf, joinStates, type KeyState } from './key-state.ts';

/** Keys that wait for being read, by number and by bytes. */
const KEYS_MAX = 4096;
const BYTES_MAX = 8 * 1024 * 1024;
/** Reads at once. The other keys wait, and what is announced of them meanwhile needs no further read. */
const READS_MAX = 32;

/** Keys with announcements that may be older than what was told: they wait here for being read. */
export class UnsureKeys {
  /** What was announced of each, joined as replicas join it. */
  private readonly announced = new Map<string, KeyState>();
  /** What the answers to the reads under way are to cover. */
  private readonly reading = new Map<string, CausalContext>();
  private bytes = 0;

  get isFull(): boolean {
    return this.announced.size > KEYS_MAX || this.bytes > BYTES_MAX;
  }

  /** The state together with what was announced of the key before. */
  joined(state: KeyState): KeyState {
    const before = this.announced.get(idOf(state));
    return before === undefined ? state : joinStates(before, state).joined;
  }

  keep(state: KeyState): void {
    const id = idOf(state);
    this.uncount(id);
    this.announced.set(id, state);
    this.bytes += bytesOf(state);
  }

  /** The key has been told of, or is given up: it needs no read any more. */
  remove(state: KeyState): void {
    const id = idOf(state);
    this.uncount(id);
    this.announced.delete(id);
    this.reading.delete(id);
  }

  /** The key to be read next; undefined: none now. */
  next(): KeyState | undefined {
    if (this.reading.size >= READS_MAX) return undefined;
    for (const [id, state] of this.announced) if (!this.reading.has(id)) return state;
    return undefined;
  }

  begin(state: KeyState, session: CausalContext): void {
    this.reading.set(idOf(state), session);
  }

  /** False when the answer has come too late to be of use. */
  end(state: KeyState, session: CausalContext): boolean {
    const id = idOf(state);
    return this.reading.get(id) === session && this.reading.delete(id);
  }

  /** Gives up keys of these buckets: they are not watched any more, or everybody reads them anew. */
  giveUp(isConcerned: (bucket: string) => boolean): void {
    for (const state of this.announced.values()) if (isConcerned(state.bucket)) this.remove(state);
  }

  private uncount(id: string): void {
    const before = this.announced.get(id);
    if (before !== undefined) this.bytes -= bytesOf(before);
  }
}
