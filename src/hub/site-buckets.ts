import { classOf, plainName } from '../lib/bucket-name.ts';
import { failure, HoldfastError } from '../lib/failure.ts';
import { compareUtf8 } from '../lib/utf8.ts';
import type { SiteBucketView } from '../ports/hub-handle.ts';
import type { SiteBucket } from '../ports/hub-store.ts';

/** A bucket of a site with the name that clients call it by. */
export interface NamedBucket {
  readonly bucket: SiteBucket;
  readonly shown: SiteBucketView;
}

const SHOWN_CHARACTERS_MAX = 64;

/**
 * The buckets that a site exchanges with its hub, sorted by shown name. A bucket with a placement of its own is shown without the number
 * of that; of several that are called the same, which came about on two sides of a partition, only the one of the lowest number.
 */
export function namedBuckets(buckets: readonly SiteBucket[]): NamedBucket[] {
  const taken = new Set<string>();
  return buckets
    .filter(({ sync, name }) => sync !== 'none' && !name.startsWith('.'))
    .toSorted((a, b) => classOf(a.name) - classOf(b.name))
    .map((bucket): NamedBucket => {
      const plain = plainName(bucket.name);
      const name = taken.has(plain) ? bucket.name : plain;
      taken.add(name);
      const { sync, conflict, ttlSeconds } = bucket;
      return { bucket, shown: { name, sync, conflict, ttlSeconds } };
    })
    .toSorted((a, b) => compareUtf8(a.shown.name, b.shown.name));
}

/** Why the bucket cannot be given to the site; null: it can. */
export function givingProblem(site: string, { name, sync }: SiteBucketView): string | null {
  if (sync === 'down') return null;
  return `the bucket ${name} of ${site} has sync ${sync}; what is given to a site needs one with sync down`;
}

/**
 * By its shown name alone: a share names a bucket at both ends, and by one name only. Throws `bucket-not-found`, `bad-request`.
 */
export function requireShownBucket(site: string, buckets: readonly SiteBucket[], name: string): NamedBucket {
  const found = requireSiteBucket(site, buckets, name);
  if (found.shown.name === name) return found;
  throw new HoldfastError(
    failure(
      'bad-request',
      `the bucket ${name} of the site ${site} is called ${found.shown.name}; share it by that name`,
    ),
  );
}

/** By its shown name or the one that the site keeps it by. Throws `bucket-not-found`. */
export function requireSiteBucket(site: string, buckets: readonly SiteBucket[], name: string): NamedBucket {
  const named = namedBuckets(buckets);
  const found = named.find(({ shown }) => shown.name === name) ?? named.find(({ bucket }) => bucket.name === name);
  if (found !== undefined) return found;
  const shown = name.length > SHOWN_CHARACTERS_MAX ? `${name.slice(0, SHOWN_CHARACTERS_MAX)}…` : name;
  throw new HoldfastError(
    failure(
      'bucket-not-found',
      `the site ${site} exchanges no bucket ${JSON.stringify(shown)} with the hub; GET /v1/sites/${site}/buckets lists those that it does`,
    ),
  );
}
