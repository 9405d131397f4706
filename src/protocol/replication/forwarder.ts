import { DeadlineQueue, earlier } from '../../lib/deadline-queue.ts';
import { type Failure, failure } from '../../lib/failure.ts';
import type { NodeId } from '../machine.ts';
import type { ReplicationCore } from './core.ts';
import type { ForwardMessage, ForwardReplyMessage } from './message.ts';
import type { ClientRequest, Respond } from './request.ts';

/** Runs requests on this node: its own clients', and those that peers have handed over. */
interface Coordinate {
  readonly execute: (request: ClientRequest, respond: Respond) => void;
  readonly executeForPeer: (request: ClientRequest, respond: Respond) => void;
}

interface Forwarded {
  readonly id: number;
  readonly request: ClientRequest;
  readonly respond: Respond;
  readonly to: NodeId;
  readonly tried: ReadonlySet<NodeId>;
  ended: boolean;
}

/**
 * Hands a client's request to the best coordinator: this node where it is a complete owner of the key, else
 * the first owner that is up, else this node as a fallback.
 */
export class Forwarder {
  private readonly core: ReplicationCore;
  private readonly nextId: () => number;
  private readonly coordinate: Coordinate;
  private readonly forwarded = new Map<number, Forwarded>();
  private readonly stalls: DeadlineQueue<Forwarded>;
  private readonly deadlines: DeadlineQueue<Forwarded>;

  constructor(core: ReplicationCore, nextId: () => number, coordinate: Coordinate) {
    this.core = core;
    this.nextId = nextId;
    this.coordinate = coordinate;
    this.stalls = new DeadlineQueue(core.options.replicaTimeoutMs);
    this.deadlines = new DeadlineQueue(core.options.requestTimeoutMs);
  }

  handleRequest(request: ClientRequest, respond: Respond): void {
    this.route(request, respond, new Set());
  }

  handleForward(from: NodeId, message: ForwardMessage): void {
    const { request } = message;
    if (request.type !== 'list' && !this.core.ring.knows(from)) {
      const other = failure('not-ready', 'the node has another ring than the sender; it catches up in a moment, retry');
      this.core.send(from, { type: 'forward-reply', id: message.id, reply: { type: 'failed', failure: other } });
      return;
    }
    if (!this.core.knowsBucket(request.bucket)) {
      const late = failure('not-ready', 'the node has not heard of the bucket yet; it does in a moment, retry');
      this.core.send(from, { type: 'forward-reply', id: message.id, reply: { type: 'failed', failure: late } });
      return;
    }
    this.coordinate.executeForPeer(request, (reply) => {
      this.core.send(from, { type: 'forward-reply', id: message.id, reply });
    });
  }

  handleReply(from: NodeId, message: ForwardReplyMessage): void {
    const forwarded = this.forwarded.get(message.id);
    if (forwarded === undefined || forwarded.to !== from) return;
    this.close(forwarded);
    const { reply } = message;
    if (reply.type === 'failed' && isWorthRerouting(reply.failure)) this.reroute(forwarded);
    else forwarded.respond(reply);
  }

  handlePeerDown(peer: NodeId): void {
    for (const forwarded of this.forwarded.values()) if (forwarded.to === peer) this.handleLost(forwarded);
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (let late = this.stalls.pop(nowMs); late !== undefined; late = this.stalls.pop(nowMs)) this.handleLost(late);
    for (let late = this.deadlines.pop(nowMs); late !== undefined; late = this.deadlines.pop(nowMs)) {
      this.close(late);
      this.fail(late, 'did not answer in time');
    }
  }

  nextDeadline(): number | undefined {
    return earlier(this.stalls.next(), this.deadlines.next());
  }

  private route(request: ClientRequest, respond: Respond, tried: ReadonlySet<NodeId>): void {
    const to = request.type === 'list' ? undefined : this.coordinatorOf(request.bucket, request.key, tried);
    if (to === undefined) {
      this.coordinate.execute(request, respond);
      return;
    }
    const forwarded: Forwarded = { id: this.nextId(), request, respond, to, tried, ended: false };
    this.core.counters.forwards++;
    this.forwarded.set(forwarded.id, forwarded);
    this.deadlines.push(forwarded, this.core.now.monoMs);
    if (isRepeatable(request)) this.stalls.push(forwarded, this.core.now.monoMs);
    this.core.send(to, { type: 'forward', id: forwarded.id, request });
  }

  /** Undefined: this node. */
  private coordinatorOf(bucket: string, key: string, tried: ReadonlySet<NodeId>): NodeId | undefined {
    const { self } = this.core.options;
    const id = this.core.shardOf(bucket, key);
    const shard = this.core.shards.find(id);
    if (shard?.owned === true && shard.complete) return undefined;
    return this.core.ring.owners(id).find((owner) => owner !== self && !tried.has(owner) && this.core.isUp(owner));
  }

  private handleLost(forwarded: Forwarded): void {
    this.close(forwarded);
    if (isRepeatable(forwarded.request)) this.reroute(forwarded);
    else this.fail(forwarded, 'went away');
  }

  private reroute({ request, respond, tried, to }: Forwarded): void {
    this.route(request, respond, new Set([...tried, to]));
  }

  private fail(forwarded: Forwarded, what: string): void {
    const changed = forwarded.request.type === 'mutate' ? 'maybe' : 'no';
    const message = `the owner of the key that coordinated the request ${what}; check the key and retry`;
    forwarded.respond({ type: 'failed', failure: failure('quorum-unavailable', message, { stateChanged: changed }) });
  }

  private close(forwarded: Forwarded): void {
    forwarded.ended = true;
    this.forwarded.delete(forwarded.id);
  }
}

/**
 * Refused before anything was done: any request may go to another node. And a node that cannot reach what a session has
 * seen says nothing of those that this node can reach.
 */
function isWorthRerouting({ code, stateChanged }: Failure): boolean {
  return stateChanged === 'no' && (code === 'not-ready' || code === 'session-unavailable' || code === 'disk-full');
}

/**
 * Only reads are sent to another node when the first does not answer. A write tried twice is two events, of which
 * the first may be acknowledged by nobody and survive in a partition: a delete that has seen only the second would
 * then seem to be undone. The client is told that the outcome is unknown, and decides.
 */
function isRepeatable(request: ClientRequest): boolean {
  return request.type !== 'mutate';
}
