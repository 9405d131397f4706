import { Buffer } from 'node:buffer';
import { compareUtf8 } from '../lib/utf8.ts';
import type { Clock } from '../ports/clock.ts';
import type { HubStore, Share } from '../ports/hub-store.ts';
import type { Log } from '../ports/log.ts';
import { type Entries, VALUE_BYTES_MAX } from '../protocol/causal/entry.ts';
import type { Mutation } from '../protocol/causal/mutation.ts';
import { type PlainValue, plainValue } from '../wire/hub-value.ts';
import { givingProblem, requireShownBucket } from './site-buckets.ts';
import type { SiteKeys } from './site-keys.ts';
import type { Slots } from './slots.ts';

/** Keys that are taken in hand at once. */
const BATCH_KEYS = 16;
/** Changed keys that are remembered; with more of them all keys are looked at. */
const CHANGED_MAX = 10_000;
/** Looks at one key that goes on changing, before others have their turn. */
const LOOKS_MAX = 4;
/** Between two looks at all keys: another process may have ended before it had copied what it took in. */
const PASS_MS = 10 * 60_000;
const RETRY_MS = 5000;

export interface ShareCopierParts {
  readonly share: Share;
  readonly store: Pick<HubStore, 'buckets'>;
  readonly keys: Pick<SiteKeys, 'read' | 'mutate' | 'list'>;
  /** Of all shares. */
  readonly slots: Slots;
  readonly clock: Clock;
  readonly log: Log;
}

interface Side {
  readonly site: string;
  readonly bucket: string;
}

/**
 * Makes a bucket of one site say what that of another says: values as they are told to people, each written there as a client of
 * the hub would. What has changed is copied at once; all keys are compared at the start and now and then. Nothing is remembered of
 * what has been copied: where the two are alike, it has been.
 */
export class ShareCopier {
  private readonly parts: ShareCopierParts;
  private readonly from: Side;
  private readonly to: Side;
  /** By the name that the site keeps it by; null: not known yet, and all keys are to be looked at. */
  private source: string | null = null;
  private changed = new Set<string>();
  private passMs = 0;
  private running: Promise<void> | null = null;
  private cancel: (() => void) | null = null;
  private isStopped = false;
  private passedMs: number | null = null;
  private failure: string | null = null;

  constructor(parts: ShareCopierParts) {
    this.parts = parts;
    const { from, to, bucket } = parts.share;
    this.from = { site: from, bucket };
    this.to = { site: to, bucket };
  }

  /** Unix ms of when all keys were last found alike or made so; null: not by this process. */
  get checkedMs(): number | null {
    return this.passedMs;
  }

  /** Why it does not go on; null: it does. */
  get problem(): string | null {
    return this.failure;
  }

  start(): void {
    this.wake(0);
  }

  /** Resolves once nothing is under way. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.cancel?.();
    await this.running;
  }

  /** A key of the giver has changed, perhaps; the bucket by the name that the site keeps it by. */
  noteChanged(bucket: string, key: string): void {
    if (bucket !== this.source || this.isStopped) return;
    if (this.changed.size >= CHANGED_MAX) {
      this.changed.clear();
      this.passMs = 0;
    }
    this.changed.add(key);
    if (this.running === null && this.failure === null) this.wake(0);
  }

  private wake(delayMs: number): void {
    this.cancel?.();
    this.cancel = this.parts.clock.after(delayMs, () => {
      this.cancel = null;
      this.running ??= this.run().finally(() => {
        this.running = null;
        if (this.isStopped) return;
        const nextMs = this.failure === null ? this.passMs - this.nowMs() : RETRY_MS;
        this.wake(this.changed.size > 0 && this.failure === null ? 0 : Math.max(0, nextMs));
      });
    });
  }

  /** Never rejects. */
  private async run(): Promise<void> {
    const { share, log } = this.parts;
    try {
      await this.resolve();
      if (this.isPassDue) await this.pass();
      while (this.changed.size > 0 && !this.isPassDue && !this.isStopped) await this.copyChanged();
      if (this.failure !== null) log.info('a shared bucket is copied again', { ...share });
      this.failure = null;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (text !== this.failure) log.warn('a shared bucket is not copied', { ...share, error: text });
      this.failure = text;
      // Of what changes meanwhile nothing is remembered.
      this.passMs = 0;
    }
  }

  /** Throws where the two buckets cannot be shared, now. */
  private async resolve(): Promise<void> {
    const { store } = this.parts;
    const source = requireShownBucket(this.from.site, await store.buckets(this.from.site), this.from.bucket);
    const target = requireShownBucket(this.to.site, await store.buckets(this.to.site), this.to.bucket);
    const problem = givingProblem(this.to.site, target.shown);
    if (problem !== null) throw new Error(problem);
    this.source = source.bucket.name;
  }

  private async pass(): Promise<void> {
    // What changes from here on is noted, or is met.
    this.passMs = this.nowMs() + PASS_MS;
    let batch: string[] = [];
    for await (const key of this.differing()) {
      if (this.isStopped) return;
      batch.push(key);
      if (batch.length < BATCH_KEYS) continue;
      await this.copyAll(batch);
      batch = [];
    }
    await this.copyAll(batch);
    this.passedMs = this.parts.clock.now().wallMs;
  }

  /** Keys of either side at which they differ. */
  private async *differing(): AsyncGenerator<string> {
    const given = this.values(this.from);
    const taken = this.values(this.to);
    let [a, b] = await Promise.all([given.next(), taken.next()]);
    while (a.done !== true || b.done !== true) {
      const order = a.done === true ? 1 : b.done === true ? -1 : compareUtf8(a.value.key, b.value.key);
      if (order < 0 && a.done !== true) yield a.value.key;
      else if (order > 0 && b.done !== true) yield b.value.key;
      else if (a.done !== true && b.done !== true && !areAlike(a.value.plain, b.value.plain)) yield a.value.key;
      if (order <= 0) a = await given.next();
      if (order >= 0) b = await taken.next();
    }
  }

  private async *values({ site, bucket }: Side): AsyncGenerator<{ key: string; plain: PlainValue | null }> {
    const range = { site, bucket, prefix: '', after: '', limit: Number.POSITIVE_INFINITY };
    for await (const { items } of this.parts.keys.list(range)) {
      for (const { key, entries } of items) yield { key, plain: shareable(entries) };
    }
  }

  private async copyChanged(): Promise<void> {
    const keys = [...this.changed].slice(0, BATCH_KEYS);
    for (const key of keys) this.changed.delete(key);
    await this.copyAll(keys);
  }

  private async copyAll(keys: readonly string[]): Promise<void> {
    const copies = keys.map((key) => this.parts.slots.run(() => this.copy(key)));
    const failed = (await Promise.allSettled(copies)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  }

  /** Looks again after it has written: another process may have had an older value in its hands, and written it later. */
  private async copy(key: string): Promise<void> {
    const { keys } = this.parts;
    for (let look = 0; look < LOOKS_MAX && !this.isStopped; look++) {
      const [from, to] = await Promise.all([
        keys.read({ ...this.from, key }, null),
        keys.read({ ...this.to, key }, null),
      ]);
      const given = shareable(from.entries);
      // Lost here, perhaps: once it has been compared with the site's copy, it is here again, or has been deleted.
      if (given === null && from.isPartial) return;
      if (areAlike(given, shareable(to.entries))) return;
      await keys.mutate({ ...this.to, key }, () => mutationTo(given), null);
    }
    this.changed.add(key);
  }

  private get isPassDue(): boolean {
    return this.passMs <= this.nowMs();
  }

  private nowMs(): number {
    return this.parts.clock.now().monoMs;
  }
}

/** A set or map whose JSON text no value can hold is not given to anybody. */
function shareable(live: Entries): PlainValue | null {
  const plain = plainValue(live);
  return plain !== null && plain.value.byteLength > VALUE_BYTES_MAX ? null : plain;
}

function areAlike(a: PlainValue | null, b: PlainValue | null): boolean {
  if (a === null || b === null) return a === b;
  return a.contentType === b.contentType && a.expiresMs === b.expiresMs && Buffer.compare(a.value, b.value) === 0;
}

function mutationTo(given: PlainValue | null): Mutation {
  if (given === null) return { type: 'delete' };
  const { value, contentType, expiresMs } = given;
  return { type: 'put', value, contentType, expiresAtMs: expiresMs ?? 0, onlyIf: null };
}
