import { FAILURE_CODES, type Failure, type FailureCode, failure, HoldfastError } from '../../lib/failure.ts';

const INSTANCE_CHARACTERS_MAX = 256;

/** RFC 9457 problem details. */
export interface Problem {
  readonly [member: string]: string | number | boolean;
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: FailureCode;
  readonly instance: string;
}

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';

const INTERNAL = failure('internal', 'something went wrong inside Holdfast; its log has the cause', {
  stateChanged: 'maybe',
});

/** The failure behind anything thrown; null when it is not an operating failure but a fault of the program. */
export function failureOf(error: unknown): Failure | null {
  if (error instanceof HoldfastError) return error.failure;
  // What fastify itself refuses: malformed URLs, media types, lengths. It says so with a 4xx status.
  if (error instanceof Error && 'code' in error && error.code === 'FST_ERR_BAD_URL') {
    return failure('bad-request', 'the path is not valid percent-encoded UTF-8');
  }
  if (error instanceof Error && 'statusCode' in error && 'code' in error) {
    const { statusCode, code } = error;
    if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 && String(code).startsWith('FST_')) {
      return failure('bad-request', error.message);
    }
  }
  return null;
}

/** The problem document of a failure (null: an internal fault, of which nothing is told). */
export function problemOf(reason: Failure | null, url: string): Problem {
  const { code, message, stateChanged, data } = reason ?? INTERNAL;
  const problem = {
    type: `/docs#${code}`,
    title: titleOf(code),
    status: FAILURE_CODES[code],
    detail: message,
    code,
    instance: pathOf(url).slice(0, INSTANCE_CHARACTERS_MAX),
    ...(stateChanged === 'maybe' ? { stateChanged } : {}),
  };
  // The standard members keep their meaning and come first.
  return data === undefined ? problem : { ...problem, ...data, ...problem };
}

export function titleOf(code: FailureCode): string {
  const words = code.replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}
