import { assert } from '../../src/lib/assert.ts';
import { LinearizationSearch, type SearchOptions, type Verdict } from './linearization-search.ts';
import { operationText, type RegisterOperation, shownText } from './register-operation.ts';

/** Some seconds on a slow machine. What is linearizable mostly takes a few steps an operation. */
const STEP_LIMIT = 1_000_000;
/** Share of the step limit for each part of a history that is known to be wrong as a whole. */
const PART_SHARE = 0.1;
/** Lines of each list in a report. */
const LINES_MAX = 20;

export interface Finding {
  /** Undecided: the search was given up at its step limit. */
  readonly type: 'not-linearizable' | 'undecided';
  /** When the first answer came that cannot be explained, as far as searches have shown; Infinity when undecided. */
  readonly untilMs: number;
  /** The operations invoked by then; what some of them were answered later does not matter. */
  readonly operations: readonly RegisterOperation[];
  /** Why, for the reader. */
  readonly lines: readonly string[];
}

/**
 * Whether the operations of one register are linearizable (Herlihy and Wing, "Linearizability: A Correctness Condition
 * for Concurrent Objects", 1990): null when they are. Registers are independent of each other, so that a history of many
 * keys is linearizable when that of each key is. The operations of a client that share a millisecond are given in the
 * order in which it invoked them; it invokes none before it has the answer to the one before.
 */
export function checkLinearizability(
  operations: readonly RegisterOperation[],
  { expiryUncertaintyMs = 0, stepLimit = STEP_LIMIT }: Partial<SearchOptions> = {},
): Finding | null {
  for (const operation of operations) {
    const { invokedMs, completedMs } = operation;
    assert(invokedMs <= (completedMs ?? Number.POSITIVE_INFINITY), `answered too early: ${operationText(operation)}`);
  }
  const whole = judge(operations, { expiryUncertaintyMs, stepLimit });
  if (whole.type === 'linearizable') return null;
  if (whole.type === 'undecided') {
    const line = `undecided after ${stepLimit} steps: ${operations.length} operations`;
    return { type: 'undecided', untilMs: Number.POSITIVE_INFINITY, operations, lines: [line, ...linesOf(whole)] };
  }
  const options = { expiryUncertaintyMs, stepLimit: stepLimit * PART_SHARE };
  const { untilMs, verdict } = smallestPrefix(operations, whole, options);
  const part = operations.filter(({ invokedMs }) => invokedMs <= untilMs);
  const last = part.filter((operation) => answeredMs(operation) === untilMs);
  const lines = [
    `not linearizable: of ${operations.length} operations the first ${part.length} cannot be explained, up to`,
    ...last.map((operation) => `  ${operationText(operation)}`),
    ...linesOf(verdict),
  ];
  return { type: 'not-linearizable', untilMs, operations: part, lines };
}

/**
 * What is impossible even with unknown writes that never run out is impossible without; where none was used twice, they
 * were not needed. That spares most searches the many ways to use them up.
 */
function judge(operations: readonly RegisterOperation[], options: SearchOptions): Verdict {
  for (const endless of ['all', 'unseen'] as const) {
    const verdict = new LinearizationSearch(operations, options, endless).run();
    const taken = verdict.longest.operations;
    if (verdict.type === 'not-linearizable') return verdict;
    if (verdict.type === 'linearizable' && new Set(taken).size === taken.length) return verdict;
  }
  return new LinearizationSearch(operations, options, 'none').run();
}

/**
 * By halving: what goes on after operations that are not linearizable is not linearizable either. A part of which that
 * takes too long to find out passes for linearizable.
 */
function smallestPrefix(
  operations: readonly RegisterOperation[],
  whole: Verdict,
  options: SearchOptions,
): { readonly untilMs: number; readonly verdict: Verdict } {
  const times = [...new Set(operations.filter(isAnswered).map(answeredMs))].sort((a, b) => a - b);
  let verdict = whole;
  let [from, to] = [0, times.length - 1];
  while (from < to) {
    const middle = (from + to) >> 1;
    const found = judge(known(operations, times[middle] as number), options);
    if (found.type === 'not-linearizable') {
      verdict = found;
      to = middle;
    } else {
      from = middle + 1;
    }
  }
  return { untilMs: times[to] as number, verdict };
}

/** What was known by that time: a write under way may have taken effect, and anything else under way tells nothing. */
function known(operations: readonly RegisterOperation[], untilMs: number): RegisterOperation[] {
  return operations
    .filter(({ invokedMs }) => invokedMs <= untilMs)
    .map((operation) => {
      if (operation.outcome !== 'unknown' && operation.outcome.type !== 'written') {
        return answeredMs(operation) <= untilMs ? operation : { ...operation, outcome: { type: 'not-applied' } };
      }
      return answeredMs(operation) <= untilMs ? operation : { ...operation, completedMs: null, outcome: 'unknown' };
    });
}

function isAnswered({ outcome }: RegisterOperation): boolean {
  return outcome !== 'unknown';
}

/** Infinity when no answer came: what is known of it all the same was learnt when all was over. */
function answeredMs({ completedMs }: RegisterOperation): number {
  return completedMs ?? Number.POSITIVE_INFINITY;
}

function linesOf({ longest: { operations, state, waiting } }: Verdict): string[] {
  const skipped = Math.max(0, operations.length - LINES_MAX);
  const left = state.version === null && state.value !== null ? { ...state, version: 'an unknown version' } : state;
  return [
    `the longest order that explains its answers has ${operations.length} operations:`,
    ...(skipped === 0 ? [] : [`  ... ${skipped} more`]),
    ...operations.slice(skipped).map((operation) => `  ${operationText(operation)}`),
    `which leaves ${shownText(left)}${expiryText(state.expiresAtMs)}; next would come one of`,
    ...waiting.slice(0, LINES_MAX).map((operation) => `  ${operationText(operation)}`),
  ];
}

function expiryText(expiresAtMs: number): string {
  return expiresAtMs === Number.POSITIVE_INFINITY ? '' : ` until ${expiresAtMs} ms`;
}
