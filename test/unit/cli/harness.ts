import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { spawnCommand } from '../../../src/cli/child-command.ts';
import type { CliContext, DemoOptions } from '../../../src/cli/context.ts';
import { runCli } from '../../../src/cli/program.ts';
import type { HubConfig } from '../../../src/config/hub-config.ts';
import type { NodeConfig } from '../../../src/config/node-config.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

type Handler = (request: SeenRequest, response: ServerResponse) => void;

export interface FakeNode {
  readonly api: string;
  readonly requests: SeenRequest[];
  close(): Promise<void>;
}

/** An HTTP server on loopback that answers as `handler` says and keeps what it was asked. */
export async function fakeNode(handler: Handler): Promise<FakeNode> {
  const requests: SeenRequest[] = [];
  const server = createServer((message, response) => {
    const chunks: Buffer[] = [];
    message.on('data', (chunk: Buffer) => chunks.push(chunk));
    message.on('end', () => {
      const { method = '', url = '', headers } = message;
      const request = { method, url, headers, body: Buffer.concat(chunks).toString() };
      requests.push(request);
      handler(request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    api: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function json(value: unknown): Handler {
  return (_request, response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
}

export function problem(status: number, document: Record<string, unknown>): Handler {
  return (_request, response) =>
    response
      .writeHead(status, { 'content-type': 'application/problem+json' })
      .end(JSON.stringify({ status, ...document }));
}

export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly isTTY?: boolean;
  readonly stdin?: string | Uint8Array;
  readonly cwd?: string;
  readonly fetch?: CliContext['fetch'];
  readonly startNode?: (config: NodeConfig) => Promise<void>;
  readonly startHub?: (config: HubConfig) => Promise<void>;
  readonly runDemo?: (options: DemoOptions) => Promise<void>;
  /** Called with everything printed so far, after each write. */
  readonly onOutput?: (output: string, interrupt: () => void) => void;
  /** In place of not sleeping at all. */
  readonly sleep?: CliContext['sleep'];
  /** Called once signals are listened to. */
  readonly onListening?: (interrupt: (signal: NodeJS.Signals) => void) => void;
  /** Standard output fails with this code from the first write. */
  readonly stdoutError?: string;
}

export interface RunResult {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  readonly bytes: Buffer;
  readonly sleeps: readonly number[];
}

/** Runs one command line in this process. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const sleeps: number[] = [];
  let interrupt = (_signal: NodeJS.Signals): void => undefined;
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (options.stdoutError !== undefined) {
        done(Object.assign(new Error(`write ${options.stdoutError}`), { code: options.stdoutError }));
        return;
      }
      out.push(Buffer.from(chunk));
      done();
      options.onOutput?.(Buffer.concat(out).toString(), () => interrupt('SIGINT'));
    },
  });
  const stderr = new Writable({
    write(chunk: Buffer, _encoding, done) {
      err.push(Buffer.from(chunk));
      done();
    },
  });
  const context: CliContext = {
    version: '1.2.3',
    stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
    stdout,
    stderr,
    isTTY: options.isTTY ?? false,
    env: options.env ?? {},
    cwd: options.cwd ?? '/nonexistent',
    hostName: 'edge-1',
    fetch: options.fetch ?? globalThis.fetch,
    now: () => NOW,
    monotonicMs: () => performance.now(),
    sleep: async (delayMs, signal) => {
      sleeps.push(delayMs);
      await options.sleep?.(delayMs, signal);
    },
    onInterrupt: (listener) => {
      interrupt = listener;
      options.onListening?.((signal) => interrupt(signal));
      return () => {
        interrupt = () => undefined;
      };
    },
    spawn: spawnCommand,
    startNode: options.startNode ?? (() => Promise.reject(new Error('startNode was not expected'))),
    startHub: options.startHub ?? (() => Promise.reject(new Error('startHub was not expected'))),
    runDemo: options.runDemo ?? (() => Promise.reject(new Error('runDemo was not expected'))),
  };
  const status = await runCli(args, context);
  const bytes = Buffer.concat(out);
  return { status, out: bytes.toString(), err: Buffer.concat(err).toString(), bytes, sleeps };
}
