import { readRegister } from '../../../src/protocol/causal/value.ts';
import type { History } from '../history.ts';
import type { SessionHistory } from '../session-clients.ts';
import { type Checker, Problems } from './checker.ts';

const decoder = new TextDecoder();

/**
 * Quorums overlap: a complete read by a quorum shows what a quorum of the owners had acknowledged before. A client that
 * passes its tokens on never sees less than it has seen or written, at whichever node and level it reads.
 */
export function readsChecker(histories: readonly History[], sessions: SessionHistory): Checker {
  return {
    name: 'reads',
    check: () => {
      const problems = new Problems('reads');
      for (const { bucket, answers } of histories) {
        for (const { key, atMs, entries, expected } of answers) {
          if (expected === null) continue;
          const shown = readRegister(entries);
          const value = shown === undefined ? 'nothing' : decoder.decode(shown.payload.value);
          if (value === expected) continue;
          const seconds = (atMs / 1000).toFixed(1);
          problems.add(`the read of ${bucket.name}/${key} at ${seconds} s showed ${value}, not the acknowledged write`);
        }
      }
      for (const fault of sessions.faults) problems.add(fault);
      return problems.all();
    },
  };
}
