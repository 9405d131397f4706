import type { SimObserver } from '../observer.ts';

/** Watches a run and says at its end what was wrong with it. */
export interface Checker extends SimObserver {
  readonly name: string;
  /** Problems, each of which starts with the checker's name; called once everything has had time to converge. */
  check(): string[];
  /** What it could not hold against this run, and why. */
  exemptions?(): string[];
}

/** Problems of one checker: each is told once, and of very many only the first. */
export class Problems {
  private readonly name: string;
  private readonly texts = new Set<string>();

  constructor(name: string) {
    this.name = name;
  }

  add(text: string): void {
    if (this.texts.size < PROBLEMS_MAX) this.texts.add(`${this.name}: ${text}`);
  }

  all(): string[] {
    return [...this.texts];
  }
}

const PROBLEMS_MAX = 50;

/** Thrown by a checker where the run would never end, or not in time; the message is the problem. */
export class RunAborted extends Error {}
