import type { ApiClient } from './api-client.ts';
import type { DemoProcess } from './demo-process.ts';
import { waitUntil } from './wait.ts';

const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 20;

/** A process of the demo with its API: a node or the hub. */
export interface DemoServer {
  readonly name: string;
  readonly client: ApiClient;
  readonly process: DemoProcess;
}

/** Starts it and resolves when it serves. */
export async function startServer({ name, client, process }: DemoServer, signal: AbortSignal): Promise<void> {
  process.start();
  await waitUntil(`${name} answers on ${client.api}/readyz`, () => client.isReady(), {
    timeoutMs: READY_TIMEOUT_MS,
    intervalMs: READY_POLL_MS,
    signal,
  });
}
