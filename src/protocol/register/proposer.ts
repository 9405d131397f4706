import { failure } from '../../lib/failure.ts';
import type { NodeId } from '../machine.ts';
import type { RegisterCore } from './core.ts';
import { Leads } from './leads.ts';
import type { RoundAnswerMessage } from './message.ts';
import type { ChangeOperation, Client, CollectOperation, Operation, ReadOperation, Work } from './operation.ts';
import { nameId, type RegisterName } from './record.ts';
import { KEY_QUEUE_MAX, type RegisterRequest, type RegisterRespond } from './request.ts';
import { Round, type RoundKey } from './round.ts';

/** One key that something is being done with. */
interface KeyQueue extends RoundKey {
  waiting: Operation[];
  round: Round;
}

/** Runs requests on this node: those of one key one after another, reads that wait together in one round. */
export class Proposer {
  private readonly core: RegisterCore;
  private readonly onDeleted: (key: RoundKey) => void;
  private readonly leads: Leads;
  private readonly queues = new Map<string, KeyQueue>();

  constructor(core: RegisterCore, onDeleted: (key: RoundKey) => void) {
    this.core = core;
    this.onDeleted = onDeleted;
    this.leads = new Leads(core.options.cacheBytes);
  }

  /** `budgetMs`: the reply comes within this time. */
  execute(request: RegisterRequest, budgetMs: number, respond: RegisterRespond): void {
    const name = { bucket: request.bucket, key: request.key };
    const client = { respond, deadline: undefined, ended: false };
    const operation: ReadOperation | ChangeOperation =
      request.type === 'strong-get'
        ? { ...client, type: 'read' }
        : { ...client, type: 'change', request, attempts: [] };
    const shard = this.core.options.shardOf(request.bucket, request.key);
    const queue = this.queues.get(nameId(name));
    if (queue !== undefined && queue.waiting.length >= KEY_QUEUE_MAX) {
      const message = 'too many requests wait for this key; retry with backoff';
      respond({ type: 'failed', failure: failure('too-many-requests', message) });
      return;
    }
    operation.deadline = this.core.alarm(budgetMs, () => this.handleDeadline(name, operation));
    this.submit(shard, name, operation);
  }

  /** False: the key is in use, try again later. */
  collect(shard: number, name: RegisterName, done: CollectOperation['done']): boolean {
    if (this.queues.has(nameId(name))) return false;
    this.submit(shard, name, { type: 'collect', done });
    return true;
  }

  handleAnswer(from: NodeId, message: RoundAnswerMessage): void {
    this.queues.get(nameId(message.name))?.round.handleAnswer(from, message);
  }

  handlePeerUp(peer: NodeId): void {
    for (const { round } of this.queues.values()) round.handlePeerUp(peer);
  }

  handlePeerDown(): void {
    for (const { round } of this.queues.values()) round.handlePeerDown();
  }

  handlePlacementChanged(): void {
    for (const { round } of this.queues.values()) round.handlePlacementChanged();
  }

  get stats(): { readonly keys: number; readonly leads: number } {
    return { keys: this.queues.size, leads: this.leads.size };
  }

  private submit(shard: number, name: RegisterName, operation: Operation): void {
    const id = nameId(name);
    const queue = this.queues.get(id);
    if (queue !== undefined) {
      queue.waiting.push(operation);
      if (queue.round.isCollecting) queue.round.abandon();
      return;
    }
    const key: RoundKey = { id, shard, name };
    const round = this.newRound(key, operation, []);
    this.queues.set(id, { ...key, waiting: [], round });
    round.start();
  }

  /** `waiting`: reads at its head join the one that the round is for. */
  private newRound(key: RoundKey, operation: Operation, waiting: Operation[]): Round {
    let work: Work;
    if (operation.type === 'read') {
      const readers = [operation];
      for (let next = waiting[0]; next?.type === 'read'; next = waiting[0]) {
        waiting.shift();
        readers.push(next);
      }
      work = { type: 'read', readers };
    } else {
      work = operation;
    }
    return new Round(this.core, key, work, {
      leads: this.leads,
      onDeleted: this.onDeleted,
      onEnded: () => this.handleEnded(key.id),
    });
  }

  private handleEnded(id: string): void {
    const queue = this.queues.get(id);
    if (queue === undefined) return;
    const operation = queue.waiting.shift();
    if (operation === undefined) {
      this.queues.delete(id);
      return;
    }
    queue.round = this.newRound(queue, operation, queue.waiting);
    queue.round.start();
  }

  private handleDeadline(name: RegisterName, client: Client & Operation): void {
    const queue = this.queues.get(nameId(name));
    if (queue === undefined || client.ended) return;
    const at = queue.waiting.indexOf(client);
    if (at === -1) {
      queue.round.handleDeadline(client);
      return;
    }
    queue.waiting.splice(at, 1);
    client.ended = true;
    const message = 'earlier requests of this key took all the time; retry with backoff';
    client.respond({ type: 'failed', failure: failure('quorum-unavailable', message) });
  }
}
