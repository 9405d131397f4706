import { type Failure, failure } from '../../lib/failure.ts';
import type { NodeId } from '../machine.ts';
import type { Alarm } from './alarms.ts';
import type { RegisterCore } from './core.ts';
import type {
  ForwardRefusedMessage,
  ForwardWorkingMessage,
  RegisterForwardMessage,
  RegisterForwardReplyMessage,
} from './message.ts';
import { acceptorsOf } from './placement.ts';
import type { Proposer } from './proposer.ts';
import { REGISTER_REQUESTS_MAX, type RegisterRequest, type RegisterRespond } from './request.ts';
import { SeenForwards } from './seen-forwards.ts';

/** A request that takes longer is said to be under way, and again after each further interval. */
const WORKING_INTERVAL_MS = 100;

/** A request that another node runs for this one. */
interface Forwarded {
  readonly id: number;
  readonly request: RegisterRequest;
  readonly respond: RegisterRespond;
  readonly atMs: number;
  readonly tried: readonly NodeId[];
  readonly to: NodeId;
  /** As it was sent; '': nobody has run it. */
  run: string;
  silence: Alarm | undefined;
}

/**
 * Sees to it that one proposer is usual for a key, so that changes take one round trip: a request is run by the first
 * acceptor of the key that is up. A read goes on to the next one where that is silent. A change does only where it is known
 * not to have been begun; else the client is told that its outcome is unknown.
 */
export class Router {
  private readonly core: RegisterCore;
  private readonly proposer: Proposer;
  private readonly forwarded = new Map<number, Forwarded>();
  /** The runs of peers, as they last told; forgotten with the connection. */
  private readonly runs = new Map<NodeId, string>();
  private readonly seen = new SeenForwards();
  private nextId = 1;
  private inFlight = 0;

  constructor(core: RegisterCore, proposer: Proposer) {
    this.core = core;
    this.proposer = proposer;
  }

  get open(): number {
    return this.inFlight;
  }

  /** `atMs`: when the client asked. */
  handleRequest(request: RegisterRequest, atMs: number, respond: RegisterRespond): void {
    const admitted = this.admit(respond);
    if (admitted !== undefined) this.route(request, admitted, atMs, []);
  }

  handleForward(from: NodeId, { id, origin, run, budgetMs, request }: RegisterForwardMessage): void {
    const own = this.core.options.proposerId;
    // Meant for an earlier run, that may have run it: a copy of the message must not make the change again.
    if (run !== own) {
      this.core.send(from, { type: 'register-forward-refused', id, origin, refused: run, run: own });
      return;
    }
    if (!this.seen.note(from, origin, id)) return;
    let timer: Alarm | undefined;
    const respond = this.admit((reply) => {
      if (timer !== undefined) timer.ended = true;
      this.core.send(from, { type: 'register-forward-reply', id, origin, reply });
    });
    if (respond === undefined) return;
    const work = (): void => {
      timer = this.core.alarm(WORKING_INTERVAL_MS, () => {
        this.core.send(from, { type: 'register-forward-working', id, origin });
        work();
      });
    };
    work();
    this.proposer.execute(request, Math.min(Math.max(0, budgetMs), this.core.options.requestTimeoutMs), respond);
  }

  handleForwardReply(from: NodeId, { id, origin, reply }: RegisterForwardReplyMessage): void {
    const forwarded = this.find(from, id, origin);
    if (forwarded === undefined) return;
    this.close(forwarded);
    if (reply.type === 'failed' && isWorthRerouting(reply.failure)) this.reroute(forwarded);
    else forwarded.respond(reply);
  }

  handleWorking(from: NodeId, { id, origin }: ForwardWorkingMessage): void {
    const forwarded = this.find(from, id, origin);
    if (forwarded !== undefined) this.listen(forwarded);
  }

  handleForwardRefused(from: NodeId, { id, origin, refused, run }: ForwardRefusedMessage): void {
    const forwarded = this.find(from, id, origin);
    if (forwarded === undefined || forwarded.run !== refused) return;
    this.runs.set(from, run);
    if (refused === '' || isRead(forwarded.request)) this.send(forwarded, run);
    // The run that it was meant for is over, and may have made the change before.
    else this.handleLost(forwarded);
  }

  handlePeerDown(peer: NodeId): void {
    this.runs.delete(peer);
    for (const forwarded of this.forwarded.values()) if (forwarded.to === peer) this.handleLost(forwarded);
  }

  /** Undefined: refused. */
  private admit(respond: RegisterRespond): RegisterRespond | undefined {
    if (this.inFlight >= REGISTER_REQUESTS_MAX) {
      const message = 'too many requests are in flight on this node; retry with backoff';
      respond({ type: 'failed', failure: failure('too-many-requests', message) });
      return undefined;
    }
    this.inFlight++;
    return (reply) => {
      this.inFlight--;
      respond(reply);
    };
  }

  private route(request: RegisterRequest, respond: RegisterRespond, atMs: number, tried: readonly NodeId[]): void {
    const { self } = this.core.options;
    const placement = this.core.options.placement(this.core.options.shardOf(request.bucket, request.key));
    const to = acceptorsOf(placement).find((node) => !tried.includes(node) && this.core.isUp(node));
    if (to === undefined || to === self) {
      this.proposer.execute(request, this.budget(atMs), respond);
      return;
    }
    const id = this.nextId++;
    const forwarded: Forwarded = { id, request, respond, atMs, tried, to, run: '', silence: undefined };
    this.forwarded.set(id, forwarded);
    this.core.counters.forwards++;
    this.send(forwarded, this.runs.get(to) ?? '');
  }

  private send(forwarded: Forwarded, run: string): void {
    const { id, request, to, atMs } = forwarded;
    forwarded.run = run;
    this.listen(forwarded);
    const origin = this.core.options.proposerId;
    this.core.send(to, { type: 'register-forward', id, origin, run, budgetMs: this.budget(atMs), request });
  }

  private listen(forwarded: Forwarded): void {
    if (forwarded.silence !== undefined) forwarded.silence.ended = true;
    const { forwardTimeoutMs, changeTimeoutMs } = this.core.options;
    const silenceMs = isUnstarted(forwarded) ? forwardTimeoutMs : changeTimeoutMs;
    // At the end of its time the request fails, however alive its runner is.
    const delayMs = Math.min(silenceMs, this.budget(forwarded.atMs));
    forwarded.silence = this.core.alarm(delayMs, () => this.handleLost(forwarded));
  }

  private handleLost(forwarded: Forwarded): void {
    this.close(forwarded);
    const isSafe = isUnstarted(forwarded);
    if (isSafe && this.budget(forwarded.atMs) > 0) {
      this.reroute(forwarded);
      return;
    }
    const advice = isSafe ? 'nothing was changed; retry' : 'read the key to see whether the change was made';
    const message = `the acceptor that ran the request did not answer; ${advice}`;
    if (!isSafe) this.core.counters.unknownOutcomes++;
    const stateChanged = isSafe ? 'no' : 'maybe';
    forwarded.respond({ type: 'failed', failure: failure('quorum-unavailable', message, { stateChanged }) });
  }

  private reroute({ request, respond, atMs, tried, to }: Forwarded): void {
    this.route(request, respond, atMs, [...tried, to]);
  }

  private budget(atMs: number): number {
    return Math.max(0, atMs + this.core.options.requestTimeoutMs - this.core.now.monoMs);
  }

  private find(from: NodeId, id: number, origin: string): Forwarded | undefined {
    const forwarded = origin === this.core.options.proposerId ? this.forwarded.get(id) : undefined;
    return forwarded?.to === from ? forwarded : undefined;
  }

  private close(forwarded: Forwarded): void {
    this.forwarded.delete(forwarded.id);
    if (forwarded.silence !== undefined) forwarded.silence.ended = true;
  }
}

/** Nothing can have been changed yet. */
function isUnstarted({ request, run }: Forwarded): boolean {
  return isRead(request) || run === '';
}

function isRead(request: RegisterRequest): boolean {
  return request.type === 'strong-get';
}

/** Another acceptor may reach those that this one could not, and nothing was begun. */
function isWorthRerouting({ code, stateChanged }: Failure): boolean {
  return stateChanged === 'no' && (code === 'not-ready' || code === 'quorum-unavailable');
}
