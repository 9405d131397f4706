import type { HttpAnswer, HttpClient } from './http-client.ts';

export type WriteOutcome =
  | { readonly type: 'made'; readonly etag: string }
  /** The condition did not hold. */
  | { readonly type: 'conflict' }
  /** It did not take effect (`refused`), or may have (`unknown`). */
  | { readonly type: 'refused' | 'unknown'; readonly code: string };

export type ReadOutcome =
  | { readonly type: 'read'; readonly value: string | null; readonly etag: string | undefined }
  | { readonly type: 'refused'; readonly code: string };

interface Problem {
  readonly code: string;
  readonly stateChanged?: string;
}

export const IF_ABSENT = { 'if-none-match': '*' };

/** Reads and writes strong keys at one node. */
export class StrongClient {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  async read(key: string): Promise<ReadOutcome> {
    const answer = await this.http.send('GET', path(key));
    const { status, text, headers } = answer;
    if (status === 200 || status === 404) {
      return { type: 'read', value: status === 200 ? text : null, etag: headers.etag };
    }
    return { type: 'refused', code: problemOf(answer).code };
  }

  async write(key: string, value: string, condition: Readonly<Record<string, string>> = {}): Promise<WriteOutcome> {
    const answer = await this.http.send('PUT', path(key), { body: value, headers: condition });
    const { status, headers } = answer;
    if (status === 204) return { type: 'made', etag: headers.etag ?? '' };
    const { code, stateChanged } = problemOf(answer);
    if (code === 'precondition-failed') return { type: 'conflict' };
    return { type: stateChanged === 'maybe' ? 'unknown' : 'refused', code };
  }
}

/** Everything that is neither an answer nor a failure by its name is a fault. */
function problemOf({ status, text, headers }: HttpAnswer): Problem {
  if (headers['content-type']?.startsWith('application/problem+json') !== true) {
    throw new Error(`an answer without a code: ${status} ${text}`);
  }
  return JSON.parse(text) as Problem;
}

function path(key: string): string {
  return `/v1/kv/strong/${encodeURIComponent(key)}`;
}
