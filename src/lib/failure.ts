/**
 * Operating failures: what a user, peer, file or disk did wrong or could not do. They are data, not
 * exceptions, in the cores; `HoldfastError` carries one across async code. Every code is documented in
 * README.md, and a test keeps the two in step.
 */

export const FAILURE_CODES = {
  'bad-request': 400,
  'bad-key': 400,
  'bad-context': 400,
  'bad-bucket': 400,
  'bad-value': 400,
  unauthorized: 401,
  'not-found': 404,
  'bucket-not-found': 404,
  'member-not-found': 404,
  'site-not-found': 404,
  'share-not-found': 404,
  'route-not-found': 404,
  'method-not-allowed': 405,
  'wrong-type': 409,
  'not-a-number': 409,
  'bucket-exists': 409,
  'site-exists': 409,
  'share-exists': 409,
  'not-synced-down': 409,
  'last-member': 409,
  'refound-refused': 409,
  'stale-token': 409,
  'lock-held': 409,
  'precondition-failed': 412,
  'value-too-large': 413,
  'batch-too-large': 413,
  'clock-drift': 422,
  'too-many-requests': 429,
  'not-supported': 501,
  internal: 500,
  'quorum-unavailable': 503,
  'island-refused': 503,
  'session-unavailable': 503,
  'store-unavailable': 503,
  'not-ready': 503,
  'shutting-down': 503,
  'disk-full': 507,
} as const satisfies Record<string, number>;

export type FailureCode = keyof typeof FAILURE_CODES;

/** A failed request: `stateChanged` says whether the write may have taken effect all the same. */
export interface Failure {
  readonly code: FailureCode;
  /** One sentence for a person: the cause and what to do about it. */
  readonly message: string;
  readonly stateChanged: 'no' | 'maybe';
  readonly data?: Readonly<Record<string, string | number | boolean>>;
}

export function failure(
  code: FailureCode,
  message: string,
  options: { stateChanged?: 'no' | 'maybe'; data?: Record<string, string | number | boolean> } = {},
): Failure {
  return {
    code,
    message,
    stateChanged: options.stateChanged ?? 'no',
    ...(options.data === undefined ? {} : { data: options.data }),
  };
}

/** A failure that travels through async code. */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly failure: Failure;

  constructor(reason: Failure, options?: ErrorOptions) {
    super(reason.message, options);
    this.failure = reason;
  }

  get code(): FailureCode {
    return this.failure.code;
  }
}
