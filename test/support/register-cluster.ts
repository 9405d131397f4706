import { hashString } from '../../src/lib/hash.ts';
import { Prng } from '../../src/lib/prng.ts';
import type { NodeId } from '../../src/protocol/machine.ts';
import { REGISTER_DEFAULTS, type RegisterOptions } from '../../src/protocol/register/core.ts';
import type { RegisterEffect, RegisterInput } from '../../src/protocol/register/effect.ts';
import type { RegisterMessage } from '../../src/protocol/register/message.ts';
import { acceptorsOf, type RegisterPlacement, sameGroup } from '../../src/protocol/register/placement.ts';
import type { AcceptorRow, RegisterName, RegisterWrite } from '../../src/protocol/register/record.ts';
import { Registers } from '../../src/protocol/register/registers.ts';
import type { RegisterReply, RegisterRequest } from '../../src/protocol/register/request.ts';
import { VirtualRegisters } from '../simulation/virtual-registers.ts';

const WALL_AT_START_MS = 1_700_000_000_000;

interface SimNode {
  readonly id: NodeId;
  synced: VirtualRegisters;
  /** With what is on its way to the disk. */
  written: VirtualRegisters;
  batches: { readonly id: number; readonly writes: readonly RegisterWrite[] }[];
  core: Registers | undefined;
  /** Counts the runs. */
  run: number;
  /** The ring it knows, on its disk as well. */
  epoch: number;
  canVote: boolean;
  /** Whom it takes to be up. */
  peers: Set<NodeId>;
  committing: boolean;
  timerMs: number | undefined;
  readonly replies: Map<number, (reply: RegisterReply | undefined) => void>;
}

interface ClusterOptions {
  readonly seed: number;
  readonly nodes: readonly NodeId[];
  readonly group: readonly NodeId[];
  readonly shards?: number;
  readonly options?: Partial<RegisterOptions>;
}

/** Nodes that run registers, on a network and disks that do what they are told, in virtual time. */
export class RegisterCluster {
  readonly prng: Prng;
  nowMs = 0;
  lossRate = 0;
  duplicateRate = 0;
  /** Messages that take up to six seconds. */
  lateRate = 0;
  delayMaxMs = 3;
  syncMaxMs = 3;
  /** By epoch, from 1. */
  readonly rings: RegisterPlacement[] = [];
  readonly caughtUp: { readonly node: NodeId; readonly shard: number; readonly epoch: number }[] = [];
  /** Set: false drops the message. */
  passes: (from: NodeId, to: NodeId, message: RegisterMessage) => boolean = () => true;
  sent = 0;
  private readonly nodes = new Map<NodeId, SimNode>();
  private readonly cuts = new Set<string>();
  private readonly shardCount: number;
  private readonly overrides: Partial<RegisterOptions>;
  private readonly seed: number;
  private readonly events: { readonly atMs: number; readonly seq: number; readonly run: () => void }[] = [];
  private seq = 0;
  private lastRequestId = 0;

  constructor({ seed, nodes, group, shards = 2, options = {} }: ClusterOptions) {
    this.seed = seed;
    this.prng = new Prng(seed);
    this.shardCount = shards;
    this.overrides = options;
    this.rings.push({ epoch: 1, groups: [group] });
    for (const id of nodes) {
      this.nodes.set(id, {
        id,
        synced: new VirtualRegisters(),
        written: new VirtualRegisters(),
        batches: [],
        core: undefined,
        run: 0,
        epoch: 1,
        canVote: true,
        peers: new Set(),
        committing: false,
        timerMs: undefined,
        replies: new Map(),
      });
    }
    for (const id of nodes) this.start(id);
  }

  get ids(): NodeId[] {
    return [...this.nodes.keys()];
  }

  get running(): NodeId[] {
    return this.ids.filter((id) => this.node(id).core !== undefined);
  }

  get lastEpoch(): number {
    return this.rings.length;
  }

  node(id: NodeId): SimNode {
    return this.nodes.get(id) as SimNode;
  }

  core(id: NodeId): Registers {
    return this.node(id).core as Registers;
  }

  rowOf(id: NodeId, name: RegisterName): AcceptorRow | undefined {
    return this.node(id).written.read(this.shardOf(name.bucket, name.key), name) ?? undefined;
  }

  shardOf(bucket: string, key: string): number {
    return hashString(`${bucket}\0${key}`) % this.shardCount;
  }

  start(id: NodeId): void {
    const node = this.node(id);
    node.run++;
    const core = new Registers(this.optionsOf(node), { shards: node.synced.shards }, this.instant());
    node.core = core;
    node.timerMs = undefined;
    this.execute(node, core.start(this.instant()));
    for (const other of this.nodes.values()) {
      if (other !== node && other.core !== undefined && !this.isCut(id, other.id)) this.connect(node, other);
    }
  }

  /** Loses what is not synced; the batch that is being synced may or may not have got there. */
  crash(id: NodeId): void {
    const node = this.node(id);
    if (node.core === undefined) return;
    const [first] = node.batches;
    if (first !== undefined && this.prng.chance(0.5)) for (const write of first.writes) node.synced.apply(write);
    node.batches = [];
    node.written = node.synced.clone();
    node.core = undefined;
    node.run++;
    node.committing = false;
    node.peers.clear();
    for (const reply of node.replies.values()) reply(undefined);
    node.replies.clear();
    for (const other of this.nodes.values()) {
      // Some notice late, or not before it is back.
      if (other.peers.has(id))
        this.after(this.prng.below(400), () => node.core === undefined && this.disconnect(other, id));
    }
  }

  cut(a: readonly NodeId[], b: readonly NodeId[]): void {
    for (const x of a) {
      for (const y of b) {
        if (x === y) continue;
        this.cuts.add(`${x} ${y}`);
        this.cuts.add(`${y} ${x}`);
        for (const [from, to] of [
          [x, y],
          [y, x],
        ] as const) {
          this.after(this.prng.below(600), () => this.isCut(from, to) && this.disconnect(this.node(from), to));
        }
      }
    }
  }

  heal(): void {
    this.cuts.clear();
    for (const a of this.nodes.values()) {
      for (const b of this.nodes.values()) {
        if (a.id < b.id && a.core !== undefined && b.core !== undefined) this.connect(a, b);
      }
    }
  }

  /** Takes a peer to be down for a while that is not. */
  doubt(id: NodeId, peer: NodeId, forMs: number): void {
    this.disconnect(this.node(id), peer);
    this.after(forMs, () => {
      const [node, other] = [this.node(id), this.node(peer)];
      if (node.core !== undefined && other.core !== undefined && !this.isCut(id, peer)) this.connect(node, other);
    });
  }

  /** The next ring; nodes hear of it one by one, or from one another. */
  changeRing(groups: readonly (readonly NodeId[])[], delayMaxMs = 300): void {
    this.pushRing({ epoch: this.rings.length + 1, groups, since: this.sinceOf(groups) }, delayMaxMs);
  }

  private pushRing(ring: RegisterPlacement, delayMaxMs: number): void {
    const { epoch } = ring;
    this.rings.push(ring);
    for (const id of this.ids) this.after(this.prng.below(delayMaxMs + 1), () => this.learn(id, epoch));
  }

  /** A majority of the last ring's acceptors is lost for good: these are the acceptors from now on. */
  refound(lost: readonly NodeId[], group: readonly NodeId[], delayMaxMs = 300): void {
    const remainsOf = this.rings.at(-1) as RegisterPlacement;
    const left = acceptorsOf(remainsOf).filter((id) => !lost.includes(id));
    this.pushRing({ epoch: this.rings.length + 1, groups: [left, group], remainsOf }, delayMaxMs);
  }

  learn(id: NodeId, epoch: number): void {
    const node = this.node(id);
    if (node.core === undefined || epoch <= node.epoch) return;
    // One after another, as a catalog would hand them over; or at once.
    node.epoch = this.prng.chance(0.8) ? node.epoch + 1 : epoch;
    this.input(id, { type: 'register-placement-changed' });
    if (node.epoch < epoch) this.learn(id, epoch);
  }

  private sinceOf([first = []]: readonly (readonly NodeId[])[]): number {
    let since = this.rings.length + 1;
    for (const { epoch, groups } of this.rings.toReversed()) {
      if (!sameGroup(groups[0] ?? [], first)) break;
      if (groups.length === 1) since = epoch;
    }
    return since;
  }

  /** A majority of the new group may do without the old one. */
  isTakenOver(): boolean {
    const { epoch, groups } = this.rings.at(-1) as RegisterPlacement;
    const group = groups.at(-1) ?? [];
    const shards = Array.from({ length: this.shardCount }, (_, shard) => shard);
    const whole = group.filter((id) => shards.every((shard) => this.node(id).core?.caughtUp(shard, epoch) === true));
    return whole.length > group.length / 2;
  }

  /** `reply` is undefined where the node crashed before it replied. */
  request(id: NodeId, request: RegisterRequest, reply: (reply: RegisterReply | undefined) => void): void {
    const requestId = ++this.lastRequestId;
    this.node(id).replies.set(requestId, reply);
    this.input(id, { type: 'register-request', id: requestId, request });
  }

  /** Runs until the reply is there. */
  ask(id: NodeId, request: RegisterRequest): RegisterReply {
    let answer: RegisterReply | undefined;
    this.request(id, request, (reply) => {
      answer = reply;
    });
    for (let i = 0; i < 3000 && answer === undefined; i++) this.run(1);
    if (answer === undefined) throw new Error('no reply within three seconds');
    return answer;
  }

  input(id: NodeId, input: RegisterInput): void {
    const node = this.node(id);
    if (node.core !== undefined) this.execute(node, node.core.handle(input, this.instant()));
  }

  after(delayMs: number, run: () => void): void {
    const event = { atMs: this.nowMs + delayMs, seq: ++this.seq, run };
    const { events } = this;
    let at = events.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = events[parent] as typeof event;
      if (above.atMs < event.atMs || (above.atMs === event.atMs && above.seq < event.seq)) break;
      events[at] = above;
      at = parent;
    }
    events[at] = event;
  }

  run(forMs: number): void {
    const untilMs = this.nowMs + forMs;
    for (let first = this.events[0]; first !== undefined && first.atMs <= untilMs; first = this.events[0]) {
      this.dropFirst();
      this.nowMs = Math.max(this.nowMs, first.atMs);
      first.run();
    }
    this.nowMs = untilMs;
  }

  private dropFirst(): void {
    const { events } = this;
    const last = events.pop();
    if (last === undefined || events.length === 0) return;
    const isBefore = (a: typeof last, b: typeof last): boolean =>
      a.atMs < b.atMs || (a.atMs === b.atMs && a.seq < b.seq);
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= events.length) break;
      const [left, right] = [events[child] as typeof last, events[child + 1]];
      if (right !== undefined && isBefore(right, left)) child++;
      const least = events[child] as typeof last;
      if (!isBefore(least, last)) break;
      events[at] = least;
      at = child;
    }
    events[at] = last;
  }

  private instant() {
    return { monoMs: this.nowMs, wallMs: WALL_AT_START_MS + this.nowMs };
  }

  private optionsOf(node: SimNode): RegisterOptions {
    const isHeld = (): boolean => this.ringOf(node).groups.some((group) => group.includes(node.id));
    return {
      ...REGISTER_DEFAULTS,
      self: node.id,
      proposerId: `${hashString(`${this.seed} ${node.id}`).toString(16).padStart(8, '0')}${node.run.toString(16).padStart(8, '0')}`,
      prng: new Prng(hashString(`${this.seed} ${node.id} ${node.run}`)),
      shardOf: (bucket, key) => this.shardOf(bucket, key),
      placement: () => this.ringOf(node),
      heldShards: () => (isHeld() ? Array.from({ length: this.shardCount }, (_, shard) => shard) : []),
      canVote: () => node.canVote,
      foundingEpoch: 1,
      ...this.overrides,
    };
  }

  private ringOf(node: SimNode): RegisterPlacement {
    return this.rings[node.epoch - 1] as RegisterPlacement;
  }

  private isCut(a: NodeId, b: NodeId): boolean {
    return this.cuts.has(`${a} ${b}`);
  }

  private connect(a: SimNode, b: SimNode): void {
    for (const [node, peer] of [
      [a, b.id],
      [b, a.id],
    ] as const) {
      if (node.peers.has(peer)) continue;
      node.peers.add(peer);
      this.input(node.id, { type: 'peer-up', peer });
    }
  }

  private disconnect(node: SimNode, peer: NodeId): void {
    if (!node.peers.delete(peer)) return;
    this.input(node.id, { type: 'peer-down', peer });
  }

  private execute(node: SimNode, effects: readonly RegisterEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          this.send(node, effect.to, effect.message);
          break;
        case 'register-persist':
          for (const write of effect.rows) node.written.apply(write);
          node.batches.push({ id: effect.id, writes: effect.rows });
          this.commit(node);
          break;
        case 'register-read':
          this.afterInRun(node, this.prng.below(this.syncMaxMs + 1), () => {
            const row = node.written.read(effect.shard, effect.name);
            this.input(node.id, { type: 'register-read-done', id: effect.id, row });
          });
          break;
        case 'register-scan':
          this.afterInRun(node, this.prng.below(this.syncMaxMs + 1), () => {
            const page = node.written.scan(effect.shard, effect.after, effect.limit);
            this.input(node.id, { type: 'register-scan-done', id: effect.id, ...page });
          });
          break;
        case 'register-reply': {
          const reply = node.replies.get(effect.id);
          node.replies.delete(effect.id);
          if (reply === undefined) throw new Error('a request was answered twice');
          reply(effect.reply);
          break;
        }
        case 'register-epoch-behind':
          this.after(this.prng.below(20), () => this.learn(node.id, this.node(effect.peer).epoch));
          break;
        case 'register-epoch-ahead':
          this.after(this.prng.below(20), () => this.learn(effect.peer, node.epoch));
          break;
        case 'register-caught-up':
          this.caughtUp.push({ node: node.id, shard: effect.shard, epoch: effect.epoch });
          break;
      }
    }
    this.setTimer(node);
  }

  private send(node: SimNode, to: NodeId, message: RegisterMessage): void {
    this.sent++;
    if (this.isCut(node.id, to) || this.prng.chance(this.lossRate) || !this.passes(node.id, to, message)) return;
    const copies = this.prng.chance(this.duplicateRate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      // Now and then one is late by far: longer than a request lives, or the process that it was sent to.
      const isLate = this.prng.chance(this.lateRate);
      const delayMs = isLate ? this.prng.below(6000) : this.prng.float() * this.delayMaxMs;
      this.after(delayMs, () => {
        if (!this.isCut(node.id, to)) this.input(to, { type: 'message', from: node.id, message });
      });
    }
  }

  private commit(node: SimNode): void {
    if (node.committing || node.batches.length === 0) return;
    node.committing = true;
    this.afterInRun(node, this.prng.float() * this.syncMaxMs, () => {
      const count = 1 + this.prng.below(node.batches.length);
      const done = node.batches.splice(0, count);
      for (const { writes } of done) for (const write of writes) node.synced.apply(write);
      node.committing = false;
      this.input(node.id, { type: 'register-persisted', id: (done.at(-1) as { id: number }).id });
      this.commit(node);
    });
  }

  private afterInRun(node: SimNode, delayMs: number, run: () => void): void {
    const { run: started } = node;
    this.after(delayMs, () => {
      if (node.run === started) run();
    });
  }

  private setTimer(node: SimNode): void {
    const dueMs = node.core?.nextDeadline();
    if (dueMs === undefined || (node.timerMs !== undefined && node.timerMs <= dueMs)) return;
    node.timerMs = dueMs;
    this.afterInRun(node, Math.max(0, dueMs - this.nowMs), () => {
      if (node.timerMs !== dueMs) return;
      node.timerMs = undefined;
      if (node.core !== undefined) this.execute(node, node.core.handleTimeout(this.instant()));
    });
  }
}
