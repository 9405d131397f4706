import type { Entries, Entry } from '../../../src/protocol/causal/entry.ts';
import type { SimCluster } from '../cluster.ts';
import type { History } from '../workload.ts';
import { type Checker, Problems } from './checker.ts';

const decoder = new TextDecoder();

/** Nothing is invented: no read has shown, and no disk holds, a value that no client has sent for that key. */
export function valuesChecker(cluster: SimCluster, history: History): Checker {
  return {
    name: 'values',
    check: () => {
      const problems = new Problems('values');
      const look = (key: string, entries: Entries, where: string): void => {
        for (const entry of entries) {
          const text = foreign(history, key, entry);
          if (text !== null) problems.add(`${where} ${text} for ${key}, which nobody wrote`);
        }
      };
      for (const { key, entries, atMs } of history.answers) look(key, entries, `a read at ${atMs} showed`);
      for (const { name: node, disk } of cluster.nodes) {
        for (const rows of disk.objects.values()) {
          for (const { name, object } of rows.values()) look(name.key, object.entries, `the disk of ${node} holds`);
        }
        for (const { name, hint } of disk.hints.values()) look(name.key, hint.entries, `a hint on ${node} holds`);
      }
      return problems.all();
    },
  };
}

/** What the entry says, where no client can have said it; else null. */
function foreign(history: History, key: string, { payload }: Entry): string | null {
  if (payload.kind === 'register') {
    const value = decoder.decode(payload.value);
    return history.sent.get(key)?.has(value) === true ? null : value;
  }
  if (payload.kind !== 'counter') return `a ${payload.kind}`;
  const counter = history.counters.get(key);
  const most = counter === undefined ? 0 : counter.acknowledged + counter.unknown;
  return payload.total <= most ? null : `a total of ${payload.total}`;
}
