import { unreachable } from '../../lib/assert.ts';
import { earlier } from '../../lib/deadline-queue.ts';
import type { Prng } from '../../lib/prng.ts';
import type { Instant, Machine, NodeId } from '../machine.ts';
import { type Contender, compareContenders } from './contender.ts';
import type { ElectionEffect, ElectionInput } from './effect.ts';
import { Grants } from './grants.ts';
import { Lease } from './lease.ts';
import type { ElectionMessage, LeaderNews, LeaseAskMessage, LeaseTellMessage } from './message.ts';
import {
  ELECTION_TIMING,
  type ElectionOptions,
  type ElectionTiming,
  type VoterGroups,
  type Voters,
} from './options.ts';
import { Voter } from './voter.ts';

/** A node that starts again looks for a leader for so long before it stands itself. */
const START_GRACE_MS = 1500;
/** The wall clock has gone on by so much more than the monotonic one: the machine slept, and leases went on. */
const SLEEP_MS = 400;
/** A leader that is known from others is asked after so long before what they told is over. */
const ASK_AGAIN_MS = 900;
/** Candidates wait longer, the more often they have failed: each vote is a write. */
const FAILURES_MAX = 8;
/** Nobody is left the lead twice within this time. */
const SHIRKER_MS = 3_600_000;
/** Beyond so many it does not matter any more who is better. */
const RANKS_MAX = 20;
/** For so long the own vote may be on its way to the disk. */
const VOTE_WRITE_MS = 5000;

interface Standing {
  readonly type: 'standing';
  /** `voting`: its own vote is being written. */
  readonly stage: 'poll' | 'voting' | 'vote';
  readonly term: number;
  readonly round: number;
  readonly refused: Set<NodeId>;
  readonly grants: Grants;
  readonly untilMs: number;
}

interface Leading {
  readonly type: 'leading';
  readonly lease: Lease;
  renewMs: number;
  /** It has said last that it is quorate. */
  toldQuorate: boolean;
  /** A member that has been much better than this one, and since when. */
  challenger: { readonly id: NodeId; readonly sinceMs: number } | null;
}

type Role = { readonly type: 'following' } | Standing | Leading;

export interface Leadership extends LeaderNews {
  /** For how long the leader's lease lasts yet, as far as this node knows; ms. */
  readonly remainingMs: number;
  /** Grants that the lease rests on, and members of the leader's view. */
  readonly votes: number;
  readonly view: number;
}

const FOLLOWING: Role = { type: 'following' };

/**
 * Who leads: leases (Gray and Cheriton, "Leases", 1989) in numbered terms with one vote each (as in Raft, Ongaro 2014).
 * The leader of a view, the members that a node holds alive, has been granted its lease by a majority of them; it is
 * quorate where the grants are those of a majority of the ring's members as well, of two rings while it changes. A voter grants no second lease while
 * one lasts, and the leader counts its lease from when it asked, so that there is never more than one quorate leader.
 */
export class Election implements Machine<ElectionInput, ElectionEffect> {
  private readonly self: NodeId;
  private readonly timing: ElectionTiming;
  private readonly prng: Prng;
  private readonly voter: Voter;
  private readonly connected = new Set<NodeId>();
  private readonly graceUntilMs: number;
  private role: Role = FOLLOWING;
  private view: readonly Contender[];
  private viewIds: readonly NodeId[];
  private epoch: number;
  private groups: VoterGroups;
  private voters: ReadonlySet<NodeId>;
  private unfit: string | null = null;
  private leaving = false;
  /** When it stands, while it knows of no leader. */
  private standMs: number | undefined;
  /** When the teller of a leader without a link to this node is asked again. */
  private askAgainMs = 0;
  /** Whom it left the lead to: should it lead again so soon, that one cannot. */
  private shirker: { readonly id: NodeId; readonly untilMs: number } | null = null;
  /** Candidacies in a row that came to nothing. */
  private failures = 0;
  private round: number;
  private told: { readonly leader: NodeId | null; readonly term: number; readonly quorate: boolean };
  private wallBaseMs: number;
  /** The next deadline as of the end of the last turn; that of the first one is at once. */
  private wakeMs: number | undefined = 0;
  private effects: ElectionEffect[] = [];
  private now: Instant;

  constructor(options: ElectionOptions, { epoch, groups }: Voters, now: Instant) {
    const { self, vote, prng, mayHaveVoted } = options;
    this.self = self;
    this.prng = prng;
    this.timing = { ...ELECTION_TIMING, ...options.timing };
    const freeFromMs = mayHaveVoted ? now.monoMs + this.timing.leaseMs : now.monoMs;
    this.voter = new Voter(vote, this.timing.leaseMs, freeFromMs, (next) => {
      this.effects.push({ type: 'persist-vote', vote: next });
    });
    this.view = [{ id: self, score: 0, degraded: false }];
    this.viewIds = [self];
    this.epoch = epoch;
    this.groups = groups;
    this.voters = new Set(groups.flat());
    this.graceUntilMs = now.monoMs + (mayHaveVoted ? START_GRACE_MS : 0);
    this.round = prng.uint32();
    this.told = { leader: null, term: vote.term, quorate: false };
    this.wallBaseMs = now.wallMs - now.monoMs;
    this.now = now;
  }

  /** Who leads this node's view, as far as it knows. */
  leadership(now: Instant): Leadership | null {
    const { role } = this;
    const { monoMs } = now;
    if (role.type === 'leading') {
      if (this.hasSlept(now)) return null;
      const remainingMs = this.leaseUntilMs(role.lease) - monoMs;
      if (remainingMs <= 0) return null;
      const quorate = role.lease.quorumUntilMs(this.groups) > monoMs;
      const votes = role.lease.votes(this.viewIds, monoMs);
      return { leader: this.self, term: role.lease.term, quorate, remainingMs, votes, view: this.view.length };
    }
    const known = this.voter.leader(monoMs);
    // A leader that is told of higher terms goes beyond them at once: nobody is told of a lower one meanwhile.
    if (known === null || known.news.term < this.told.term) return null;
    return { ...known.news, remainingMs: known.untilMs - monoMs };
  }

  /** Of the leader that this node knows, or last knew of; it never falls. */
  get term(): number {
    return this.told.term;
  }

  handle(input: ElectionInput, now: Instant): ElectionEffect[] {
    this.begin(now);
    switch (input.type) {
      case 'message':
        if (this.isRenewed(input.from, input.message)) return [];
        this.handleMessage(input.from, input.message);
        break;
      case 'vote-persisted':
        this.voter.handlePersisted(input.vote, now);
        break;
      case 'connected':
        this.connected.add(input.peer);
        break;
      case 'disconnected':
        this.connected.delete(input.peer);
        break;
      case 'view':
        this.view = input.members;
        this.viewIds = input.members.map(({ id }) => id);
        this.planSooner();
        break;
      case 'voters':
        this.epoch = input.epoch;
        this.groups = input.groups;
        this.voters = new Set(input.groups.flat());
        break;
      case 'unfit':
        this.unfit = input.reason;
        break;
      case 'fence':
        this.fence(input.id, input.leader, input.token);
        break;
      case 'leave':
        this.leaving = true;
        break;
      default:
        unreachable(input);
    }
    return this.finish();
  }

  handleTimeout(now: Instant): ElectionEffect[] {
    this.begin(now);
    return this.finish();
  }

  nextDeadline(): number | undefined {
    return this.wakeMs;
  }

  private earliestDeadline(): number | undefined {
    const { role } = this;
    switch (role.type) {
      case 'leading': {
        // Each end is news once: those that have passed were told.
        const ends = [role.lease.untilMs(this.viewIds), role.lease.quorumUntilMs(this.groups)];
        return Math.min(role.renewMs, ...ends.filter((ms) => ms > this.now.monoMs));
      }
      case 'standing':
        return role.untilMs;
      case 'following': {
        const leader = this.voter.leader(this.now.monoMs);
        const askAgainMs = leader === null || leader.teller === null ? undefined : this.askAgainMs;
        return earlier(earlier(this.standMs, askAgainMs), leader?.untilMs);
      }
      default:
        return unreachable(role);
    }
  }

  /** A machine that slept cannot tell by its monotonic clock for how long. */
  private begin(now: Instant): void {
    this.now = now;
    const hasSlept = this.hasSlept(now);
    this.wallBaseMs = now.wallMs - now.monoMs;
    if (hasSlept && this.role.type === 'leading') this.role.lease.void();
    if (hasSlept) this.withdraw();
  }

  private hasSlept({ wallMs, monoMs }: Instant): boolean {
    return wallMs - monoMs - this.wallBaseMs > SLEEP_MS;
  }

  /** What time and news have changed. */
  private finish(): ElectionEffect[] {
    if (this.role.type === 'leading') this.lead(this.role);
    if (this.role.type === 'standing') this.count(this.role);
    if (this.role.type === 'following') this.follow();
    this.tell();
    this.wakeMs = this.earliestDeadline();
    const { effects } = this;
    this.effects = [];
    return effects;
  }

  private tell(): void {
    const { told } = this;
    const { leader, term, quorate } = this.leadership(this.now) ?? { leader: null, term: told.term, quorate: false };
    if (leader === told.leader && quorate === told.quorate && term === told.term) return;
    this.told = { leader, term, quorate };
    if (leader !== null) this.voter.note(leader, term, this.now);
    this.effects.push({ type: 'notify', event: { type: 'leader-changed', ...this.told } });
  }

  private follow(): void {
    const leader = this.voter.leader(this.now.monoMs);
    if (leader !== null) this.failures = 0;
    if (leader !== null && leader.teller !== null) this.followFromAfar(leader.teller, leader.untilMs);
    if (leader !== null || this.leaving || this.unfit !== null) this.standMs = undefined;
    else if (this.standMs === undefined) this.plan(0);
    else if (this.standMs <= this.now.monoMs) this.poll();
  }

  /** A leader that has no link to this node does not renew its lease here: who has told of it is asked again in time. */
  private followFromAfar(teller: NodeId, untilMs: number): void {
    const { monoMs } = this.now;
    this.askAgainMs = Math.max(this.askAgainMs, untilMs - ASK_AGAIN_MS);
    if (this.askAgainMs > monoMs) return;
    this.askAgainMs = monoMs + ASK_AGAIN_MS / 3;
    this.round += 1;
    const { epoch } = this;
    const { length: view } = this.view;
    const poll = { type: 'lease-ask', kind: 'poll', epoch, round: this.round, quorate: false, votes: 0, view } as const;
    this.send(teller, { ...poll, term: this.voter.term + 1 });
  }

  /** Decides when to stand: the best one first. */
  private plan(delayMs: number): void {
    const { rankDelayMs, jitterMs } = this.timing;
    const rank = Math.min(this.rankOf(this.self), RANKS_MAX);
    const atMs = this.now.monoMs + delayMs + rank * rankDelayMs + this.prng.float() * jitterMs;
    this.standMs = this.isAlone ? this.now.monoMs + delayMs : Math.max(atMs, this.graceUntilMs);
  }

  /** Those who were to stand before it may be gone. */
  private planSooner(): void {
    const { standMs } = this;
    if (this.role.type !== 'following' || standMs === undefined) return;
    this.plan(this.timing.answerMs);
    this.standMs = Math.min(standMs, this.standMs ?? standMs);
  }

  private get isAlone(): boolean {
    return this.view.length === 1 && [...this.voters].every((id) => id === this.self);
  }

  /** Place in the order in which members should stand, from 0; behind all others for who is not in the view. */
  private rankOf(id: NodeId): number {
    const { voters } = this;
    const rank = this.view.toSorted((a, b) => compareContenders(a, b, voters)).findIndex((each) => each.id === id);
    return rank < 0 ? this.view.length : rank;
  }

  /** Asks first whether it could win: who cannot must not drive the term up. */
  private poll(): void {
    this.standMs = undefined;
    const term = this.voter.term + 1;
    if (this.voter.isFree(this.self, term, this.now)) this.stand('poll', term);
    else this.plan(this.timing.answerMs);
  }

  private stand(stage: 'poll' | 'vote', term: number): void {
    this.round += 1;
    const role = this.becomeStanding(stage, term, stage === 'poll' ? this.timing.answerMs * 3 : this.reliedMs);
    role.grants.ask(this.round, this.now.monoMs);
    role.grants.add(this.self, this.round);
    const { epoch } = this;
    const { length: view } = this.view;
    this.ask({ type: 'lease-ask', kind: stage, term, epoch, round: this.round, quorate: false, votes: 0, view });
    this.count(role);
  }

  /** The own vote is on the disk first: after a crash this node must not ask for the same term again. */
  private requestVotes(term: number): void {
    const role = this.becomeStanding('voting', term, VOTE_WRITE_MS);
    this.voter.stand(this.self, term, this.now, () => {
      if (this.role === role) this.stand('vote', term);
    });
  }

  private becomeStanding(stage: Standing['stage'], term: number, forMs: number): Standing {
    const untilMs = this.now.monoMs + forMs;
    const grants = new Grants(this.reliedMs);
    const role: Standing = { type: 'standing', stage, term, round: this.round, refused: new Set(), grants, untilMs };
    this.role = role;
    return role;
  }

  /** Goes on once a majority of the view has said yes, or gives up. */
  private count(role: Standing): void {
    if (this.role !== role) return;
    const votes = role.grants.count(this.viewIds, this.now.monoMs);
    if (votes * 2 > this.view.length) {
      if (role.stage !== 'poll') this.becomeLeader(role);
      else if (this.voter.isFree(this.self, role.term, this.now)) this.requestVotes(role.term);
      else {
        // A token of a later term has been taken meanwhile.
        this.withdraw();
        this.plan(0);
      }
    } else if (role.untilMs <= this.now.monoMs || this.hasLost(role)) {
      this.withdraw();
      this.failures = Math.min(this.failures + 1, FAILURES_MAX);
      this.plan(this.prng.float() * this.timing.answerMs * this.failures);
    }
  }

  /** Those that have not refused are too few. */
  private hasLost(role: Standing): boolean {
    const left = this.viewIds.filter((id) => !role.refused.has(id)).length;
    return left * 2 <= this.view.length;
  }

  /** Votes for a candidate bind until it gives them back. */
  private withdraw(): void {
    if (this.role.type !== 'standing') return;
    const { stage, term } = this.role;
    this.role = FOLLOWING;
    if (stage === 'vote')
      for (const peer of this.connected) this.send(peer, { type: 'lease-end', term, successor: null });
  }

  private becomeLeader({ term, grants }: Standing): void {
    const lease = new Lease(term, grants, this.reliedMs);
    this.failures = 0;
    const role: Leading = { type: 'leading', lease, renewMs: this.now.monoMs, toldQuorate: false, challenger: null };
    this.role = role;
    this.lead(role);
  }

  private lead(role: Leading): void {
    const { lease } = role;
    const { monoMs } = this.now;
    // Terms are known of that are higher than its own: who has voted in one grants it none in a lower one.
    if (this.voter.term > lease.askedTerm) this.raise(lease);
    const isQuorate = lease.quorumUntilMs(this.groups) > monoMs;
    lease.settle(isQuorate ? [this.viewIds, ...this.groups] : [this.viewIds], monoMs);
    if (this.leaseUntilMs(lease) <= monoMs || this.leaving || this.unfit !== null) this.stepDown(null);
    // A majority of the ring can be one more than that of the view: nobody waits an interval for that news.
    else if (role.renewMs <= monoMs || (isQuorate && !role.toldQuorate)) this.renew(role);
  }

  /** A majority of the ring keeps a leader whom this node's view, which suspicions change for a moment, would not. */
  private leaseUntilMs(lease: Lease): number {
    return Math.max(lease.untilMs(this.viewIds), lease.quorumUntilMs(this.groups));
  }

  private raise(lease: Lease): void {
    if (this.voter.persistedTerm < lease.askedTerm) return;
    const term = this.voter.term + 1;
    lease.raise(term);
    this.voter.stand(this.self, term, this.now, () => {
      const { role } = this;
      if (role.type === 'leading' && role.lease === lease && lease.askedTerm === term) this.renew(role);
    });
  }

  private renew(role: Leading): void {
    const { lease } = role;
    const { monoMs } = this.now;
    role.renewMs = monoMs + this.timing.renewIntervalMs;
    const successor = this.betterOne(role);
    if (successor !== null) {
      this.shirker = { id: successor, untilMs: monoMs + SHIRKER_MS };
      this.stepDown(successor);
      return;
    }
    // In a term that is not on the disk yet nobody is asked.
    if (this.voter.persistedTerm < lease.askedTerm) return;
    this.round += 1;
    lease.ask(this.round, monoMs);
    lease.add(this.self, this.round);
    const quorate = lease.quorumUntilMs(this.groups) > monoMs;
    role.toldQuorate = quorate;
    const votes = lease.votes(this.viewIds, monoMs);
    const { epoch, round } = this;
    const { length: view } = this.view;
    this.ask({ type: 'lease-ask', kind: 'renew', term: lease.askedTerm, epoch, round, quorate, votes, view });
  }

  /** A member that has been much better for long. */
  private betterOne(role: Leading): NodeId | null {
    const { handoverMargin, handoverAfterMs } = this.timing;
    const { voters } = this;
    const own = this.view.find(({ id }) => id === this.self);
    const best = this.view.toSorted((a, b) => compareContenders(a, b, voters))[0];
    if (best === undefined || own === undefined || !this.connected.has(best.id) || !voters.has(best.id)) return null;
    // Out of the ring it does not decide about the ring.
    if (!voters.has(this.self)) return best.id;
    if (this.shirker?.id === best.id && this.now.monoMs < this.shirker.untilMs) return null;
    const isBetter = best.id !== this.self && !best.degraded && best.score >= own.score + handoverMargin;
    if (!isBetter) role.challenger = null;
    else if (role.challenger?.id !== best.id) role.challenger = { id: best.id, sinceMs: this.now.monoMs };
    const { challenger } = role;
    return challenger !== null && this.now.monoMs - challenger.sinceMs >= handoverAfterMs ? challenger.id : null;
  }

  private stepDown(successor: NodeId | null): void {
    if (this.role.type !== 'leading') return;
    const { lease } = this.role;
    // A term that is not on the disk nobody was asked for; the next life of this node may ask for it.
    const term = this.voter.persistedTerm < lease.askedTerm ? lease.term : lease.askedTerm;
    this.role = FOLLOWING;
    for (const peer of this.connected) this.send(peer, { type: 'lease-end', term, successor });
    // It was not good enough a moment ago: others first.
    this.plan(this.isAlone ? 0 : this.timing.leaseMs / 2);
  }

  private handleMessage(from: NodeId, message: ElectionMessage): void {
    const holderTerm = message.type === 'lease-tell' ? (message.holder?.term ?? 0) : 0;
    if (!this.voter.isPlausible(Math.max(message.term, holderTerm))) return;
    switch (message.type) {
      case 'lease-ask':
        return this.handleAsk(from, message);
      case 'lease-tell':
        return this.handleTell(from, message);
      case 'lease-end': {
        if (!this.voter.release(from, message.term) || this.role.type !== 'following') return;
        this.plan(message.successor === null ? 0 : this.timing.answerMs);
        if (message.successor === this.self) this.standMs = this.now.monoMs;
        return;
      }
      default:
        return unreachable(message);
    }
  }

  /** Most messages to a leader are grants that change nothing but for how long its lease lasts. */
  private isRenewed(from: NodeId, message: ElectionMessage): boolean {
    const { role, told } = this;
    if (role.type !== 'leading' || message.type !== 'lease-tell' || !told.quorate || !message.granted) return false;
    const { term, askedTerm } = role.lease;
    if (told.term !== term || askedTerm !== term || message.term > term) return false;
    role.lease.add(from, message.round);
    return true;
  }

  private handleAsk(from: NodeId, ask: LeaseAskMessage): void {
    const { kind, term, round } = ask;
    // The term before a poll's exists; its own does not yet.
    this.voter.see(kind === 'poll' ? term - 1 : term);
    if (ask.epoch < this.epoch) {
      // A majority of the voters before these goes by these, or nothing could come after: none of it may make a leader by those
      // before, when a majority of these alone can make another one.
      this.answer(from, round, false);
      return;
    }
    if (this.role.type === 'leading') {
      const own = this.leadership(this.now);
      const isRival = kind === 'renew' && (own === null || isAbove({ ...ask, leader: from }, own));
      if (own !== null && !isRival) {
        if (kind === 'renew') this.outbid(this.role.lease, term);
        this.answer(from, round, false);
        return;
      }
      this.stepDown(null);
    }
    const isHeld = kind === 'poll' && this.role.type === 'standing' && !this.givesWay(this.role, from);
    if (isHeld || !this.voter.isFree(from, term, this.now)) {
      this.answer(from, round, false);
      return;
    }
    if (kind === 'poll') {
      this.answer(from, round, true);
      return;
    }
    this.withdraw();
    const { quorate, votes, view } = ask;
    const news = { leader: from, term, quorate, votes, view };
    this.voter.grant(news, kind === 'renew', this.now, () => this.answer(from, round, true));
  }

  /** Of two that ask at once the better one goes on: with their votes cast, each for itself, neither could win. */
  private givesWay(role: Standing, rival: NodeId): boolean {
    // Who has failed already must not keep others from what it cannot win itself.
    if (role.stage === 'poll' && this.failures > 0) return true;
    if (role.stage !== 'poll' || this.rankOf(rival) > this.rankOf(this.self)) return false;
    this.withdraw();
    this.plan(this.timing.answerMs);
    return true;
  }

  private answer(to: NodeId, round: number, granted: boolean): void {
    const known = granted ? null : this.leadership(this.now);
    const holder = known === null ? null : { leader: known.leader, term: known.term, quorate: known.quorate };
    const remainingMs = Math.max(0, Math.floor(known?.remainingMs ?? 0));
    this.send(to, { type: 'lease-tell', round, granted, term: this.voter.term, holder, remainingMs });
  }

  private handleTell(from: NodeId, { round, granted, term, holder, remainingMs }: LeaseTellMessage): void {
    this.voter.see(term);
    const { role } = this;
    if (holder !== null && holder.leader !== this.self) this.hear(holder, from, remainingMs);
    else if (granted && role.type === 'leading') role.lease.add(from, round);
    else if (role.type === 'standing' && role.round === round) {
      if (granted) role.grants.add(from, round);
      else role.refused.add(from);
    }
  }

  /** Others have a leader already. */
  private hear(holder: LeaderNews, teller: NodeId, remainingMs: number): void {
    const { role } = this;
    const own = this.leadership(this.now);
    if (role.type === 'leading' && own !== null && !isAbove(holder, own)) {
      this.outbid(role.lease, holder.term);
      return;
    }
    this.stepDown(null);
    this.withdraw();
    this.voter.hear({ ...holder, votes: 0, view: 0 }, teller, remainingMs, this.now.monoMs);
  }

  /** Another leader must yield: the next term exceeds both. */
  private outbid(lease: Lease, term: number): void {
    if (term >= lease.askedTerm) this.raise(lease);
  }

  /** A leader's token is good where no later one is known: to take it is to have seen its term. */
  private fence(id: number, leader: NodeId, token: number): void {
    const reply = (accepted: boolean): void => {
      this.effects.push({ type: 'fence-reply', id, accepted, term: this.voter.term });
    };
    if (token < this.told.term || !this.voter.isPlausible(token)) reply(false);
    else this.voter.fence(leader, token, this.now, reply);
  }

  private ask(message: LeaseAskMessage): void {
    for (const peer of this.connected) this.send(peer, message);
  }

  private get reliedMs(): number {
    return this.timing.leaseMs * this.timing.leaseShare;
  }

  private send(to: NodeId, message: ElectionMessage): void {
    this.effects.push({ type: 'send', to, message });
  }
}

/** Of two leaders that meet, the lower one yields: quorate leases are above others, then later terms; ids break ties. */
function isAbove(a: LeaderNews, b: LeaderNews): boolean {
  if (a.quorate !== b.quorate) return a.quorate;
  if (a.term !== b.term) return a.term > b.term;
  return a.leader > b.leader;
}
