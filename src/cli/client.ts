import { type ApiTarget, NODE_API } from './api-target.ts';
import { connectionFailure } from './connection-failure.ts';
import { CliError, UnreachableError } from './errors.ts';
import { readLines } from './line-reader.ts';
import { problemError } from './problem.ts';
import { readServerSentEvents, type ServerSentEvent, type StreamPosition } from './server-sent-events.ts';
import { printable } from './text.ts';

const ANSWER_TIMEOUT_MS = 30_000;
const DOCUMENT_BYTES_MAX = 16 * 1024 * 1024;
const PROBLEM_BYTES_MAX = 64 * 1024;

export interface ApiRequest {
  readonly method?: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  /** Of the whole answer. */
  readonly timeoutMs?: number;
  /** Streams end when it is aborted. */
  readonly signal?: AbortSignal;
}

/** A client of the HTTP API of one node or hub. Every failure is a `CliError` that says what to do. */
export class ApiClient {
  private readonly base: URL;
  private readonly fetch: typeof globalThis.fetch;
  private readonly target: ApiTarget;

  /** `api`: `http://HOST:PORT`; the scheme may be left out. */
  constructor(api: string, fetch: typeof globalThis.fetch, target: ApiTarget = NODE_API) {
    this.base = parseApi(api);
    this.fetch = fetch;
    this.target = target;
  }

  /** The JSON document at a path. */
  async json(path: string, request: ApiRequest = {}): Promise<unknown> {
    const response = await this.request(path, request);
    const text = new TextDecoder().decode(await this.bytes(response, DOCUMENT_BYTES_MAX));
    return this.parse(text);
  }

  /** The answer to a request that has to come within a time limit; one that is not a success (2xx, 300) is thrown. */
  async request(path: string, request: ApiRequest = {}): Promise<Response> {
    const timeout = AbortSignal.timeout(Math.ceil(request.timeoutMs ?? ANSWER_TIMEOUT_MS));
    return this.send(
      path,
      request,
      request.signal === undefined ? timeout : AbortSignal.any([request.signal, timeout]),
    );
  }

  /** JSON values of an NDJSON answer, as they arrive. */
  async *lines(path: string, request: ApiRequest): AsyncGenerator<unknown> {
    for await (const line of readLines(await this.stream(path, request))) {
      if (line !== '') yield this.parse(line);
    }
  }

  /** Resolves when the stream is open; its events end with it. Resumes at `position` and keeps it up to date. */
  async events(path: string, request: ApiRequest, position: StreamPosition): Promise<AsyncGenerator<ServerSentEvent>> {
    const resume: Record<string, string> = position.id === '' ? {} : { 'Last-Event-ID': position.id };
    const headers = { ...request.headers, ...resume, Accept: 'text/event-stream' };
    return readServerSentEvents(await this.stream(path, { ...request, headers }), position);
  }

  /** The body of an answer that has no time limit once it has begun. */
  private async stream(path: string, request: ApiRequest): Promise<AsyncIterable<Uint8Array>> {
    const begun = new AbortController();
    const timer = setTimeout(() => begun.abort(new DOMException('no answer', 'TimeoutError')), ANSWER_TIMEOUT_MS);
    try {
      const signal = request.signal === undefined ? begun.signal : AbortSignal.any([request.signal, begun.signal]);
      return this.chunks(await this.send(path, request, signal));
    } finally {
      clearTimeout(timer);
    }
  }

  /** The body's chunks; a connection that breaks is an `UnreachableError`. */
  async *chunks(response: Response): AsyncGenerator<Uint8Array> {
    if (response.body === null) return;
    try {
      yield* response.body as unknown as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw this.unreachable(error);
    }
  }

  /** The whole body, refused where it is longer than `bytesMax`. */
  async bytes(response: Response, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.chunks(response)) {
      length += chunk.length;
      if (length > bytesMax)
        throw new CliError(`${this.base.origin} sent more than ${bytesMax} bytes — check --api`, 'unreachable');
      chunks.push(chunk);
    }
    return concatenate(chunks, length);
  }

  private async send(path: string, request: ApiRequest, signal: AbortSignal): Promise<Response> {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    let response: Response;
    try {
      response = await this.fetch(url, {
        method: request.method ?? 'GET',
        headers: request.headers ?? {},
        body: request.body ?? null,
        redirect: 'manual',
        signal,
      });
    } catch (error) {
      throw this.unreachable(error, request);
    }
    if (response.ok || response.status === 300) return response;
    throw await this.refusal(response);
  }

  /** JSON of an answer. */
  parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (cause) {
      const message = `${this.base.origin} did not answer with JSON — check that --api names a Holdfast ${this.target.noun}`;
      throw new CliError(message, 'unreachable', { cause });
    }
  }

  /** From a problem details document (RFC 9457), or from the status where there is none. */
  private async refusal(response: Response): Promise<CliError> {
    const status = `${response.status} ${response.statusText}`.trim();
    const message = `${this.base.origin} answered ${status} — check that --api names a Holdfast ${this.target.noun}`;
    const plain = new CliError(message, 'unreachable');
    if (!(response.headers.get('content-type') ?? '').startsWith('application/problem+json')) {
      await response.body?.cancel().catch(() => undefined);
      return plain;
    }
    const text = new TextDecoder().decode(await this.bytes(response, PROBLEM_BYTES_MAX));
    let problem: Record<string, unknown>;
    try {
      problem = Object(JSON.parse(text)) as Record<string, unknown>;
    } catch {
      return plain;
    }
    const context = response.headers.get('holdfast-context');
    // That there is no such key is an answer as well: a session goes on from it.
    return problemError(context === null ? problem : { ...problem, context }, { target: this.target }) ?? plain;
  }

  private unreachable(error: unknown, { method = 'GET', timeoutMs = ANSWER_TIMEOUT_MS }: ApiRequest = {}): CliError {
    if (error instanceof CliError) return error;
    const { text, mayHaveArrived } = connectionFailure(this.base.origin, timeoutMs, error, this.target);
    if (method === 'GET' || !mayHaveArrived) return new UnreachableError(text, { cause: error });
    const data = { stateChanged: 'maybe' };
    return new UnreachableError(`${text} — the write may have taken effect all the same`, { cause: error, data });
  }
}

/** Path of the keys of a node, or of a site at a hub. */
export function keysPath(site?: string): string {
  return site === undefined ? '/v1/kv' : `${sitePath(site)}/kv`;
}

/** Path of a key: everything but unreserved characters is escaped, `/` too. `site`: at a hub. */
export function keyPath(bucket: string, key: string, site?: string): string {
  if (key === '.' || key === '..') {
    // URLs drop such segments, escaped or not (WHATWG URL, 4.1).
    throw new CliError(`the key "${key}" cannot be part of a URL — use another name`, 'bad-usage');
  }
  return `${bucketPath(keysPath(site), bucket)}/${escaped(key, 'key')}`;
}

export function bucketPath(prefix: string, bucket: string): string {
  if (bucket === '.' || bucket === '..' || bucket === '') {
    throw new CliError(`"${bucket}" is not the name of a bucket — see \`holdfast bucket list\``, 'bad-usage');
  }
  return `${prefix}/${escaped(bucket, 'bucket')}`;
}

/** Path of a member of the ring. */
export function memberPath(nameOrId: string): string {
  if (nameOrId === '.' || nameOrId === '..') {
    throw new CliError(`"${nameOrId}" cannot be part of a URL — use the member's peer id`, 'bad-usage');
  }
  return `/v1/ring/members/${escaped(nameOrId, 'member')}`;
}

/** Path of a site at a hub. */
export function sitePath(name: string): string {
  if (name === '.' || name === '..') {
    throw new CliError(`"${name}" is not the name of a site — see \`holdfast site list\``, 'bad-usage');
  }
  return `/v1/sites/${escaped(name, 'site')}`;
}

/** Path of a lock. */
export function lockPath(name: string): string {
  if (name === '.' || name === '..') {
    throw new CliError(`the lock "${name}" cannot be part of a URL — use another name`, 'bad-usage');
  }
  return `/v1/locks/${escaped(name, 'name of the lock')}`;
}

function escaped(text: string, what: string): string {
  if (text === '') throw new CliError(`the ${what} is empty — name one`, 'bad-usage');
  try {
    return encodeURIComponent(text);
  } catch (cause) {
    throw new CliError(`the ${what} is not valid Unicode — use another name`, 'bad-usage', { cause });
  }
}

export function concatenate(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function parseApi(api: string): URL {
  let url: URL | undefined;
  try {
    url = new URL(api.includes('://') ? api : `http://${api}`);
  } catch {
    url = undefined;
  }
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new CliError(
      `--api (or HOLDFAST_API) is not an HTTP address: ${printable(api)} — use http://HOST:PORT`,
      'bad-usage',
    );
  }
  return url;
}
