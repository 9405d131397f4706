import type { NodeId } from '../machine.ts';
import { Grants } from './grants.ts';

/** The lease of a leader: the grants that it rests on, in its term. */
export class Lease {
  private readonly reliedMs: number;
  private grants: Grants;
  private leaseTerm: number;
  /** The term that it goes over to, once enough have granted that one. */
  private next: { readonly term: number; readonly grants: Grants } | null = null;

  constructor(term: number, grants: Grants, reliedMs: number) {
    this.leaseTerm = term;
    this.grants = grants;
    this.reliedMs = reliedMs;
  }

  get term(): number {
    return this.leaseTerm;
  }

  /** The term to ask for. */
  get askedTerm(): number {
    return this.next?.term ?? this.leaseTerm;
  }

  /** Until when a majority of these have granted it. */
  untilMs(ids: readonly NodeId[]): number {
    return this.grants.majorityUntilMs(ids);
  }

  /** Until when majorities of all of these groups have granted it. */
  quorumUntilMs(groups: readonly (readonly NodeId[])[]): number {
    return Math.min(...groups.map((ids) => this.untilMs(ids)));
  }

  votes(ids: readonly NodeId[], nowMs: number): number {
    return this.grants.count(ids, nowMs);
  }

  /**
   * From now on asks for a later term. Until a majority has granted that, the lease is one of the term before: else two
   * leaders could name the same term, one on grants of an older one.
   */
  raise(term: number): void {
    if (term > this.askedTerm) this.next = { term, grants: new Grants(this.reliedMs) };
  }

  ask(round: number, nowMs: number): void {
    (this.next?.grants ?? this.grants).ask(round, nowMs);
  }

  add(voter: NodeId, round: number): void {
    (this.next?.grants ?? this.grants).add(voter, round);
  }

  /** Goes over to the later term where majorities of all of these groups have granted it. */
  settle(groups: readonly (readonly NodeId[])[], nowMs: number): void {
    const { next } = this;
    if (next === null || groups.some((ids) => next.grants.majorityUntilMs(ids) <= nowMs)) return;
    this.leaseTerm = next.term;
    this.grants = next.grants;
    this.next = null;
  }

  /** Nobody knows for how long this machine slept. */
  void(): void {
    this.grants.clear();
    this.next = null;
  }
}
