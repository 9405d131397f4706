import type { CausalContext } from '../causal/context.ts';
import type { ActorId } from '../causal/dot.ts';
import type { NodeId } from '../machine.ts';
import type { ReplicationCore } from './core.ts';
import type { CounterCheckMessage, CounterReportMessage } from './message.ts';

/**
 * Finds out whether this disk was rolled back (restored from an older copy). Its events since then are known to others
 * and not to itself, and their dots must not be used again: each member, also one that is out of the ring and may still
 * hold something, is asked for the highest counters of this node's actor that it knows. Until all have answered, the first event in a shard leaves a gap that no earlier
 * run can have reached into.
 */
export class CounterCheck {
  private readonly core: ReplicationCore;
  /** This is the first run of the actor. */
  private readonly isNew: boolean;
  private readonly onRolledBack: () => void;
  private readonly confirmed = new Set<NodeId>();
  /** By shard and actor the highest counter that has come in a delta or a hint, on the disk yet or not. */
  private readonly heard = new Map<number, Map<ActorId, number>>();
  private rolledBack = false;

  constructor(core: ReplicationCore, isNew: boolean, onRolledBack: () => void) {
    this.core = core;
    this.isNew = isNew;
    this.onRolledBack = onRolledBack;
  }

  /** True when every member that is not out for good has told what it knows, and it was nothing new. */
  get isConfirmed(): boolean {
    const { self } = this.core.options;
    if (this.isNew) return true;
    // Alone there is nobody who could know: the disk may be one from before it met others.
    if (this.rolledBack || this.core.ring.memberCount <= 1) return false;
    return this.core.ring.remaining.every((node) => node === self || this.confirmed.has(node));
  }

  /** A delta has come, or a hint is on the disk from an earlier run. */
  note(shard: number, events: CausalContext): void {
    let highest = this.heard.get(shard);
    if (highest === undefined) {
      highest = new Map();
      this.heard.set(shard, highest);
    }
    for (const actor of events.actorIds()) {
      const counter = events.highest(actor);
      if (counter > (highest.get(actor) ?? 0)) highest.set(actor, counter);
    }
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
    const counters = new Map<number, number>();
    for (const [shard, highest] of this.heard) {
      const counter = highest.get(actor);
      if (counter !== undefined) counters.set(shard, counter);
    }
    for (const { id, context } of this.core.shards.all()) {
      const counter = Math.max(context.highest(actor), counters.get(id) ?? 0);
      if (counter > 0) counters.set(id, counter);
    }
    const rows = [...counters].map(([shard, counter]) => ({ shard, counter }));
    this.core.sendDurable(from, { type: 'counter-report', actor, counters: rows });
  }

  handleReport(from: NodeId, { actor, counters }: CounterReportMessage): void {
    if (actor !== this.core.options.actor) return;
    this.confirmed.add(from);
    let isBehind = false;
    for (const { shard, counter } of counters) if (this.core.shards.noteOwnCounter(shard, counter)) isBehind = true;
    if (!isBehind || this.rolledBack) return;
    this.rolledBack = true;
    this.onRolledBack();
  }
}
