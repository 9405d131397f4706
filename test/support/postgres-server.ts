import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { until } from './until.ts';

/** Where Debian's packages put the programs of each version. */
const VERSIONS = '/usr/lib/postgresql';
const SUPERUSER = 'holdfast';
/** With characters that a URL has to escape. */
export const PASSWORD = 'se/cr@t: 100%';
const START_TIMEOUT_MS = 60_000;

/** Ends the server when its own input ends, as it does with the process that has started it, however that ends. */
const GUARD = `"$@" & server=$!
read -r line
case "$line" in stop) kill -INT $server ;; *) kill -QUIT $server ;; esac
wait $server`;

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The programs of the newest version; null: there are none, or nobody to run them. */
function findPrograms(): { readonly folder: string; readonly account: Account | null } | null {
  if (!existsSync(VERSIONS)) return null;
  const folders = readdirSync(VERSIONS)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(VERSIONS, version, 'bin'));
  const folder = folders.find((each) => existsSync(join(each, 'postgres')) && existsSync(join(each, 'initdb')));
  if (folder === undefined) return null;
  // The server refuses to run as root.
  if (process.getuid?.() !== 0) return { folder, account: null };
  try {
    const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
    return { folder, account: { uid: id('-u'), gid: id('-g') } };
  } catch {
    return null;
  }
}

const programs = findPrograms();

/** Why there can be no server here; null: there can. */
export const POSTGRES_MISSING =
  programs === null
    ? `no PostgreSQL server in ${VERSIONS}, or no user postgres to run it: its tests are skipped`
    : null;

export interface PostgresOptions {
  /** Before the command; default: nothing. */
  readonly launcher?: readonly string[];
  /** Commits are synced to disk. A test that needs that would have to cut the power; what is measured may. Default: false. */
  readonly isSyncing?: boolean;
}

/** A server of its own, with its files in a temporary directory, on a free port of the loopback address. */
export class PostgresServer {
  readonly #options: PostgresOptions;
  readonly #folder: string;
  readonly #account: Account | null;
  readonly #directory: string;
  readonly #port: number;
  #process: ChildProcess | null = null;
  #databases = 0;

  static async start(options: PostgresOptions = {}): Promise<PostgresServer> {
    if (programs === null) throw new Error(POSTGRES_MISSING ?? '');
    const server = new PostgresServer(programs.folder, programs.account, await freePort(), options);
    try {
      server.#create();
      await server.start();
      return server;
    } catch (error) {
      await server.dispose();
      throw error;
    }
  }

  private constructor(folder: string, account: Account | null, port: number, options: PostgresOptions) {
    this.#options = options;
    this.#folder = folder;
    this.#account = account;
    this.#port = port;
    this.#directory = mkdtempSync(join(tmpdir(), 'holdfast-postgres-'));
  }

  #create(): void {
    const passwordFile = join(this.#directory, 'password');
    writeFileSync(passwordFile, PASSWORD);
    if (this.#account !== null) {
      for (const path of [this.#directory, passwordFile]) chownSync(path, this.#account.uid, this.#account.gid);
    }
    // An order of texts that is not that of their bytes, so that nobody counts on it.
    const locale = ['--locale=C.UTF-8', '--locale-provider=icu', '--icu-locale=en'];
    const login = ['--username', SUPERUSER, '--pwfile', passwordFile, '--auth', 'scram-sha-256'];
    execFileSync(
      join(this.#folder, 'initdb'),
      ['--pgdata', join(this.#directory, 'data'), '--encoding', 'UTF8', '--no-sync', ...locale, ...login],
      { stdio: ['ignore', 'ignore', 'pipe'], cwd: this.#directory, ...this.#account },
    );
  }

  async start(): Promise<void> {
    const settings = ['listen_addresses=127.0.0.1', `port=${this.#port}`, `unix_socket_directories=${this.#directory}`];
    const { launcher = [], isSyncing = false } = this.#options;
    settings.push(`fsync=${isSyncing ? 'on' : 'off'}`, 'max_connections=60', 'shared_buffers=32MB');
    const command = [...launcher, join(this.#folder, 'postgres'), '-D', join(this.#directory, 'data')];
    for (const setting of settings) command.push('-c', setting);
    this.#process = spawn('/bin/sh', ['-c', GUARD, 'guard', ...command], {
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: this.#directory,
      ...this.#account,
    });
    await until('the database server answers', () => this.#answers(), START_TIMEOUT_MS, 50);
  }

  /** Ends all sessions, and refuses connections from then on. */
  async stop(): Promise<void> {
    await this.#end('stop\n');
  }

  async dispose(): Promise<void> {
    await this.#end('');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** A new database's URL. */
  async createDatabase(options = ''): Promise<string> {
    const name = `d${++this.#databases}`;
    await this.query('postgres', `create database ${name} ${options}`);
    return this.url(name);
  }

  /** As `url`, over a socket in the file system, which processes in other network namespaces reach as well. */
  socketUrl(database: string): string {
    const login = `user=${SUPERUSER}&password=${encodeURIComponent(PASSWORD)}`;
    return `postgres:///${database}?host=${encodeURIComponent(this.#directory)}&port=${this.#port}&${login}`;
  }

  /** What `pg_dump` writes of a database. */
  dump(database: string, file: string): void {
    this.#run('pg_dump', '--format=custom', `--file=${file}`, database);
  }

  /** Replaces what is in a database, all at once, under those who use it. */
  restore(database: string, file: string): void {
    this.#run('pg_restore', '--clean', '--if-exists', '--single-transaction', `--dbname=${database}`, file);
  }

  url(database: string, password = PASSWORD): string {
    return `postgres://${SUPERUSER}:${encodeURIComponent(password)}@127.0.0.1:${this.#port}/${database}`;
  }

  /** What a client of the database sees; `database`: a name or URL. */
  async query<R extends Record<string, unknown>>(
    database: string,
    text: string,
    values: readonly unknown[] = [],
  ): Promise<R[]> {
    const client = new Client({ connectionString: database.includes(':') ? database : this.url(database) });
    await client.connect();
    try {
      const { rows } = await (values.length === 0 ? client.query<R>(text) : client.query<R>(text, [...values]));
      return rows;
    } finally {
      await client.end();
    }
  }

  #run(program: string, ...args: readonly string[]): void {
    const login = ['--host=127.0.0.1', `--port=${this.#port}`, `--username=${SUPERUSER}`, '--no-password'];
    const env = { ...process.env, PGPASSWORD: PASSWORD };
    execFileSync(join(this.#folder, program), [...login, ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  }

  async #answers(): Promise<boolean> {
    if (this.#process?.exitCode !== null) throw new Error('the database server has ended');
    try {
      await this.query('postgres', 'select 1');
      return true;
    } catch {
      return false;
    }
  }

  async #end(word: string): Promise<void> {
    const ending = this.#process;
    this.#process = null;
    if (ending === null || ending.exitCode !== null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    ending.once('exit', () => resolve());
    ending.stdin?.end(word);
    await promise;
  }
}

async function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
  });
  return await promise;
}
