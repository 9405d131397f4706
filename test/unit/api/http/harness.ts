import { connect } from 'node:net';
import { onTestFinished } from 'vitest';
import type { HttpApi } from '../../../../src/api/http/app.ts';
import type { HttpLimits } from '../../../../src/api/http/limits.ts';
import { startHttpApi } from '../../../../src/api/http/server.ts';
import type { Log } from '../../../../src/ports/log.ts';
import { FakeNodeHandle, type FakeNodeHandleOptions } from '../../../support/fake-node-handle.ts';

export interface Harness {
  readonly node: FakeNodeHandle;
  readonly api: HttpApi;
  readonly url: string;
  /** Messages logged as errors, with their fields. */
  readonly errors: { message: string; fields: unknown }[];
  fetch(path: string, init?: RequestInit): Promise<Response>;
  put(path: string, body: string | Uint8Array, headers?: Record<string, string>): Promise<Response>;
  /** Sends raw bytes and resolves with all that comes back until the other side closes. */
  raw(...chunks: readonly (string | Uint8Array)[]): Promise<string>;
}

/** Starts the API against a fake node; it is closed with the test. */
export async function startHarness(
  limits: Partial<HttpLimits> = {},
  options: FakeNodeHandleOptions = {},
): Promise<Harness> {
  const node = new FakeNodeHandle(options);
  const errors: Harness['errors'] = [];
  const log: Log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (message, fields) => void errors.push({ message, fields }),
    child: () => log,
  };
  const api = await startHttpApi({
    node,
    host: '127.0.0.1',
    port: 0,
    log,
    version: '1.2.3',
    limits: { closeGraceMs: 50, ...limits },
  });
  onTestFinished(() => api.close());
  const url = `http://127.0.0.1:${api.port}`;
  return {
    node,
    api,
    url,
    errors,
    fetch: (path, init) => fetch(`${url}${path}`, init),
    put: (path, body, headers = {}) =>
      fetch(`${url}${path}`, { method: 'PUT', body: body as Uint8Array<ArrayBuffer>, headers }),
    raw: (...chunks) =>
      new Promise((resolve) => {
        const socket = connect(api.port, '127.0.0.1');
        let received = '';
        socket.setEncoding('latin1');
        socket.on('data', (text: string) => {
          received += text;
        });
        socket.on('error', () => undefined);
        socket.on('close', () => resolve(received));
        for (const chunk of chunks) socket.write(chunk);
      }),
  };
}

/** Status and problem code of an answer, as `400 bad-key`. */
export async function problemOf(response: Response): Promise<string> {
  const { code, status, type } = (await response.json()) as { code: string; status: number; type: string };
  if (response.headers.get('content-type')?.startsWith('application/problem+json') !== true)
    return 'no problem document';
  if (status !== response.status || type !== `/docs#${code}`) return 'the problem document contradicts the answer';
  return `${response.status} ${code}`;
}

export interface ServerEvent {
  readonly id: string;
  readonly event: string;
  readonly data: unknown;
}

/** Reads Server-Sent Events as a browser does: blocks without data only move the id. */
export class EventReader {
  /** The id that a reconnect would send. */
  lastId = '';
  comments = 0;
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private readonly decoder = new TextDecoder();
  private buffered = '';

  constructor(response: Response) {
    if (response.body === null) throw new Error('the answer has no body');
    this.reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  }

  /** The next event; null at the end of the stream. */
  async next(): Promise<ServerEvent | null> {
    for (;;) {
      const block = await this.block();
      if (block === null) return null;
      const event = this.parse(block);
      if (event !== null) return event;
    }
  }

  async take(count: number): Promise<ServerEvent[]> {
    const events: ServerEvent[] = [];
    while (events.length < count) {
      const event = await this.next();
      if (event === null) break;
      events.push(event);
    }
    return events;
  }

  /** The next block of lines, raw. */
  async block(): Promise<string | null> {
    for (;;) {
      const end = this.buffered.indexOf('\n\n');
      if (end >= 0) {
        const block = this.buffered.slice(0, end);
        this.buffered = this.buffered.slice(end + 2);
        return block;
      }
      const { done, value } = await this.reader.read();
      if (done) return null;
      this.buffered += this.decoder.decode(value, { stream: true });
    }
  }

  async cancel(): Promise<void> {
    await this.reader.cancel();
  }

  private parse(block: string): ServerEvent | null {
    let event = 'message';
    let data: string | null = null;
    for (const line of block.split('\n')) {
      const [, name = '', value = ''] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
      if (name === '') this.comments += 1;
      else if (name === 'id') this.lastId = value;
      else if (name === 'event') event = value;
      else if (name === 'data') data = value;
    }
    return data === null ? null : { id: this.lastId, event, data: JSON.parse(data) };
  }
}
