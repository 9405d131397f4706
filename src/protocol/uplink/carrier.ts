import type { Prng } from '../../lib/prng.ts';
import { Rotation } from '../../lib/rotation.ts';
import type { TokenBucket } from '../../lib/token-bucket.ts';
import type { NodeId } from '../machine.ts';
import type { Chunk } from './chunk.ts';
import type { DrainPace } from './drain-pace.ts';
import { itemBytes } from './item.ts';
import type { HubHelloRequest, HubReply, HubRequest, SiteBucket, UplinkItem } from './message.ts';
import type { UplinkMessage, UplinkRequestMessage, UplinkStateMessage } from './relay.ts';

export interface CarrierOptions {
  readonly self: NodeId;
  readonly prng: Prng;
  /** How fast it may send; others may share it. */
  readonly pace: TokenBucket;
  /** How much it may do. */
  readonly drain: DrainPace;
  readonly hello: () => HubHelloRequest;
  readonly send: (to: NodeId, message: UplinkMessage) => void;
  readonly openLink: () => void;
  readonly closeLink: () => void;
  readonly transmit: (id: number, request: HubRequest) => void;
  /** There is a way to the hub from now on, another one, or none. */
  readonly onRoute: (isUp: boolean) => void;
  readonly onNews: (shards: readonly number[]) => void;
  /** The hub names what the site has lost. */
  readonly onBuckets: (buckets: readonly SiteBucket[]) => void;
  /** The hub refuses this site, or has something else to say to an operator. */
  readonly onRefused: (code: string, detail: string) => void;
}

/** Between two attempts to reach the hub: a random time up to twice the one before (full jitter), at most the last. */
const RETRY_MS = 1000;
const RETRY_MAX_MS = 60_000;
/** How long the leader tries alone, before it asks others to. */
const ALONE_MS = 5000;
/** For so long a member tries whom the leader has asked to. */
const CARRY_MS = 15_000;
const ASK_CARRY_MS = 5000;
/** Another one is asked after so long. */
const CANDIDATE_MS = 20_000;
/** After this node ceased to be the one to carry, a session that works is kept for so long: another one begins meanwhile. */
const LINGER_MS = 3000;
/** Sessions are told of so often; who was not told for three times as long has none. */
const STATE_MS = 5000;
const STATE_LOST_MS = 3 * STATE_MS;
/** Requests without an answer, of this session and of one node. */
const IN_FLIGHT_MAX = 16;
/** A request that was not answered by then never will be, and a session that does not answer is none. */
const ANSWER_MS = 120_000;
/** What has waited for so long before it is sent is asked anew: else its asker would have given up by the time of the answer. */
const WAIT_MS = ANSWER_MS / 2;
/** One that is patient goes after so many urgent ones, that it is not kept out by them. */
const URGENT_MAX = 8;
/** Of others, waiting here. */
const QUEUE_MAX = 1024;
const REQUEST_BYTES_MIN = 64;

interface Waiting {
  /** Null: this node itself. */
  readonly from: NodeId | null;
  readonly id: number;
  readonly urgent: boolean;
  readonly request: HubRequest;
  readonly size: Chunk;
  readonly untilMs: number;
}

interface Sent extends Pick<Waiting, 'from' | 'id' | 'request'> {
  readonly sentMs: number;
}

interface Asked {
  readonly to: NodeId | null;
  readonly use: (reply: HubReply | null) => void;
  expiresMs: number;
}

type Link = 'closed' | 'opening' | 'greeting' | 'up';

/**
 * A node's way to the hub. The leader of an island holds the session for all its members; where it cannot reach the hub, it asks
 * another member to. Whoever has a session passes on the requests of the others, those first that are urgent, within the
 * bandwidth that it is allowed.
 */
export class Carrier {
  private readonly options: CarrierOptions;
  private readonly rotation: Rotation;
  private readonly peers = new Set<NodeId>();
  /** Sessions of other nodes, and when they last told of them. */
  private readonly sessions = new Map<NodeId, { readonly session: number; readonly toldMs: number }>();
  private readonly asked = new Map<number, Asked>();
  /** In the order in which they were sent. */
  private readonly inFlight = new Map<number, Sent>();
  private urgent: Waiting[] = [];
  private patient: Waiting[] = [];
  /** Those that went since one that is patient did. */
  private urgentSent = 0;
  private leader: NodeId | null = null;
  private link: Link = 'closed';
  private session = 0;
  private failures = 0;
  private openMs = 0;
  /** Since when the leader has had no session of its own. */
  private aloneMs: number | null = null;
  private carryUntilMs = Number.NEGATIVE_INFINITY;
  private lingerUntilMs = Number.NEGATIVE_INFINITY;
  private candidate: { readonly id: NodeId; readonly sinceMs: number } | null = null;
  private askCarryMs = 0;
  private stateMs = 0;
  private route: string | null = null;
  private lastId: number;
  private nowMs: number;

  constructor(options: CarrierOptions, nowMs: number) {
    this.options = options;
    this.rotation = new Rotation(options.prng);
    this.lastId = options.prng.uint32() * 1024;
    this.nowMs = nowMs;
  }

  /** Requests wait here. */
  get isBusy(): boolean {
    return this.urgent.length + this.patient.length > 0;
  }

  /** Somebody of this island has a session with the hub. */
  get isUp(): boolean {
    return this.route !== null;
  }

  /** This node has one. */
  get isCarrying(): boolean {
    return this.link === 'up';
  }

  request(request: HubRequest, urgent: boolean, use: (reply: HubReply | null) => void): void {
    const id = ++this.lastId;
    const to = this.link === 'up' ? null : this.routePeer();
    if (to === undefined) {
      use(null);
      return;
    }
    this.asked.set(id, { to, use, expiresMs: this.nowMs + ANSWER_MS });
    this.enqueue(null, id, urgent, request);
  }

  /** Says hello once more: what it tells has changed. */
  greetAgain(): void {
    if (this.link === 'up') this.greet();
  }

  handleLeader(leader: NodeId | null, nowMs: number): void {
    this.nowMs = nowMs;
    if (leader !== this.leader) {
      this.leader = leader;
      this.aloneMs = null;
      this.candidate = null;
    }
    this.tend();
  }

  handlePeerUp(peer: NodeId, nowMs: number): void {
    this.nowMs = nowMs;
    this.peers.add(peer);
    if (this.link === 'up') this.options.send(peer, this.stateNow());
  }

  handlePeerDown(peer: NodeId, nowMs: number): void {
    this.nowMs = nowMs;
    this.peers.delete(peer);
    this.sessions.delete(peer);
    this.failAsked((asked) => asked.to === peer);
    this.urgent = this.urgent.filter(({ from }) => from !== peer);
    this.patient = this.patient.filter(({ from }) => from !== peer);
    this.settleRoute();
  }

  handleMessage(from: NodeId, message: UplinkMessage, nowMs: number): void {
    this.nowMs = nowMs;
    switch (message.type) {
      case 'uplink-state':
        return this.handleState(from, message);
      case 'uplink-request':
        return this.handleRequest(from, message);
      case 'uplink-reply':
        return this.answer(message.id, from, message.reply);
      case 'uplink-news':
        return this.options.onNews(message.shards);
      case 'uplink-carry':
        this.carryUntilMs = nowMs + CARRY_MS;
        return this.tend();
      default:
    }
  }

  handleLinkUp(nowMs: number): void {
    this.nowMs = nowMs;
    if (this.link !== 'opening') return;
    this.link = 'greeting';
    this.greet();
  }

  handleLinkDown(nowMs: number): void {
    this.nowMs = nowMs;
    const wasUp = this.link === 'up';
    if (this.link !== 'closed') {
      this.failures = wasUp ? 0 : this.failures + 1;
      const longestMs = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** this.failures);
      this.openMs = nowMs + this.options.prng.float() * longestMs;
    }
    this.becomeDown();
    this.tend();
  }

  handleLinkReply(id: number, reply: HubReply, nowMs: number): void {
    this.nowMs = nowMs;
    const waiting = this.inFlight.get(id);
    if (waiting === undefined) return;
    this.inFlight.delete(id);
    if (waiting.request.type === 'hub-hello' && waiting.from === null) this.handleWelcome(reply);
    else if (waiting.from === null) this.answer(waiting.id, null, reply);
    else this.options.send(waiting.from, { type: 'uplink-reply', id: waiting.id, reply });
    this.pump();
  }

  handleLinkNews(shards: readonly number[], nowMs: number): void {
    this.nowMs = nowMs;
    for (const peer of this.peers) this.options.send(peer, { type: 'uplink-news', shards });
    this.options.onNews(shards);
  }

  handleTimeout(nowMs: number): void {
    this.nowMs = nowMs;
    for (const [peer, { toldMs }] of this.sessions) if (toldMs + STATE_LOST_MS <= nowMs) this.sessions.delete(peer);
    const [oldest] = this.inFlight.values();
    if (oldest !== undefined && oldest.sentMs + ANSWER_MS <= nowMs) {
      this.options.closeLink();
      this.handleLinkDown(nowMs);
    }
    this.failAsked((asked) => asked.expiresMs <= nowMs);
    this.refuseOverdue();
    if (this.link === 'up' && this.stateMs <= nowMs) this.tellState();
    this.tend();
    this.pump();
    this.settleRoute();
  }

  private tend(): void {
    const { nowMs, leader, options } = this;
    const isLeader = leader === options.self;
    const mayCarry = isLeader || nowMs < this.carryUntilMs;
    if (mayCarry) this.lingerUntilMs = nowMs + LINGER_MS;
    if (mayCarry && this.link === 'closed' && this.openMs <= nowMs) {
      this.link = 'opening';
      options.openLink();
    } else if (!mayCarry && this.link !== 'closed' && leader !== null && this.lingerUntilMs <= nowMs) {
      options.closeLink();
      this.becomeDown();
    }
    if (isLeader) this.askOthers();
  }

  /** At the leader: finds somebody else who reaches the hub. */
  private askOthers(): void {
    const { nowMs } = this;
    if (this.link === 'up') {
      this.aloneMs = null;
      this.candidate = null;
      return;
    }
    this.aloneMs ??= nowMs;
    if (nowMs < this.aloneMs + ALONE_MS || nowMs < this.askCarryMs) return;
    this.askCarryMs = nowMs + ASK_CARRY_MS;
    const { candidate } = this;
    const isGood =
      candidate !== null &&
      this.peers.has(candidate.id) &&
      (this.sessions.has(candidate.id) || nowMs < candidate.sinceMs + CANDIDATE_MS);
    if (!isGood) {
      const next = this.rotation.next(
        () => this.peers,
        (id) => this.peers.has(id),
      );
      this.candidate = next === undefined ? null : { id: next, sinceMs: nowMs };
    }
    if (this.candidate !== null) this.options.send(this.candidate.id, { type: 'uplink-carry' });
  }

  private greet(): void {
    const id = ++this.lastId;
    const request = this.options.hello();
    this.inFlight.set(id, { from: null, id, request, sentMs: this.nowMs });
    this.options.transmit(id, request);
  }

  private handleWelcome(reply: HubReply): void {
    if (reply.type !== 'hub-welcome') {
      if (reply.type === 'hub-refused') this.options.onRefused(reply.code, reply.detail);
      this.options.closeLink();
      this.handleLinkDown(this.nowMs);
      return;
    }
    if (this.link !== 'up') {
      this.link = 'up';
      this.failures = 0;
      this.session = this.options.prng.uint32() + 1;
      this.tellState();
      this.settleRoute();
    }
    if (reply.buckets.length > 0) this.options.onBuckets(reply.buckets);
  }

  private becomeDown(): void {
    const wasUp = this.link === 'up';
    this.link = 'closed';
    this.session = 0;
    const lost = [...this.inFlight.values(), ...this.urgent, ...this.patient];
    this.inFlight.clear();
    this.urgent = [];
    this.patient = [];
    // This node's own end with the route.
    this.refuse(lost);
    if (wasUp) this.tellState();
    this.settleRoute();
  }

  private handleState(from: NodeId, { session }: UplinkStateMessage): void {
    if (session === 0) {
      this.sessions.delete(from);
      this.failAsked((asked) => asked.to === from);
    } else {
      this.sessions.set(from, { session, toldMs: this.nowMs });
    }
    this.settleRoute();
  }

  private handleRequest(from: NodeId, { id, urgent, request }: UplinkRequestMessage): void {
    // Only who holds the session says who it is.
    const isRefused =
      this.link !== 'up' || request.type === 'hub-hello' || this.urgent.length + this.patient.length >= QUEUE_MAX;
    if (isRefused) this.refuse([{ from, id }]);
    else this.enqueue(from, id, urgent, request);
  }

  private enqueue(from: NodeId | null, id: number, urgent: boolean, request: HubRequest): void {
    const waiting = { from, id, urgent, request, size: sizeOf(request), untilMs: this.nowMs + WAIT_MS };
    (urgent ? this.urgent : this.patient).push(waiting);
    this.pump();
  }

  private pump(): void {
    const { drain } = this.options;
    for (;;) {
      const { queue } = this;
      const [next] = queue;
      if (next === undefined) return;
      const { from, id, size } = next;
      const to = from === null ? this.asked.get(id)?.to : null;
      // Nobody waits for the answer any more.
      if (to === undefined) queue.shift();
      else if ((size.keys > 0 && !drain.allows(this.nowMs)) || (to === null && !this.mayTransmit(size))) return;
      else {
        queue.shift();
        this.urgentSent = next.urgent ? this.urgentSent + 1 : 0;
        drain.count(size, this.nowMs);
        this.pass(to, next);
      }
    }
  }

  /** The one whose turn it is. */
  private get queue(): Waiting[] {
    const isPatients = this.urgent.length === 0 || (this.urgentSent >= URGENT_MAX && this.patient.length > 0);
    return isPatients ? this.patient : this.urgent;
  }

  private refuseOverdue(): void {
    const mayWait = ({ untilMs }: Waiting): boolean => this.nowMs < untilMs;
    const overdue = [...this.urgent, ...this.patient].filter((each) => !mayWait(each));
    this.urgent = this.urgent.filter(mayWait);
    this.patient = this.patient.filter(mayWait);
    this.refuse(overdue);
    const own = new Set(overdue.flatMap(({ from, id }) => (from === null ? id : [])));
    this.failAsked((_, id) => own.has(id));
  }

  /** Of this node's own nobody is told here. */
  private refuse(requests: readonly Pick<Waiting, 'from' | 'id'>[]): void {
    for (const { from, id } of requests) {
      if (from !== null) this.options.send(from, { type: 'uplink-reply', id, reply: null });
    }
  }

  private mayTransmit({ bytes }: Chunk): boolean {
    return this.link === 'up' && this.inFlight.size < IN_FLIGHT_MAX && this.options.pace.take(bytes, this.nowMs);
  }

  private pass(to: NodeId | null, { from, id, urgent, request }: Waiting): void {
    const asked = from === null ? this.asked.get(id) : undefined;
    if (asked !== undefined) asked.expiresMs = this.nowMs + ANSWER_MS;
    if (to !== null) {
      this.options.send(to, { type: 'uplink-request', id, urgent, request });
      return;
    }
    const own = ++this.lastId;
    this.inFlight.set(own, { from, id, request, sentMs: this.nowMs });
    this.options.transmit(own, request);
  }

  private answer(id: number, from: NodeId | null, reply: HubReply | null): void {
    const asked = this.asked.get(id);
    if (asked === undefined || asked.to !== from) return;
    this.asked.delete(id);
    asked.use(reply);
  }

  private failAsked(isLost: (asked: Asked, id: number) => boolean): void {
    const lost = [...this.asked].filter(([id, asked]) => isLost(asked, id));
    for (const [id] of lost) this.asked.delete(id);
    for (const [, { use }] of lost) use(null);
  }

  private stateNow(): UplinkStateMessage {
    return { type: 'uplink-state', session: this.session };
  }

  private tellState(): void {
    this.stateMs = this.nowMs + STATE_MS;
    for (const peer of this.peers) this.options.send(peer, this.stateNow());
  }

  /** Whom to hand requests to; undefined: nobody has a session. */
  private routePeer(): NodeId | undefined {
    if (this.leader !== null && this.sessions.has(this.leader)) return this.leader;
    return [...this.sessions.keys()].toSorted()[0];
  }

  private settleRoute(): void {
    const peer = this.link === 'up' ? this.options.self : this.routePeer();
    const session = this.link === 'up' ? this.session : peer === undefined ? 0 : this.sessions.get(peer)?.session;
    const route = peer === undefined ? null : `${peer}/${session ?? 0}`;
    if (route === this.route) return;
    this.route = route;
    // What is asked from now on goes the new way.
    const lost = [...this.asked.values()];
    this.asked.clear();
    this.options.onRoute(route !== null);
    for (const { use } of lost) use(null);
  }
}

/** What it takes on the way, about. */
function sizeOf(request: HubRequest): Chunk {
  switch (request.type) {
    case 'hub-push': {
      const sizes = request.pushes.map(({ items }) => sizeOfItems(items));
      return { keys: sum(sizes.map(({ keys }) => keys)), bytes: sum(sizes.map(({ bytes }) => bytes)) };
    }
    case 'hub-copies':
      return sizeOfItems(request.items);
    case 'hub-compare':
      return { keys: 0, bytes: REQUEST_BYTES_MIN + request.sums.length * 4 };
    default:
      return { keys: 0, bytes: REQUEST_BYTES_MIN };
  }
}

function sizeOfItems(items: readonly UplinkItem[]): Chunk {
  return { keys: items.length, bytes: REQUEST_BYTES_MIN + sum(items.map(itemBytes)) };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
