import { compareUtf8 } from '../../lib/utf8.ts';
import type { CausalContext } from '../causal/context.ts';
import type { Entries } from '../causal/entry.ts';
import { bytesOf, idOf, joinStates, type KeyState } from './key-state.ts';

/** Keys whose last announced state is remembered, by number and by bytes. */
const KEYS_MAX = 16_384;
const BYTES_MAX = 8 * 1024 * 1024;

/** A piece of a snapshot. */
export interface SnapshotBounds {
  readonly bucket: string;
  readonly prefix: string;
  readonly after: string;
  /** Its last key; null: to the end. */
  readonly upTo: string | null;
  readonly keys: ReadonlySet<string>;
  readonly contexts: ReadonlyMap<number, CausalContext>;
}

interface Remembered extends KeyState {
  readonly bytes: number;
}

/**
 * What clients of this node have been told of, so that each change is passed on once and no state follows a newer one.
 * States of a key are joined as replicas join them. Of keys that are forgotten again, what they were the state of is
 * kept for each shard: an announcement that covers it is not older.
 */
export class ChangeMemory {
  private readonly keys = new Map<string, Remembered>();
  private readonly floors = new Map<number, CausalContext>();
  private bytes = 0;
  /** Things were told that are not remembered at all: where there is no floor, any announcement may be older. */
  private isVague = false;

  /** The entries to tell; `known` when there is nothing new; `unsure` when it may be older than what was told. */
  take(state: KeyState): Entries | 'known' | 'unsure' {
    const known = this.keys.get(idOf(state));
    if (known !== undefined) return this.join(state, known);
    const floor = this.floors.get(state.shard);
    if (floor === undefined ? this.isVague : !state.context.covers(floor)) return 'unsure';
    this.remember(state);
    return state.entries;
  }

  /** Whether a state that was read with a session is not older than what was told of the key and is not remembered. */
  isSafe(state: KeyState, session: CausalContext): boolean {
    const floor = this.floors.get(state.shard);
    if (floor === undefined || this.keys.has(idOf(state))) return true;
    return session.covers(floor) || state.context.covers(floor);
  }

  /** Takes a state that is the best there is, whatever was forgotten. */
  force(state: KeyState): Entries | 'known' {
    const known = this.keys.get(idOf(state));
    if (known !== undefined) return this.join(state, known);
    this.remember(state);
    return state.entries;
  }

  /**
   * A key of a snapshot, which only one client is told of: what that one is to be shown, and whether the others have not
   * been told of it yet.
   */
  show(state: KeyState): { readonly entries: Entries; readonly isNews: boolean } {
    const known = this.keys.get(idOf(state));
    if (known === undefined) {
      this.raise(state.shard, state.context);
      return { entries: state.entries, isNews: false };
    }
    const joined = this.join(state, known);
    return joined === 'known' ? { entries: known.entries, isNews: false } : { entries: joined, isNews: true };
  }

  /**
   * Keys within the bounds that are remembered and not among those of a snapshot: what is left of them where the snapshot
   * is the state of the contexts.
   */
  *missing(
    bounds: SnapshotBounds,
  ): Generator<{ readonly key: string; readonly entries: Entries; readonly isNews: boolean }> {
    const { bucket, prefix, after, upTo, keys, contexts } = bounds;
    // A join puts its key at the end.
    const remembered = [...this.keys];
    for (const [id, known] of remembered) {
      const key = id.slice(bucket.length + 1);
      const isInside = id.startsWith(`${bucket}\0${prefix}`) && (after === '' || compareUtf8(key, after) > 0);
      if (!isInside || keys.has(key) || (upTo !== null && compareUtf8(key, upTo) > 0)) continue;
      const context = contexts.get(known.shard);
      if (context === undefined || known.entries.length === 0) continue;
      const left = this.join({ bucket, key, shard: known.shard, entries: [], context, past: null }, known);
      yield left === 'known' ? { key, entries: known.entries, isNews: false } : { key, entries: left, isNews: true };
    }
  }

  /** What announcements of forgotten keys of the shard must cover. */
  floorOf(shard: number): CausalContext | null {
    return this.floors.get(shard) ?? null;
  }

  /** Forgets the keys, but not what they were the state of. */
  forgetKeys(): void {
    for (const { shard, context } of this.keys.values()) this.raise(shard, context);
    this.keys.clear();
    this.bytes = 0;
  }

  /** What was told counts no more, although somebody has been told of it. */
  discard(): void {
    this.isVague ||= this.keys.size > 0 || this.floors.size > 0;
    this.keys.clear();
    this.floors.clear();
    this.bytes = 0;
  }

  private join(state: KeyState, known: Remembered): Entries | 'known' {
    const { joined, changed } = joinStates(known, state);
    this.remember(joined);
    return changed ? joined.entries : 'known';
  }

  private remember(state: KeyState): void {
    const id = idOf(state);
    this.forget(id);
    const bytes = bytesOf(state);
    this.keys.set(id, { ...state, bytes });
    this.bytes += bytes;
    for (const [oldest, { shard: place, context: told }] of this.keys) {
      if (this.keys.size <= KEYS_MAX && this.bytes <= BYTES_MAX) break;
      this.raise(place, told);
      this.forget(oldest);
    }
  }

  private forget(id: string): void {
    this.bytes -= this.keys.get(id)?.bytes ?? 0;
    this.keys.delete(id);
  }

  private raise(shard: number, context: CausalContext): void {
    const floor = this.floors.get(shard);
    if (floor === undefined) this.floors.set(shard, context.clone());
    else if (!floor.covers(context)) floor.union(context);
  }
}
