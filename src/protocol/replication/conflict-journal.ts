import { conflictsIn } from '../causal/conflict.ts';
import type { CausalContext } from '../causal/context.ts';
import { type ActorId, compareDots, dotText } from '../causal/dot.ts';
import { type Entry, payloadBytes, withoutBytes } from '../causal/entry.ts';
import type { CausalObject } from '../causal/object.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { ConflictKey, ConflictRecord, ConflictRow, ConflictWrite } from './record.ts';
import type { ConflictsQuery } from './request.ts';

/** Beyond them the conflicts noticed first go. */
export const CONFLICTS_MAX = 10_000;
export const CONFLICT_BYTES_MAX = 8 * 1024 * 1024;
/** A longer value is not kept: its length tells people that it was another one. */
export const KEPT_VALUE_BYTES_MAX = 64 * 1024;
/** What a record takes beside the names and values, about. */
const RECORD_BYTES = 160;
/** Of one answer; a single conflict may exceed it. */
const PAGE_BYTES_MAX = 1024 * 1024;
/** Actors of hubs: each process of a hub draws one, and a new one when it starts. */
const HUB_ACTORS_MAX = 1024;

/** What an earlier run left on the disk. */
export interface RestoredConflict {
  readonly key: ConflictKey;
  readonly bytes: number;
  readonly atMs: number;
}

/** `more`: there are more after the last one. */
export interface ConflictsPage {
  readonly rows: readonly ConflictRow[];
  readonly more: boolean;
}

interface Kept {
  readonly key: ConflictKey;
  readonly bytes: number;
}

/**
 * What this node's replicas saw lose against concurrent writes: on the disk, and by the loser's dot in memory, so that each
 * is written once however often it is met. Every owner notices for itself; `ConflictGatherer` makes one answer of it.
 */
export class ConflictJournal {
  private readonly core: ReplicationCore;
  /** The one noticed first is the first. */
  private readonly kept = new Map<string, Kept>();
  private readonly hubActors = new Set<ActorId>();
  private bytes = 0;

  constructor(core: ReplicationCore, restored: readonly RestoredConflict[]) {
    this.core = core;
    for (const { key, bytes } of restored.toSorted((a, b) => a.atMs - b.atMs)) this.keep(key, bytes);
  }

  get size(): number {
    return this.kept.size;
  }

  /**
   * The key changed from the one to the other. With an open past it says nothing: what supersedes an entry may be among the
   * events that have not arrived. Once it is without, all is gone that its entries have replaced, and what that had
   * replaced: what is left was written concurrently.
   */
  note(cell: Cell, before: CausalObject, after: CausalObject): void {
    if (after.past !== null) return;
    const conflicts = conflictsIn(before.past === null ? before.entries : [], after.entries);
    if (conflicts.length === 0 || this.core.conflictOf(cell.name.bucket) !== 'lww') return;
    for (const { winner, loser } of conflicts) {
      const key = keyOf(cell.shard, loser);
      if (this.kept.has(conflictId(key))) continue;
      this.core.counters.conflicts++;
      const value = {
        name: cell.name,
        winner: this.written(winner),
        loser: this.written(loser),
        atMs: Math.floor(this.core.now.wallMs),
      };
      this.core.journal.write({ table: 'conflict', key, value });
      this.keep(key, conflictBytes(value));
      this.trim();
    }
  }

  /** These were written at a hub. */
  noteHub(own: CausalContext): void {
    for (const { actor } of own.ranges()) {
      if (this.hubActors.size >= HUB_ACTORS_MAX) this.hubActors.clear();
      this.hubActors.add(actor);
    }
  }

  /** The record is bad, and what it said is lost. */
  handleBad(key: ConflictKey): void {
    this.drop(conflictId(key));
    this.core.journal.write({ table: 'conflict', key, value: null });
  }

  /** Calls back with what is durable. */
  page({ bucket, after, limit }: ConflictsQuery, use: (page: ConflictsPage) => void): void {
    this.core.journal.afterTurn(() => {
      this.core.scan({ table: 'conflict', bucket, after, limit }, ({ rows, more }) => {
        const shown: ConflictRow[] = [];
        let bytes = 0;
        for (const row of rows) {
          bytes += conflictBytes(row.record);
          if (shown.length > 0 && bytes > PAGE_BYTES_MAX) break;
          shown.push(this.asKnown(row));
        }
        use({ rows: shown, more: more || shown.length < rows.length });
      });
    });
  }

  private keep(key: ConflictKey, bytes: number): void {
    this.kept.set(conflictId(key), { key, bytes });
    this.bytes += bytes;
  }

  private drop(id: string): void {
    const kept = this.kept.get(id);
    if (kept === undefined) return;
    this.kept.delete(id);
    this.bytes -= kept.bytes;
  }

  private trim(): void {
    for (const [id, { key }] of this.kept) {
      if (this.kept.size <= CONFLICTS_MAX && this.bytes <= CONFLICT_BYTES_MAX) return;
      this.drop(id);
      this.core.journal.write({ table: 'conflict', key, value: null });
    }
  }

  private written(entry: Entry): ConflictWrite {
    const { payload } = entry;
    const bytes = payloadBytes(payload);
    const isKept = payload.kind === 'register' && bytes <= KEPT_VALUE_BYTES_MAX;
    return {
      entry: isKept ? entry : { ...entry, payload: withoutBytes(payload) },
      bytes,
      byHub: this.hubActors.has(entry.dot.actor),
    };
  }

  /** It may have been noticed before the hub told what it has written. */
  private asKnown({ key, record }: ConflictRow): ConflictRow {
    const known = (write: ConflictWrite): ConflictWrite =>
      write.byHub || !this.hubActors.has(write.entry.dot.actor) ? write : { ...write, byHub: true };
    return { key, record: { ...record, winner: known(record.winner), loser: known(record.loser) } };
  }
}

/** What a record takes on the disk, about. */
export function conflictBytes({ name, winner, loser }: Omit<ConflictRecord, 'atMs'>): number {
  const values = payloadBytes(winner.entry.payload) + payloadBytes(loser.entry.payload);
  return RECORD_BYTES + name.bucket.length + name.key.length + values;
}

/** The order of answers: the latest lost write first, then by what names it. */
export function compareConflicts(a: ConflictKey, b: ConflictKey): number {
  if (a.hlc !== b.hlc) return b.hlc - a.hlc;
  return a.shard === b.shard ? compareDots(a, b) : a.shard - b.shard;
}

function keyOf(shard: number, { dot, hlc }: Entry): ConflictKey {
  return { hlc, shard, ...dot };
}

/** A dot names an event of its shard. */
export function conflictId(key: ConflictKey): string {
  return `${key.shard}/${dotText(key)}`;
}
