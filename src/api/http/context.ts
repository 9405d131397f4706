import { failure, HoldfastError } from '../../lib/failure.ts';
import type { Log } from '../../ports/log.ts';
import type { BucketView, NodeHandle } from '../../ports/node-handle.ts';
import type { EventStreams } from './event-stream.ts';

/** What the routes work with. */
export interface HttpContext {
  readonly node: NodeHandle;
  readonly log: Log;
  readonly streams: EventStreams;
}

/** Throws `bucket-not-found`. */
export function requireBucket(node: NodeHandle, name: string): BucketView {
  const bucket = node.bucket(name);
  if (bucket !== undefined) return bucket;
  const shown = name.length > 64 ? `${name.slice(0, 64)}…` : name;
  throw new HoldfastError(
    failure('bucket-not-found', `there is no bucket ${JSON.stringify(shown)}; create it with PUT /v1/buckets/{bucket}`),
  );
}
