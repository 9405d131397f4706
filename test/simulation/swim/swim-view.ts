import type { Prng } from '../../../src/lib/prng.ts';
import type { NodeId } from '../../../src/protocol/machine.ts';
import type { MembershipEffect } from '../../../src/protocol/membership/effect.ts';
import type { Member, MemberState } from '../../../src/protocol/membership/member.ts';
import { UNKNOWN_HEALTH } from '../../../src/protocol/membership/member-table.ts';
import type { AliveUpdate, MemberUpdate } from '../../../src/protocol/membership/message.ts';
import { profileOf } from '../../support/membership-network.ts';
import { signed } from '../../support/test-claims.ts';
import { Broadcasts } from './broadcasts.ts';
import { SWIM, suspicionMs } from './options.ts';

interface SwimRecord {
  member: Member;
  /** What is told of it. */
  claim: MemberUpdate;
  /** End of its suspicion on the monotonic clock. */
  suspectUntilMs: number;
  deadSinceMs: number;
}

/** aliveNode, suspectNode, deadNode and mergeState of memberlist (state.go), without Lifeguard's confirmations. */
export class SwimView {
  readonly id: NodeId;
  readonly broadcasts = new Broadcasts();
  readonly effects: MembershipEffect[] = [];
  announcement: AliveUpdate;
  private readonly records = new Map<NodeId, SwimRecord>();
  private readonly prng: Prng;
  /** Others in the order of probing. */
  private readonly order: NodeId[] = [];
  private next = 0;
  private suspects = 0;
  private aliveIds: NodeId[] | null = null;

  constructor(id: NodeId, prng: Prng) {
    this.id = id;
    this.prng = prng;
    this.announcement = signed({ state: 'alive', id, incarnation: 1, profile: profileOf(id) });
  }

  get self(): Member {
    return memberOf(this.announcement);
  }

  /** estNumNodes: all known members that are not dead, self included. */
  get size(): number {
    return this.order.length + 1;
  }

  member(id: NodeId): Member | undefined {
    return id === this.id ? this.self : this.records.get(id)?.member;
  }

  alive(): readonly NodeId[] {
    this.aliveIds ??= [this.id, ...this.idsIn('alive')];
    return this.aliveIds;
  }

  claims(): MemberUpdate[] {
    return [this.announcement, ...[...this.records.values()].map(({ claim }) => claim)];
  }

  /** The next to probe; the order is shuffled anew after each round. */
  nextTarget(): NodeId | undefined {
    for (let tried = 0; tried <= this.order.length; tried++) {
      if (this.next >= this.order.length) {
        this.prng.shuffle(this.order);
        this.next = 0;
      }
      const id = this.order[this.next++];
      if (id === undefined || this.records.get(id)?.member.state !== 'dead') return id;
    }
    return undefined;
  }

  /** Up to `count` distinct members that are alive and not `except`. */
  someAlive(count: number, except?: NodeId): NodeId[] {
    return this.some(count, (record) => record.member.state === 'alive' && record.member.id !== except);
  }

  gossipTargets(nowMs: number): NodeId[] {
    return this.some(
      SWIM.gossipNodes,
      (record) => record.member.state !== 'dead' || nowMs - record.deadSinceMs <= SWIM.gossipToTheDeadMs,
    );
  }

  apply(updates: readonly MemberUpdate[], nowMs: number): void {
    for (const update of updates) {
      if (update.state === 'alive') this.applyAlive(update, true);
      else if (update.state === 'suspect') this.suspect(update.id, update.incarnation, update.from, nowMs);
      else if (update.state === 'dead') this.bury(update.id, update.incarnation, update.from, nowMs);
    }
  }

  /** A remote death is only ground for suspicion. Strangers in it are old news to everybody else. */
  merge(updates: readonly MemberUpdate[], nowMs: number): void {
    for (const update of updates) {
      if (update.state === 'alive') this.applyAlive(update, this.records.has(update.id));
      else if (update.state !== 'left') this.suspect(update.id, update.incarnation, update.from, nowMs);
    }
  }

  /** suspectNode. */
  suspect(id: NodeId, incarnation: number, from: NodeId, nowMs: number): void {
    if (id === this.id) {
      this.refute(incarnation);
      return;
    }
    const record = this.records.get(id);
    if (record === undefined || incarnation < record.member.incarnation || record.member.state !== 'alive') return;
    this.change(record, signed({ state: 'suspect', id, incarnation, from }));
    record.suspectUntilMs = nowMs + suspicionMs(this.size);
    this.suspects += 1;
  }

  /** Suspicions that ran out. */
  handleTimeout(nowMs: number): void {
    if (this.suspects === 0) return;
    for (const { member, suspectUntilMs } of this.records.values()) {
      if (member.state === 'suspect' && suspectUntilMs <= nowMs)
        this.bury(member.id, member.incarnation, this.id, nowMs);
    }
  }

  nextDeadline(): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.suspects === 0) return next;
    for (const { member, suspectUntilMs } of this.records.values()) {
      if (member.state === 'suspect' && suspectUntilMs < next) next = suspectUntilMs;
    }
    return next;
  }

  /** deadNode. */
  private bury(id: NodeId, incarnation: number, from: NodeId, nowMs: number): void {
    if (id === this.id) {
      this.refute(incarnation);
      return;
    }
    const record = this.records.get(id);
    if (record === undefined || incarnation < record.member.incarnation || record.member.state === 'dead') return;
    this.change(record, signed({ state: 'dead', id, incarnation, from }));
    record.deadSinceMs = nowMs;
  }

  /** aliveNode: only a higher incarnation changes anything. */
  private applyAlive(update: AliveUpdate, isTold: boolean): void {
    if (update.id === this.id) return;
    const record = this.records.get(update.id);
    if (record === undefined) {
      this.records.set(update.id, { member: memberOf(update), claim: update, suspectUntilMs: 0, deadSinceMs: 0 });
      this.order.push(update.id);
      const other = this.prng.below(this.order.length);
      [this.order[other], this.order[this.order.length - 1]] = [update.id, this.order[other] as NodeId];
      this.aliveIds = null;
      this.effects.push({ type: 'member-changed', member: memberOf(update), previous: null });
      if (isTold) this.broadcasts.add(update);
    } else if (update.incarnation > record.member.incarnation) {
      this.change(record, update);
    }
  }

  private refute(accused: number): void {
    const { incarnation } = this.announcement;
    if (accused < incarnation) return;
    const { id } = this;
    this.announcement = signed({ state: 'alive', id, incarnation: accused + 1, profile: this.announcement.profile });
    this.broadcasts.add(this.announcement);
  }

  private change(record: SwimRecord, claim: MemberUpdate): void {
    const previous = record.member.state;
    if (previous === 'suspect') this.suspects -= 1;
    record.claim = claim;
    record.member = { ...record.member, state: claim.state, incarnation: claim.incarnation };
    this.broadcasts.add(claim);
    this.aliveIds = null;
    if (previous !== claim.state) this.effects.push({ type: 'member-changed', member: record.member, previous });
  }

  private some(count: number, matches: (record: SwimRecord) => boolean): NodeId[] {
    const chosen: NodeId[] = [];
    // As kRandomNodes of util.go: random tries, three times the number of members at most.
    for (let tries = 0; tries < 3 * this.order.length && chosen.length < count; tries++) {
      const id = this.order[this.prng.below(this.order.length)] as NodeId;
      const record = this.records.get(id);
      if (record !== undefined && matches(record) && !chosen.includes(id)) chosen.push(id);
    }
    return chosen;
  }

  private idsIn(state: MemberState): NodeId[] {
    return this.order.filter((id) => this.records.get(id)?.member.state === state);
  }
}

function memberOf(update: AliveUpdate): Member {
  const { id, incarnation, profile } = update;
  return { id, state: 'alive', incarnation, profile, sinceMs: 0, ...UNKNOWN_HEALTH };
}
