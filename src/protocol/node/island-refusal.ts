import { type Failure, failure } from '../../lib/failure.ts';
import type { BucketRecord } from '../catalog/record.ts';
import type { ServiceLevel } from '../island/island.ts';
import type { NodeRequest } from './request.ts';

/**
 * Why a client's request is not begun at this level of service; null: it is. Reads go on everywhere, and so does what is
 * accepted elsewhere and arrives here as a replica's message.
 */
export function islandRefusal(
  request: NodeRequest,
  bucket: BucketRecord | undefined,
  level: ServiceLevel,
): Failure | null {
  if (level !== 'island' || request.type !== 'mutate' || bucket?.island !== 'refuse') return null;
  return failure(
    'island-refused',
    `bucket ${request.bucket} takes no writes where no majority of the ring can be reached, as at this node; restore the links between the nodes, or write to a node that reaches a majority`,
  );
}
