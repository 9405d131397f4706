import { assert } from '../../lib/assert.ts';
import { CausalContext } from '../causal/context.ts';
import type { ActorId } from '../causal/dot.ts';
import { joinEntries } from '../causal/join.ts';
import type { NodeId } from '../machine.ts';
import type { Cell } from './cell-table.ts';
import { entriesBytes } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { HintRecord, HintRow } from './record.ts';
import type { ShardContext } from './request.ts';

/** Ranges a hint's context may grow to. */
const HINT_RANGES_MAX = 16_384;
/** Events that one hint may gather; receivers refuse more. */
const HINT_EVENTS_MAX = 32_768;

/** A hint to be stored: an event for owners that are away. */
export type HintDelta = HintRecord;

/**
 * Keeps writes for owners that are away (DeCandia et al., "Dynamo", SOSP 2007, section 4.6). One record a key, joined
 * with later events of the key, kept until every target has confirmed it. Bounded by bytes; what does not fit is
 * refused, counted, and left to anti-entropy.
 */
export class HintStore {
  private readonly core: ReplicationCore;
  /** A hint for these nodes is here now. */
  private readonly onStored: (targets: readonly NodeId[]) => void;
  private readonly perShard = new Map<number, number>();
  /** By shard the highest dots that hints have named since the start, as replaced ones too. */
  private readonly named = new Map<number, CausalContext>();
  /** How many records of each shard are for each target; of records that went bad it is not known for whom they were. */
  private readonly perTarget = new Map<NodeId, Map<number, number>>();
  private records = 0;
  private bytes = 0;

  constructor(core: ReplicationCore, onStored: (targets: readonly NodeId[]) => void) {
    this.core = core;
    this.onStored = onStored;
  }

  get stats(): { readonly records: number; readonly bytes: number } {
    return { records: this.records, bytes: this.bytes };
  }

  /** True when hints of the shard may be on disk. */
  mayHold(shard: number): boolean {
    return this.perShard.has(shard);
  }

  /** For whom hints may be here. */
  targets(): NodeId[] {
    return [...this.perTarget.keys()];
  }

  /** Shards of which hints for the target may be here. */
  shardsFor(target: NodeId): number[] {
    return [...(this.perTarget.get(target)?.keys() ?? [])];
  }

  /** Dots of the actor that must not be used again, by shard. */
  namedOf(actor: ActorId): ShardContext[] {
    return [...this.named].map(([shard, dots]) => ({ shard, context: dots.ofActor(actor) }));
  }

  /** Counts what an earlier run left on disk. */
  restore(rows: readonly HintRow[]): void {
    for (const { shard, hint } of rows) {
      this.account(shard, null, hint);
      this.noteNamed(shard, hint.context);
    }
  }

  /** Joins a delta into the key's hint; false when the store is full. */
  store(cell: Cell, delta: HintDelta): boolean {
    assert(delta.targets.length > 0, 'a hint is for somebody');
    const before = cell.hint;
    const hint = before === null ? newHint(delta) : joinHints(before, delta);
    if (hint.context.rangeCount > HINT_RANGES_MAX || hint.events.dotCount > HINT_EVENTS_MAX) return this.refuse(cell);
    const growth = hintBytes(hint) - (before === null ? 0 : hintBytes(before));
    if (this.bytes + growth > this.core.options.hintBytesMax) {
      return this.refuse(cell);
    }
    this.core.counters.hintsStored++;
    this.noteNamed(cell.shard, delta.context);
    this.replace(cell, hint);
    this.onStored(hint.targets);
    return true;
  }

  /** A hint went bad on the disk: what it held is left to anti-entropy. */
  handleLost(cell: Cell, counted: boolean): void {
    this.refuse(cell);
    this.core.shards.noteHintLost(cell.shard);
    if (!counted || !this.mayHold(cell.shard)) return;
    addTo(this.perShard, cell.shard, -1);
    this.records--;
    // Its size and targets are not known any more, and count until the others are delivered too.
    if (this.records > 0) return;
    this.bytes = 0;
    this.perTarget.clear();
  }

  /** Takes one target off the key's hint; the last one takes the record with it. */
  removeTarget(cell: Cell, target: NodeId): void {
    const hint = cell.hint;
    if (hint === null) return;
    const targets = hint.targets.filter((node) => node !== target);
    this.replace(cell, targets.length === 0 ? null : { ...hint, targets });
  }

  /** The hint is for others now. */
  retarget(cell: Cell, hint: HintRecord, targets: readonly NodeId[]): void {
    this.replace(cell, { ...hint, targets });
  }

  private replace(cell: Cell, hint: HintRecord | null): void {
    this.account(cell.shard, cell.hint, hint);
    cell.hint = hint;
    this.core.journal.write({ table: 'hint', shard: cell.shard, name: cell.name, value: hint });
    this.core.cells.noteChanged(cell, this.core.journal.turnId);
  }

  private noteNamed(shard: number, dots: CausalContext): void {
    const named = this.named.get(shard) ?? new CausalContext();
    if (named.raiseTo(dots)) this.named.set(shard, named);
  }

  private refuse(cell: Cell): false {
    this.core.counters.hintsDropped++;
    this.core.emit({ type: 'notify', event: { type: 'hint-dropped', bucket: cell.name.bucket } });
    return false;
  }

  private account(shard: number, before: HintRecord | null, after: HintRecord | null): void {
    const count = (after === null ? 0 : 1) - (before === null ? 0 : 1);
    this.records += count;
    this.bytes += (after === null ? 0 : hintBytes(after)) - (before === null ? 0 : hintBytes(before));
    addTo(this.perShard, shard, count);
    for (const target of before?.targets ?? []) this.accountFor(target, shard, -1);
    for (const target of after?.targets ?? []) this.accountFor(target, shard, 1);
  }

  private accountFor(target: NodeId, shard: number, count: number): void {
    const shards = this.perTarget.get(target) ?? new Map<number, number>();
    addTo(shards, shard, count);
    if (shards.size === 0) this.perTarget.delete(target);
    else this.perTarget.set(target, shards);
  }
}

/** What comes to nothing is not kept. */
function addTo(counts: Map<number, number>, shard: number, count: number): void {
  const sum = (counts.get(shard) ?? 0) + count;
  if (sum === 0) counts.delete(shard);
  else counts.set(shard, sum);
}

function hintBytes(hint: HintRecord): number {
  return (
    96 + entriesBytes(hint.entries) + (hint.context.rangeCount + hint.events.rangeCount) * 24 + hint.targets.length * 64
  );
}

function newHint(delta: HintDelta): HintRecord {
  return { ...delta, events: delta.events.clone(), context: delta.context.clone() };
}

function joinHints(before: HintRecord, delta: HintDelta): HintRecord {
  const events = before.events.clone();
  events.union(delta.events);
  const context = before.context.clone();
  context.union(delta.context);
  const { entries } = joinEntries(
    before.entries,
    (dot) => before.context.has(dot),
    delta.entries,
    (dot) => delta.context.has(dot),
  );
  return { entries, events, context, targets: [...new Set([...before.targets, ...delta.targets])] };
}
