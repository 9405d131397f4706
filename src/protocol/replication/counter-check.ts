import { type CausalContext, NOTHING } from '../causal/context.ts';
import type { ActorId } from '../causal/dot.ts';
import type { NodeId } from '../machine.ts';
import type { ReplicationCore } from './core.ts';
import type { CounterCheckMessage, CounterReportMessage } from './message.ts';
import type { HintRow } from './record.ts';
import type { ShardContext } from './request.ts';

/** What this node's actor has left on the disk. */
interface Restored {
  readonly isNew: boolean;
  readonly hints: readonly HintRow[];
}

export interface CounterCheckUses {
  /** The highest dots of an actor that hints here name, by shard. */
  readonly namedInHints: (actor: ActorId) => readonly ShardContext[];
  readonly onRolledBack: () => void;
}

/**
 * Finds out whether this disk was rolled back (restored from an older copy). Its events since then are known to others
 * and not to itself, and their dots must not be used again: each member, also one that is out of the ring and may still
 * hold something, is asked for the events of this node's actor that it knows. Until all have answered, the first event
 * in a shard leaves a gap that no earlier run can have reached into. That is why the highest counter would not do: after
 * the gap this node's own is higher than those that it has forgotten.
 */
export class CounterCheck {
  private readonly core: ReplicationCore;
  /** This is the first run of the actor. */
  private readonly isNew: boolean;
  private readonly namedInHints: (actor: ActorId) => readonly ShardContext[];
  private readonly onRolledBack: () => void;
  private readonly confirmed = new Set<NodeId>();
  /** By shard the events that have come in deltas or are in hints, on the disk yet or not. */
  private readonly heard = new Map<number, CausalContext>();
  /** By shard those of this actor in hints of earlier runs: here, if not in the replica. */
  private readonly hinted = new Map<number, CausalContext>();
  private rolledBack = false;

  constructor(core: ReplicationCore, { isNew, hints }: Restored, uses: CounterCheckUses) {
    this.core = core;
    this.isNew = isNew;
    this.namedInHints = uses.namedInHints;
    this.onRolledBack = uses.onRolledBack;
    for (const { shard, hint } of hints) {
      this.note(shard, hint.events);
      unite(this.hinted, shard, hint.events.ofActor(core.options.actor));
    }
  }

  /** True when every member that is not out for good has told what it knows, and it was nothing new. */
  get isConfirmed(): boolean {
    const { self } = this.core.options;
    if (this.isNew) return true;
    if (this.core.options.hasHub && !this.confirmed.has(HUB)) return false;
    // Alone there is nobody who could know: the disk may be one from before it met others.
    if (this.rolledBack || this.core.ring.memberCount <= 1) return false;
    return this.core.ring.remaining.every((node) => node === self || this.confirmed.has(node));
  }

  /** A delta has come. */
  note(shard: number, events: CausalContext): void {
    unite(this.heard, shard, events);
  }

  handlePeerUp(peer: NodeId): void {
    if (!this.confirmed.has(peer)) this.core.send(peer, { type: 'counter-check', actor: this.core.options.actor });
  }

  /** Asks again those who have not answered: a message may have been lost. */
  askAgain(): void {
    for (const node of this.core.ring.remaining) {
      if (node !== this.core.options.self && this.core.isUp(node)) this.handlePeerUp(node);
    }
  }

  handleCheck(from: NodeId, { actor }: CounterCheckMessage): void {
    const known = new Map<number, CausalContext>();
    for (const [shard, events] of this.heard) unite(known, shard, events.ofActor(actor));
    for (const { id, context } of this.core.shards.all()) unite(known, id, context.ofActor(actor));
    const named = new Map<number, CausalContext>();
    for (const { shard, context } of this.namedInHints(actor)) unite(named, shard, context);
    for (const shard of this.core.shards.all()) unite(named, shard.id, shard.named.ofActor(actor));
    this.core.sendDurable(from, { type: 'counter-report', actor, known: rowsOf(known), named: rowsOf(named) });
  }

  /** The hub's answer: it may be the only one that has heard of an event. */
  handleHub(known: readonly ShardContext[]): void {
    this.handleReport(HUB, { actor: this.core.options.actor, known, named: [] });
  }

  handleReport(from: NodeId, { actor, known, named }: Omit<CounterReportMessage, 'type'>): void {
    if (actor !== this.core.options.actor) return;
    this.confirmed.add(from);
    let isBehind = false;
    for (const { shard, context } of known) {
      const events = context.ofActor(actor).without(this.hinted.get(shard) ?? NOTHING);
      if (this.core.shards.noteOwnEvents(shard, events)) isBehind = true;
    }
    for (const { shard, context } of named) {
      if (this.core.shards.noteOwnCounter(shard, context.highest(actor))) isBehind = true;
    }
    if (!isBehind || this.rolledBack) return;
    this.rolledBack = true;
    this.onRolledBack();
  }
}

/** Stands for the hub among those that have answered: no node has this id. */
const HUB: NodeId = '';

/** Of shards with nothing to tell, nothing is told. */
function rowsOf(byShard: ReadonlyMap<number, CausalContext>): ShardContext[] {
  return [...byShard].map(([shard, context]) => ({ shard, context })).filter(({ context }) => !context.isEmpty);
}

function unite(byShard: Map<number, CausalContext>, shard: number, events: CausalContext): void {
  const before = byShard.get(shard);
  if (before === undefined) byShard.set(shard, events.clone());
  else before.union(events);
}
