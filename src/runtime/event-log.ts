import type { ClusterEvent, EventFeed } from '../ports/node-handle.ts';

/** Events kept for clients that come back. */
const EVENTS_MAX = 4096;

/** The node's events, the latest of them retained in memory. */
export class EventLog implements EventFeed {
  readonly run: string;
  private readonly retained: ClusterEvent[] = [];
  private readonly listeners = new Set<(event: ClusterEvent) => void>();
  private lastSeq = 0;

  /** `run` names this run of the process. */
  constructor(run: string) {
    this.run = run;
  }

  append(type: string, data: ClusterEvent['data'], wallMs: number): ClusterEvent {
    const event = { seq: ++this.lastSeq, time: new Date(wallMs).toISOString(), type, data };
    this.retained.push(event);
    if (this.retained.length > EVENTS_MAX) this.retained.shift();
    for (const listener of this.listeners) listener(event);
    return event;
  }

  after(seq: number): readonly ClusterEvent[] | null {
    const first = this.retained[0];
    if (seq > this.lastSeq) return null;
    if (seq > 0 && first !== undefined && first.seq > seq + 1) return null;
    return this.retained.filter((event) => event.seq > seq);
  }

  subscribe(listener: (event: ClusterEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
