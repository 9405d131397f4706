import type { Prng } from '../../src/lib/prng.ts';
import { type Ballot, ballotText } from '../../src/protocol/register/ballot.ts';
import type { RegisterReply, RegisterRequest } from '../../src/protocol/register/request.ts';
import type { Condition, Shown } from '../../src/protocol/register/value.ts';
import type { SimCluster } from './cluster.ts';
import { WALL_START_MS } from './node-clock.ts';
import { type Outcome, operationText, type RegisterOp, type RegisterOperation } from './register-operation.ts';
import type { Running, SimNode } from './sim-node.ts';
import { STRONG_BUCKET, StrongHistory } from './strong-history.ts';

/** No strong request of a running node takes longer. */
const ANSWER_MS = 2000;
/** On top of that: clocks that run slow, and the turn in which the answer is given. */
const ANSWER_SLACK_MS = 300;
/** The client goes away; the request stays. */
const PATIENCE_MS = 4000;
const CLIENTS = 4;
/** Keys that are in use at a time. */
const PLACES = 5;
/** Values of this one go by themselves. */
const BRIEF_PLACE = 0;
/** A key that has seen so much makes place for a new one: histories stay short enough to be judged. */
const OPERATIONS_MAX = 250;
const UNKNOWN_MAX = 20;
const TTLS_MS = [300, 2000, 8000];
/** Between the attempts of those that look at the end whether all is well again. */
const RETRY_MS = 500;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

type Recorded = { -readonly [K in keyof RegisterOperation]: RegisterOperation[K] };

interface Client {
  readonly name: string;
  /** Versions that it was shown last, by key; those of its own writes as well. */
  readonly versions: Map<string, Ballot>;
  /** Counts its operations: what comes after it has gone on is not for it. */
  turn: number;
}

/** Clients that read, write and delete strong keys at any node, each one request at a time, and remember what they were told. */
export class StrongClients {
  readonly history = new StrongHistory();
  private readonly cluster: SimCluster;
  private readonly prng: Prng;
  private readonly clients: readonly Client[];
  private readonly keys: string[];
  private lastId = 0;
  private stopped = false;

  constructor(cluster: SimCluster, prng: Prng) {
    this.cluster = cluster;
    this.prng = prng;
    this.clients = Array.from({ length: CLIENTS }, (_, index) => newClient(`c${index + 1}`));
    this.keys = Array.from({ length: PLACES }, (_, place) => keyOf(place, 0));
  }

  /** Each client does something every `intervalMs` on average, or as soon as it has its answer, until `stop`. */
  start(intervalMs: number): void {
    for (const client of this.clients) this.goOn(client, intervalMs);
  }

  stop(): void {
    this.stopped = true;
  }

  /** At every node, a write and a read of each key in use: what does not work in that time is unavailable. Calls back then. */
  tryAll(forMs: number, isExempt: (key: string) => boolean, done: () => void): void {
    const untilMs = this.cluster.clock.nowMs + forMs;
    const left = new Set<string>();
    for (const node of this.cluster.nodes) {
      for (const key of this.keys.filter((each) => !isExempt(each))) {
        const what = `${key} at ${node.name}`;
        left.add(what);
        const client = newClient(`last-${node.name}-${key}`);
        this.tryOne(client, node, key, untilMs, () => left.delete(what));
      }
    }
    const end = (): void => {
      this.history.unavailable = [...left];
      done();
    };
    const look = (): void => {
      if (left.size === 0 || this.cluster.clock.nowMs >= untilMs + PATIENCE_MS) end();
      else this.cluster.clock.after(RETRY_MS, look);
    };
    look();
  }

  private tryOne(client: Client, node: SimNode, key: string, untilMs: number, done: () => void): void {
    const again = (): void => {
      this.cluster.clock.after(RETRY_MS, () => this.tryOne(client, node, key, untilMs, done));
    };
    if (this.cluster.clock.nowMs >= untilMs) return;
    this.ask(client, node, key, this.putOf(node, key, 'none', null), (outcome) => {
      if (outcome === 'unknown' || outcome.type !== 'written') return again();
      this.ask(client, node, key, { type: 'get' }, (read) => {
        if (read !== 'unknown' && read.type === 'read') done();
        else again();
      });
    });
  }

  private goOn(client: Client, intervalMs: number): void {
    this.cluster.clock.after(this.prng.float() * 2 * intervalMs, () => {
      if (!this.stopped) this.step(client, () => this.goOn(client, intervalMs));
    });
  }

  private step(client: Client, done: () => void): void {
    const node = this.prng.pick(this.cluster.nodes.filter(hasJoined));
    const place = this.prng.below(PLACES);
    if (node === undefined) return done();
    const key = this.keyAt(place);
    this.ask(client, node, key, this.draw(client, node, key, place), done);
  }

  private keyAt(place: number): string {
    const key = this.keys[place] as string;
    if (!this.history.isFull(key, OPERATIONS_MAX, UNKNOWN_MAX)) return key;
    const next = keyOf(place, Number(key.slice(key.indexOf('.') + 1)) + 1);
    this.keys[place] = next;
    return next;
  }

  private draw(client: Client, node: SimNode, key: string, place: number): RegisterOp {
    const draw = this.prng.float();
    const version = client.versions.get(key);
    const known = version === undefined ? 'present' : { version: ballotText(version) };
    const ttlMs = place === BRIEF_PLACE ? (this.prng.pick(TTLS_MS) ?? null) : null;
    if (draw < 0.4) return { type: 'get' };
    if (draw < 0.55) return this.putOf(node, key, 'none', ttlMs);
    if (draw < 0.68) return this.putOf(node, key, 'absent', ttlMs);
    if (draw < 0.86) return this.putOf(node, key, known, ttlMs);
    if (draw < 0.89) return this.putOf(node, key, 'present', ttlMs);
    if (draw < 0.95) return { type: 'delete', condition: 'none' };
    return { type: 'delete', condition: known };
  }

  /** Each value is another one. An expiry is absolute, by the clock of the node that is asked, as the interfaces set it. */
  private putOf(
    node: SimNode,
    key: string,
    condition: Extract<RegisterOp, { type: 'put' }>['condition'],
    ttlMs: number | null,
  ): RegisterOp {
    const value = `${key}#${this.lastId + 1}`;
    const wallMs = node.running?.node.wallMs(node.clock.now());
    const expiresAtMs = ttlMs === null || wallMs === undefined ? null : wallMs + ttlMs - WALL_START_MS;
    return { type: 'put', value, condition, expiresAtMs };
  }

  /** `done` is called once: with the outcome, or unknown where no answer comes. */
  private ask(client: Client, node: SimNode, key: string, op: RegisterOp, done: (outcome: Outcome) => void): void {
    const { clock } = this.cluster;
    const turn = ++client.turn;
    const operation: Recorded = {
      id: ++this.lastId,
      client: client.name,
      invokedMs: clock.nowMs,
      completedMs: null,
      op,
      outcome: 'unknown',
    };
    this.history.add(key, operation);
    const end = (outcome: Outcome): void => {
      if (client.turn !== turn) return;
      client.turn++;
      this.history.noteEnd(key, operation);
      done(outcome);
    };
    let isAnswered = false;
    const { running } = node;
    this.cluster.request(node, requestOf(key, op, client.versions.get(key)), (reply) => {
      isAnswered = true;
      // Too late for the client: nobody has been told anything.
      if (client.turn !== turn) return;
      operation.completedMs = clock.nowMs;
      operation.outcome = outcomeOf(reply, op);
      noteVersion(client, key, op, reply);
      end(operation.outcome);
    });
    clock.after(PATIENCE_MS, () => end('unknown'));
    if (running !== null) this.watch(node, running, clock.nowMs, operation, () => isAnswered);
  }

  /** Sees to it that the node answers in time, counted from when its process was last able to. */
  private watch(
    node: SimNode,
    running: Running,
    sinceMs: number,
    operation: RegisterOperation,
    isAnswered: () => boolean,
  ): void {
    const { clock } = this.cluster;
    const dueMs = sinceMs + ANSWER_MS + ANSWER_SLACK_MS;
    clock.at(dueMs, () => {
      if (isAnswered() || node.running !== running) return;
      const resumedMs = running.held === null ? running.resumedMs : clock.nowMs;
      if (resumedMs > sinceMs) this.watch(node, running, resumedMs, operation, isAnswered);
      else this.history.late.push(`${node.name} has not answered ${operationText(operation)} by ${clock.nowMs} ms`);
    });
  }
}

/** A node that knows of nobody is a cluster of its own, and founds its own strong buckets: nobody asks it before it has joined. */
function hasJoined({ running }: SimNode): boolean {
  return running !== null && running.node.ring.memberCount > 1;
}

function newClient(name: string): Client {
  return { name, versions: new Map(), turn: 0 };
}

function keyOf(place: number, generation: number): string {
  return `${place === BRIEF_PLACE ? 'brief' : `k${place}`}.${generation}`;
}

function requestOf(key: string, op: RegisterOp, known: Ballot | undefined): RegisterRequest {
  const name = { bucket: STRONG_BUCKET, key };
  if (op.type === 'get') return { type: 'strong-get', ...name };
  const condition = conditionOf(op.condition, known);
  if (op.type === 'delete') return { type: 'strong-delete', ...name, condition };
  const expiresAtMs = typeof op.expiresAtMs === 'number' ? op.expiresAtMs + WALL_START_MS : null;
  const content = { bytes: encoder.encode(op.value), contentType: 'text/plain', expiresAtMs };
  return { type: 'strong-put', ...name, content, condition };
}

function conditionOf(
  condition: Extract<RegisterOp, { type: 'delete' }>['condition'],
  known: Ballot | undefined,
): Condition {
  if (typeof condition === 'string') return { type: condition };
  return known === undefined ? { type: 'present' } : { type: 'version', version: known };
}

function outcomeOf(reply: RegisterReply, op: RegisterOp): Outcome {
  switch (reply.type) {
    case 'failed':
      // A read that fails has told nothing.
      return op.type === 'get' || reply.failure.stateChanged === 'no' ? { type: 'not-applied' } : 'unknown';
    case 'strong-get':
      return { type: 'read', ...shownOf(reply) };
    case 'strong-change':
      if (!reply.applied) return { type: 'condition-failed', ...shownOf(reply) };
      // A delete that has found nothing has written nothing.
      if (reply.version === null) return { type: 'read', value: null, version: null };
      return { type: 'written', version: ballotText(reply.version) };
  }
}

function shownOf({ content, version }: Shown): { readonly value: string | null; readonly version: string | null } {
  return {
    value: content === null ? null : decoder.decode(content.bytes),
    version: version === null ? null : ballotText(version),
  };
}

function noteVersion(client: Client, key: string, op: RegisterOp, reply: RegisterReply): void {
  if (reply.type === 'failed') return;
  if (reply.version === null || op.type === 'delete') client.versions.delete(key);
  else client.versions.set(key, reply.version);
}
