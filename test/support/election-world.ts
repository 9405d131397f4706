import { Prng } from '../../src/lib/prng.ts';
import type { ElectionEffect, ElectionInput } from '../../src/protocol/election/effect.ts';
import { Election } from '../../src/protocol/election/election.ts';
import type { ElectionMessage } from '../../src/protocol/election/message.ts';
import { NO_VOTE, type VoteRecord } from '../../src/protocol/election/options.ts';

export interface Sent {
  readonly from: string;
  readonly to: string;
  readonly message: ElectionMessage;
}

/** One election core with a disk that syncs when told to; messages are handed on by the test. */
export class LoneElection {
  core: Election;
  disk: VoteRecord;
  pending: VoteRecord[] = [];
  sent: Sent[] = [];
  fences: { id: number; accepted: boolean; term: number }[] = [];
  autoSync = true;
  readonly world: ElectionWorld;
  readonly id: string;

  constructor(world: ElectionWorld, id: string, vote: VoteRecord, mayHaveVoted: boolean) {
    this.world = world;
    this.id = id;
    this.disk = vote;
    this.core = this.make(mayHaveVoted);
  }

  private make(mayHaveVoted: boolean): Election {
    const prng = new Prng(this.world.seed++);
    const now = this.world.now();
    return new Election(
      { self: this.id, vote: this.disk, mayHaveVoted, prng },
      { epoch: 0, groups: [this.world.voters] },
      now,
    );
  }

  restart(): void {
    this.pending = [];
    this.sent = [];
    this.core = this.make(true);
    this.init();
  }

  init(): void {
    for (const peer of this.world.ids) if (peer !== this.id) this.input({ type: 'connected', peer });
    this.view(this.world.ids);
  }

  view(ids: readonly string[]): void {
    this.input({ type: 'view', members: ids.map((id) => ({ id, score: 0.5, degraded: false })) });
  }

  input(input: ElectionInput): void {
    this.take(this.core.handle(input, this.world.now()));
  }

  timeout(): void {
    this.take(this.core.handleTimeout(this.world.now()));
  }

  sync(): void {
    for (let vote = this.pending.shift(); vote !== undefined; vote = this.pending.shift()) {
      this.disk = vote;
      this.input({ type: 'vote-persisted', vote });
    }
  }

  private take(effects: readonly ElectionEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'send') this.sent.push({ from: this.id, to: effect.to, message: effect.message });
      if (effect.type === 'persist-vote') this.pending.push(effect.vote);
      if (effect.type === 'fence-reply') this.fences.push(effect);
    }
    if (this.autoSync && this.pending.length > 0) this.sync();
  }

  fence(leader: string, token: number): boolean | undefined {
    this.input({ type: 'fence', id: this.fences.length, token, leader });
    return this.fences.at(-1)?.accepted;
  }

  quorate(): boolean {
    const own = this.core.leadership(this.world.now());
    return own?.leader === this.id && own.quorate;
  }
}

/** Election cores that exchange messages in no time, as far as no link is cut. */
export class ElectionWorld {
  seed = 1;
  ms = 0;
  readonly ids: string[];
  voters: string[];
  readonly nodes = new Map<string, LoneElection>();
  cut = new Set<string>();

  constructor(ids: string[], votes: Record<string, VoteRecord> = {}) {
    this.ids = ids;
    this.voters = ids;
    for (const id of ids) this.nodes.set(id, new LoneElection(this, id, votes[id] ?? NO_VOTE, false));
    for (const node of this.nodes.values()) node.init();
  }

  now(): { monoMs: number; wallMs: number } {
    return { monoMs: this.ms, wallMs: 1e12 + this.ms };
  }

  node(id: string): LoneElection {
    return this.nodes.get(id) as LoneElection;
  }

  isCut(a: string, b: string): boolean {
    return this.cut.has(a + b) || this.cut.has(b + a);
  }

  /** Delivers everything at once, until nothing is under way. */
  settle(only?: (sent: Sent) => boolean): void {
    for (let i = 0; i < 1000; i++) {
      const all = [...this.nodes.values()].flatMap((node) => node.sent.splice(0));
      const mine = all.filter((sent) => !this.isCut(sent.from, sent.to) && (only?.(sent) ?? true));
      if (mine.length === 0) return;
      for (const { from, to, message } of mine) this.nodes.get(to)?.input({ type: 'message', from, message });
    }
  }

  /** Runs the deadlines of all, messages take no time. */
  run(ms: number): void {
    const end = this.ms + ms;
    this.settle();
    while (this.ms < end) {
      this.ms += 1;
      for (const node of this.nodes.values()) {
        if ((node.core.nextDeadline() ?? Number.POSITIVE_INFINITY) <= this.ms) node.timeout();
      }
      this.settle();
    }
  }

  leader(): LoneElection {
    return [...this.nodes.values()].find((node) => node.quorate()) as LoneElection;
  }

  quorate(): string[] {
    return [...this.nodes.values()].filter((node) => node.quorate()).map(({ id }) => id);
  }
}
