import type { Prng } from '../../lib/prng.ts';
import { Rotation } from '../../lib/rotation.ts';
import type { NodeId } from '../machine.ts';
import {
  acceptorsAmong,
  type Elector,
  type Electorate,
  electorsOf,
  idsOf,
  isChanging,
  isElectedAlready,
  isForeign,
  reverted,
  settled,
  supersedes,
  towards,
} from './electorate.ts';
import { Founding, type FoundingRecord, NO_FOUNDING } from './founding.ts';
import type { ElectorateMessage, ElectorateReadyMessage } from './message.ts';

/** What a node keeps of it. */
export interface ElectorateRecord {
  readonly current: Electorate | null;
  readonly founding: FoundingRecord;
}

export const NO_ELECTORATE: ElectorateRecord = { current: null, founding: NO_FOUNDING };

/** How far this node's own registers are. */
export interface RegisterStanding {
  /** All shards that it is an acceptor of are copied, durably. */
  readonly ready: boolean;
  /** In some shard it has no say until there is another epoch. */
  readonly mute: boolean;
}

/** What the leader is to work towards. */
export interface Lead {
  readonly term: number;
  /** The members of the ring, as operators and their own settings have it. */
  readonly target: readonly Elector[];
}

export interface ElectorateOptions {
  readonly self: NodeId;
  /** Names this node's disk. */
  readonly disk: string;
  readonly shards: number;
  readonly replicas: number;
  readonly prng: Prng;
  /** The monotonic time of this turn. */
  readonly nowMs: () => number;
  readonly send: (to: NodeId, message: ElectorateMessage) => void;
  /** Writes the record; calls back once it is synced. */
  readonly persist: (record: ElectorateRecord, done: () => void) => void;
  /**
   * Makes `next` the value of the register that holds the electorate, upon the one that this node knows. Calls back with what the register
   * holds then, or null where that is not known.
   */
  readonly decide: (next: Electorate, known: Electorate, use: (held: Electorate | null) => void) => void;
  /** A majority of the new acceptors of every shard is among these. */
  readonly isEnough: (ready: ReadonlySet<NodeId>) => boolean;
  readonly standing: () => RegisterStanding;
  readonly onAdopted: (electorate: Electorate, before: Electorate | null) => void;
  /** A peer belongs to a cluster that was founded apart. */
  readonly onForeign: (peer: NodeId) => void;
}

/** While there is something to be done. */
const TICK_MS = 250;
/**
 * A node that knows nobody else founds nothing for so long after its start: it may be about to find its cluster, and two that
 * were founded apart never become one.
 */
const ALONE_MS = 3000;
/** For so long after a request somebody is held to want a first electorate. */
const WANTED_MS = 5000;
const GOSSIP_INTERVAL_MS = 5000;
/** A peer that is behind shows it with each message: it is told of an epoch once in so long. */
const TELL_INTERVAL_MS = 250;
/** For so long after a change began, those who copy more slowly than a majority are waited for. */
const LATECOMERS_MS = 3000;
/** A change that gets nowhere is given up after so long, where another one is wanted. */
const STUCK_MS = 15_000;
/** Between two epochs that only give electors their say again. */
const MUTE_INTERVAL_MS = 10_000;

/**
 * Keeps the electorate: every node its copy of it, the quorate leader its changes, one at a time. What the leader decides is
 * a value of a strong register whose acceptors are the electors themselves.
 */
export class ElectorateKeeper {
  private readonly options: ElectorateOptions;
  private readonly founding: Founding;
  private readonly rotation: Rotation;
  /** Who is connected, each with the disk that it has said it runs on since then; null: it has yet to say so. */
  private readonly peers = new Map<NodeId, string | null>();
  /** When peers have last been told of the present epoch. */
  private readonly toldMs = new Map<NodeId, number>();
  private electorate: Electorate | null;
  private lead: Lead | null = null;
  private leader: NodeId | null = null;
  private wantedUntilMs = 0;
  /** At the leader: the electors are those that it works towards. */
  private isAtTarget = true;
  private tickMs = 0;
  private gossipMs: number;
  /** When the present epoch was adopted, in this run of the process. */
  private sinceMs: number;
  /** Electors whose registers are ready under the present epoch, and those that are mute. */
  private ready = new Set<NodeId>();
  private mute = new Set<NodeId>();
  private deciding = false;
  /** False after a failure, until the next tick. */
  private retries = true;
  /** What this node has last reported. */
  private reported = '';

  constructor(options: ElectorateOptions, record: ElectorateRecord) {
    this.options = options;
    this.electorate = record.current;
    this.rotation = new Rotation(options.prng);
    this.sinceMs = this.nowMs;
    this.gossipMs = this.nowMs + GOSSIP_INTERVAL_MS;
    const { self, shards, replicas, send } = options;
    this.founding = new Founding(
      {
        self,
        shards,
        replicas,
        send,
        persist: (_, done) => this.persist(done),
        onFounded: (electorate) => this.adopt(electorate),
      },
      record.founding,
    );
  }

  get current(): Electorate | null {
    return this.electorate;
  }

  get adoptedMs(): number {
    return this.sinceMs;
  }

  handleMessage(from: NodeId, message: ElectorateMessage): void {
    this.receive(from, message);
    this.advance();
  }

  handleConnected(peer: NodeId): void {
    this.peers.set(peer, null);
    this.greet(peer);
  }

  /** Says which disk this is, and begins to find out which of the two knows the later electorate. */
  greet(peer: NodeId): void {
    const { disk, send } = this.options;
    send(peer, { type: 'electorate-disk', disk });
    if (this.electorate === null) send(peer, { type: 'electorate-ask' });
    else this.sendHave(peer);
  }

  handleDisconnected(peer: NodeId): void {
    this.peers.delete(peer);
    this.toldMs.delete(peer);
  }

  /** Who leads; `lead`: what to do, where that is this node, with a majority. */
  follow(leader: NodeId | null, lead: Lead | null): void {
    this.leader = leader;
    this.lead = lead;
    this.compareTarget();
    if (lead === null) this.founding.stop();
    this.advance();
  }

  /** Somebody asks for a strong bucket: without an electorate there is none. */
  want(): void {
    const isNews = !this.isWanted;
    this.wantedUntilMs = this.nowMs + WANTED_MS;
    if (isNews) this.advance();
  }

  /** An operator has decided, without a majority. Calls back once this node will not forget it. */
  refound(next: Electorate, done: () => void): void {
    this.adopt(next, done);
    this.advance();
  }

  /** The peer answers under an older, or a newer epoch. */
  handleBehind(peer: NodeId): void {
    this.options.send(peer, { type: 'electorate-ask' });
  }

  handleAhead(peer: NodeId): void {
    const { electorate, nowMs } = this;
    if (electorate === null || nowMs < (this.toldMs.get(peer) ?? Number.NEGATIVE_INFINITY) + TELL_INTERVAL_MS) return;
    if (this.peers.has(peer)) this.toldMs.set(peer, nowMs);
    this.options.send(peer, { type: 'electorate-tell', electorate });
  }

  handleTimeout(): void {
    const { nowMs } = this;
    if (this.gossipMs <= nowMs) {
      this.gossipMs = nowMs + GOSSIP_INTERVAL_MS;
      this.gossip();
      // What was lost on the way is said again.
      this.reported = '';
      this.report();
    }
    if (!this.isBusy || this.tickMs > nowMs) return;
    this.tickMs = nowMs + TICK_MS;
    this.retries = true;
    this.report();
    this.advance();
  }

  nextDeadline(): number {
    return this.isBusy ? Math.min(this.gossipMs, this.tickMs) : this.gossipMs;
  }

  /** There is something to be waited for. */
  private get isBusy(): boolean {
    const { electorate, lead } = this;
    if (electorate === null) return this.isWanted;
    if (isChanging(electorate)) return true;
    return lead !== null && (this.mute.size > 0 || !this.isAtTarget);
  }

  private get nowMs(): number {
    return this.options.nowMs();
  }

  private get isWanted(): boolean {
    return this.electorate === null && this.nowMs < this.wantedUntilMs;
  }

  private receive(from: NodeId, message: ElectorateMessage): void {
    switch (message.type) {
      case 'electorate-disk':
        if (this.peers.has(from)) this.peers.set(from, message.disk);
        return;
      case 'electorate-have':
        return this.compare(from, message);
      case 'electorate-ask':
        return this.handleAhead(from);
      case 'electorate-tell':
        return this.hear(from, message.electorate);
      case 'electorate-want':
        this.wantedUntilMs = this.nowMs + WANTED_MS;
        return this.handleAhead(from);
      case 'electorate-ready':
        return this.note(from, message);
      case 'found-ask':
      case 'found-accept':
        if (this.electorate !== null) return this.handleAhead(from);
        return this.founding.handle(from, message);
      default:
        return this.founding.handle(from, message);
    }
  }

  private compare(from: NodeId, have: Pick<Electorate, 'lineage' | 'epoch'>): void {
    const own = this.electorate;
    if (own === null || isOlder(own, have)) this.options.send(from, { type: 'electorate-ask' });
    else if (isOlder(have, own)) this.handleAhead(from);
    else if (isForeign(own.lineage, have.lineage)) this.options.onForeign(from);
  }

  private hear(from: NodeId, electorate: Electorate): void {
    if (supersedes(electorate, this.electorate)) this.adopt(electorate);
    else if (this.electorate !== null) this.compare(from, electorate);
  }

  private note(from: NodeId, { lineage, epoch, ready, mute }: Omit<ElectorateReadyMessage, 'type'>): void {
    const { electorate } = this;
    if (electorate === null || epoch !== electorate.epoch || lineage.founder !== electorate.lineage.founder) return;
    if (!electorsOf(electorate).some(({ id }) => id === from)) return;
    if (ready) this.ready.add(from);
    else this.ready.delete(from);
    if (mute) this.mute.add(from);
    else this.mute.delete(from);
  }

  private adopt(electorate: Electorate, done = nothing): void {
    const before = this.electorate;
    if (!supersedes(electorate, before)) return;
    this.electorate = electorate;
    this.compareTarget();
    this.founding.stop();
    this.sinceMs = this.nowMs;
    this.ready = new Set();
    this.mute = new Set();
    this.toldMs.clear();
    this.reported = '';
    this.retries = true;
    this.tickMs = this.nowMs;
    // In order with all that is written under it: no register waits for this.
    this.persist(done);
    this.options.onAdopted(electorate, before);
    for (const peer of this.peers.keys()) this.sendHave(peer);
  }

  /** At the leader: makes the next change, where one is due. */
  private advance(): void {
    const { electorate, lead } = this;
    if (electorate === null) {
      if (this.isWanted) this.found();
      return;
    }
    if (lead === null || this.deciding || !this.retries) return;
    const next = this.nextOf(electorate, lead);
    if (next !== null) this.decide(next, electorate);
  }

  private found(): void {
    const { lead } = this;
    if (lead !== null) {
      const isAlone = lead.target.length === 1 && this.nowMs < this.sinceMs + ALONE_MS;
      if (!isAlone && this.isMajorityHere(lead.target)) this.founding.lead(lead.term, lead.target, this.nowMs);
    } else if (this.retries && this.leader !== null && this.leader !== this.options.self) {
      this.retries = false;
      // A leader that this node has no link with is told by one that has.
      const to = this.peers.has(this.leader) ? this.leader : this.nextPeer();
      if (to !== undefined) this.options.send(to, { type: 'electorate-want' });
    }
  }

  private nextOf(electorate: Electorate, { target }: Lead): Electorate | null {
    const { electors } = electorate;
    if (isChanging(electorate)) {
      const ready = new Set(idsOf(this.here(electors)).filter((id) => this.ready.has(id)));
      const isAll = ready.size === electors.length;
      // Where one of the copies is lost right after, a majority of them would be too few.
      const isPatient = !isAll && this.nowMs < this.sinceMs + LATECOMERS_MS;
      if (this.options.isEnough(ready)) return isPatient ? null : settled(electorate);
      // There is nothing to go back to: what is missing has to come back, or to be given up by the operator as well.
      if (electorate.refounding !== null) return null;
      const isHopeless = this.mute.size > 0 || !this.isAtTarget;
      if (this.nowMs < this.sinceMs + STUCK_MS || !isHopeless) return null;
      return reverted(electorate);
    }
    if (target.length > 0 && !this.isAtTarget) {
      const next = towards(electorate, target);
      // On the way nothing is decided without a majority of the new ones, not even to give it up: one that has lost the disk
      // that it is named with would hold up all the others for ever.
      if (this.isMajorityHere(next.electors)) return next;
    }
    const isMute = electors.some(({ id }) => this.mute.has(id));
    // The same electors under another epoch.
    return isMute && this.nowMs >= this.sinceMs + MUTE_INTERVAL_MS ? settled(electorate) : null;
  }

  private decide(next: Electorate, known: Electorate): void {
    this.deciding = true;
    this.options.decide(next, known, (held) => {
      this.deciding = false;
      // What failed is tried again at the next tick, not at once.
      this.retries = false;
      if (held !== null) this.adopt(held);
      this.advance();
    });
  }

  /** Tells the leader how far this node is, where that matters: while the electorate changes, and when it has no say. */
  private report(): void {
    const { electorate, leader } = this;
    const { self, standing, send } = this.options;
    if (electorate === null || leader === null || !electorsOf(electorate).some(({ id }) => id === self)) return;
    const { ready, mute } = standing();
    if (!isChanging(electorate) && !mute) return;
    const news = JSON.stringify([leader, ready, mute]);
    if (news === this.reported) return;
    this.reported = news;
    const { lineage, epoch } = electorate;
    if (leader === self) this.note(self, { lineage, epoch, ready, mute });
    else send(leader, { type: 'electorate-ready', lineage, epoch, ready, mute });
  }

  private compareTarget(): void {
    const { electorate, lead } = this;
    this.isAtTarget = electorate === null || lead === null || isElectedAlready(electorate, lead.target);
  }

  /** A majority of those that would accept the next electorate. */
  private isMajorityHere(electors: readonly Elector[]): boolean {
    const acceptors = acceptorsAmong(electors);
    const here = this.here(electors).filter(({ id }) => acceptors.includes(id));
    return here.length * 2 > acceptors.length;
  }

  /** Those that are up, on the disks that they are named with. */
  private here(electors: readonly Elector[]): Elector[] {
    const own = this.options;
    return electors.filter(({ id, disk }) => disk === (id === own.self ? own.disk : this.peers.get(id)));
  }

  private nextPeer(): NodeId | undefined {
    return this.rotation.next(
      () => this.peers.keys(),
      (id) => this.peers.has(id),
    );
  }

  private gossip(): void {
    const peer = this.nextPeer();
    if (peer !== undefined) this.greet(peer);
  }

  private sendHave(peer: NodeId): void {
    if (this.electorate === null) return;
    const { lineage, epoch } = this.electorate;
    this.options.send(peer, { type: 'electorate-have', lineage, epoch });
  }

  private persist(done: () => void): void {
    this.options.persist({ current: this.electorate, founding: this.founding.stored }, done);
  }
}

type Epoch = Pick<Electorate, 'lineage' | 'epoch'>;

function isOlder(a: Epoch, b: Epoch): boolean {
  if (a.lineage.generation !== b.lineage.generation) return a.lineage.generation < b.lineage.generation;
  return a.lineage.founder === b.lineage.founder && a.epoch < b.epoch;
}

function nothing(): void {}
