import { connect, type Socket } from 'node:net';
import { percentile } from './figures.ts';

/**
 * The load generator: many connections, each with one request under way, over bare sockets. It runs in the bench's
 * own process, which does nothing else meanwhile; the systems measured are processes of their own. HTTP clients of
 * the ecosystem cost more than the servers here, and each protocol would have had another one.
 */

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What the bytes received so far begin with. `length` 0: nothing complete yet. */
export interface Received {
  readonly length: number;
  /** `aside`: not an answer to a request. */
  readonly kind: 'done' | 'failed' | 'aside';
  /** To be sent back at once, as Latin-1. */
  readonly answer?: string;
}

/** How a protocol is spoken. Bytes are written as strings of Latin-1 units, which sockets take fastest. */
export interface Dialect {
  /** Sent first; its answer starts the requests. */
  readonly greeting?: (connection: number) => string;
  readonly receive: (bytes: Buffer) => Received;
}

export interface Load {
  readonly targets: readonly Address[];
  readonly connections: number;
  readonly dialect: Dialect;
  /** The next request; null when there is none left. */
  readonly request: (connection: number) => string | null;
  /** After this no request is begun. */
  readonly durationMs: number;
}

export interface Measured {
  readonly seconds: number;
  readonly done: number;
  readonly failed: number;
  /** The beginning of the first answer that failed. */
  readonly firstFailure: string | null;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Past the end of the load, for answers that are late. */
const GRACE_MS = 15_000;
const CONNECT_TIMEOUT_MS = 10_000;
const FAILURE_CHARACTERS = 400;

export async function drive(load: Load): Promise<Measured> {
  const sockets = await Promise.all(
    Array.from({ length: load.connections }, (_, i) => open(load.targets[i % load.targets.length] as Address)),
  );
  const results = new Results();
  const startMs = performance.now();
  const endMs = startMs + load.durationMs;
  const cut = setTimeout(() => {
    for (const socket of sockets) socket.destroy(new Error('no answer in time'));
  }, load.durationMs + GRACE_MS);
  try {
    await Promise.all(sockets.map((socket, i) => new Client(load, socket, i, endMs, results).run()));
  } finally {
    clearTimeout(cut);
    for (const socket of sockets) socket.destroy();
  }
  return results.sum((performance.now() - startMs) / 1000);
}

/** Sends one request and resolves with its whole answer; for setting systems up. */
export async function ask(address: Address, dialect: Dialect, request: string): Promise<string> {
  const socket = await open(address);
  try {
    return await new Promise((resolve, reject) => {
      let greeted = dialect.greeting === undefined;
      let received: Buffer = Buffer.alloc(0);
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('the connection was closed')));
      socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error('no answer in time')));
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        for (;;) {
          const { length, kind, answer } = dialect.receive(received);
          if (length === 0) return;
          const text = received.toString('latin1', 0, length);
          received = received.subarray(length);
          if (answer !== undefined) socket.write(answer, 'latin1');
          if (kind === 'aside') continue;
          if (greeted) return resolve(text);
          greeted = true;
          socket.write(request, 'latin1');
        }
      });
      socket.write(dialect.greeting?.(0) ?? request, 'latin1');
    });
  } finally {
    socket.destroy();
  }
}

function open({ host, port }: Address): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

class Results {
  #latenciesMs = new Float64Array(65_536);
  #done = 0;
  #failed = 0;
  #firstFailure: string | null = null;

  add(latencyMs: number): void {
    if (this.#done === this.#latenciesMs.length) {
      const larger = new Float64Array(this.#done * 2);
      larger.set(this.#latenciesMs);
      this.#latenciesMs = larger;
    }
    this.#latenciesMs[this.#done++] = latencyMs;
  }

  addFailure(answer: Buffer): void {
    this.#failed++;
    this.#firstFailure ??= answer.toString('latin1', 0, FAILURE_CHARACTERS);
  }

  sum(seconds: number): Measured {
    const ascending = this.#latenciesMs.slice(0, this.#done).sort();
    return {
      seconds,
      done: this.#done,
      failed: this.#failed,
      firstFailure: this.#firstFailure,
      perSecond: this.#done / seconds,
      p50Ms: percentile(ascending, 0.5),
      p99Ms: percentile(ascending, 0.99),
    };
  }
}

/** One connection: the next request leaves when the answer to the one before is whole. */
class Client {
  readonly #load: Load;
  readonly #socket: Socket;
  readonly #index: number;
  readonly #endMs: number;
  readonly #results: Results;
  readonly #ended = Promise.withResolvers<void>();
  #rest: Buffer | null = null;
  #greeted = false;
  #sentAtMs = 0;

  constructor(load: Load, socket: Socket, index: number, endMs: number, results: Results) {
    this.#load = load;
    this.#socket = socket;
    this.#index = index;
    this.#endMs = endMs;
    this.#results = results;
  }

  run(): Promise<void> {
    this.#socket.on('data', (chunk: Buffer) => this.#handleData(chunk));
    this.#socket.on('error', (error) => this.#ended.reject(error));
    this.#socket.on('close', () => this.#ended.reject(new Error('a server closed a connection under load')));
    const greeting = this.#load.dialect.greeting?.(this.#index);
    if (greeting === undefined) {
      this.#greeted = true;
      this.#send();
    } else {
      this.#socket.write(greeting, 'latin1');
    }
    return this.#ended.promise;
  }

  #send(): void {
    this.#sentAtMs = performance.now();
    const request = this.#sentAtMs < this.#endMs ? this.#load.request(this.#index) : null;
    if (request === null) this.#ended.resolve();
    else this.#socket.write(request, 'latin1');
  }

  #handleData(chunk: Buffer): void {
    let bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = null;
    while (bytes.length > 0) {
      const { length, kind, answer } = this.#load.dialect.receive(bytes);
      if (length === 0) {
        this.#rest = bytes;
        return;
      }
      if (answer !== undefined) this.#socket.write(answer, 'latin1');
      if (kind !== 'aside') this.#handleAnswer(kind, bytes.subarray(0, length));
      bytes = bytes.subarray(length);
    }
  }

  #handleAnswer(kind: 'done' | 'failed', answer: Buffer): void {
    if (!this.#greeted) this.#greeted = true;
    else if (kind === 'done') this.#results.add(performance.now() - this.#sentAtMs);
    else this.#results.addFailure(answer);
    this.#send();
  }
}
