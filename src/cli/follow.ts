import type { ApiClient } from './client.ts';
import type { CliContext } from './context.ts';
import { CliError } from './errors.ts';
import type { ServerSentEvent, StreamPosition } from './server-sent-events.ts';
import type { Terminal } from './terminal.ts';

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 10_000;

export interface Following {
  readonly client: ApiClient;
  readonly context: CliContext;
  readonly terminal: Terminal;
  readonly path: string;
  readonly query: Readonly<Record<string, string | undefined>>;
}

/**
 * Hands events of a stream over until the user interrupts. A stream that breaks is opened again where it broke,
 * with growing pauses; one that never opened, or that the node refuses, is an error.
 */
export async function followEvents(
  following: Following,
  handle: (event: ServerSentEvent) => Promise<void>,
): Promise<void> {
  const interrupted = new AbortController();
  const release = following.context.onInterrupt(() => interrupted.abort());
  try {
    await follow(following, interrupted.signal, handle);
  } finally {
    release();
  }
}

async function follow(
  following: Following,
  signal: AbortSignal,
  handle: (event: ServerSentEvent) => Promise<void>,
): Promise<void> {
  const { client, context, terminal, path, query } = following;
  const position: StreamPosition = { id: '', retryMs: null };
  let delayMs = RETRY_FIRST_MS;
  let wasOpen = false;
  while (!signal.aborted) {
    try {
      const events = await client.events(path, { query, signal }, position);
      wasOpen = true;
      for await (const event of events) {
        delayMs = RETRY_FIRST_MS;
        await handle(event);
      }
      if (!signal.aborted) terminal.note('the node ended the stream; reconnecting');
    } catch (error) {
      if (signal.aborted) return;
      const isPassing = error instanceof CliError && ['unreachable', 'not-ready'].includes(error.code);
      if (!isPassing || !wasOpen) throw error;
      terminal.note(`${error.message}; reconnecting`);
    }
    await context.sleep(Math.max(delayMs, position.retryMs ?? 0), signal);
    delayMs = Math.min(RETRY_MAX_MS, delayMs * 2);
  }
}
