import type { NodeId } from '../machine.ts';
import type { Vivaldi } from './coordinate.ts';
import type { Dissemination } from './dissemination.ts';
import type { MembershipEffect } from './effect.ts';
import type { MemberTable } from './member-table.ts';
import { updateOf } from './member-table.ts';
import type { MembershipMessage, MemberUpdate } from './message.ts';
import { MEMBERSHIP_LIMITS } from './message.ts';
import type { MembershipTiming } from './options.ts';

/** Collects the effects of a turn, and adds to outgoing probes what they should carry along. */
export class Outbox {
  readonly connected = new Set<NodeId>();
  private readonly timing: MembershipTiming;
  private readonly table: MemberTable;
  private readonly dissemination: Dissemination;
  private readonly vivaldi: Vivaldi;
  private effects: MembershipEffect[] = [];

  constructor(timing: MembershipTiming, table: MemberTable, dissemination: Dissemination, vivaldi: Vivaldi) {
    this.timing = timing;
    this.table = table;
    this.dissemination = dissemination;
    this.vivaldi = vivaldi;
  }

  drain(): MembershipEffect[] {
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  push(effect: MembershipEffect): void {
    this.effects.push(effect);
  }

  send(to: NodeId, message: MembershipMessage): void {
    this.effects.push({ type: 'send', to, message });
  }

  dial(peer: NodeId): void {
    this.effects.push({ type: 'dial', peer, addresses: this.table.addresses(peer) });
  }

  /**
   * How often each update is sent: lambda log N, and some more, because in a small cluster that alone is so little
   * that heavy loss swallows a refutation.
   */
  get budget(): number {
    const clusterSize = this.table.reachableCount + 1;
    return (
      this.timing.disseminationMultiplier * Math.ceil(Math.log10(clusterSize + 1)) + this.timing.disseminationSpare
    );
  }

  ping(to: NodeId, seq: number): void {
    if (!this.connected.has(to)) this.dial(to);
    this.send(to, { type: 'ping', seq, updates: this.piggyback(this.accusation(to)) });
  }

  pingRequest(relay: NodeId, seq: number, target: NodeId, timeoutMs: number): void {
    if (!this.connected.has(relay)) this.dial(relay);
    const updates = this.piggyback(this.accusation(target));
    this.send(relay, { type: 'ping-request', seq, target, timeoutMs, updates });
  }

  /** `answers`: what the pinging node needs to hear first. */
  ack(to: NodeId, seq: number, answers: readonly MemberUpdate[]): void {
    const accusation = answers.some((update) => update.id === to) ? [] : this.accusation(to);
    const updates = this.piggyback([...answers, ...accusation]);
    this.send(to, { type: 'ack', seq, coordinate: this.vivaldi.coordinate, updates });
  }

  /** Passes on the ack of another. */
  relayAck(to: NodeId, seq: number): void {
    this.send(to, { type: 'ack', seq, coordinate: null, updates: this.piggyback([]) });
  }

  /**
   * What stands against a member is told to itself first, directly or through a relay: it is the one who can
   * refute it (the buddy system, Lifeguard section IV.C).
   */
  private accusation(id: NodeId): MemberUpdate[] {
    const record = this.table.record(id);
    const update = record === undefined || record.member.state === 'alive' ? undefined : updateOf(record, false);
    return update === undefined ? [] : [update];
  }

  private piggyback(first: readonly MemberUpdate[]): MemberUpdate[] {
    const room = MEMBERSHIP_LIMITS.piggybackUpdatesMax - first.length;
    return room > 0 ? [...first, ...this.dissemination.select(room, this.budget)] : [...first];
  }
}
