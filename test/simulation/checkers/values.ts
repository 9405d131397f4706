import type { Entries, Entry } from '../../../src/protocol/causal/entry.ts';
import { believed } from '../../../src/protocol/causal/mark.ts';
import type { SimCluster } from '../cluster.ts';
import { partOf } from '../collection-history.ts';
import type { History } from '../history.ts';
import { type HubClients, SHARED_BUCKET } from '../hub-clients.ts';
import { type Checker, Problems } from './checker.ts';

const decoder = new TextDecoder();

/** Nothing is invented: no read has shown, and no disk holds, a value that no client has sent for that key. */
export function valuesChecker(cluster: SimCluster, histories: readonly History[], shared: HubClients): Checker {
  return {
    name: 'values',
    check: () => {
      const problems = new Problems('values');
      const look = (history: History | undefined, key: string, entries: Entries, where: string): void => {
        if (history === undefined) return problems.add(`${where} ${key} of a bucket that nobody uses`);
        for (const entry of believed(entries)) {
          const text = foreign(history, key, entry);
          if (text !== null) problems.add(`${where} ${text} for ${history.bucket.name}/${key}, which nobody wrote`);
        }
      };
      const lookAtShared = (key: string, entries: Entries, where: string): void => {
        for (const entry of believed(entries)) {
          if (!shared.hasSent(key, entry))
            problems.add(`${where} something for ${key} that nobody wrote on either side`);
        }
      };
      const byBucket = new Map(histories.map((history) => [history.bucket.dataName, history]));
      for (const history of histories) {
        for (const { key, entries, atMs } of history.answers) look(history, key, entries, `a read at ${atMs} showed`);
      }
      for (const { name: node, disk } of cluster.nodes) {
        for (const rows of disk.objects.values()) {
          for (const { name, object } of rows.values()) {
            if (name.bucket === SHARED_BUCKET) lookAtShared(name.key, object.entries, `the disk of ${node} holds`);
            else look(byBucket.get(name.bucket), name.key, object.entries, `the disk of ${node} holds`);
          }
        }
        for (const { name, hint } of disk.hints.values()) {
          if (name.bucket === SHARED_BUCKET) lookAtShared(name.key, hint.entries, `a hint on ${node} holds`);
          else look(byBucket.get(name.bucket), name.key, hint.entries, `a hint on ${node} holds`);
        }
      }
      return problems.all();
    },
  };
}

/** What the entry says, where no client can have said it; else null. */
function foreign(history: History, key: string, entry: Entry): string | null {
  const { payload } = entry;
  if (payload.kind === 'register') {
    const value = decoder.decode(payload.value);
    return history.sent.get(key)?.has(value) === true ? null : value;
  }
  const part = partOf(entry);
  if (part !== null && payload.kind !== 'map-counter') {
    const known = history.collections.find(key, part);
    if (known === undefined) return part;
    if (payload.kind !== 'map-field') return null;
    const value = decoder.decode(payload.value);
    return known.values.has(value) ? null : value;
  }
  if (payload.kind === 'set' || payload.kind === 'map') return key.startsWith(`${payload.kind}/`) ? null : payload.kind;
  if (payload.kind === 'map-counter') return beyond(history.fieldCounters.get(key), payload.total);
  if (payload.kind !== 'counter') return payload.kind;
  return beyond(history.counters.get(key), payload.total);
}

function beyond(counter: { acknowledged: number; unknown: number } | undefined, total: number): string | null {
  const most = counter === undefined ? 0 : counter.acknowledged + counter.unknown;
  return total <= most ? null : `a total of ${total}`;
}
