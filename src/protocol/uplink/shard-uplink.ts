import { CausalContext, type DotRange } from '../causal/context.ts';
import type { KeyEvents } from '../causal/key-events.ts';
import { nameId, type ObjectName } from '../causal/name.ts';
import type { UplinkItem } from './message.ts';

/** Between two attempts to take what the hub has written: a clock that is wrong, or a disk that is full, may be so for long. */
const PULL_REST_MS = 1000;
const PULL_REST_MAX_MS = 60_000;

/** Each doubles the time until the next attempt to have back what was lost. */
const FAILURES_MAX = 6;

interface Lacking {
  readonly digest: number;
  readonly sinceMs: number;
  readonly failures: number;
  /** All that is left of it at the hub is here. */
  readonly isRestored: boolean;
}

/** Parts of a key that are left to be sent, and what the shard covered when the key was read. */
export interface WaitingParts {
  readonly context: CausalContext;
  readonly own: CausalContext;
  readonly items: UplinkItem[];
}

/** How far one shard is with the hub. */
export class ShardUplink {
  readonly shard: number;
  /** What the hub is known to count; null: that is not known. */
  hub: CausalContext | null = null;
  /** The hub has said so in this session. */
  isConfirmed = false;
  /** Events that were written at the hub, as it last told. */
  own = new CausalContext();
  /** Digest of `own` when nothing more came down. */
  pulled: number | null = null;
  /** The hub has written something since. */
  wantsPull = false;
  /** What came down was not taken, or did not come: not to be asked for again before then; and after how long that was. */
  pullAtMs = 0;
  pullRestMs = 0;
  /** Buckets of which all keys are to be compared. */
  readonly toCompare = new Set<string>();
  /** Events that no index row names here, though they are above the floor: a damaged disk. */
  unnamed = new CausalContext();
  /** A request about the shard is on its way, or being made. */
  isBusy = false;
  /** Another one after each `reset`: what was begun before has nothing to say any more. */
  turn = 0;
  /** Not to be looked at before then. */
  restUntilMs = 0;
  /** Parts of a key that have to be sent before anything else of the shard. */
  parts: WaitingParts | null = null;
  /** When this node first saw that the hub lacks something; null: it lacks nothing. */
  behindSinceMs: number | null = null;
  /** When to look again for what only the hub has. */
  lookMs = 0;
  /** What the hub counts and is missing here, by its digest. */
  private lacking: Lacking | null = null;
  /** Keys with events that the hub lacks: those written since the session began, and those from before. */
  private readonly live = new Map<string, KeyEvents>();
  private readonly backlog = new Map<string, KeyEvents>();
  /** The events of those, and of what is on its way. */
  private collected = new CausalContext();
  /** What was covered when the session began. */
  private start: CausalContext | null = null;

  constructor(shard: number) {
    this.shard = shard;
  }

  /** A session begins, or is over: what was on its way may be lost. */
  reset(): void {
    this.turn++;
    this.isConfirmed = false;
    this.isBusy = false;
    this.restUntilMs = 0;
    this.parts = null;
    this.live.clear();
    this.backlog.clear();
    this.collected = new CausalContext();
    this.start = null;
    this.pulled = null;
    this.pullAtMs = 0;
    this.pullRestMs = 0;
  }

  /** What was written at the hub has to be asked for again, each time later than before. */
  postponePull(nowMs: number): void {
    this.wantsPull = true;
    this.pullRestMs = Math.min(PULL_REST_MAX_MS, Math.max(PULL_REST_MS, 2 * this.pullRestMs));
    this.pullAtMs = nowMs + this.pullRestMs;
  }

  /** The hub says what it counts. `context`: what is covered here. */
  confirm(hub: CausalContext, own: CausalContext, context: CausalContext): void {
    this.hub = hub;
    this.own = own;
    this.isConfirmed = true;
    this.start ??= context.clone();
  }

  /** When to ask for what the hub alone has had for `restMs`; null: nothing is to be had from it. */
  restoreMs(context: CausalContext, restMs: number, nowMs: number): number | null {
    if (this.hub === null || context.covers(this.hub)) {
      this.lacking = null;
      return null;
    }
    const digest = this.hub.without(context).digest();
    if (this.lacking?.digest !== digest)
      this.lacking = { digest, sinceMs: nowMs, failures: this.lacking?.failures ?? 0, isRestored: false };
    const { sinceMs, failures, isRestored } = this.lacking;
    return isRestored ? null : sinceMs + restMs * 2 ** failures;
  }

  /** `kept`: what is missing is gone at the hub too; nothing says so of each key, and it is not asked for again. */
  noteRestored(end: 'settled' | 'kept' | 'failed', context: CausalContext, nowMs: number): void {
    const lacked = this.hub?.without(context);
    const failures = end === 'failed' ? Math.min(FAILURES_MAX, (this.lacking?.failures ?? 0) + 1) : 0;
    if (end === 'settled' || lacked === undefined) this.lacking = null;
    else this.lacking = { digest: lacked.digest(), sinceMs: nowMs, failures, isRestored: end === 'kept' };
  }

  get keysLeft(): number {
    return this.live.size + this.backlog.size + (this.parts === null ? 0 : 1);
  }

  /** Something that was written since the session began waits to be sent. */
  get isLive(): boolean {
    return this.live.size > 0;
  }

  /** Events that the hub lacks and that were not looked for yet. */
  uncollected(context: CausalContext): DotRange[] {
    if (this.hub === null) return [];
    const lacking = context.minus(this.hub);
    return lacking.length === 0 ? lacking : CausalContext.fromRanges(lacking).minus(this.collected);
  }

  /** What is left to be found out of these was looked for. */
  collect(keys: readonly KeyEvents[], looked: CausalContext): void {
    this.collected.union(looked);
    let unnamed = looked;
    for (const { name, events } of keys) {
      unnamed = unnamed.without(events);
      const id = nameId(name);
      const known = this.live.get(id) ?? this.backlog.get(id);
      if (known !== undefined) events.union(known.events);
      this.backlog.delete(id);
      const isLive = this.live.has(id) || this.start === null || !this.start.covers(events);
      (isLive ? this.live : this.backlog).set(id, { name, events });
    }
    this.unnamed.union(unnamed);
  }

  /** The next keys to be sent, those written since the session began first. */
  take(count: number): KeyEvents[] {
    const taken: KeyEvents[] = [];
    for (const keys of [this.live, this.backlog]) {
      for (const [id, key] of keys) {
        if (taken.length === count) return taken;
        keys.delete(id);
        taken.push(key);
      }
    }
    return taken;
  }

  /** Events of a key that wait to be sent: they go along with a copy that stands for them. */
  claim(name: ObjectName): CausalContext {
    const id = nameId(name);
    const events = new CausalContext();
    for (const keys of [this.live, this.backlog]) {
      const key = keys.get(id);
      if (key !== undefined) events.union(key.events);
      keys.delete(id);
    }
    return events;
  }

  /** Keys that were taken and could not be sent yet. */
  giveBack(keys: readonly KeyEvents[]): void {
    if (keys.length === 0) return;
    const before = [...this.backlog];
    this.backlog.clear();
    for (const { name, events } of keys) {
      const id = nameId(name);
      const newer = this.live.get(id);
      if (newer !== undefined) newer.events.union(events);
      else this.backlog.set(id, { name, events });
    }
    for (const [id, key] of before) {
      const known = this.backlog.get(id);
      if (known !== undefined) known.events.union(key.events);
      else this.backlog.set(id, key);
    }
  }

  /** These were not sent, or the answer is lost: they are looked for anew. */
  uncollect(events: CausalContext): void {
    this.collected = this.collected.without(events);
  }

  /** The hub counts these now. */
  cover(events: CausalContext): void {
    this.hub?.union(events);
    this.collected = this.collected.without(events);
  }
}
