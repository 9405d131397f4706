import { sessionRead, sessionWrite } from '../../src/hub/session-access.ts';
import { Prng } from '../../src/lib/prng.ts';
import type { CausalContext } from '../../src/protocol/causal/context.ts';
import type { Entry } from '../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { compareNames, nameId } from '../../src/protocol/causal/name.ts';
import type { CausalObject } from '../../src/protocol/causal/object.ts';
import type {
  FailedReply,
  GetReply,
  GetRequest,
  MutateReply,
  MutateRequest,
} from '../../src/protocol/replication/request.ts';
import { shardOf } from '../../src/protocol/ring/shard.ts';
import { unnamedBuckets } from '../../src/protocol/uplink/buckets.ts';
import { type HubCopy, type HubMutated, hubMutate, hubRead } from '../../src/protocol/uplink/hub-access.ts';
import { transactionOf } from '../../src/protocol/uplink/hub-replica.ts';
import type { HubLinkInput } from '../../src/protocol/uplink/link.ts';
import type { HubRefusedReply, HubReply, HubRequest, SiteBucket } from '../../src/protocol/uplink/message.ts';
import type {
  HubEventRow,
  HubObjectRow,
  HubRead,
  HubRows,
  HubShard,
  HubTransaction,
  HubWrite,
  ShardObjectName,
} from '../../src/protocol/uplink/transaction.ts';
import {
  decodeHubAnswer,
  decodeHubRequest,
  encodeHubNews,
  encodeHubReply,
  encodeHubRequest,
} from '../../src/wire/hub-message.ts';
import { WALL_START_MS } from './node-clock.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** What the hub keeps on disk. */
class HubRowsOnDisk {
  shards = new Map<number, HubShard>();
  objects = new Map<string, { readonly name: ShardObjectName; readonly object: CausalObject }>();
  events = new Map<string, HubEventRow & { readonly shard: number }>();
  conflicts = new Map<string, { readonly name: ShardObjectName; readonly winner: Entry; readonly loser: Entry }>();

  /** As of now: rows are replaced, never changed, but for contexts, which transactions clone. */
  copy(): HubRowsOnDisk {
    const copy = new HubRowsOnDisk();
    copy.shards = new Map(this.shards);
    copy.objects = new Map(this.objects);
    copy.events = new Map(this.events);
    copy.conflicts = new Map(this.conflicts);
    return copy;
  }
}

interface HubSession {
  readonly node: object;
  readonly post: (input: HubLinkInput) => void;
  ended: boolean;
}

/** What a client of the hub is told, as far as it is the same as at a node. */
export type HubClientReply =
  | Pick<GetReply, 'type' | 'entries' | 'context' | 'bare'>
  | Pick<MutateReply, 'type' | 'before' | 'dot' | 'context' | 'bare'>
  | FailedReply;

/** How bad the line to the hub is. */
export interface HubWeather {
  readonly latencyMinMs: number;
  readonly latencyMaxMs: number;
  /** Of requests and answers: the session ends instead. */
  readonly cut: number;
  /** Of requests: applied twice. */
  readonly repeated: number;
}

/** Calls back once the hub gets round to the request; with a refusal where it is not to be done. */
export type HubWork = (request: HubRequest, use: (refusal: HubRefusedReply | null) => void) => void;

export const FAIR_LINE: HubWeather = { latencyMinMs: 5, latencyMaxMs: 40, cut: 0, repeated: 0 };

/** The cloud side in virtual time: the hub's own transactions on rows in memory, behind lines that may be cut. */
export class VirtualHub {
  weather: HubWeather = FAIR_LINE;
  rows = new HubRowsOnDisk();
  buckets = new Map<string, SiteBucket>();
  requests = 0;
  /** How much its clock is ahead. */
  aheadMs = 0;
  /** Called before each request is handled: a test may do something to the hub just then. */
  interfere: (request: HubRequest) => void = () => undefined;
  work: HubWork = (_request, use) => use(null);
  /** Called when a session begins. */
  onSession: () => void = () => undefined;
  /** It has a hub of its own. */
  isChained = false;
  /** Called after shards were written to. */
  onChanged: (shards: readonly number[]) => void = () => undefined;
  /** Called when the process has ended, and when it begins. */
  onProcess: (isUp: boolean) => void = () => undefined;
  private readonly clock: VirtualClock;
  private readonly prng: Prng;
  private readonly sessions = new Set<HubSession>();
  private readonly cutOff = new Set<object>();
  private isUp = true;
  private actor: string;
  private readonly actors = new Set<string>();
  private readonly counters = new Map<number, number>();
  /** Of the site. */
  private shards = 1;
  private runs = 0;
  private backup = new HubRowsOnDisk();

  constructor(clock: VirtualClock, seed: number) {
    this.clock = clock;
    this.prng = new Prng(seed);
    this.actor = this.drawActor();
  }

  /** The node asks for a session. */
  open(node: object, post: (input: HubLinkInput) => void): void {
    const session: HubSession = { node, post, ended: false };
    this.clock.after(this.latencyMs(), () => {
      if (!this.isUp || this.cutOff.has(node)) {
        post({ type: 'hub-down', reason: 'unreachable', detail: 'nobody answers' });
        return;
      }
      for (const other of this.sessions) if (other.node === node) this.sessions.delete(other);
      this.sessions.add(session);
      this.onSession();
      post({ type: 'hub-up' });
    });
  }

  close(node: object): void {
    for (const session of this.sessions) if (session.node === node) this.end(session, false);
  }

  send(node: object, id: number, request: HubRequest): void {
    const session = [...this.sessions].find((each) => each.node === node);
    if (session === undefined) return;
    const frame = encodeHubRequest(id, request);
    this.line(session, () => {
      const times = this.prng.float() < this.weather.repeated ? 2 : 1;
      for (let time = 0; time < times; time++) this.handle(session, frame);
    });
  }

  /** The process ends, and with it every session. */
  crash(): void {
    this.isUp = false;
    for (const session of this.sessions) this.end(session, true);
    this.onProcess(false);
  }

  start(): void {
    this.isUp = true;
    this.runs++;
    this.actor = this.drawActor();
    this.onProcess(true);
    this.counters.clear();
  }

  get isRunning(): boolean {
    return this.isUp;
  }

  /** Takes a copy of its store, to be restored later. */
  save(): void {
    this.backup = this.rows.copy();
  }

  /** The store is what it was when it was saved; sessions and the process go on. */
  restore(): void {
    this.rows = this.backup.copy();
  }

  /** The node's line to the hub is cut, or mended. */
  setCut(node: object, isCut: boolean): void {
    if (isCut) this.cutOff.add(node);
    else this.cutOff.delete(node);
    if (isCut) for (const session of this.sessions) if (session.node === node) this.end(session, true);
  }

  /** Somebody writes at the hub. */
  write(name: ShardObjectName, mutation: Mutation, context: CausalContext | null = null): HubMutated {
    const result = this.run(
      hubMutate(name, mutation, {
        actor: this.actor,
        wallMs: this.wallMs,
        conflict: this.buckets.get(name.bucket)?.conflict ?? 'lww',
        context,
        revision: this.draw(),
        lastCounter: this.counters.get(name.shard) ?? 0,
      }),
    );
    if (result.applied) this.noteWritten(name.shard, result.lastCounter);
    return result;
  }

  /** Tells all sessions that a hub has written in these shards. */
  tellNews(shards: readonly number[]): void {
    const frame = encodeHubNews({ type: 'hub-news', shards });
    for (const session of this.sessions) this.line(session, () => this.tell(session, frame));
  }

  read(name: ShardObjectName): HubCopy {
    return this.run(hubRead(name));
  }

  /** A client with a session asks for a key. No answer comes where the hub goes down meanwhile. */
  serve(request: GetRequest | MutateRequest, use: (reply: HubClientReply) => void): void {
    const { runs } = this;
    const later = (run: () => void): void =>
      this.clock.after(this.latencyMs(), () => {
        if (this.isUp && this.runs === runs) run();
      });
    later(() => {
      const reply = this.replyTo(request);
      later(() => use(reply));
    });
  }

  /** What the hub says to a client just now. */
  replyTo(request: GetRequest | MutateRequest): HubClientReply {
    const { bucket: bucketName, key } = request;
    const bucket = this.buckets.get(bucketName);
    if (bucket === undefined) throw new Error(`the hub was not told of the bucket ${bucketName}`);
    const name = { shard: shardOf(bucketName, key, this.shards), bucket: bucketName, key };
    const { wallMs } = this;
    if (request.type === 'get') {
      const read = this.run(sessionRead({ name, bucket, session: request.session, wallMs }));
      return 'code' in read ? { type: 'failed', failure: read } : { type: 'get', ...read };
    }
    const writer = { actor: this.actor, lastCounter: this.counters.get(name.shard) ?? 0, revision: this.draw() };
    const access = { name, bucket, session: request.context, wallMs };
    const written = this.run(sessionWrite(access, request.mutation, writer));
    if ('code' in written) return { type: 'failed', failure: written };
    if (written.dot !== null) this.noteWritten(name.shard, written.dot.counter);
    return { type: 'mutate', ...written };
  }

  /** Whether one of the hub's processes has named its events so. */
  hasWrittenAs(actor: string): boolean {
    return this.actors.has(actor);
  }

  private noteWritten(shard: number, counter: number): void {
    this.counters.set(shard, counter);
    this.tellNews([shard]);
  }

  get wallMs(): number {
    return WALL_START_MS + this.clock.nowMs + this.aheadMs;
  }

  private handle(session: HubSession, frame: Uint8Array): void {
    const { id, request } = decodeHubRequest(frame);
    if (request === null || session.ended || !this.isUp) return;
    this.requests++;
    this.work(request, (refusal) => {
      if (session.ended) return;
      const answer = encodeHubReply(id, refusal ?? this.answer(request));
      this.line(session, () => this.tell(session, answer));
    });
  }

  /** Does what a request asks for, whoever sent it. */
  answer(request: HubRequest): HubReply {
    this.interfere(request);
    if (request.type === 'hub-hello') {
      // An island may not have heard yet of what another one has created; and no bucket is ever taken away.
      for (const bucket of request.buckets) this.buckets.set(bucket.name, bucket);
      this.shards = request.shards;
      const buckets = unnamedBuckets(request.buckets, this.buckets.values());
      return { type: 'hub-welcome', site: 'site', hub: 'hub', buckets };
    }
    if (request.type === 'hub-report') return { type: 'hub-noted' };
    return this.run(
      transactionOf(request, {
        revision: this.draw(),
        isChained: this.isChained,
        bucketOf: (name) => this.buckets.get(name),
      }),
    );
  }

  private tell(session: HubSession, frame: Uint8Array): void {
    const answer = decodeHubAnswer(frame);
    if (answer !== null && !session.ended) session.post(answer);
  }

  /** Carries something one way, or loses it with the session. */
  private line(session: HubSession, arrive: () => void): void {
    const isCut = this.prng.float() < this.weather.cut;
    this.clock.after(this.latencyMs(), () => {
      if (session.ended) return;
      if (isCut) this.end(session, true);
      else arrive();
    });
  }

  private end(session: HubSession, isTold: boolean): void {
    session.ended = true;
    this.sessions.delete(session);
    if (isTold) {
      this.clock.after(this.latencyMs(), () =>
        session.post({ type: 'hub-down', reason: 'closed', detail: 'the line is cut' }),
      );
    }
  }

  /** Runs a transaction as a store does: alone, and all or nothing. */
  run<T>(transaction: HubTransaction<T>): T {
    let step = transaction.next({ type: 'events', events: [] });
    while (step.done !== true) step = transaction.next(this.rowsOf(step.value));
    const { writes, result } = step.value;
    for (const write of writes) this.apply(write);
    const shards = writes.flatMap((write) => (write.type === 'shard' ? [write.shard] : []));
    if (shards.length > 0) this.onChanged(shards);
    return result;
  }

  private rowsOf(read: HubRead): HubRows {
    const { shards, objects, events } = this.rows;
    switch (read.type) {
      case 'shards':
        return { type: 'shards', shards: new Map([...shards].filter(([shard]) => read.shards.includes(shard))) };
      case 'objects': {
        const found = read.names.flatMap((name) => objects.get(nameId(name)) ?? []);
        return { type: 'objects', objects: new Map(found.map(({ name, object }) => [nameId(name), object])) };
      }
      case 'events':
        return {
          type: 'events',
          events: read.dots.flatMap(({ actor, counter }) => events.get(`${read.shard}/${actor}/${counter}`) ?? []),
        };
      case 'scan': {
        const rows = [...objects.values()]
          .filter(({ name }) => name.shard === read.shard && read.buckets?.includes(name.bucket) !== false)
          .filter(({ name }) => read.after === null || compareNames(name, read.after) > 0)
          .sort((a, b) => compareNames(a.name, b.name))
          .map(({ name, object }): HubObjectRow => ({ name, ...object }));
        return { type: 'scan', rows: rows.slice(0, read.limit), more: rows.length > read.limit };
      }
    }
  }

  private apply(write: HubWrite): void {
    const { shards, objects, events, conflicts } = this.rows;
    switch (write.type) {
      case 'shard':
        shards.set(write.shard, write.value);
        return;
      case 'object':
        if (write.value === null) objects.delete(nameId(write.name));
        else objects.set(nameId(write.name), { name: write.name, object: write.value });
        return;
      case 'event': {
        const id = `${write.shard}/${write.actor}/${write.counter}`;
        const { shard, actor, counter, name } = write;
        if (name === null) events.delete(id);
        else events.set(id, { shard, dot: { actor, counter }, name });
        return;
      }
      case 'conflict':
        conflicts.set(`${write.name.shard}/${write.loser.dot.actor}/${write.loser.dot.counter}`, write);
    }
  }

  private latencyMs(): number {
    const { latencyMinMs, latencyMaxMs } = this.weather;
    return latencyMinMs + this.prng.float() * (latencyMaxMs - latencyMinMs);
  }

  private drawActor(): string {
    const actor = this.draw();
    this.actors.add(actor);
    return actor;
  }

  draw(): string {
    const half = (): string => this.prng.uint32().toString(16).padStart(8, '0');
    return half() + half();
  }
}
