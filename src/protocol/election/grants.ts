import type { NodeId } from '../machine.ts';

/** Questions that may still be answered. */
const ROUNDS_MAX = 8;

/** The grants that a leader or candidate has got: until when it may rely on whom. */
export class Grants {
  /** For how long a grant may be relied upon, from when it was asked for. */
  private readonly reliedMs: number;
  private readonly untilMs = new Map<NodeId, number>();
  /** When each question was asked. */
  private readonly askedMs = new Map<number, number>();

  constructor(reliedMs: number) {
    this.reliedMs = reliedMs;
  }

  /** A question leaves now. */
  ask(round: number, nowMs: number): void {
    this.askedMs.set(round, nowMs);
    if (this.askedMs.size > ROUNDS_MAX) this.askedMs.delete(this.askedMs.keys().next().value as number);
  }

  /** The answer to a question: counts from when it was asked, as the voter counts from when it heard it, or later. */
  add(voter: NodeId, round: number): void {
    const askedMs = this.askedMs.get(round);
    if (askedMs === undefined) return;
    this.untilMs.set(voter, Math.max(askedMs + this.reliedMs, this.untilMs.get(voter) ?? 0));
  }

  clear(): void {
    this.untilMs.clear();
    this.askedMs.clear();
  }

  /** Until when a strict majority of these have granted; `-Infinity` where they have not. */
  majorityUntilMs(ids: readonly NodeId[]): number {
    const times = ids.map((id) => this.untilMs.get(id) ?? Number.NEGATIVE_INFINITY).sort((a, b) => b - a);
    return times[Math.floor(times.length / 2)] ?? Number.NEGATIVE_INFINITY;
  }

  /** How many grants of these are good now. */
  count(ids: readonly NodeId[], nowMs: number): number {
    return ids.reduce((count, id) => count + ((this.untilMs.get(id) ?? 0) > nowMs ? 1 : 0), 0);
  }
}
