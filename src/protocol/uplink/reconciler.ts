import { CausalContext, type DotRange } from '../causal/context.ts';
import type { Chunk } from './chunk.ts';
import { Comparison } from './comparison.ts';
import { combinedDigest } from './digest.ts';
import type { HubCover, HubPulledReply, HubPushedReply, HubReply, HubRequest } from './message.ts';
import { COLLECT_EVENTS, isEmpty, newPart, type PushPart, PushPartReader, pushOf } from './push-part.ts';
import { Restoration } from './restoration.ts';
import { ShardUplink } from './shard-uplink.ts';
import type { Restoring, UplinkSource } from './source.ts';

export interface ReconcilerOptions {
  readonly source: UplinkSource;
  /** Null: what is lost here, somebody else gives back. */
  readonly restoring: Restoring | null;
  /** Sends it to the hub; calls back with the answer, or with null where none will come. */
  readonly request: (request: HubRequest, urgent: boolean, use: (reply: HubReply | null) => void) => void;
  /** Of one request, about. */
  readonly chunk: () => Chunk;
  /** From one push to the next one. */
  readonly pauseMs: () => number;
  /** The hub is known to count more of the shard. The context is not to be modified. */
  readonly onCovered: (shard: number, context: CausalContext, own: CausalContext) => void;
}

/** Events of a shard that the hub lacks. */
export interface Backlog {
  readonly events: number;
  /** For how long the oldest of them has been known to be missing there, ms. */
  readonly oldestMs: number;
}

/** Pushes on their way or being made, and as many shards of which something else is under way: neither keeps the other waiting. */
const REQUESTS_MAX = 4;
/** Shards that are restored at a time: what the hub writes meanwhile comes down beside them. */
const RESTORATIONS_MAX = 2;
const SHARDS_PER_PUSH = 64;
/** After a failure, or where a bucket is not known yet. */
const REST_MS = 1000;
/** Between two looks for what only the hub has. */
const LOOK_MS = 2000;
/** Between two comparisons of everything, where nothing else shows that the hub has forgotten something. */
const CHECK_MS = 120_000;

/**
 * Keeps a hub in step with the shards of one holder: sends it what it lacks, takes what was written there, compares keys
 * where events alone do not tell. All state here may be lost at any time: contexts say what is missing.
 */
export class Reconciler {
  private readonly options: ReconcilerOptions;
  private readonly parts: PushPartReader;
  private readonly states = new Map<number, ShardUplink>();
  private session = 0;
  private isUp = false;
  private isAsking = false;
  private pushes = 0;
  private tended = 0;
  private restorations = 0;
  /** Pushes that are made and wait for their turn. */
  private ready: (readonly PushPart[])[] = [];
  private nowMs = 0;
  private checkMs = 0;
  private pushAtMs = 0;
  private order: ShardUplink[] = [];

  constructor(options: ReconcilerOptions) {
    this.options = options;
    this.parts = new PushPartReader(options.source);
  }

  /** A session with the hub begins or is over. */
  handleSession(isUp: boolean, nowMs: number): void {
    this.session++;
    this.isUp = isUp;
    this.isAsking = false;
    this.pushes = 0;
    this.tended = 0;
    this.restorations = 0;
    this.ready = [];
    this.nowMs = nowMs;
    this.checkMs = nowMs + CHECK_MS;
    for (const state of this.states.values()) state.reset();
    this.advance(nowMs);
  }

  /** The hub has written in these shards. */
  handleNews(shards: readonly number[], nowMs: number): void {
    for (const shard of shards) {
      const state = this.states.get(shard);
      if (state === undefined) continue;
      state.wantsPull = true;
      state.pullAtMs = 0;
    }
    this.advance(nowMs);
  }

  /** Does whatever can be done now; to be called now and then, since nothing tells of new events. */
  advance(nowMs: number): void {
    this.nowMs = nowMs;
    this.follow();
    if (!this.isUp) return;
    if (this.checkMs <= nowMs && !this.isAsking) {
      this.checkMs = nowMs + CHECK_MS;
      this.ask(this.order);
    } else {
      const unconfirmed = this.order.filter(
        (state) => !state.isConfirmed && !state.isBusy && state.restUntilMs <= nowMs,
      );
      if (unconfirmed.length > 0) this.ask(unconfirmed);
    }
    for (const state of this.order) this.tend(state);
    this.pump();
  }

  backlog(nowMs: number): Backlog {
    let events = 0;
    let oldestMs = 0;
    for (const state of this.order) {
      const covered = this.options.source.covered(state.shard);
      if (covered === null || state.behindSinceMs === null) continue;
      const lacking = state.hub === null ? covered.context.ranges() : covered.context.minus(state.hub);
      for (const { from, to } of lacking) events += to - from + 1;
      if (lacking.length > 0) oldestMs = Math.max(oldestMs, nowMs - state.behindSinceMs);
    }
    return { events, oldestMs };
  }

  /** Which shards there are, and which of them the hub lacks something of. */
  private follow(): void {
    const { source } = this.options;
    const shards = source.shards();
    if (shards.length !== this.order.length || shards.some((shard, i) => this.order[i]?.shard !== shard)) {
      const before = new Set(this.order);
      this.order = shards.map((shard) => this.stateOf(shard));
      for (const state of this.order) before.delete(state);
      // Somebody else's from now on: what the hub counts of them is to be asked anew, should they come back.
      for (const state of before) {
        state.reset();
        state.behindSinceMs = null;
      }
    }
    for (const state of this.order) {
      const covered = source.covered(state.shard);
      const isBehind =
        covered !== null && (state.hub === null ? !covered.context.isEmpty : !state.hub.covers(covered.context));
      if (!isBehind) state.behindSinceMs = null;
      else state.behindSinceMs ??= this.nowMs;
    }
  }

  private pump(): void {
    while (this.pushes < REQUESTS_MAX) {
      const next = this.ready.shift();
      if (next !== undefined) this.sendParts(next);
      else if (!this.startPush()) return;
    }
  }

  private stateOf(shard: number): ShardUplink {
    let state = this.states.get(shard);
    if (state === undefined) {
      state = new ShardUplink(shard);
      this.states.set(shard, state);
    }
    return state;
  }

  /** Asks what the hub counts of them: one number each way where both are of one mind. */
  private ask(states: readonly ShardUplink[]): void {
    if (this.isAsking || states.length === 0) return;
    this.isAsking = true;
    const asked = states.map((state) => ({ state, hub: state.hub }));
    const isKnown = asked.every(({ hub }) => hub !== null);
    const combined = isKnown
      ? combinedDigest(asked.map(({ state, hub }) => [state.shard, hub as CausalContext]))
      : null;
    this.send({ type: 'hub-ask', shards: states.map(({ shard }) => shard), combined }, false, (reply) => {
      this.isAsking = false;
      if (reply?.type !== 'hub-covers') {
        for (const { state } of asked) state.restUntilMs = this.nowMs + REST_MS;
        return;
      }
      const told = new Map(reply.covers.map((cover) => [cover.shard, cover]));
      for (const { state, hub } of asked) {
        // Something was sent meanwhile, and the answer to that tells more.
        if (state.isBusy || state.hub !== hub) continue;
        if (reply.same) {
          if (hub !== null) this.confirm(state, { shard: state.shard, context: hub, own: state.own });
          continue;
        }
        const cover = told.get(state.shard) ?? nothingOf(state.shard);
        // Its store is an older copy of itself: other shards are so too.
        if (hub !== null && !cover.context.covers(hub)) this.checkMs = this.nowMs;
        this.confirm(state, cover);
      }
    });
  }

  private confirm(state: ShardUplink, { context, own }: HubCover): void {
    const covered = this.options.source.covered(state.shard);
    if (covered === null) return;
    state.confirm(context, own, covered.context);
    this.options.onCovered(state.shard, context, own);
  }

  /** Everything about a shard but to send what the hub lacks by its index. */
  private tend(state: ShardUplink): void {
    if (this.tended >= REQUESTS_MAX) return;
    const covered = this.options.source.covered(state.shard);
    if (covered === null || state.hub === null || !this.isReady(state)) return;
    const { context } = covered;
    if (state.parts === null && this.needsComparison(state, covered)) this.compare(state, covered);
    else if (this.mayPull(state, context)) this.pull(state, covered);
    else if (this.mayRestore(state, context)) this.restore(state, context);
  }

  /** The hub has had more for so long that it comes from nobody else. */
  private mayRestore(state: ShardUplink, context: CausalContext): boolean {
    const { restoring } = this.options;
    if (restoring === null || this.restorations === RESTORATIONS_MAX) return false;
    if (state.parts !== null || this.nowMs < state.lookMs) return false;
    state.lookMs = this.nowMs + LOOK_MS;
    const atMs = state.restoreMs(context, restoring.restMs(state.shard), this.nowMs);
    return atMs !== null && atMs <= this.nowMs;
  }

  private restore(state: ShardUplink, context: CausalContext): void {
    const { source } = this.options;
    const restoring = this.options.restoring as Restoring;
    const hub = (state.hub as CausalContext).clone();
    const turn = this.begin(state);
    this.restorations++;
    const session = this.session;
    const before = context.clone();
    const isExchanged = (bucket: string): boolean => (source.policyOf(bucket) ?? 'none') !== 'none';
    const buckets = source.buckets().filter(isExchanged).toSorted();
    const restoration = new Restoration(
      { shard: state.shard, buckets, hub, before },
      {
        source,
        restoring,
        request: (request, use) => {
          if (session !== this.session) return;
          if (turn === state.turn) this.send(request, false, use);
          else use(null);
        },
        onEnd: (end) => {
          if (session !== this.session) return;
          this.restorations--;
          if (!this.end(state, turn)) return;
          const now = source.covered(state.shard);
          if (now !== null) state.noteRestored(end, now.context, this.nowMs);
          this.advance(this.nowMs);
        },
      },
    );
    restoration.start();
  }

  private mayPull({ wantsPull, pullAtMs, pulled, own }: ShardUplink, context: CausalContext): boolean {
    return pullAtMs <= this.nowMs && (wantsPull || (pulled !== own.digest() && !context.covers(own)));
  }

  /**
   * What the index names is not all that the hub lacks, or is too much of it. A key whose earlier events the hub lacks as well must
   * not be sent without them: what it has replaced could come from elsewhere, and would stay.
   */
  private needsComparison(
    { hub, unnamed, toCompare }: ShardUplink,
    { floor, context }: { readonly floor: CausalContext; readonly context: CausalContext },
  ): boolean {
    if (hub === null) return false;
    return (
      toCompare.size > 0 || !hub.covers(floor) || !hub.covers(unnamed) || eventsIn(context.minus(hub)) > COLLECT_EVENTS
    );
  }

  private isReady({ isConfirmed, isBusy, restUntilMs }: ShardUplink): boolean {
    return isConfirmed && !isBusy && restUntilMs <= this.nowMs;
  }

  private compare(
    state: ShardUplink,
    covered: { readonly floor: CausalContext; readonly context: CausalContext },
  ): void {
    const { source } = this.options;
    const floor = covered.floor.clone();
    floor.union(state.unnamed);
    const lacking = this.lackingOf(state);
    if (eventsIn(lacking) > COLLECT_EVENTS) for (const range of lacking) floor.addRange(range);
    // Events that were collected of these keys go with the copies or stay: they are looked for anew.
    state.reset();
    state.isConfirmed = true;
    const turn = this.begin(state);
    const session = this.session;
    const isSent = (bucket: string): boolean => ['up', 'both'].includes(source.policyOf(bucket) ?? 'none');
    const all = source.buckets();
    const isAll = state.hub?.covers(floor) !== true;
    const scope = {
      shard: state.shard,
      buckets: (isAll ? all.filter(isSent) : [...state.toCompare]).toSorted(),
      context: covered.context.clone(),
      // Of some buckets alone no event is to be counted: the hub may have forgotten some of the others meanwhile.
      floor: isAll ? floor : new CausalContext(),
      skippedOf: all.filter((name) => !isSent(name)),
    };
    const comparison = new Comparison(scope, {
      source,
      chunk: this.options.chunk,
      request: (request, use) => {
        if (session !== this.session) return;
        if (turn === state.turn) this.send(request, false, use);
        else use(null);
      },
      onEnd: (isDone) => {
        if (session !== this.session || !this.end(state, turn)) return;
        if (isDone) {
          state.toCompare.clear();
          state.unnamed = new CausalContext();
          state.cover(floor);
        } else {
          state.restUntilMs = this.nowMs + REST_MS;
        }
        // What it counts now, with what was written there meanwhile.
        state.isConfirmed = false;
        this.advance(this.nowMs);
      },
    });
    comparison.start();
  }

  private pull(
    state: ShardUplink,
    { context, floor }: { readonly context: CausalContext; readonly floor: CausalContext },
  ): void {
    const turn = this.begin(state);
    state.wantsPull = false;
    const covered = { context: context.clone(), settled: floor.intersection(state.own) };
    this.send({ type: 'hub-pull', shard: state.shard, ...covered }, true, (reply) => {
      if (reply?.type === 'hub-pulled') this.take(state, turn, reply);
      else if (this.end(state, turn)) state.postponePull(this.nowMs);
    });
  }

  private take(state: ShardUplink, turn: number, reply: HubPulledReply): void {
    const session = this.session;
    const { items, context, own, more, compare } = reply;
    for (const bucket of compare) state.toCompare.add(bucket);
    const finish = (isTaken: boolean | null): void => {
      if (session !== this.session || !this.end(state, turn)) return;
      if (isTaken !== true || (more && items.length === 0)) {
        state.postponePull(this.nowMs);
        this.pump();
        return;
      }
      state.pullRestMs = 0;
      state.own = own;
      state.hub = context.clone();
      this.options.onCovered(state.shard, state.hub, own);
      if (more) state.wantsPull = true;
      else state.pulled = own.digest();
      // Before it is asked once more: where the hub goes on writing, there would be no end of it.
      this.pump();
      this.advance(this.nowMs);
    };
    if (items.length === 0) finish(true);
    else this.options.source.join(state.shard, { items, context, own, partial: compare }, finish);
  }

  /** Begins to make one push of what several shards have; false: there is nothing to send. */
  private startPush(): boolean {
    if (this.nowMs < this.pushAtMs) return false;
    const waiting: { readonly state: ShardUplink; readonly left: number }[] = [];
    for (const state of this.order) {
      const left = this.leftOf(state);
      if (left > 0) waiting.push({ state, left });
    }
    const chosen: ShardUplink[] = [];
    const keysMax = this.options.chunk().keys;
    let keys = 0;
    for (const { state, left } of [
      ...waiting.filter(({ state }) => state.isLive),
      ...waiting.filter(({ state }) => !state.isLive),
    ]) {
      if (chosen.length === SHARDS_PER_PUSH || keys >= keysMax) break;
      chosen.push(state);
      keys += left;
    }
    if (chosen.length === 0) return false;
    this.pushAtMs = this.nowMs + this.options.pauseMs();
    this.push(chosen);
    return true;
  }

  /** Keys to be sent of a shard, about; 0: nothing may be sent now. */
  private leftOf(state: ShardUplink): number {
    if (!this.isReady(state)) return 0;
    if (state.parts !== null) return state.keysLeft;
    const covered = this.options.source.covered(state.shard);
    if (covered === null || this.needsComparison(state, covered)) return 0;
    return state.keysLeft > 0 ? state.keysLeft : eventsIn(state.uncollected(covered.context));
  }

  private lackingOf({ shard, hub }: ShardUplink): DotRange[] {
    const covered = this.options.source.covered(shard);
    return covered === null || hub === null ? [] : covered.context.minus(hub);
  }

  private push(states: readonly ShardUplink[]): void {
    const session = this.session;
    this.pushes++;
    const { keys, bytes } = this.options.chunk();
    const budget = { keys, bytes: Math.max(1, Math.floor(bytes / states.length)) };
    const parts: PushPart[] = [];
    let open = states.length;
    for (const state of states) {
      state.isBusy = true;
      const part = newPart(state, budget);
      this.parts.fill(part, (isMade) => {
        if (session !== this.session) return;
        if (part.turn === state.turn) {
          if (part.isEarly) state.restUntilMs = this.nowMs + REST_MS;
          if (!isMade) this.startAnew(state);
          else if (isEmpty(part)) state.isBusy = false;
          else parts.push(part);
        }
        if (--open > 0) return;
        this.pushes--;
        this.ready.push(...this.requestsOf(parts));
        this.pump();
      });
    }
  }

  /** In as many requests as it takes: a part may be larger than was meant, and all of them together too large to be sent. */
  private requestsOf(parts: readonly PushPart[]): PushPart[][] {
    const requests: PushPart[][] = [];
    const bytesMax = this.options.chunk().bytes;
    let bytes = Number.POSITIVE_INFINITY;
    for (const part of parts) {
      if (bytes + part.bytes > bytesMax) {
        requests.push([]);
        bytes = 0;
      }
      requests.at(-1)?.push(part);
      bytes += part.bytes;
    }
    return requests;
  }

  private sendParts(parts: readonly PushPart[]): void {
    this.pushes++;
    const pushes = parts.map(pushOf);
    this.send(
      { type: 'hub-push', pushes },
      parts.some(({ isLive }) => isLive),
      (reply) => {
        this.pushes--;
        if (reply?.type === 'hub-pushed') this.handlePushed(parts, reply);
        else for (const part of parts) this.failPart(part);
        // What else is to be done of the shard would wait until all of it has gone up.
        for (const { state } of parts) this.tend(state);
        this.pump();
      },
    );
  }

  private handlePushed(parts: readonly PushPart[], { results }: HubPushedReply): void {
    const told = new Map(results.map((result) => [result.shard, result]));
    for (const part of parts) {
      const { state, events, skipped } = part;
      const result = told.get(state.shard);
      if (result?.status !== 'applied') this.failPart(part);
      if (part.turn !== state.turn) continue;
      if (result === undefined) {
        // It has forgotten something that this is to be added to.
        state.isConfirmed = false;
      } else if (result.status === 'compare') {
        for (const bucket of result.buckets) state.toCompare.add(bucket);
        state.restUntilMs = 0;
      } else {
        state.isBusy = false;
        state.cover(events);
        state.cover(skipped);
        state.cover(result.own);
        state.own = result.own;
        // It has forgotten something, or another island's leader has told it more.
        if (state.hub?.digest() !== result.digest) state.isConfirmed = false;
        if (state.hub !== null) this.options.onCovered(state.shard, state.hub, state.own);
      }
    }
  }

  private failPart({ state, turn, events, skipped }: PushPart): void {
    if (turn !== state.turn) return;
    for (const item of state.parts?.items ?? []) state.uncollect(item.events);
    state.parts = null;
    state.uncollect(events);
    state.uncollect(skipped);
    state.isBusy = false;
    state.restUntilMs = this.nowMs + REST_MS;
  }

  /** Keys of the shard were looked for in vain: what was collected of it is found anew. */
  private startAnew(state: ShardUplink): void {
    state.reset();
    state.restUntilMs = this.nowMs + REST_MS;
  }

  private begin(state: ShardUplink): number {
    state.isBusy = true;
    this.tended++;
    return state.turn;
  }

  /** False where the shard was begun with anew meanwhile: what was asked of it then is nothing to it now. */
  private end(state: ShardUplink, turn: number): boolean {
    this.tended--;
    if (turn !== state.turn) return false;
    state.isBusy = false;
    return true;
  }

  /** Answers of an earlier session are none. */
  private send(request: HubRequest, urgent: boolean, use: (reply: HubReply | null) => void): void {
    const session = this.session;
    this.options.request(request, urgent, (reply) => {
      if (session === this.session) use(reply);
    });
  }
}

function eventsIn(ranges: readonly DotRange[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}

function nothingOf(shard: number): HubCover {
  return { shard, context: new CausalContext(), own: new CausalContext() };
}
