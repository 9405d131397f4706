import type { RefusalReason } from '../ports/node-handle.ts';
import type { HubRequest } from '../protocol/uplink/message.ts';
import type { HubWrite } from '../protocol/uplink/transaction.ts';

/** How a request of a site ended. */
export type RequestOutcome = 'done' | 'refused' | 'busy' | 'dropped';

/** What a hub counts from its start on. */
export class HubCounters {
  private readonly requestCounts = new Map<HubRequest['type'], Map<RequestOutcome, number>>();
  private readonly refusalCounts = new Map<RefusalReason, number>();
  /** Copies of keys that sites have sent. */
  items = 0;
  /** Writes that were found to have lost against a concurrent one. */
  conflicts = 0;
  /** Writes of clients of this hub. */
  writes = 0;

  request(type: HubRequest['type'], outcome: RequestOutcome): void {
    const counts = this.requestCounts.get(type) ?? new Map<RequestOutcome, number>();
    this.requestCounts.set(type, counts);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }

  refusal(reason: RefusalReason): void {
    this.refusalCounts.set(reason, (this.refusalCounts.get(reason) ?? 0) + 1);
  }

  requests(): { readonly type: string; readonly outcome: string; readonly count: number }[] {
    return [...this.requestCounts].flatMap(([type, counts]) =>
      [...counts].map(([outcome, count]) => ({ type: type.replace(/^hub-/, ''), outcome, count })),
    );
  }

  refusals(): ReadonlyMap<RefusalReason, number> {
    return this.refusalCounts;
  }
}

/** Of the writes of one transaction. */
export function conflictsIn(writes: readonly HubWrite[]): number {
  return writes.filter(({ type }) => type === 'conflict').length;
}
