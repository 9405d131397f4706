import { TERM_LEAD_MAX } from '../../lib/term.ts';
import type { NodeId } from '../machine.ts';
import { type Elector, type Electorate, founded } from './electorate.ts';
import type { FoundingMessage } from './message.ts';

/** What this node has said of the founding; on its disk before anybody hears of it. */
export interface FoundingRecord {
  /** It accepts nothing of an earlier term. */
  readonly promised: number;
  readonly accepted: { readonly term: number; readonly electorate: Electorate } | null;
}

export const NO_FOUNDING: FoundingRecord = { promised: 0, accepted: null };

/** A round that has got no majority by then is begun anew. */
const ROUND_MS = 1000;
/** Answers that wait for the disk at once; leaders ask again. */
const WAITING_MAX = 64;

export interface FoundingOptions {
  readonly self: NodeId;
  readonly shards: number;
  readonly replicas: number;
  readonly send: (to: NodeId, message: FoundingMessage) => void;
  /** Writes the record; calls back once it is synced. */
  readonly persist: (record: FoundingRecord, done: () => void) => void;
  readonly onFounded: (electorate: Electorate) => void;
}

interface Round {
  readonly term: number;
  readonly electors: readonly Elector[];
  readonly untilMs: number;
  readonly promised: Set<NodeId>;
  readonly accepted: Set<NodeId>;
  /** Of what others had accepted in earlier terms, the latest. */
  latest: { readonly term: number; readonly electorate: Electorate } | null;
}

/** What this node has asked others to accept as the leader of a term, and whom. */
interface Proposal {
  readonly term: number;
  readonly electorate: Electorate;
  readonly electors: readonly Elector[];
}

/**
 * The first electorate: decided once, among the members of the catalog's ring, by the leader of a majority of them (Lamport,
 * "Paxos Made Simple", 2001; one decree, terms are its ballots). All later ones are values of a register.
 */
export class Founding {
  private readonly options: FoundingOptions;
  private record: FoundingRecord;
  private round: Round | null = null;
  /** One term proposes one electorate, also where its leader had no majority for a while. */
  private proposal: Proposal | null = null;
  private waiting = 0;

  constructor(options: FoundingOptions, record: FoundingRecord) {
    this.options = options;
    this.record = record;
  }

  get stored(): FoundingRecord {
    return this.record;
  }

  /** As the leader of this term: begins, or goes on. */
  lead(term: number, electors: readonly Elector[], nowMs: number): void {
    const { round } = this;
    if (round !== null && round.term === term && nowMs < round.untilMs) return;
    const members = this.proposal?.term === term ? this.proposal.electors : electors;
    this.round = {
      term,
      electors: members,
      untilMs: nowMs + ROUND_MS,
      promised: new Set(),
      accepted: new Set(),
      latest: null,
    };
    for (const { id } of members) this.send(id, { type: 'found-ask', term });
  }

  nextDeadline(): number | undefined {
    return this.round?.untilMs;
  }

  /** Somebody else leads, or the electorate is there. */
  stop(): void {
    this.round = null;
  }

  handle(from: NodeId, message: FoundingMessage): void {
    switch (message.type) {
      case 'found-ask':
        return this.promise(from, message.term);
      case 'found-accept':
        return this.accept(from, message.term, message.electorate);
      case 'found-promise':
        return this.handlePromise(from, message);
      case 'found-accepted':
        return this.handleAccepted(from, message.term);
    }
  }

  private promise(from: NodeId, term: number): void {
    if (this.isRefused(term)) return;
    const { accepted } = this.record;
    this.store({ promised: term, accepted }, () => this.send(from, { type: 'found-promise', term, accepted }));
  }

  private accept(from: NodeId, term: number, electorate: Electorate): void {
    if (this.isRefused(term)) return;
    const record = { promised: term, accepted: { term, electorate } };
    this.store(record, () => this.send(from, { type: 'found-accepted', term }));
  }

  /** A term that nobody can have come to would keep all others out for ever. */
  private isRefused(term: number): boolean {
    const { promised } = this.record;
    return term < promised || term > promised + TERM_LEAD_MAX || this.waiting >= WAITING_MAX;
  }

  private store(record: FoundingRecord, done: () => void): void {
    this.record = record;
    this.waiting++;
    this.options.persist(record, () => {
      this.waiting--;
      done();
    });
  }

  private handlePromise(from: NodeId, { term, accepted }: Extract<FoundingMessage, { type: 'found-promise' }>): void {
    const { round } = this;
    if (round === null || round.term !== term) return;
    round.promised.add(from);
    if (accepted !== null && accepted.term > (round.latest?.term ?? 0)) round.latest = accepted;
    if (!isMajority(round.promised, round.electors)) return;
    const { electorate } = this.propose(round);
    for (const { id } of round.electors) this.send(id, { type: 'found-accept', term, electorate });
  }

  private propose({ term, electors, latest }: Round): Proposal {
    if (this.proposal?.term === term) return this.proposal;
    const { shards, replicas, self } = this.options;
    const electorate = latest?.electorate ?? founded(`${term}.${self}`, { shards, replicas, electors });
    this.proposal = { term, electorate, electors };
    return this.proposal;
  }

  private handleAccepted(from: NodeId, term: number): void {
    const { round, proposal } = this;
    if (round === null || round.term !== term || proposal?.term !== term) return;
    round.accepted.add(from);
    if (!isMajority(round.accepted, round.electors)) return;
    this.round = null;
    this.options.onFounded(proposal.electorate);
  }

  private send(to: NodeId, message: FoundingMessage): void {
    if (to === this.options.self) this.handle(to, message);
    else this.options.send(to, message);
  }
}

function isMajority(of: ReadonlySet<NodeId>, electors: readonly Elector[]): boolean {
  return electors.filter(({ id }) => of.has(id)).length * 2 > electors.length;
}
