import type { NodeId } from '../machine.ts';
import { acceptorsOf, isQuorum, type RegisterPlacement } from './placement.ts';

/** The answers to one phase of a round. */
export class Tally<T> {
  readonly acceptors: readonly NodeId[];
  private readonly placement: RegisterPlacement;
  private readonly answers = new Map<NodeId, T>();
  private readonly refused = new Set<NodeId>();

  constructor(placement: RegisterPlacement) {
    this.placement = placement;
    this.acceptors = acceptorsOf(placement);
  }

  /** Answers of nodes that were not asked do not count. */
  note(node: NodeId, answer: T): void {
    if (this.acceptors.includes(node)) this.answers.set(node, answer);
  }

  /** For good: a higher ballot was promised there. */
  refuse(node: NodeId): void {
    this.refused.add(node);
  }

  get values(): readonly T[] {
    return [...this.answers.values()];
  }

  get isQuorum(): boolean {
    return isQuorum(this.placement, (node) => this.answers.has(node));
  }

  get isUnanimous(): boolean {
    return this.answers.size === this.acceptors.length;
  }

  get hasRefusal(): boolean {
    return this.refused.size > 0;
  }

  /** Who may still answer, if asked again. */
  get open(): readonly NodeId[] {
    return this.acceptors.filter((node) => !this.answers.has(node) && !this.refused.has(node));
  }

  /** True while those that have answered and those that are up could be a quorum. */
  isPossible(isUp: (node: NodeId) => boolean): boolean {
    return isQuorum(this.placement, (node) => this.answers.has(node) || (isUp(node) && !this.refused.has(node)));
  }
}
