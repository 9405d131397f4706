import { failure, HoldfastError } from '../../lib/failure.ts';
import type { Log } from '../../ports/log.ts';
import type { BucketView, NodeHandle } from '../../ports/node-handle.ts';
import type { Locks } from '../lock/locks.ts';
import type { EventStreams } from './event-stream.ts';
import type { LockWaits } from './lock-waits.ts';

/** What the routes work with. */
export interface HttpContext {
  readonly node: NodeHandle;
  readonly log: Log;
  readonly streams: EventStreams;
  readonly locks: Locks;
  readonly lockWaits: LockWaits;
}

const BUCKET_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** Of two of one name, one has a longer name since the sides of a partition met. */
const BUCKET_NAME_OR_LONGER = /^[a-z0-9][a-z0-9._-]{0,62}(~[0-9a-z]+)?$/;

/** Throws `bad-bucket` for what no bucket can be called. */
export function checkBucketName(name: string, pattern = BUCKET_NAME): void {
  if (pattern.test(name)) return;
  throw new HoldfastError(
    failure('bad-bucket', 'a bucket name has 1 to 63 characters of a-z 0-9 . _ - and starts with a letter or digit'),
  );
}

/** Throws `bad-bucket`, `bucket-not-found`. */
export function requireBucket(node: NodeHandle, name: string): BucketView {
  // With a dot begin the names of those that the nodes keep for themselves.
  const bucket = name.startsWith('.') ? undefined : node.bucket(name);
  if (bucket !== undefined) return bucket;
  checkBucketName(name, BUCKET_NAME_OR_LONGER);
  const shown = name.length > 64 ? `${name.slice(0, 64)}…` : name;
  throw new HoldfastError(
    failure('bucket-not-found', `there is no bucket ${JSON.stringify(shown)}; create it with PUT /v1/buckets/{bucket}`),
  );
}

/** Throws `not-supported` for a strong bucket as well. `refusal` says what those lack, and what to use in its place. */
export function requireEventualBucket(node: NodeHandle, name: string, refusal: string): BucketView {
  const bucket = requireBucket(node, name);
  if (bucket.consistency === 'eventual') return bucket;
  throw new HoldfastError(failure('not-supported', refusal));
}
