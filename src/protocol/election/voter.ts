import { TERM_LEAD_MAX } from '../../lib/term.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { LeaderNews } from './message.ts';
import type { VoteRecord } from './options.ts';

/** A leader as it says of itself. */
export interface LeaderClaim extends LeaderNews {
  readonly votes: number;
  readonly view: number;
}

/** A lease that this node has granted, or heard of. */
interface KnownLease {
  readonly news: LeaderClaim;
  /** A vote is no lease that anybody leads by yet. */
  readonly established: boolean;
  readonly untilMs: number;
  /** Whom this node has it from, where it is not the leader itself. */
  readonly teller: NodeId | null;
}

/** Answers that wait for the disk at once; candidates ask again. */
const WAITING_MAX = 64;

interface Waiting {
  readonly vote: VoteRecord;
  readonly use: (now: Instant) => void;
}

/**
 * What this node has promised: one vote a term, on the disk before it is spoken of, and one lease at a time. A lease is
 * not on the disk. A process that starts cannot know what it had granted, and grants nothing for as long as it could last.
 */
export class Voter {
  private readonly leaseMs: number;
  private readonly persist: (vote: VoteRecord) => void;
  private vote: VoteRecord;
  private granted: KnownLease | null = null;
  /** A lease that others have granted; binds nobody here. */
  private heard: KnownLease | null = null;
  private seenTerm: number;
  private persisted: number;
  /** Before this, only who may still hold its lease is granted one. */
  private readonly freeFromMs: number;
  private readonly waiting: Waiting[] = [];

  constructor(vote: VoteRecord, leaseMs: number, freeFromMs: number, persist: (vote: VoteRecord) => void) {
    this.vote = vote;
    this.seenTerm = vote.term;
    this.persisted = vote.term;
    this.leaseMs = leaseMs;
    this.freeFromMs = freeFromMs;
    this.persist = persist;
  }

  /** The highest term that is known here; it never falls. */
  get term(): number {
    return this.seenTerm;
  }

  /** Whom this node holds for the leader. */
  leader(nowMs: number): KnownLease | null {
    const holder = this.holder(nowMs);
    if (holder?.established === true) return holder;
    return this.heard !== null && this.heard.untilMs > nowMs ? this.heard : null;
  }

  /** The term of the last vote that is on the disk. */
  get persistedTerm(): number {
    return this.persisted;
  }

  /** The lease that binds this node. */
  private holder(nowMs: number): KnownLease | null {
    return this.granted !== null && this.granted.untilMs > nowMs ? this.granted : null;
  }

  /** False of a term that nobody can have come to. */
  isPlausible(term: number): boolean {
    return term <= this.seenTerm + TERM_LEAD_MAX;
  }

  see(term: number): void {
    this.seenTerm = Math.max(this.seenTerm, term);
  }

  /** Somebody leads in this term: no token of an older one is good any more, also after a restart. */
  note(leader: NodeId, term: number, now: Instant): void {
    this.see(term);
    const { boundTo } = this.vote;
    if (term > this.vote.term) this.adopt({ term, votedFor: leader, boundTo }, now, () => undefined);
  }

  hear(news: LeaderClaim, teller: NodeId, remainingMs: number, nowMs: number): void {
    this.see(news.term);
    this.heard = { news, established: true, untilMs: nowMs + Math.min(remainingMs, this.leaseMs), teller };
  }

  /** True where this node would grant that. Changes nothing. */
  isFree(candidate: NodeId, term: number, now: Instant): boolean {
    const holder = this.holder(now.monoMs);
    if (holder !== null && holder.news.leader !== candidate) return false;
    if (now.monoMs < this.freeFromMs && this.vote.boundTo !== candidate) return false;
    return this.isFirst(candidate, term);
  }

  /** Grants the lease; `use` is called once the vote that this takes is on the disk. */
  grant(news: LeaderClaim, established: boolean, now: Instant, use: () => void): void {
    const { leader, term } = news;
    this.see(term);
    // From when it was heard: that is after the candidate had asked, from when the candidate counts.
    this.granted = { news, established, untilMs: now.monoMs + this.leaseMs, teller: null };
    this.heard = null;
    this.adopt({ term, votedFor: leader, boundTo: leader }, now, use);
  }

  /** The vote for itself; it binds nobody longer than the candidacy lasts. */
  stand(self: NodeId, term: number, now: Instant, use: (now: Instant) => void): void {
    this.see(term);
    this.granted = null;
    this.adopt({ term, votedFor: self, boundTo: self }, now, use);
  }

  /** The leader has given its lease back. */
  release(leader: NodeId, term: number): boolean {
    this.see(term);
    const isHeard = this.heard?.news.leader === leader && this.heard.news.term <= term;
    const isGranted = this.granted?.news.leader === leader && this.granted.news.term <= term;
    if (isHeard) this.heard = null;
    if (isGranted) this.granted = null;
    return isHeard || isGranted;
  }

  /** A token of an older term is stale, and so is one of another leader of the same term. */
  fence(leader: NodeId, term: number, now: Instant, use: (accepted: boolean) => void): void {
    if (!this.isFirst(leader, term)) {
      use(false);
      return;
    }
    this.see(term);
    const { boundTo } = this.vote;
    this.adopt({ term, votedFor: leader, boundTo }, now, () => use(true));
  }

  handlePersisted(vote: VoteRecord, now: Instant): void {
    this.persisted = Math.max(this.persisted, vote.term);
    // Written in order: what is older is on the disk as well. Two records of one term may differ in whom they bind to.
    const last = this.waiting.findLastIndex((each) => each.vote.term < vote.term || isSame(each.vote, vote));
    for (const { use } of this.waiting.splice(0, last + 1)) use(now);
  }

  private isFirst(candidate: NodeId, term: number): boolean {
    if (term !== this.vote.term) return term > this.vote.term;
    return this.vote.votedFor === candidate || this.vote.votedFor === null;
  }

  private adopt(vote: VoteRecord, now: Instant, use: (now: Instant) => void): void {
    const isKnown = isSame(vote, this.vote);
    if (isKnown && this.waiting.length === 0) {
      use(now);
      return;
    }
    if (this.waiting.length >= WAITING_MAX) this.waiting.shift();
    this.waiting.push({ vote, use });
    if (isKnown) return;
    this.vote = vote;
    this.persist(vote);
  }
}

function isSame(a: VoteRecord, b: VoteRecord): boolean {
  return a.term === b.term && a.votedFor === b.votedFor && a.boundTo === b.boundTo;
}
