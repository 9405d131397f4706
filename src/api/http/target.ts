import { failure, HoldfastError } from '../../lib/failure.ts';
import { KEY_BYTES_MAX, LOCK_NAME_CHARACTERS_MAX } from './limits.ts';

type RefusalCode = 'bad-key' | 'bad-bucket' | 'bad-request';

/** What a path below `/v1/kv/` names, or below that of a site. */
export interface KeyTarget {
  readonly bucket: string;
  readonly key: string;
}

/**
 * Bucket and key of a request target, `/v1/kv/{bucket}/{key…}`, decoded from the raw text: the router's own
 * decoding would lose the difference between a slash and `%2F` where `suffix` (`/increment`) is cut off.
 */
export function keyTarget(url: string, suffix = ''): KeyTarget {
  return keyTargetAt(rawPath(url), 3, suffix);
}

/** `bucketSlashes`: how many slashes of the path precede the bucket. */
function keyTargetAt(path: string, bucketSlashes: number, suffix: string): KeyTarget {
  const bucketFrom = segmentStart(path, bucketSlashes);
  const keyFrom = segmentStart(path, bucketSlashes + 1);
  const bucket = decodeSegment(path.slice(bucketFrom, keyFrom - 1), 'bad-bucket', 'the bucket');
  const raw = path.slice(keyFrom, path.length - suffix.length);
  // Without an escape, characters are bytes: the parser lets nothing but ASCII through here.
  const key = raw.includes('%') || !isAscii(raw) ? decodeSegment(raw, 'bad-key', 'the key') : raw;
  checkKey(key);
  return { bucket, key };
}

/** The site of a hub that a path below `/v1/sites/` names, decoded. Throws `bad-request`. */
export function siteTarget(url: string): string {
  const path = rawPath(url);
  const from = segmentStart(path, 3);
  const to = path.indexOf('/', from);
  return decodeSegment(path.slice(from, to < 0 ? path.length : to), 'bad-request', 'the site');
}

/** Site, bucket and key of `/v1/sites/{site}/kv/{bucket}/{key…}`, as `keyTarget`. */
export function siteKeyTarget(url: string, suffix = ''): KeyTarget & { readonly site: string } {
  return { site: siteTarget(url), ...keyTargetAt(rawPath(url), 5, suffix) };
}

/** Site and bucket of `/v1/sites/{site}/kv/{bucket}`, decoded. */
export function siteBucketTarget(url: string): { readonly site: string; readonly bucket: string } {
  const path = rawPath(url);
  return {
    site: siteTarget(url),
    bucket: decodeSegment(path.slice(segmentStart(path, 5)), 'bad-bucket', 'the bucket'),
  };
}

/** The bucket of `/v1/{family}/{bucket}`, decoded. */
export function bucketTarget(url: string): string {
  const path = rawPath(url);
  return decodeSegment(path.slice(segmentStart(path, 3)), 'bad-bucket', 'the bucket');
}

/** The member of `/v1/ring/members/{member}`, decoded. */
export function memberTarget(url: string): string {
  const path = rawPath(url);
  return decodeSegment(path.slice(segmentStart(path, 4)), 'bad-request', 'the member');
}

/** The name of `/v1/locks/{name}`, decoded; `suffix` (`/renew`) is cut off. Throws `bad-key`. */
export function lockTarget(url: string, suffix = ''): string {
  const path = rawPath(url);
  const raw = path.slice(segmentStart(path, 3), path.length - suffix.length);
  const name = decodeSegment(raw, 'bad-key', 'the name of the lock');
  if (name.length === 0) throw refusal('bad-key', 'the name of a lock must not be empty');
  if (name.length <= LOCK_NAME_CHARACTERS_MAX) return name;
  throw new HoldfastError(
    failure('bad-key', `the name of a lock is at most ${LOCK_NAME_CHARACTERS_MAX} characters long`, {
      data: { limit: 'lockNameCharactersMax', max: LOCK_NAME_CHARACTERS_MAX },
    }),
  );
}

/** Throws `bad-key` unless 1 to 1024 bytes of valid UTF-8. */
export function checkKey(key: string): void {
  // A UTF-16 unit is at least one byte and at most three.
  if (key.length === 0) throw refusal('bad-key', 'a key must not be empty');
  if (!key.isWellFormed()) throw refusal('bad-key', 'a key must be valid UTF-8');
  if (key.length > KEY_BYTES_MAX || (key.length > KEY_BYTES_MAX / 3 && Buffer.byteLength(key) > KEY_BYTES_MAX)) {
    throw new HoldfastError(
      failure('bad-key', `a key is at most ${KEY_BYTES_MAX} bytes long`, {
        data: { limit: 'keyBytesMax', max: KEY_BYTES_MAX },
      }),
    );
  }
}

/** The part after `?`, '' when there is none. */
export function rawQuery(url: string): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
}

/** The path of a request target in origin form or, as proxies send it, absolute form. */
export function rawPath(url: string): string {
  const query = url.indexOf('?');
  const path = query < 0 ? url : url.slice(0, query);
  return path.startsWith('/') ? path : path.replace(/^[a-z]+:\/\/[^/]*/i, '');
}

function segmentStart(path: string, slashes: number): number {
  let at = -1;
  for (let i = 0; i < slashes; i++) {
    at = path.indexOf('/', at + 1);
    if (at < 0) throw refusal('bad-request', 'the path is malformed');
  }
  return at + 1;
}

function decodeSegment(raw: string, code: RefusalCode, what: string): string {
  if (isAscii(raw)) {
    try {
      return decodeURIComponent(raw);
    } catch {
      throw refusal(code, `${what} is not valid percent-encoded UTF-8`);
    }
  }
  throw refusal(code, `${what} holds raw bytes outside ASCII: percent-encode them`);
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7e) return false;
  return true;
}

function refusal(code: RefusalCode, message: string): HoldfastError {
  return new HoldfastError(failure(code, message));
}
