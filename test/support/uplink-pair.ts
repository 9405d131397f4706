import { hlcAt } from '../../src/lib/hlc.ts';
import { CausalContext, type DotRange } from '../../src/protocol/causal/context.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import type { KeyEvents } from '../../src/protocol/causal/key-events.ts';
import { compareNames, nameId, type ObjectName } from '../../src/protocol/causal/name.ts';
import { ABSENT, type CausalObject, joinObject } from '../../src/protocol/causal/object.ts';
import { chunkAt } from '../../src/protocol/uplink/chunk.ts';
import type { HubReply, HubRequest, SyncPolicy } from '../../src/protocol/uplink/message.ts';
import { Reconciler } from '../../src/protocol/uplink/reconciler.ts';
import type { KeyCopy, KeysRead, PulledItems, UplinkSource } from '../../src/protocol/uplink/source.ts';
import { VirtualClock } from '../simulation/virtual-clock.ts';
import { VirtualHub } from '../simulation/virtual-hub.ts';

export const SHARD = 0;
/** Longer than an end believes that the hub has all that it once had. */
export const CHECKED_MS = 130_000;
const START_MS = 1_700_000_000_000;
const encoder = new TextEncoder();

/** One shard in memory, as a node holds it. Its answers wait until `run`. */
export class FakeSource implements Omit<UplinkSource, 'shards'> {
  context = new CausalContext();
  readonly floor = new CausalContext();
  readonly objects = new Map<string, KeyCopy>();
  readonly index = new Map<string, ObjectName>();
  readonly policies = new Map<string, SyncPolicy>([['up', 'up']]);
  /** The shard is let go of, or is not sound just now. */
  isGone = false;
  private readonly waiting: (() => void)[] = [];
  private readonly actor: string;
  private counter = 0;

  constructor(actor: string) {
    this.actor = actor;
  }

  /** Writes a key, or removes it where there is no text. Replaces what is here. */
  write(key: string, text: string | null, bucket = 'up'): void {
    const dot = { actor: this.actor, counter: ++this.counter };
    const value = text === null ? null : encoder.encode(text);
    const entries: Entries =
      value === null
        ? []
        : [
            {
              dot,
              hlc: hlcAt(START_MS + this.counter),
              expiresAtMs: 0,
              payload: { kind: 'register', value, contentType: 'text/plain' },
            },
          ];
    const name = { bucket, key };
    const before = this.copyOf(name);
    this.context.add(dot);
    this.index.set(`${dot.actor}/${dot.counter}`, name);
    this.store(name, { entries, past: before.past });
  }

  /** Takes over what another holder of the shard has of these keys, as anti-entropy does. */
  takeFrom(other: FakeSource, keys: readonly string[], bucket = 'up'): void {
    for (const key of keys) {
      const name = { bucket, key };
      const events = new CausalContext();
      for (const [id, { key: of }] of other.index) {
        const [actor = '', counter] = id.split('/');
        if (of === key) events.add({ actor, counter: Number(counter) });
      }
      const copy = other.copyOf(name);
      const joined = joinObject(this.copyOf(name), this.context, { ...copy, seen: other.context.clone(), events });
      for (const { actor, counter } of joined.applied) {
        this.context.add({ actor, counter });
        this.index.set(`${actor}/${counter}`, name);
      }
      this.store(name, joined.object);
    }
  }

  /** Takes over the last event of a key alone, as another holder's delta: what it had replaced is remembered. */
  takeLast(other: FakeSource, key: string, bucket = 'up'): void {
    const name = { bucket, key };
    const dot = { actor: other.actor, counter: other.counter };
    const { entries } = other.copyOf(name);
    const past = other.context.clone();
    const remote = { entries, seen: past, events: CausalContext.fromDots([dot]), past };
    const joined = joinObject(this.copyOf(name), this.context, remote);
    this.context.add(dot);
    this.index.set(`${dot.actor}/${dot.counter}`, name);
    this.store(name, joined.object);
  }

  /** The index rows go, as where all owners have synced. */
  strip(): void {
    this.index.clear();
    this.floor.union(this.context);
  }

  copyOf(name: ObjectName): CausalObject {
    return this.objects.get(nameId(name)) ?? ABSENT;
  }

  /** The answers that wait now; true where there were some. */
  run(): boolean {
    const due = this.waiting.splice(0);
    for (const answer of due) answer();
    return due.length > 0;
  }

  covered(): { readonly context: CausalContext; readonly floor: CausalContext } | null {
    return { context: this.context, floor: this.floor };
  }

  policyOf(bucket: string): SyncPolicy | undefined {
    return this.policies.get(bucket);
  }

  buckets(): readonly string[] {
    return [...this.policies.keys()];
  }

  keysOf(
    _shard: number,
    events: readonly DotRange[],
    eventsMax: number,
    use: (found: { readonly keys: readonly KeyEvents[]; readonly looked: CausalContext } | null) => void,
  ): void {
    const keys = new Map<string, KeyEvents>();
    const looked = new CausalContext();
    let left = eventsMax;
    for (const { actor, from, to } of events) {
      for (let counter = from; counter <= to && left > 0; counter++, left--) {
        looked.add({ actor, counter });
        const name = this.index.get(`${actor}/${counter}`);
        if (name === undefined) continue;
        const known = keys.get(nameId(name)) ?? { name, events: new CausalContext() };
        known.events.add({ actor, counter });
        keys.set(nameId(name), known);
      }
    }
    this.later(() => use(this.isGone ? null : { keys: [...keys.values()], looked }));
  }

  read(_shard: number, names: readonly ObjectName[], use: (read: KeysRead | null) => void): void {
    this.later(() => {
      const copies = names.map((name) => ({ name, ...this.copyOf(name) }));
      use(this.isGone ? null : { copies, context: this.context.clone(), own: new CausalContext() });
    });
  }

  scan(
    _shard: number,
    after: ObjectName | null,
    use: (page: { readonly rows: readonly KeyCopy[]; readonly more: boolean } | null) => void,
  ): void {
    this.later(() => {
      const rows = [...this.objects.values()]
        .filter(({ name }) => after === null || compareNames(name, after) > 0)
        .sort((a, b) => compareNames(a.name, b.name));
      use(this.isGone ? null : { rows, more: false });
    });
  }

  join(_shard: number, _pulled: PulledItems, use: (isTaken: boolean | null) => void): void {
    this.later(() => use(false));
  }

  private store(name: ObjectName, { entries, past }: CausalObject): void {
    if (entries.length === 0 && past === null) this.objects.delete(nameId(name));
    else this.objects.set(nameId(name), { name, entries, past });
  }

  private later(answer: () => void): void {
    this.waiting.push(answer);
  }
}

/** A hub without lines. */
export function newHub(): VirtualHub {
  const hub = new VirtualHub(new VirtualClock(), 1);
  for (const name of ['up', 'both']) {
    const sync = name === 'up' ? 'up' : 'both';
    hub.buckets.set(name, { name, sync, conflict: 'lww', ttlSeconds: null, origin: null });
  }
  return hub;
}

/** Holds several shards, the first of which is SHARD. */
class FakeSources implements UplinkSource {
  private readonly sources: readonly FakeSource[];

  constructor(sources: readonly FakeSource[]) {
    this.sources = sources;
  }

  readonly shards = (): readonly number[] => [...this.sources.keys()];
  readonly covered = (shard: number) => this.of(shard).covered();
  readonly policyOf = (bucket: string) => this.of(SHARD).policyOf(bucket);
  readonly buckets = () => this.of(SHARD).buckets();
  readonly keysOf: UplinkSource['keysOf'] = (shard, ...rest) => this.of(shard).keysOf(shard, ...rest);
  readonly read: UplinkSource['read'] = (shard, ...rest) => this.of(shard).read(shard, ...rest);
  readonly scan: UplinkSource['scan'] = (shard, ...rest) => this.of(shard).scan(shard, ...rest);
  readonly join: UplinkSource['join'] = (shard, ...rest) => this.of(shard).join(shard, ...rest);

  private of(shard: number): FakeSource {
    return this.sources[shard] as FakeSource;
  }
}

/** A holder of shards and its reconciler: what it asks for waits until `step`. */
export class UplinkEnd {
  readonly sources: readonly FakeSource[];
  readonly reconciler: Reconciler;
  readonly asked: { readonly request: HubRequest; readonly use: (reply: HubReply | null) => void }[] = [];
  nowMs = 0;
  private readonly hub: VirtualHub;

  constructor(hub: VirtualHub, ...sources: FakeSource[]) {
    this.hub = hub;
    this.sources = sources;
    this.reconciler = new Reconciler({
      source: new FakeSources(sources),
      restoring: null,
      request: (request, _urgent, use) => void this.asked.push({ request, use }),
      chunk: () => chunkAt(0),
      pauseMs: () => 0,
      onCovered: () => undefined,
    });
    this.reconciler.handleSession(true, 0);
  }

  /** The source answers all that was asked of it. */
  read(): void {
    while (this.sources.map((source) => source.run()).includes(true));
  }

  /** One request is handled and answered; undefined: none waits. */
  step(): HubRequest | undefined {
    this.read();
    const next = this.asked.shift();
    if (next === undefined) return undefined;
    next.use(this.hub.answer(next.request));
    return next.request;
  }

  /** Time goes by, and all that is asked is answered; the number of requests, at most `limit`. */
  settle(forMs = 5000, limit = 5000): number {
    let requests = 0;
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs && requests < limit; this.nowMs += 250) {
      this.reconciler.advance(this.nowMs);
      while (requests < limit && this.step() !== undefined) requests++;
    }
    return requests;
  }
}

export function atHub(hub: VirtualHub, key: string, shard = SHARD): string | undefined {
  const payload = hub.read({ shard, bucket: 'up', key }).object.entries[0]?.payload;
  return payload?.kind === 'register' ? new TextDecoder().decode(payload.value) : undefined;
}
