import { earlier } from '../../lib/deadline-queue.ts';
import { type Failure, failure } from '../../lib/failure.ts';
import type { Prng } from '../../lib/prng.ts';
import type { Voters } from '../election/options.ts';
import {
  type Electorate,
  electorateBytes,
  electorateIn,
  FOUNDING_EPOCH,
  idsOf,
  isChanging,
  registerEpochOf,
  supersedes,
} from '../electorate/electorate.ts';
import { ElectorateKeeper, type ElectorateRecord, type Lead } from '../electorate/keeper.ts';
import { type ElectorateMessage, isElectorateMessage } from '../electorate/message.ts';
import type { Instant, NodeId } from '../machine.ts';
import { REGISTER_DEFAULTS } from '../register/core.ts';
import type { RegisterEffect, RegisterInput } from '../register/effect.ts';
import type { RegisterMessage } from '../register/message.ts';
import { acceptorsOf } from '../register/placement.ts';
import { type RegisterStats, Registers, type RestoredRegisters } from '../register/registers.ts';
import type { RegisterReply, RegisterRequest } from '../register/request.ts';
import type { Condition } from '../register/value.ts';
import { ELECTORATE_BUCKET, ElectorateMap } from './electorate-map.ts';

export interface StrongKeysOptions {
  readonly self: NodeId;
  /** Names this node's disk. */
  readonly actor: string;
  readonly shards: number;
  readonly replicas: number;
  readonly prng: Prng;
  readonly proposerId: string;
  readonly restoredRegisters: RestoredRegisters;
  readonly electorate: ElectorateRecord;
  readonly use: (effects: readonly StrongEffect[]) => void;
}

export type StrongEffect =
  | Extract<RegisterEffect, { readonly type: 'register-persist' | 'register-read' | 'register-scan' }>
  | { readonly type: 'send'; readonly to: NodeId; readonly message: RegisterMessage | ElectorateMessage }
  | { readonly type: 'reply'; readonly id: number; readonly reply: RegisterReply }
  | { readonly type: 'persist-electorate'; readonly id: number; readonly record: ElectorateRecord }
  | { readonly type: 'event'; readonly event: ElectorateEvent };

export type ElectorateEvent =
  | {
      readonly type: 'electorate-changed';
      readonly epoch: number;
      readonly electors: number;
      /** On the way to these: a majority of those before is needed as well. */
      readonly changing: boolean;
    }
  /** An operator has decided, at one of the nodes that are left, that a majority never comes back. */
  | {
      readonly type: 'electorate-refounded';
      readonly epoch: number;
      readonly electors: readonly NodeId[];
      readonly lost: readonly NodeId[];
      readonly by: string;
    }
  /** The peer's cluster was founded apart from this one: their strong buckets do not become one by themselves. */
  | { readonly type: 'electorate-conflict'; readonly peer: NodeId };

/** Requests that wait for the founding; more are refused. */
const HELD_MAX = 1000;
/** The register that holds the electorate. */
const ELECTORATE_NAME = { bucket: ELECTORATE_BUCKET, key: 'ring' } as const;
const CONTENT_TYPE = 'application/json';

interface Held {
  readonly id: number;
  readonly request: RegisterRequest;
  readonly sinceMs: number;
}

/** The keys of strong buckets, and the electorate that decides about them: registers on a ring that is a register itself. */
export class StrongKeys {
  private readonly options: StrongKeysOptions;
  private readonly registers: Registers;
  private readonly keeper: ElectorateKeeper;
  private readonly foreign = new Set<NodeId>();
  private map: ElectorateMap;
  private now: Instant;
  private held: Held[] = [];
  /** The keeper's own requests, by numbers below 0. */
  private readonly asked = new Map<number, (reply: RegisterReply) => void>();
  private lastAskedId = 0;
  private readonly persisting = new Map<number, () => void>();
  private lastPersistId = 0;
  private lacksCatalog = false;

  constructor(options: StrongKeysOptions, now: Instant) {
    const { self, actor, electorate, prng, proposerId, restoredRegisters } = options;
    this.options = options;
    this.now = now;
    this.map = new ElectorateMap(electorate.current);
    this.registers = new Registers(
      {
        ...REGISTER_DEFAULTS,
        self,
        proposerId,
        prng: prng.fork(),
        shardOf: (bucket, key) => this.map.shardOf(bucket, key),
        placement: (shard) => this.map.placement(shard),
        heldShards: () => this.map.heldShards(self),
        // What another disk had promised, this one does not know.
        canVote: () => !this.lacksCatalog && this.map.diskOf(self) === actor,
        foundingEpoch: FOUNDING_EPOCH,
      },
      restoredRegisters,
      now,
    );
    this.keeper = this.newKeeper(prng.fork());
    this.fromRegisters(this.registers.start(now));
  }

  get electorate(): Electorate | null {
    return this.keeper.current;
  }

  /** When the present epoch was adopted, monotonic ms. */
  get adoptedMs(): number {
    return this.keeper.adoptedMs;
  }

  /** Who accepts for the key; nobody before the founding. */
  acceptorsOf(bucket: string, key: string): NodeId[] {
    return acceptorsOf(this.map.placement(this.map.shardOf(bucket, key)));
  }

  stats(): RegisterStats {
    return this.registers.stats();
  }

  /** Who accepts what, by the electorate that this node knows. */
  get placements(): ElectorateMap {
    return this.map;
  }

  /** Names an electorate that this run of the node begins, of this one and no other. */
  get founder(): string {
    return `${this.options.proposerId}.${this.options.self}`;
  }

  /** An operator has decided who is left. Calls back once this node will not forget it. */
  refound(next: Electorate, now: Instant, done: () => void): void {
    this.now = now;
    this.keeper.refound(next, done);
  }

  handleMessage(from: NodeId, message: RegisterMessage | ElectorateMessage, now: Instant): void {
    this.now = now;
    if (isElectorateMessage(message)) this.keeper.handleMessage(from, message);
    else this.handleRegisters({ type: 'message', from, message }, now);
  }

  handleRegisters(input: RegisterInput, now: Instant): void {
    this.now = now;
    this.fromRegisters(this.registers.handle(input, now));
  }

  handlePersisted(id: number, now: Instant): void {
    this.now = now;
    const done = this.persisting.get(id);
    this.persisting.delete(id);
    done?.();
  }

  /** A client's request. Without an electorate it waits for one, as long as a request may take. */
  request(id: number, request: RegisterRequest, now: Instant): void {
    this.now = now;
    if (this.electorate !== null) {
      this.handleRegisters({ type: 'register-request', id, request }, now);
      return;
    }
    if (this.held.length >= HELD_MAX) {
      this.fail(
        id,
        failure('too-many-requests', 'too many requests wait for the first strong bucket; retry with backoff'),
      );
      return;
    }
    this.held.push({ id, request, sinceMs: now.monoMs });
    this.keeper.want();
  }

  handleConnected(peer: NodeId, now: Instant): void {
    this.now = now;
    this.keeper.handleConnected(peer);
  }

  /** The peer goes by the electorate of this epoch; 0: by none. */
  handleEpoch(peer: NodeId, epoch: number): void {
    if (epoch !== this.map.epoch) this.keeper.greet(peer);
  }

  handleDisconnected(peer: NodeId): void {
    this.keeper.handleDisconnected(peer);
  }

  /** Who leads, and what the leader of a majority has to do. */
  follow(leader: NodeId | null, lead: Lead | null, now: Instant): void {
    this.now = now;
    this.keeper.follow(leader, lead);
  }

  handleCatalog(lacksCatalog: boolean, now: Instant): void {
    if (lacksCatalog === this.lacksCatalog) return;
    this.lacksCatalog = lacksCatalog;
    this.handleRegisters({ type: 'register-placement-changed' }, now);
  }

  /** The disk is an older copy of itself: what it had promised since is forgotten. */
  handleRollback(now: Instant): void {
    for (const shard of this.map.heldShards(this.options.self)) {
      this.handleRegisters({ type: 'register-lost', record: { table: 'register-shard', shard } }, now);
    }
  }

  handleTimeout(now: Instant): void {
    this.now = now;
    if ((this.registers.nextDeadline() ?? Number.POSITIVE_INFINITY) <= now.monoMs) {
      this.fromRegisters(this.registers.handleTimeout(now));
    }
    this.keeper.handleTimeout();
    this.expireHeld();
  }

  nextDeadline(): number | undefined {
    const [held] = this.held;
    const heldUntilMs = held === undefined ? undefined : untilMsOf(held);
    return earlier(earlier(this.registers.nextDeadline(), this.keeper.nextDeadline()), heldUntilMs);
  }

  private newKeeper(prng: Prng): ElectorateKeeper {
    const { self, actor, shards, replicas, electorate, use } = this.options;
    return new ElectorateKeeper(
      {
        self,
        disk: actor,
        shards,
        replicas,
        prng,
        nowMs: () => this.now.monoMs,
        send: (to, message) => use([{ type: 'send', to, message }]),
        persist: (record, done) => {
          const id = ++this.lastPersistId;
          this.persisting.set(id, done);
          use([{ type: 'persist-electorate', id, record }]);
        },
        decide: (next, known, done) => this.decide(next, known, done),
        isEnough: (ready) => this.map.isEnough(ready),
        standing: () => this.standing(),
        onAdopted: (adopted, before) => this.handleAdopted(adopted, before),
        onForeign: (peer) => this.handleForeign(peer),
      },
      electorate,
    );
  }

  private standing(): { readonly ready: boolean; readonly mute: boolean } {
    const { electorate, registers, map } = this;
    if (electorate === null) return { ready: false, mute: false };
    const { self, actor } = this.options;
    const held = map.heldShards(self);
    return {
      // Nobody asks at other times.
      ready: isChanging(electorate) && held.every((shard) => registers.caughtUp(shard, map.epoch)),
      // An epoch of the same electors gives another disk than theirs no say.
      mute: map.diskOf(self) === actor && held.some((shard) => registers.isMute(shard)),
    };
  }

  private handleAdopted(electorate: Electorate, before: Electorate | null): void {
    this.map = new ElectorateMap(electorate, this.map);
    const { epoch, electors, refounding } = electorate;
    const changing = isChanging(electorate);
    const changed = { type: 'electorate-changed', epoch, electors: electors.length, changing } as const;
    this.options.use([{ type: 'event', event: changed }]);
    if (refounding !== null && electorate.lineage.generation !== before?.lineage.generation) {
      const { lost, by } = refounding;
      const event = { type: 'electorate-refounded', epoch, electors: idsOf(electors), lost, by } as const;
      this.options.use([{ type: 'event', event }]);
    }
    this.fromRegisters(this.registers.handle({ type: 'register-placement-changed' }, this.now));
    const { held } = this;
    this.held = [];
    for (const request of held) this.handleRegisters({ type: 'register-request', ...request }, this.now);
  }

  private handleForeign(peer: NodeId): void {
    if (this.foreign.has(peer)) return;
    this.foreign.add(peer);
    this.options.use([{ type: 'event', event: { type: 'electorate-conflict', peer } }]);
  }

  /** A change of the register that holds the electorate, upon what it holds now. */
  private decide(next: Electorate, known: Electorate, done: (held: Electorate | null) => void): void {
    this.ask({ type: 'strong-get', ...ELECTORATE_NAME }, (reply) => {
      if (reply.type !== 'strong-get') return done(null);
      const held = reply.content === null ? null : electorateIn(reply.content.bytes);
      if (held !== null && supersedes(held, known)) return done(held);
      const { version } = reply;
      const condition: Condition = version === null ? { type: 'absent' } : { type: 'version', version };
      const content = { bytes: electorateBytes(next), contentType: CONTENT_TYPE, expiresAtMs: null };
      this.ask({ type: 'strong-put', ...ELECTORATE_NAME, content, condition }, (outcome) => {
        if (outcome.type === 'strong-change' && outcome.applied) return done(next);
        // Whether it was changed after all, the next attempt finds out.
        const other = outcome.type === 'strong-change' && !outcome.applied ? outcome.content : null;
        const latest = other === null ? null : electorateIn(other.bytes);
        done(latest !== null && supersedes(latest, known) ? latest : null);
      });
    });
  }

  private ask(request: RegisterRequest, use: (reply: RegisterReply) => void): void {
    const id = --this.lastAskedId;
    this.asked.set(id, use);
    this.fromRegisters(this.registers.handle({ type: 'register-request', id, request }, this.now));
  }

  private fromRegisters(effects: readonly RegisterEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'register-reply':
          this.reply(effect.id, effect.reply);
          break;
        case 'register-epoch-behind':
          this.keeper.handleBehind(effect.peer);
          break;
        case 'register-epoch-ahead':
          this.keeper.handleAhead(effect.peer);
          break;
        case 'register-caught-up':
          // The keeper looks at all shards together, now and then.
          break;
        default:
          this.options.use([effect]);
      }
    }
  }

  private reply(id: number, reply: RegisterReply): void {
    const own = this.asked.get(id);
    this.asked.delete(id);
    if (own === undefined) this.options.use([{ type: 'reply', id, reply }]);
    else own(reply);
  }

  private expireHeld(): void {
    for (let [first] = this.held; first !== undefined && untilMsOf(first) <= this.now.monoMs; [first] = this.held) {
      this.held.shift();
      const { id } = first;
      const message =
        'no majority of the ring has founded the strong buckets yet; restore the links to a majority of the members, and retry';
      this.fail(id, failure('quorum-unavailable', message));
    }
  }

  private fail(id: number, reason: Failure): void {
    this.options.use([{ type: 'reply', id, reply: { type: 'failed', failure: reason } }]);
  }
}

function untilMsOf({ sinceMs }: Held): number {
  return sinceMs + REGISTER_DEFAULTS.requestTimeoutMs;
}

/** Among whom a quorate leader needs majorities. Null: nothing has been founded. */
export function votersOf(electorate: Electorate | null, isFresh: boolean): Voters | null {
  if (electorate === null) return null;
  const { electors, previous, past } = electorate;
  const epoch = registerEpochOf(electorate);
  // Leases that rest on those before may last a little longer than the change.
  const before = previous ?? (isFresh ? past[0]?.electors : undefined);
  return { epoch, groups: before === undefined ? [idsOf(electors)] : [idsOf(electors), idsOf(before)] };
}
