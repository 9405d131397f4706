import type { Prng } from '../../src/lib/prng.ts';
import { type Dot, dotText } from '../../src/protocol/causal/dot.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import type { GetRequest, Level, MutateRequest, SessionContext } from '../../src/protocol/replication/request.ts';
import { shardOf } from '../../src/protocol/ring/shard.ts';
import type { SimCluster, SimNode } from './cluster.ts';
import type { HubClientReply, VirtualHub } from './virtual-hub.ts';

const SESSIONS = 4;
/** Share of the requests that go to the hub rather than to a node. */
const HUB_SHARE = 0.6;
/** Keys that all sessions write. */
const SHARED_KEYS = 2;
/** A session whose token nobody covers any more (the disks are lost) begins anew. */
const REFUSALS_MAX = 20;
/** An operation without an answer: the node has died. */
const PATIENCE_MS = 15_000;
const encoder = new TextEncoder();

/** What one session knows of one key. */
interface Known {
  token: SessionContext | null;
  /** Versions that the last answer showed. */
  shown: ReadonlySet<string>;
  /** Versions that were shown and then were not, or that a delete of the session's own has seen. */
  readonly gone: Set<string>;
  /** The session's last acknowledged put, where nothing that came after may have replaced it. */
  last: string | null;
  /** A write without a token may still take effect, and replace whatever is there then. */
  loose: boolean;
}

interface Session {
  readonly name: string;
  /** Only this session writes it. */
  readonly own: string;
  readonly known: Map<string, Known>;
  busy: boolean;
  operation: number;
  refusals: number;
}

/** Answers to clients that pass their token on with every request, whichever node they ask. */
export interface SessionHistory {
  reads: number;
  refused: number;
  /** Of the reads, those that the hub has answered, and refused. */
  readonly atHub: { answered: number; refused: number };
  /** Answers that show less than the session had seen or written. */
  readonly faults: string[];
}

export interface SessionOptions {
  readonly prng: Prng;
  readonly bucket: string;
  /** Keys begin with it. */
  readonly prefix: string;
  /** All values ever sent, by key; the sessions' are added. */
  readonly sent: Map<string, Set<string>>;
  /** Sessions go to it as well, and back to the nodes; null: to nodes only. */
  readonly hub: VirtualHub | null;
}

/** Clients that move between nodes, and to the hub and back, and take their context tokens along. */
export class SessionClients {
  readonly history: SessionHistory = { reads: 0, refused: 0, atHub: { answered: 0, refused: 0 }, faults: [] };
  private readonly cluster: SimCluster;
  private readonly prng: Prng;
  private readonly bucket: string;
  private readonly prefix: string;
  private readonly hub: VirtualHub | null;
  private readonly sent: Map<string, Set<string>>;
  private readonly sessions: readonly Session[];
  private writes = 0;
  private stopped = false;

  constructor(cluster: SimCluster, { prng, bucket, prefix, sent, hub }: SessionOptions) {
    this.cluster = cluster;
    this.sent = sent;
    this.prng = prng;
    this.bucket = bucket;
    this.prefix = prefix;
    this.hub = hub;
    this.sessions = Array.from({ length: SESSIONS }, (_, index) => ({
      name: `s${index}`,
      own: `${prefix}/${index}`,
      known: new Map(),
      busy: false,
      operation: 0,
      refusals: 0,
    }));
  }

  /** One operation every `intervalMs` on average, until `stop`. */
  start(intervalMs: number): void {
    this.cluster.clock.after(this.prng.float() * 2 * intervalMs, () => {
      if (this.stopped) return;
      this.step();
      this.start(intervalMs);
    });
  }

  stop(): void {
    this.stopped = true;
  }

  /**
   * A disk is gone, or is an older one again; or the hub's store is. Where it alone had an event that a token speaks of, that
   * session begins anew: the replicas may give the event's name to another, since nobody is left who could tell them of it.
   * Names of the hub's own events are never given twice.
   */
  handleLoss(): void {
    for (const session of this.sessions) {
      const { known } = session;
      for (const [key, { token }] of known) if (token !== null && !this.isKnown(key, token)) known.delete(key);
      if (this.hub === null) continue;
      // An answer that is on its way may speak of what is lost now.
      session.operation++;
      session.busy = false;
    }
  }

  /**
   * Once the site and the hub agree: the hub answers every session of which an owner has all that it has seen, and shows it no less.
   */
  readAllAtHub(): void {
    const { hub } = this;
    if (hub === null || !this.isAtHub('get')) return;
    for (const session of this.sessions) {
      for (const [key, known] of session.known) {
        const { token } = known;
        if (token === null || !this.isAtOwner(key, token)) continue;
        const reply = hub.replyTo({ type: 'get', bucket: this.bucket, key, level: 'one', session: token });
        if (reply.type === 'get') this.check(session, key, known, reply);
        else this.fault(session, key, 'refused at the end, when the hub was to have all that it had seen,');
      }
    }
  }

  private isAtOwner(key: string, { context }: SessionContext): boolean {
    const { nodes, shards } = this.cluster;
    const shard = shardOf(this.bucket, key, shards);
    const ring = nodes.find(({ running }) => running !== null)?.running?.node.placements;
    return nodes.some(
      ({ id, disk }) => ring?.isOwner(shard, id) === true && disk.shards.get(shard)?.context.covers(context) === true,
    );
  }

  private isKnown(key: string, { context, bare }: SessionContext): boolean {
    const { hub } = this;
    const { nodes, shards } = this.cluster;
    const shard = shardOf(this.bucket, key, shards);
    return [...context.actorIds()].every((actor) => {
      const latest = { actor, counter: context.highest(actor) };
      if (hub?.hasWrittenAs(actor) === true || hub?.rows.shards.get(shard)?.context.has(latest) === true) return true;
      const isCounted = ({ disk }: SimNode): boolean => disk.shards.get(shard)?.context.has(latest) === true;
      return nodes.some((node) => node.disk.covers(shard, latest) || (bare.has(latest) && isCounted(node)));
    });
  }

  private step(): void {
    const session = this.prng.pick(this.sessions);
    if (session === undefined || session.busy) return;
    const draw = this.prng.float();
    const key = draw < 0.6 ? session.own : `${this.prefix}/shared/${this.prng.below(SHARED_KEYS)}`;
    const kind = this.prng.float();
    if (kind < 0.35) this.put(session, key);
    else if (kind < 0.45) this.remove(session, key);
    else this.read(session, key);
  }

  private put(session: Session, key: string): void {
    const known = knownOf(session, key);
    const text = `${session.name}-${this.writes++}`;
    const value = encoder.encode(text);
    const sent = this.sent.get(key);
    if (sent === undefined) this.sent.set(key, new Set([text]));
    else sent.add(text);
    const mutation = { type: 'put', value, contentType: 'text/plain', expiresAtMs: 0, onlyIf: null } as const;
    this.write(session, key, known, mutation, ({ dot }) => {
      if (key === session.own && !known.loose && dot !== null) known.last = dotText(dot);
    });
  }

  private remove(session: Session, key: string): void {
    const known = knownOf(session, key);
    this.write(session, key, known, { type: 'delete' }, ({ before }) => {
      // It has replaced what it saw of that.
      for (const { dot } of before) if (known.token?.context.has(dot) === true) known.gone.add(dotText(dot));
    });
  }

  private write(
    session: Session,
    key: string,
    known: Known,
    mutation: Mutation,
    use: (reply: Extract<HubClientReply, { type: 'mutate' }>) => void,
  ): void {
    const wasLoose = known.loose;
    known.last = null;
    known.loose ||= known.token === null;
    const request = {
      type: 'mutate',
      bucket: this.bucket,
      key,
      mutation,
      level: this.level(),
      context: known.token,
    } as const;
    this.ask(session, request, (reply) => {
      if (reply.type === 'failed' && reply.failure.stateChanged === 'no') known.loose = wasLoose;
      if (reply.type !== 'mutate') return;
      known.loose = wasLoose;
      use(reply);
      known.token = { context: reply.context, bare: reply.bare };
      // What a put has replaced is left to later answers to show.
      known.shown = new Set();
    });
  }

  private read(session: Session, key: string): void {
    const known = knownOf(session, key);
    this.history.reads++;
    const request = { type: 'get', bucket: this.bucket, key, level: this.level(), session: known.token } as const;
    this.ask(session, request, (reply, isFromHub) => {
      const { history } = this;
      if (reply.type === 'get') {
        if (isFromHub) history.atHub.answered++;
        this.check(session, key, known, reply);
      } else if (reply.type === 'failed' && reply.failure.code === 'session-unavailable') {
        if (isFromHub) history.atHub.refused++;
        this.refuse(session);
      }
    });
  }

  private check(
    session: Session,
    key: string,
    known: Known,
    { entries, context, bare }: Extract<HubClientReply, { type: 'get' }>,
  ): void {
    session.refusals = 0;
    // Asked with a token that counts no more.
    if (session.known.get(key) !== known) return;
    const shown = new Set(entries.map(({ dot }) => dotText(dot)));
    const fault = (what: string): void => this.fault(session, key, what);
    for (const version of shown) if (known.gone.has(version)) fault(`shown ${version} again`);
    for (const version of known.shown) {
      if (shown.has(version)) continue;
      if (!context.has(dotOf(version))) fault(`shown a state before ${version}`);
      known.gone.add(version);
    }
    if (known.last !== null && !shown.has(known.last)) fault(`not shown its own write ${known.last}`);
    known.shown = shown;
    known.token = { context, bare };
  }

  private refuse(session: Session): void {
    this.history.refused++;
    if (++session.refusals < REFUSALS_MAX) return;
    session.refusals = 0;
    session.known.clear();
  }

  private fault({ name }: Session, key: string, what: string): void {
    const time = (this.cluster.clock.nowMs / 1000).toFixed(1);
    this.history.faults.push(`session ${name} was ${what} by the read of ${key} at ${time} s`);
  }

  private ask(
    session: Session,
    request: GetRequest | MutateRequest,
    use: (reply: HubClientReply, isFromHub: boolean) => void,
  ): void {
    const isFromHub = this.hub !== null && this.prng.chance(HUB_SHARE) && this.isAtHub(request.type);
    const node = this.prng.pick(this.cluster.nodes.filter(({ running }) => running !== null));
    if (!isFromHub && node === undefined) return;
    const operation = ++session.operation;
    session.busy = true;
    const end = (): boolean => {
      if (session.operation !== operation || !session.busy) return false;
      session.busy = false;
      return true;
    };
    this.cluster.clock.after(PATIENCE_MS, end);
    const take = (reply: HubClientReply): void => {
      if (end()) use(reply, isFromHub);
    };
    if (isFromHub) this.hub?.serve(request, take);
    else if (node !== undefined) this.cluster.request(node, request, take);
  }

  /** Whether the hub can be asked that. */
  private isAtHub(type: 'get' | 'mutate'): boolean {
    const sync = this.hub?.isRunning === true ? this.hub.buckets.get(this.bucket)?.sync : undefined;
    return sync !== undefined && (type === 'get' || sync !== 'up');
  }

  private level(): Level {
    const draw = this.prng.float();
    return draw < 0.5 ? 'one' : draw < 0.95 ? 'quorum' : 'all';
  }
}

function knownOf(session: Session, key: string): Known {
  let known = session.known.get(key);
  if (known === undefined) {
    known = { token: null, shown: new Set(), gone: new Set(), last: null, loose: false };
    session.known.set(key, known);
  }
  return known;
}

function dotOf(text: string): Dot {
  const dash = text.lastIndexOf('-');
  return { actor: text.slice(0, dash), counter: Number(text.slice(dash + 1)) };
}
