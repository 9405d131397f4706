import { assert, unreachable } from '../../lib/assert.ts';
import { Journal } from '../../lib/journal.ts';
import type { Instant, Machine, NodeId } from '../machine.ts';
import { Acceptor } from './acceptor.ts';
import { Alarms } from './alarms.ts';
import { BallotClock } from './ballot.ts';
import { Collector } from './collector.ts';
import type { RegisterCore, RegisterOptions } from './core.ts';
import { type RegisterCounters, zeroCounters } from './counters.ts';
import type { RegisterEffect, RegisterInput } from './effect.ts';
import type { RegisterMessage } from './message.ts';
import { Proposer } from './proposer.ts';
import type { BadRegisterRecord, RegisterWrite, ShardRecord } from './record.ts';
import { Router } from './router.ts';
import { RowSource } from './row-source.ts';
import { RowTable } from './row-table.ts';
import { Standings } from './standings.ts';
import { Takeovers } from './takeover.ts';

/** What an earlier run left on this disk; rows are read when they are needed. */
export interface RestoredRegisters {
  readonly shards: ReadonlyMap<number, ShardRecord>;
}

export interface RegisterStats {
  readonly inFlight: number;
  /** Keys that something is being done with, and those whose next change takes one round trip. */
  readonly keys: number;
  readonly leads: number;
  readonly cache: { readonly rows: number; readonly bytes: number };
  /** Shards that this acceptor has yet to copy. */
  readonly takeovers: number;
  /** Deleted keys that wait to be forgotten. */
  readonly collectable: number;
  readonly counters: Readonly<RegisterCounters>;
}

interface MutableCore extends RegisterCore {
  now: Instant;
}

/**
 * Linearizable registers, one for each key of a strong bucket: CASPaxos (Rystsov, "CASPaxos: Replicated State Machines
 * without logs", 2018) on strict majorities of the key's acceptors, and of two groups of them while the ring changes.
 */
export class Registers implements Machine<RegisterInput, RegisterEffect> {
  private readonly core: MutableCore;
  private readonly journal = new Journal<RegisterWrite>();
  private readonly alarms = new Alarms();
  private readonly acceptor: Acceptor;
  private readonly proposer: Proposer;
  private readonly router: Router;
  private readonly collector: Collector;
  private readonly takeovers: Takeovers;
  private readonly source: RowSource;
  private readonly up = new Set<NodeId>();
  /** Messages of this node to itself. */
  private inbox: RegisterMessage[] = [];
  private effects: RegisterEffect[] = [];

  constructor(options: RegisterOptions, restored: RestoredRegisters, now: Instant) {
    this.core = this.newCore(options, restored, now);
    this.acceptor = new Acceptor(this.core);
    this.proposer = new Proposer(this.core, ({ shard, name }) => this.collector.note(shard, name));
    this.router = new Router(this.core, this.proposer);
    this.collector = new Collector(this.core, this.proposer, this.acceptor);
    this.takeovers = new Takeovers(this.core, this.acceptor);
    this.source = new RowSource(this.core);
  }

  /** Takes up the placement that the node starts with; to be called once, before anything else. */
  start(now: Instant): RegisterEffect[] {
    return this.handle({ type: 'register-placement-changed' }, now);
  }

  handle(input: RegisterInput, now: Instant): RegisterEffect[] {
    this.core.now = now;
    this.handleInput(input);
    return this.endTurn();
  }

  handleTimeout(now: Instant): RegisterEffect[] {
    this.core.now = now;
    this.alarms.ringDue(now.monoMs);
    return this.endTurn();
  }

  nextDeadline(): number | undefined {
    return this.alarms.next();
  }

  /** True once every group that this node belongs to under this epoch may rely on its copy of the shard, durably. */
  caughtUp(shard: number, epoch: number): boolean {
    const { standings, options } = this.core;
    if (options.placement(shard).epoch !== epoch || !standings.isWhole(shard)) return false;
    return this.journal.isDurable(standings.persistIdOf(shard));
  }

  /** True where this acceptor has lost records of the shard, and has no say in it until there is another epoch. */
  isMute(shard: number): boolean {
    return this.core.standings.isMute(shard);
  }

  stats(): RegisterStats {
    const { keys, leads } = this.proposer.stats;
    return {
      inFlight: this.router.open,
      keys,
      leads,
      cache: this.core.rows.stats,
      takeovers: this.takeovers.pending,
      collectable: this.collector.waiting,
      counters: this.core.counters,
    };
  }

  private handleInput(input: RegisterInput): void {
    switch (input.type) {
      case 'register-request':
        this.router.handleRequest(input.request, input.sinceMs ?? this.core.now.monoMs, (reply) =>
          this.effects.push({ type: 'register-reply', id: input.id, reply }),
        );
        return;
      case 'message':
        this.handleMessage(input.from, input.message);
        return;
      case 'register-persisted':
        this.journal.handlePersisted(input.id);
        return;
      case 'register-read-done':
        this.core.rows.handleRead(input.id, input.row);
        return;
      case 'register-scan-done':
        this.source.handleScan(input.id, input.rows, input.more);
        return;
      case 'register-tombstones':
        this.collector.handleTombstones(input.names);
        return;
      case 'register-lost':
        this.handleLoss(input.record);
        return;
      case 'register-placement-changed':
        this.core.standings.refreshAll(this.core.options.heldShards());
        this.takeovers.refresh();
        this.proposer.handlePlacementChanged();
        return;
      case 'peer-up':
        this.up.add(input.peer);
        this.proposer.handlePeerUp(input.peer);
        this.takeovers.handlePeerUp();
        return;
      case 'peer-down':
        this.up.delete(input.peer);
        this.router.handlePeerDown(input.peer);
        this.proposer.handlePeerDown();
        return;
      default:
        unreachable(input);
    }
  }

  /** The standing goes first: where the row cannot be opened now, the damage is found again. */
  private handleLoss(record: BadRegisterRecord): void {
    this.core.standings.handleLoss(record.shard);
    this.takeovers.handleLoss(record.shard);
    if (record.table === 'register') this.acceptor.handleLoss(record.shard, record.name);
  }

  private handleMessage(from: NodeId, message: RegisterMessage): void {
    switch (message.type) {
      case 'register-query':
      case 'register-prepare':
      case 'register-accept':
      case 'register-erase':
        this.acceptor.handle(from, message);
        return;
      case 'register-current':
      case 'register-promise':
      case 'register-accepted':
      case 'register-erased':
      case 'register-refused':
        this.proposer.handleAnswer(from, message);
        return;
      case 'register-forward':
        this.router.handleForward(from, message);
        return;
      case 'register-forward-reply':
        this.router.handleForwardReply(from, message);
        return;
      case 'register-forward-working':
        this.router.handleWorking(from, message);
        return;
      case 'register-forward-refused':
        this.router.handleForwardRefused(from, message);
        return;
      case 'register-rows-ask':
        this.source.handleAsk(from, message);
        return;
      case 'register-rows':
        this.takeovers.handleRows(from, message);
        return;
      default:
        unreachable(message);
    }
  }

  private endTurn(): RegisterEffect[] {
    for (let inbox = this.inbox; inbox.length > 0; inbox = this.inbox) {
      this.inbox = [];
      for (const message of inbox) this.handleMessage(this.core.options.self, message);
    }
    this.journal.flush((id, rows) => this.effects.push({ type: 'register-persist', id, rows }));
    this.core.rows.trim();
    const { effects } = this;
    this.effects = [];
    return effects;
  }

  private newCore(options: RegisterOptions, restored: RestoredRegisters, now: Instant): MutableCore {
    assert(options.requestTimeoutMs <= 2000, 'a request is answered within two seconds');
    const { journal, alarms, up } = this;
    up.add(options.self);
    const rows = new RowTable({
      bytesMax: options.cacheBytes,
      read: (id, shard, name) => this.effects.push({ type: 'register-read', id, shard, name }),
      generationOf: (shard) => standings.generationOf(shard),
      isDurable: (id) => journal.isDurable(id),
    });
    const standings = new Standings(
      { ...options, journal, dropRows: (shard) => rows.dropShard(shard) },
      restored.shards,
    );
    const core: MutableCore = {
      options,
      now,
      journal,
      rows,
      standings,
      ballots: new BallotClock(options.proposerId),
      counters: zeroCounters(),
      emit: (effect) => this.emit(effect),
      send: (to, message) => {
        if (to === options.self) this.inbox.push(message);
        else this.effects.push({ type: 'send', to, message });
      },
      isUp: (peer) => up.has(peer),
      alarm: (delayMs, ring) => alarms.set(core.now.monoMs + delayMs, ring),
    };
    return core;
  }

  private emit(effect: RegisterEffect): void {
    const { type } = effect;
    if (type === 'register-epoch-behind' || type === 'register-epoch-ahead') {
      // Once a turn and peer is enough.
      if (this.effects.some((other) => other.type === type && other.peer === effect.peer)) return;
    }
    this.effects.push(effect);
  }
}
