import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { HttpAnswer, HttpClient } from './http-client.ts';
import { until } from './until.ts';

/** What is known of one key. Its operations run one after the other. */
interface KeyHistory {
  /** The value after the last acknowledged operation, null for a delete; undefined before the first. */
  acknowledged: string | null | undefined;
  /** Outcomes of attempts that were not acknowledged. They may have happened, and turn up beside a delete that had not seen them. */
  readonly unanswered: Set<string | null>;
}

export interface WriteLoadOptions {
  readonly clients: readonly HttpClient[];
  readonly bucket?: string;
  readonly prefix?: string;
  /** Operations at once. */
  readonly workers: number;
  /** Distinct keys; without it every write has a key of its own. */
  readonly keys?: number;
  /** Share of deletes among the operations on keys that hold a value. */
  readonly deleteShare?: number;
  /** Bytes added to each value; they do not compress. */
  readonly paddingBytes?: number;
  /** How long a worker rests after each operation. */
  readonly pauseMs?: number;
}

/** An attempt that was acknowledged. */
export interface Timed {
  /** Of the acknowledgement, `performance.now()`. */
  readonly atMs: number;
  readonly tookMs: number;
}

/** Pause after a failed attempt, so that a node that is down costs little CPU. */
const RETRY_PAUSE_MS = 20;

/**
 * Writes at quorum through all nodes in turn, repeating what fails at the next node until it is acknowledged, and
 * remembers what was. A delete reads the key first and passes the causal context on, as a client does that wants to
 * delete what is there rather than what its node happens to know.
 */
export class WriteLoad {
  acknowledged = 0;
  /** Of those: deletes. */
  deletes = 0;
  /** Attempts that ended without an acknowledgement. */
  failedAttempts = 0;
  sloppy = 0;
  /** Attempts that a node refused because its disk is full. */
  diskFull = 0;
  /** All of them, in their order. */
  readonly times: Timed[] = [];
  /** Complete quorum reads that did not return the latest acknowledged value. */
  readonly staleReads: string[] = [];
  /** Deletes that were acknowledged and changed nothing although the key had just been read at the same node. */
  readonly idleDeletes: string[] = [];
  private readonly options: Required<WriteLoadOptions>;
  private readonly histories = new Map<string, KeyHistory>();
  private readonly running: Promise<void>[] = [];
  private nextClient = 0;
  private nextKey = 0;
  private version = 0;
  private stopping = false;
  private abandoning = false;
  /** Keys whose last operation was given up: it may have happened. */
  private readonly abandoned = new Set<string>();
  private failure: Error | null = null;

  constructor(options: WriteLoadOptions) {
    this.options = {
      bucket: 'default',
      prefix: 'load/',
      keys: 0,
      deleteShare: 0,
      paddingBytes: 32,
      pauseMs: 0,
      ...options,
    };
  }

  start(): void {
    for (let worker = 0; worker < this.options.workers; worker++) {
      this.running.push(
        this.work(worker).catch((error: unknown) => {
          this.failure ??= error instanceof Error ? error : new Error(String(error));
        }),
      );
    }
  }

  /** Waits for more acknowledged writes, counted from now. */
  async untilMore(count: number, timeoutMs = 120_000): Promise<void> {
    const goal = this.acknowledged + count;
    await until(`${goal} acknowledged writes`, () => this.checked() >= goal, timeoutMs);
  }

  async untilTotal(total: number, timeoutMs = 300_000): Promise<void> {
    await until(`${total} acknowledged writes`, () => this.checked() >= total, timeoutMs);
  }

  /** Ends the load after the operations under way; `abandon` also gives up those that cannot be acknowledged. */
  async stop(abandon = false): Promise<void> {
    this.stopping = true;
    this.abandoning = abandon;
    await Promise.all(this.running);
    this.checked();
  }

  /** Every key with what a reader may see of it. */
  expectations(): { readonly key: string; readonly allowed: readonly (string | null)[] }[] {
    const all: { key: string; allowed: (string | null)[] }[] = [];
    for (const [key, { acknowledged, unanswered }] of this.histories) {
      if (acknowledged === undefined) continue;
      const allowed: (string | null)[] = [acknowledged];
      if (acknowledged === null || this.abandoned.has(key)) allowed.push(...unanswered);
      all.push({ key, allowed });
    }
    return all;
  }

  /** Keys whose value is not what was acknowledged, as lines for a person. */
  violations(read: (key: string) => string | null, isAsked: (key: string) => boolean = () => true): string[] {
    const found: string[] = [];
    for (const { key, allowed } of this.expectations()) {
      if (!isAsked(key)) continue;
      const value = read(key);
      if (!allowed.includes(value)) found.push(`${key}: ${name(value)} instead of ${allowed.map(name).join(' or ')}`);
    }
    return found;
  }

  private checked(): number {
    if (this.failure !== null) throw this.failure;
    return this.acknowledged;
  }

  private async work(worker: number): Promise<void> {
    const { keys, workers, prefix, deleteShare } = this.options;
    const own = keys === 0 ? 0 : Math.max(1, Math.floor(keys / workers));
    while (!this.stopping) {
      const index = own === 0 ? this.nextKey++ : worker * own + Math.floor(Math.random() * own);
      const key = `${prefix}${String(index).padStart(7, '0')}`;
      const history = this.histories.get(key) ?? { acknowledged: undefined, unanswered: new Set() };
      this.histories.set(key, history);
      const holdsValue = typeof history.acknowledged === 'string';
      if (holdsValue && Math.random() < deleteShare) await this.remove(key, history);
      else await this.put(key, history);
      if (this.options.pauseMs > 0) await delay(this.options.pauseMs);
    }
  }

  private async put(key: string, history: KeyHistory): Promise<void> {
    const value = `${key}#${++this.version}#${padding(this.options.paddingBytes)}`;
    await this.repeat(key, history, value, async (client) => {
      const answer = await client.send('PUT', this.path(key, '?w=quorum'), { body: value });
      return this.isAcknowledged(answer);
    });
    if (this.abandoned.has(key)) return;
    history.acknowledged = value;
    this.acknowledged++;
  }

  private async remove(key: string, history: KeyHistory): Promise<void> {
    await this.repeat(key, history, null, async (client) => {
      const found = await client.send('GET', this.path(key, '?r=quorum'));
      if (found.status >= 500 || found.headers['holdfast-complete'] === 'false') return false;
      const value = found.status === 200 ? found.text : null;
      if (value !== history.acknowledged && !history.unanswered.has(value)) {
        this.staleReads.push(
          `${key} at ${client.base}: ${name(value)} instead of ${name(history.acknowledged ?? null)}`,
        );
      }
      const context = found.headers['holdfast-context'];
      if (typeof context !== 'string') throw new Error(`GET ${key} has no Holdfast-Context`);
      const headers = { 'holdfast-context': context };
      const gone = await client.send('DELETE', this.path(key, '?w=quorum'), { headers });
      if (gone.status === 204 && value !== null && gone.headers.etag === undefined) {
        this.idleDeletes.push(`${key} at ${client.base}: ${name(value)} was read and not deleted`);
      }
      return this.isAcknowledged(gone);
    });
    if (this.abandoned.has(key)) return;
    history.acknowledged = null;
    this.acknowledged++;
    this.deletes++;
  }

  /** Tries one node after the other. */
  private async repeat(
    key: string,
    history: KeyHistory,
    outcome: string | null,
    attempt: (client: HttpClient) => Promise<boolean>,
  ): Promise<void> {
    const { clients } = this.options;
    for (;;) {
      const client = clients[this.nextClient++ % clients.length] as HttpClient;
      const fromMs = performance.now();
      if (await attempt(client).catch(ignoreLost)) {
        const atMs = performance.now();
        this.times.push({ atMs, tookMs: atMs - fromMs });
        return;
      }
      this.failedAttempts++;
      history.unanswered.add(outcome);
      if (this.abandoning) {
        this.abandoned.add(key);
        return;
      }
      await delay(RETRY_PAUSE_MS);
    }
  }

  private isAcknowledged(answer: HttpAnswer): boolean {
    if (answer.status === 204) {
      if (answer.headers['holdfast-quorum'] === 'sloppy') this.sloppy++;
      return true;
    }
    if (answer.status === 503 || answer.status === 429) return false;
    if (answer.status === 507) {
      this.diskFull++;
      return false;
    }
    throw new Error(`an answer that no fault explains: ${answer.status} ${answer.text}`);
  }

  private path(key: string, query: string): string {
    return `/v1/kv/${this.options.bucket}/${encodeURIComponent(key)}${query}`;
  }
}

function padding(bytes: number): string {
  return randomBytes(Math.ceil((bytes * 3) / 4))
    .toString('base64')
    .slice(0, bytes);
}

/** A node that went away while it was asked. Everything else is the test's failure. */
function ignoreLost(error: unknown): false {
  const code = (error as { code?: unknown }).code;
  if (code === 'ECONNREFUSED' || code === 'ECONNRESET' || code === 'EPIPE') return false;
  throw error;
}

function name(value: string | null): string {
  return value === null ? 'absent' : value.slice(0, 60);
}
