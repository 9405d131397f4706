import { DemoError, messageOf } from './wait.ts';

/** Longer than the server's own request timeout, so that its answer is what counts. */
const REQUEST_TIMEOUT_MS = 8000;
const QUERY_TIMEOUT_MS = 2000;
const LIST_TIMEOUT_MS = 30_000;
/** More keys than the demo ever writes. */
const LIST_LIMIT = 100_000;

/** What the demo writes to; it goes to the hub and comes from there. */
export const BUCKET = 'demo';

/** A server did not do what it was asked; the demo's traffic counts these and goes on. */
class RequestError extends DemoError {}

export interface WriteAnswer {
  /** Fallbacks stood in for owners. */
  readonly sloppy: boolean;
}

/** A key as a listing shows it. */
export interface ListedKey {
  readonly value: string;
  /** Names the write that the value is of, alike wherever it is read. */
  readonly etag: string;
}

/** The calls that nodes and hubs answer alike. */
export abstract class ApiClient {
  readonly api: string;
  private readonly bucketPath: string;

  protected constructor(api: string, bucketPath: string) {
    this.api = api;
    this.bucketPath = bucketPath;
  }

  /** The answer means that it is on disk. */
  abstract put(key: string, value: string): Promise<WriteAnswer>;

  async isReady(): Promise<boolean> {
    try {
      await this.text(await this.call('/readyz', QUERY_TIMEOUT_MS));
      return true;
    } catch {
      return false;
    }
  }

  /** The keys that begin with the prefix, in order; only those after `after`. */
  async list(prefix = '', after = ''): Promise<ReadonlyMap<string, ListedKey>> {
    const query = new URLSearchParams({ prefix, after, limit: String(LIST_LIMIT) });
    const response = await this.call(`${this.bucketPath}?${query.toString()}`, LIST_TIMEOUT_MS);
    const lines = (await this.text(response)).split('\n').filter((line) => line !== '');
    return new Map(lines.map((line) => this.listed(line)));
  }

  protected putKey(key: string, value: string, query = ''): Promise<Response> {
    return this.sendJson('PUT', this.keyPath(key, query), value);
  }

  /** The value; null when the server says that there is none. */
  protected async readKey(key: string, query = ''): Promise<string | null> {
    const response = await this.call(this.keyPath(key, query), REQUEST_TIMEOUT_MS, { allowed: 404 });
    const text = await this.text(response);
    return response.status === 404 ? null : text;
  }

  protected async json(path: string): Promise<unknown> {
    return JSON.parse(await this.text(await this.call(path, QUERY_TIMEOUT_MS)));
  }

  /** `body`: as JSON text. */
  protected sendJson(method: 'PUT' | 'POST', path: string, body: string): Promise<Response> {
    return this.call(path, REQUEST_TIMEOUT_MS, { method, body, headers: { 'content-type': 'application/json' } });
  }

  protected async text(response: Response): Promise<string> {
    try {
      return await response.text();
    } catch (error) {
      throw new RequestError(`${this.api} broke off: ${causeOf(error)}`, { cause: error });
    }
  }

  /** `allowed`: a status that is no failure either. */
  private async call(
    path: string,
    timeoutMs: number,
    { allowed, ...init }: RequestInit & { readonly allowed?: number } = {},
  ): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${this.api}${path}`, { ...init, signal: AbortSignal.timeout(timeoutMs) });
    } catch (error) {
      throw new RequestError(`${this.api} does not answer: ${causeOf(error)}`, { cause: error });
    }
    if (response.ok || response.status === allowed) return response;
    const body = await this.text(response);
    throw new RequestError(`${this.api}${path} answered ${response.status} ${codeIn(body)}`);
  }

  private keyPath(key: string, query: string): string {
    return `${this.bucketPath}/${encodeURIComponent(key)}${query}`;
  }

  /** A line without a key ends a listing that is not whole. */
  private listed(line: string): [key: string, listed: ListedKey] {
    const { key, value = '', etag = '' } = JSON.parse(line) as { key?: string; value?: string; etag?: string };
    if (key === undefined) throw new RequestError(`${this.api} lists in part only: ${line.slice(0, 200)}`);
    return [key, { value: Buffer.from(value, 'base64').toString(), etag }];
  }
}

/** fetch hides the system's reason in the cause. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : messageOf(error);
}

function codeIn(body: string): string {
  try {
    const { code, detail } = JSON.parse(body) as { code?: unknown; detail?: unknown };
    return `${String(code)}: ${String(detail)}`;
  } catch {
    return body.slice(0, 200);
  }
}
