import { COLLECTION_BYTES_MAX, COLLECTION_ENTRIES_MAX, VALUE_BYTES_MAX } from '../../ports/node-handle.ts';

/** Bounds of the HTTP API. Everything that a client can make grow has one. */
export interface HttpLimits {
  /** Open connections; more are dropped by the listener. */
  readonly connectionsMax: number;
  /** Request line and headers together. */
  readonly headerBytesMax: number;
  /** From the start of a request (or of its connection) until its headers are in. */
  readonly headersTimeoutMs: number;
  /** From the start of a request until its whole body is in. */
  readonly requestTimeoutMs: number;
  /** A connection on which nothing moves in either direction. Above the keep-alive interval of event streams. */
  readonly idleTimeoutMs: number;
  /** How often the two timeouts above are looked at. */
  readonly timeoutCheckIntervalMs: number;
  /** Open event streams (`/v1/events` and `/v1/watch` together). */
  readonly streamsMax: number;
  /** A comment and the current id are sent that often on an event stream. */
  readonly streamKeepAliveIntervalMs: number;
  /** A client whose full buffers have not moved for so long is disconnected. */
  readonly streamStallMs: number;
  /** Bytes that wait for a slow client of an event stream before it is paused; it catches up from what is retained. */
  readonly streamBufferBytesMax: number;
  /** Requests that wait for a lock at once. */
  readonly lockWaitersMax: number;
  /** After this, connections that are still busy when the API closes are cut. */
  readonly closeGraceMs: number;
}

export const HTTP_LIMITS: HttpLimits = {
  connectionsMax: 4096,
  headerBytesMax: 32 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 120_000,
  idleTimeoutMs: 90_000,
  timeoutCheckIntervalMs: 2_000,
  streamsMax: 256,
  streamKeepAliveIntervalMs: 15_000,
  streamStallMs: 30_000,
  streamBufferBytesMax: 256 * 1024,
  lockWaitersMax: 256,
  closeGraceMs: 2_000,
};

export const KEY_BYTES_MAX = 1024;
export const CONTENT_TYPE_CHARACTERS_MAX = 256;
/** Bodies of requests that carry JSON. */
export const JSON_BYTES_MAX = 16 * 1024;
/** Members or fields in one request. */
export const COLLECTION_ITEMS_MAX = COLLECTION_ENTRIES_MAX;
/** A body that changes as many of them as a key may hold, most characters as they are. */
export const COLLECTION_JSON_BYTES_MAX = 2 * COLLECTION_BYTES_MAX;
export const TTL_SECONDS_MAX = 100 * 366 * 86_400;
export const REPLICAS_MAX = 7;
export const PREFERRED_ZONES_MAX = 8;
export const LOCK_NAME_CHARACTERS_MAX = 256;
export const LOCK_OWNER_CHARACTERS_MAX = 256;
export const LOCK_TTL_MS_DEFAULT = 30_000;
/** Well below the idle timeout, and the time that clients wait for an answer. */
export const LOCK_WAIT_MS_MAX = 30_000;
export const LIST_LIMIT_DEFAULT = 1000;
export const LIST_LIMIT_MAX = 1_000_000;
/** Items asked from the node at a time; the client gets one stream of them. */
export const LIST_PAGE_ITEMS_MAX = 1000;
export const BATCH_OPERATIONS_MAX = 10_000;
/** A batch that is announced as no longer than this is read to its end before anything of it is executed. */
export const BATCH_CHECKED_BYTES_MAX = 4 * 1024 * 1024;
export const BATCH_CONCURRENCY = 32;
/** A value of the largest size in base64, a key with every character escaped, and the rest. */
export const BATCH_LINE_BYTES_MAX = Math.ceil(VALUE_BYTES_MAX / 3) * 4 + KEY_BYTES_MAX * 6 + 16 * 1024;
