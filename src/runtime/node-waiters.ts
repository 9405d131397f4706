import { failure } from '../lib/failure.ts';
import type { FenceOutcome } from '../protocol/election/effect.ts';
import type { BucketOutcome, RingOutcome } from '../protocol/node/effect.ts';
import type { RefoundOutcome } from '../protocol/node/refounding.ts';
import type { NodeReply } from '../protocol/node/request.ts';
import type { ConflictsReply, FailedReply } from '../protocol/replication/request.ts';
import { Waiters } from './waiters.ts';

/** All who wait for answers of the node, by what they have asked for. */
export class NodeWaiters {
  readonly requests = new Waiters<NodeReply>();
  readonly conflicts = new Waiters<ConflictsReply | FailedReply>();
  readonly buckets = new Waiters<BucketOutcome>();
  readonly refoundings = new Waiters<RefoundOutcome>();
  readonly rings = new Waiters<RingOutcome>();
  readonly fences = new Waiters<FenceOutcome>();

  /** The node will answer none of them. */
  rejectAll(): void {
    const message = 'the node is shutting down; send the request to another node';
    const gone = failure('shutting-down', message, { stateChanged: 'maybe' });
    const { requests, conflicts, buckets, refoundings, rings, fences } = this;
    for (const waiters of [requests, conflicts, buckets, refoundings, rings, fences]) waiters.rejectAll(gone);
  }
}
