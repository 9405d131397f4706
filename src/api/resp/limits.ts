/** Bounds of the Redis listener. Every queue and message has one; nothing is allocated beyond them. */
export interface RespLimits {
  /** Open connections; the next one is told so and closed. */
  readonly clientsMax: number;
  /** Commands of one connection that were started and not yet answered. */
  readonly inFlightMax: number;
  /** Request bytes held by those commands. */
  readonly inFlightBytesMax: number;
  /** Unsent reply bytes at which a connection is no longer read from. */
  readonly outputBytesMax: number;
  /** Unsent bytes at which a connection with subscriptions is dropped: nothing holds its publishers back. */
  readonly subscriberBytesMax: number;
  /** How long a client may leave its replies unread before it is dropped. */
  readonly slowClientMs: number;
  /** How long `close()` waits for commands in flight, and an ended connection for its peer. */
  readonly drainMs: number;
}

export const RESP_LIMITS: RespLimits = {
  clientsMax: 10_000,
  inFlightMax: 256,
  inFlightBytesMax: 8 * 1024 * 1024,
  outputBytesMax: 1024 * 1024,
  subscriberBytesMax: 8 * 1024 * 1024,
  slowClientMs: 60_000,
  drainMs: 5_000,
};

/** An inline command, and any line of the protocol. */
export const LINE_BYTES_MAX = 64 * 1024;
/** Elements that a request may announce; more is a protocol error, as in Redis. */
export const MULTIBULK_COUNT_MAX = 1024 * 1024;
/** Bytes that one argument may announce (Redis: proto-max-bulk-len); more is a protocol error. */
export const BULK_BYTES_MAX = 512 * 1024 * 1024;
/**
 * What one command may hold, framing included, and in how many arguments. A larger one is read past without being
 * stored and answered with an error, so that the connection lives on.
 */
export const COMMAND_BYTES_MAX = 2 * 1024 * 1024 + LINE_BYTES_MAX;
export const ARGUMENTS_MAX = 128 * 1024;

export const KEY_BYTES_MAX = 1024;
/** One reply of many elements (MGET, KEYS). */
export const REPLY_BYTES_MAX = 32 * 1024 * 1024;
/** Requests to the node that one multi-key command has open at a time. */
export const FAN_OUT_MAX = 64;
/** Commands that wait for EXEC, and their bytes. */
export const TRANSACTION_COMMANDS_MAX = 256;
export const TRANSACTION_BYTES_MAX = 8 * 1024 * 1024;
/** Keys of one page of a listing; what the node allows. */
export const LIST_LIMIT_MAX = 1000;
/** Writes of one connection whose spread is followed for WAIT. */
export const UNCONFIRMED_WRITES_MAX = 128;
/** Channels and patterns of one connection, and of all connections. */
export const SUBSCRIPTIONS_MAX = 10_000;
export const SUBSCRIPTIONS_TOTAL_MAX = 100_000;
/** Distinct patterns: every message is matched against each. */
export const PATTERNS_MAX = 1000;
/** Positions of unfinished scans that are remembered. */
export const SCAN_CURSORS_MAX = 10_000;
/** Pages that scans have read ahead, of up to `LIST_LIMIT_MAX` keys each, and for how long they are used. */
export const SCAN_READ_AHEADS_MAX = 16;
export const SCAN_READ_AHEAD_MS = 5_000;
