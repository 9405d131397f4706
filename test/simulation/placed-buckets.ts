import { qualifiedName } from '../../src/lib/bucket-name.ts';
import { type BucketConfig, classOfPlacement } from '../../src/protocol/catalog/record.ts';

/** As in `SimCluster`: owners of a key in buckets that do not ask for a number. */
export const REPLICAS = 3;

/** A bucket that clients use. */
export interface SimBucket {
  readonly name: string;
  /** Under which nodes keep its keys. */
  readonly dataName: string;
  readonly replicas: number;
  readonly preferredZones: readonly string[];
}

export const DEFAULT_BUCKET: SimBucket = {
  name: 'default',
  dataName: 'default',
  replicas: REPLICAS,
  preferredZones: [],
};

function bucket(name: string, replicas: number, preferredZones: readonly string[]): SimBucket {
  return {
    name,
    dataName: qualifiedName(name, classOfPlacement({ replicas, preferredZones })),
    replicas,
    preferredZones,
  };
}

/** Buckets with placements of their own, created in the middle of runs: two of them share one. */
export const PLACED_BUCKETS: readonly SimBucket[] = [
  bucket('single', 1, []),
  bucket('zoned', 2, ['z1']),
  bucket('also-single', 1, []),
];

export function configOf({ replicas, preferredZones }: SimBucket): BucketConfig {
  const placement = { replicas, preferredZones };
  return { consistency: 'eventual', conflict: 'lww', ...placement, sync: 'none', ttlSeconds: null, island: 'accept' };
}
