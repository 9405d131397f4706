import { readRegister } from '../../../src/protocol/causal/value.ts';
import type { History } from '../workload.ts';
import { type Checker, Problems } from './checker.ts';

const decoder = new TextDecoder();

/** Quorums overlap: a complete read by a quorum shows what a quorum of the owners had acknowledged before. */
export function readsChecker(history: History): Checker {
  return {
    name: 'reads',
    check: () => {
      const problems = new Problems('reads');
      for (const { key, atMs, entries, expected } of history.answers) {
        if (expected === null) continue;
        const shown = readRegister(entries);
        const value = shown === undefined ? 'nothing' : decoder.decode(shown.payload.value);
        if (value !== expected) {
          problems.add(
            `the read of ${key} at ${(atMs / 1000).toFixed(1)} s showed ${value}, not the acknowledged write`,
          );
        }
      }
      return problems.all();
    },
  };
}
