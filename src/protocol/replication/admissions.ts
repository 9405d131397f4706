import { DeadlineQueue } from '../../lib/deadline-queue.ts';
import { type Failure, failure } from '../../lib/failure.ts';
import { REQUESTS_MAX, type ReplicationCore } from './core.ts';
import type { Respond } from './request.ts';

/** Requests that are being served: each is counted until it is answered, which it is in any case. */
export class Admissions {
  private readonly core: ReplicationCore;
  private readonly admitted: DeadlineQueue<{ ended: boolean; readonly respond: Respond }>;
  private inFlight = 0;

  constructor(core: ReplicationCore) {
    this.core = core;
    this.admitted = new DeadlineQueue(core.options.requestTimeoutMs * 1.5);
  }

  get count(): number {
    return this.inFlight;
  }

  get isFull(): boolean {
    return this.inFlight >= REQUESTS_MAX;
  }

  /** Counts a request until it is answered: also where this node's own disk hangs. */
  admit(respond: Respond): Respond {
    const admitted = { ended: false, respond };
    this.inFlight++;
    this.admitted.push(admitted, this.core.now.monoMs);
    return (reply) => {
      if (admitted.ended) return;
      admitted.ended = true;
      this.inFlight--;
      respond(reply);
    };
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (let late = this.admitted.pop(nowMs); late !== undefined; late = this.admitted.pop(nowMs)) {
      late.ended = true;
      this.inFlight--;
      const message = 'the request was not completed in time; look at the disk of the node, and retry';
      const failed = failure('quorum-unavailable', message, { stateChanged: 'maybe' });
      late.respond({ type: 'failed', failure: failed });
    }
  }

  nextDeadline(): number | undefined {
    return this.admitted.next();
  }
}

export function tooManyRequests(): Failure {
  return failure('too-many-requests', 'too many requests are in flight on this node; retry with backoff');
}
