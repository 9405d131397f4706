import type { BucketConfig } from '../../src/protocol/catalog/record.ts';

/** An eventual bucket with the settings that buckets have unless they are told others, but for these. */
export function eventualBucket(settings: Partial<BucketConfig> = {}): BucketConfig {
  return {
    consistency: 'eventual',
    conflict: 'lww',
    replicas: null,
    preferredZones: [],
    sync: 'none',
    ttlSeconds: null,
    island: 'accept',
    ...settings,
  };
}
