import type { SessionClients } from '../session-clients.ts';
import { type Checker, Problems } from './checker.ts';

/**
 * Reads at the hub never go backwards within a session, which may have read and written at nodes as well: the hub shows no less
 * than the session has seen, or refuses, until the site has told it all of that; then it answers. Exempt and counted: runs in which
 * a store was repaired, as for `reconciliation`.
 */
export function hubReadsChecker(clients: readonly SessionClients[]): Checker {
  let isExempt = false;
  return {
    name: 'hub-reads',
    fault: (text) => {
      isExempt ||= clients.length > 0 && text.endsWith('is repaired');
    },
    check: () => {
      const problems = new Problems('hub-reads');
      if (isExempt) return [];
      for (const each of clients) {
        each.readAllAtHub();
        for (const fault of each.history.faults) problems.add(fault);
      }
      return problems.all();
    },
    exemptions: () => (isExempt ? ['sessions at the hub after a store was repaired'] : []),
  };
}
