/** Blocks the event loop of a real node from outside, through Node's own inspector: production code needs no hook. */
import { setTimeout as delay } from 'node:timers/promises';
import { until } from './until.ts';

const ATTACH_TIMEOUT_MS = 10_000;

/** What a node needs in its environment so that SIGUSR1 opens its inspector there; nothing listens before. */
export function inspectorEnvironment(address: string): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--inspect-port=${address}` };
}

/** A debugger of one process. */
export class Inspector {
  private readonly socket: WebSocket;
  private readonly waiting = new Map<number, PromiseWithResolvers<void>>();
  private lastId = 0;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const { id = 0, error } = JSON.parse(String(data)) as { id?: number; error?: { message: string } };
      const waiter = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) waiter?.resolve();
      else waiter?.reject(new Error(error.message));
    });
    socket.addEventListener('close', () => {
      for (const { reject } of this.waiting.values()) reject(new Error('the inspector has closed the connection'));
      this.waiting.clear();
    });
  }

  /** Attaches to the inspector at HOST:PORT, which the process opens after SIGUSR1. */
  static async attach(address: string): Promise<Inspector> {
    let url = '';
    await until(
      `an inspector at ${address}`,
      async () => {
        const answer = await fetch(`http://${address}/json/list`).catch(() => null);
        if (answer === null) return false;
        const [target] = (await answer.json()) as { webSocketDebuggerUrl: string }[];
        url = target?.webSocketDebuggerUrl ?? '';
        return url !== '';
      },
      ATTACH_TIMEOUT_MS,
    );
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve);
      socket.addEventListener('error', () => reject(new Error(`the inspector at ${address} refuses`)));
    });
    return new Inspector(socket);
  }

  /** Runs a busy loop in the process; resolves when its event loop turns again. */
  async block(ms: number): Promise<void> {
    const id = ++this.lastId;
    const waiter = Promise.withResolvers<void>();
    this.waiting.set(id, waiter);
    const expression = `for (const end = performance.now() + ${ms}; performance.now() < end; );`;
    this.socket.send(JSON.stringify({ id, method: 'Runtime.evaluate', params: { expression } }));
    await waiter.promise;
  }

  close(): void {
    this.socket.close();
  }
}

/** How long the blocks of `alternateBlocks` last: shorter than, about as long as, and longer than a probe's window. */
const BLOCKS_MS = [300, 3000, 1000, 600, 5000];
/** In between, the process is alive again: long enough to accuse others, too short to catch up. */
const FREE_MS = 40;

/** Blocks of several lengths with moments of freedom between them, for `durationMs`. */
export async function alternateBlocks(durationMs: number, block: (ms: number) => Promise<void>): Promise<void> {
  const endMs = performance.now() + durationMs;
  for (let i = 0; performance.now() < endMs; i++) {
    await block(Math.min(BLOCKS_MS[i % BLOCKS_MS.length] as number, endMs - performance.now()));
    await delay(FREE_MS);
  }
}
