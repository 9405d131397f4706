import type { LocateView, MemberView, NodeStatus, RingView } from '../ports/node-handle.ts';
import { type EventView, readEvents } from './event-stream.ts';
import { DemoError, messageOf } from './wait.ts';

/** Longer than the node's own request timeout, so that its answer is what counts. */
const REQUEST_TIMEOUT_MS = 8000;
const QUERY_TIMEOUT_MS = 2000;
const BUCKET = 'default';

/** A node did not do what it was asked; the demo's traffic counts these and goes on. */
class RequestError extends DemoError {}

export interface WriteAnswer {
  /** Fallbacks stood in for owners. */
  readonly sloppy: boolean;
}

/** The few calls of one node's HTTP API that the story makes. */
export class NodeClient {
  readonly api: string;

  constructor(api: string) {
    this.api = api;
  }

  /** Writes at W = quorum: the answer means synced to disk on a majority of the replicas. */
  async put(key: string, value: string): Promise<WriteAnswer> {
    const response = await this.call(`${keyPath(key)}?w=quorum`, REQUEST_TIMEOUT_MS, {
      method: 'PUT',
      body: value,
      headers: { 'content-type': 'application/json' },
    });
    await response.arrayBuffer();
    return { sloppy: response.headers.get('holdfast-quorum') === 'sloppy' };
  }

  /** The value; null when the node says that there is none. */
  async read(key: string, level: 'one' | 'quorum'): Promise<string | null> {
    const response = await this.call(`${keyPath(key)}?r=${level}`, REQUEST_TIMEOUT_MS);
    const text = await this.text(response);
    return response.status === 404 ? null : text;
  }

  async isReady(): Promise<boolean> {
    try {
      const response = await this.call('/readyz', QUERY_TIMEOUT_MS);
      await response.arrayBuffer();
      return true;
    } catch {
      return false;
    }
  }

  async members(): Promise<readonly MemberView[]> {
    return ((await this.json('/v1/members')) as { members: readonly MemberView[] }).members;
  }

  async status(): Promise<NodeStatus> {
    return (await this.json('/v1/status')) as NodeStatus;
  }

  async ring(): Promise<RingView> {
    return (await this.json('/v1/ring')) as RingView;
  }

  async locate(key: string): Promise<LocateView> {
    return (await this.json(`/v1/ring/locate?bucket=${BUCKET}&key=${encodeURIComponent(key)}`)) as LocateView;
  }

  /** The node's events, the retained ones first, until the signal is aborted or the node goes away. */
  async *events(signal: AbortSignal): AsyncGenerator<EventView> {
    try {
      const response = await fetch(`${this.api}/v1/events`, { signal });
      if (response.ok && response.body !== null) yield* readEvents(response.body);
    } catch {
      // The node was killed or the demo ends: the stream has an end, nothing more.
    }
  }

  private async json(path: string): Promise<unknown> {
    const response = await this.call(path, QUERY_TIMEOUT_MS);
    return JSON.parse(await this.text(response));
  }

  private async call(path: string, timeoutMs: number, init: RequestInit = {}): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${this.api}${path}`, { ...init, signal: AbortSignal.timeout(timeoutMs) });
    } catch (error) {
      throw new RequestError(`${this.api} does not answer: ${causeOf(error)}`, { cause: error });
    }
    if (response.ok || (response.status === 404 && path.startsWith('/v1/kv/'))) return response;
    const body = await this.text(response);
    throw new RequestError(`${this.api}${path} answered ${response.status} ${codeIn(body)}`);
  }

  private async text(response: Response): Promise<string> {
    try {
      return await response.text();
    } catch (error) {
      throw new RequestError(`${this.api} broke off: ${causeOf(error)}`, { cause: error });
    }
  }
}

function keyPath(key: string): string {
  return `/v1/kv/${BUCKET}/${encodeURIComponent(key)}`;
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
