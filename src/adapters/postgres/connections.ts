import { Socket } from 'node:net';
import { Client, type ClientBase, Pool, type QueryResultRow } from 'pg';
import { HubStoreError } from '../../ports/hub-store.ts';
import type { Log } from '../../ports/log.ts';
import { ConflictError, databaseError } from './errors.ts';

export interface ConnectionOptions {
  /** `postgres://user:password@host:5432/database`. */
  readonly url: string;
  readonly log: Log;
  /** Open at a time. */
  readonly connectionsMax: number;
  /** Of one connecting, one waiting for a connection, and one statement. */
  readonly timeoutMs: number;
}

/** A query's rows; throws a HubStoreError or a ConflictError. */
export interface Session {
  query<R extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<R[]>;
}

/** How long the client waits beyond the server's own timeout, which gives the better message. */
const GRACE_MS = 500;
/** A transaction of a hub that has died without closing its connection holds its locks no longer. */
const IDLE_MS = 10_000;
const SCHEMES: readonly string[] = ['postgres:', 'postgresql:'];
const REDACTED_CHARS_MIN = 3;

/** A bounded pool of connections. Nothing that it says names the password. */
export class Connections {
  /** For people: host, port and database. */
  readonly target: string;
  readonly #pool: Pool;
  readonly #log: Log;
  readonly #password: string;
  /** Sent once on each connection. Not with its parameters: poolers in between refuse those that they do not know. */
  readonly #settings: string;
  readonly #prepared = new WeakSet<ClientBase>();
  /** The client leaves those open on which the login has failed at its own end, as without a password. */
  readonly #sockets = new Set<Socket>();
  #isClosed = false;

  constructor(options: ConnectionOptions) {
    const { url, timeoutMs } = options;
    const { target, password } = targetOf(url);
    this.target = target;
    this.#password = password;
    this.#log = options.log;
    this.#settings = `set statement_timeout = ${timeoutMs}; set lock_timeout = ${timeoutMs}; set idle_in_transaction_session_timeout = ${IDLE_MS}`;
    this.#pool = new Pool({
      connectionString: url,
      max: options.connectionsMax,
      connectionTimeoutMillis: timeoutMs,
      query_timeout: timeoutMs + GRACE_MS,
      keepAlive: true,
      application_name: 'holdfast hub',
      stream: () => this.#newSocket(),
    });
    this.#pool.on('error', (error) => {
      this.#log.debug('an idle connection to the database was lost', { reason: this.#redact(error.message) });
    });
  }

  /** Lends a connection. One on which anything but a statement has failed is not used again. */
  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new HubStoreError('io', `The hub's store, the database ${this.target}, is closed.`);
    const client = await this.#pool.connect().catch((error: unknown) => {
      throw this.#translate(error);
    });
    let isBroken = false;
    // A connection that breaks says so to its query, and once more to whoever has it.
    const ignore = (): void => {
      isBroken = true;
    };
    client.on('error', ignore);
    const session: Session = {
      query: async <R extends QueryResultRow>(text: string, values: readonly unknown[] = []) => {
        try {
          return await rowsOf<R>(client, text, values);
        } catch (error) {
          isBroken ||= !isStatementError(error);
          throw this.#translate(error);
        }
      },
    };
    try {
      if (!this.#prepared.has(client)) await session.query(this.#settings);
      this.#prepared.add(client);
      return await work(session);
    } finally {
      client.removeListener('error', ignore);
      client.release(isBroken);
    }
  }

  /** One statement in a transaction of its own. */
  async query<R extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    return await this.use((session) => session.query<R>(text, values));
  }

  /** `work` in a transaction: all or nothing. */
  async transact<T>(
    isolation: 'read committed' | 'repeatable read',
    work: (session: Session) => Promise<T>,
  ): Promise<T> {
    return await this.use(async (session) => {
      await session.query(`begin isolation level ${isolation}`);
      let result: T;
      try {
        result = await work(session);
      } catch (error) {
        // Where this fails, too, the connection ends, and the transaction with it.
        await session.query('rollback').catch(() => undefined);
        throw error;
      }
      await session.query('commit');
      return result;
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#pool.end();
    for (const socket of this.#sockets) socket.destroy();
  }

  #newSocket(): Socket {
    const socket = new Socket();
    this.#sockets.add(socket);
    return socket.once('close', () => this.#sockets.delete(socket));
  }

  #translate(error: unknown): Error {
    return databaseError(error, this.target, (text) => this.#redact(text));
  }

  #redact(text: string): string {
    if (this.#password.length < REDACTED_CHARS_MIN) return text;
    return text.replaceAll(this.#password, '***').replaceAll(encodeURIComponent(this.#password), '***');
  }
}

async function rowsOf<R extends QueryResultRow>(
  client: ClientBase,
  text: string,
  values: readonly unknown[],
): Promise<R[]> {
  const result = await (values.length === 0 ? client.query<R>(text) : client.query<R>(text, [...values]));
  return result.rows;
}

/** The server has refused a statement; the connection is as good as before. */
function isStatementError(error: unknown): boolean {
  return (error as { severity?: unknown }).severity === 'ERROR';
}

function targetOf(url: string): { target: string; password: string } {
  const scheme = /^[a-z]+:/.exec(url)?.[0] ?? '';
  try {
    if (!SCHEMES.includes(scheme)) throw new Error('another scheme');
    const { host, port, database, password } = new Client({ connectionString: url });
    return { target: `${host}:${port}/${database ?? ''}`, password: typeof password === 'string' ? password : '' };
  } catch {
    // What has failed would show the URL.
    const form = 'postgres://user:password@host:5432/database';
    throw new HubStoreError(
      'io',
      `The URL of the database cannot be read. Write it as ${form}, with special characters of the password as %XX.`,
    );
  }
}

const ATTEMPTS_MAX = 12;
const PAUSE_MS_MIN = 4;
const PAUSE_MS_MAX = 500;

/** Runs `attempt` again after a conflict, with growing random pauses in between. */
export async function retried<T>(target: string, attempt: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      if (attempts === ATTEMPTS_MAX) {
        const message = `The database ${target} is not available (${attempts} attempts ran into others: ${error.message}). Check its load.`;
        throw new HubStoreError('unavailable', message);
      }
      const pauseMs = Math.random() * Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** attempts);
      await new Promise((resolve) => {
        setTimeout(resolve, pauseMs);
      });
    }
  }
}
