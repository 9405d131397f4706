import { PREFERRED_ZONES_MAX, ZONE_LENGTH_MAX } from '../protocol/catalog/record.ts';
import { type BucketOrigin, SITE_BUCKETS_MAX, type SiteBucket } from '../protocol/uplink/message.ts';
import { type Codec, integer, list, nullable, oneOf, record, text, uint32 } from './codec.ts';
import { bucketName } from './value.ts';

const origin: Codec<BucketOrigin> = record<BucketOrigin>({
  version: integer(),
  replicas: nullable(integer()),
  preferredZones: list(text(ZONE_LENGTH_MAX * 4), PREFERRED_ZONES_MAX),
  island: oneOf('accept', 'refuse'),
  born: uint32,
});

const siteBucket: Codec<SiteBucket> = record<SiteBucket>({
  name: bucketName,
  sync: oneOf('none', 'up', 'down', 'both'),
  conflict: oneOf('lww', 'siblings'),
  ttlSeconds: nullable(integer()),
  origin: nullable(origin),
});

/** Those of a site, as it tells of them and as its hub keeps them. */
export const siteBuckets: Codec<readonly SiteBucket[]> = list(siteBucket, SITE_BUCKETS_MAX);
