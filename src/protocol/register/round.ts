import { assert, unreachable } from '../../lib/assert.ts';
import { failure } from '../../lib/failure.ts';
import type { NodeId } from '../machine.ts';
import type { Alarm } from './alarms.ts';
import type { Ballot } from './ballot.ts';
import type { RegisterCore } from './core.ts';
import type { Leads } from './leads.ts';
import type { Refusal, Report, RoundAnswerMessage, RoundRequestMessage } from './message.ts';
import type { Client, Work } from './operation.ts';
import { acceptorsOf, isQuorum, type RegisterPlacement } from './placement.ts';
import { type Finding, fateOf, findingOf, planOf } from './plan.ts';
import type { RegisterName } from './record.ts';
import type { RegisterReply } from './request.ts';
import { Tally } from './tally.ts';
import { type RegisterContent, type RegisterValue, shown } from './value.ts';

/** Acceptors that have not answered are asked again after so long: messages get lost. */
const RESEND_INTERVAL_MS = 100;
/** Another proposer was ahead: a random pause, up to this after the first time, doubled with each further one. */
const BACKOFF_FIRST_MS = 10;
const BACKOFF_MAX_MS = 200;

/** What follows once the value is chosen. */
type Sequel = { readonly type: 'reply'; readonly reply: RegisterReply } | { readonly type: 'show' | 'erase' };

type Phase =
  | { readonly type: 'asking' | 'preparing'; readonly ballot: Ballot; readonly tally: Tally<Report> }
  | {
      readonly type: 'accepting';
      readonly ballot: Ballot;
      readonly tally: Tally<true>;
      readonly value: RegisterValue;
      readonly next: Ballot | null;
      readonly sequel: Sequel;
    }
  | { readonly type: 'erasing'; readonly ballot: Ballot; readonly tally: Tally<true> }
  | { readonly type: 'pausing' };

export interface RoundKey {
  readonly id: string;
  readonly shard: number;
  readonly name: RegisterName;
}

interface RoundHost {
  readonly leads: Leads;
  /** A tombstone is chosen: the key may be forgotten. */
  readonly onDeleted: (key: RoundKey) => void;
  readonly onEnded: () => void;
}

/**
 * One operation on one key, from its first message until its clients are answered: CASPaxos (Rystsov 2018, section 2.2)
 * with the one-round-trip change of section 2.2.1. It runs under the placement that it began with, and begins anew under
 * another one, or behind another proposer, without ever making a change a second time (`plan.ts`).
 */
export class Round {
  private readonly core: RegisterCore;
  private readonly key: RoundKey;
  private readonly work: Work;
  private readonly host: RoundHost;
  private placement: RegisterPlacement;
  private phase: Phase = { type: 'pausing' };
  private contentions = 0;
  private timer: Alarm | undefined;
  private ended = false;

  constructor(core: RegisterCore, key: RoundKey, work: Work, host: RoundHost) {
    this.core = core;
    this.key = key;
    this.work = work;
    this.host = host;
    this.placement = core.options.placement(key.shard);
  }

  get isCollecting(): boolean {
    return this.work.type === 'collect';
  }

  start(): void {
    if (this.failUnreachable()) return;
    const { work } = this;
    if (work.type === 'read') {
      this.ask('asking');
      return;
    }
    const lead = this.host.leads.take(this.key.id);
    if (work.type === 'change' && lead?.epoch === this.placement.epoch) {
      const plan = planOf(work.request, lead.value, this.core.now.wallMs);
      if (plan.type === 'write') {
        this.core.counters.fastRounds++;
        this.propose(lead.next, plan.content, lead.value.version);
        return;
      }
    }
    this.prepare();
  }

  handleAnswer(from: NodeId, message: RoundAnswerMessage): void {
    const { phase } = this;
    if (this.ended || phase.type === 'pausing') return;
    if (phase.ballot.counter !== message.ballot.counter || phase.ballot.proposer !== message.ballot.proposer) return;
    switch (message.type) {
      case 'register-current':
        if (phase.type !== 'asking') return;
        phase.tally.note(from, message);
        if (phase.tally.isQuorum) this.handleReports(phase.tally);
        return;
      case 'register-promise':
        if (phase.type !== 'preparing') return;
        phase.tally.note(from, message);
        if (this.isEnough(phase.tally)) this.handleReports(phase.tally);
        return;
      case 'register-accepted':
        if (phase.type !== 'accepting') return;
        phase.tally.note(from, true);
        if (this.isEnough(phase.tally)) this.handleChosen(phase);
        return;
      case 'register-erased':
        if (phase.type !== 'erasing') return;
        phase.tally.note(from, true);
        if (phase.tally.isUnanimous) this.endCollection(true);
        return;
      case 'register-refused':
        this.handleRefused(from, message.refusal);
        return;
      default:
        unreachable(message);
    }
  }

  handlePeerUp(peer: NodeId): void {
    const { phase } = this;
    if (phase.type !== 'pausing' && phase.tally.open.includes(peer)) this.sendTo([peer]);
  }

  handlePeerDown(): void {
    if (!this.ended) this.failUnreachable();
  }

  handlePlacementChanged(): void {
    if (this.ended || this.core.options.placement(this.key.shard).epoch === this.placement.epoch) return;
    this.restart();
  }

  /** A client's time is up: the others of the round go on. */
  handleDeadline(client: Client): void {
    const isUnknown = this.hasAttempts;
    if (isUnknown) this.core.counters.unknownOutcomes++;
    this.answer(client, { type: 'failed', failure: unavailable('did not answer in time', isUnknown) });
    if (this.work.type !== 'read' || this.work.readers.every((reader) => reader.ended)) this.end();
  }

  /** Gives up a collection: a client wants the key. What was sent does no harm. */
  abandon(): void {
    assert(this.work.type === 'collect', 'only what nobody waits for is abandoned');
    this.endCollection(false);
  }

  private restart(): void {
    this.placement = this.core.options.placement(this.key.shard);
    if (this.failUnreachable()) return;
    if (this.work.type === 'read') this.ask('asking');
    else if (this.work.type === 'collect') this.endCollection(false);
    else this.prepare();
  }

  private prepare(): void {
    this.core.counters.fullRounds++;
    this.host.leads.take(this.key.id);
    this.ask('preparing');
  }

  private ask(type: 'asking' | 'preparing'): void {
    this.enter({ type, ballot: this.core.ballots.next(), tally: new Tally(this.placement) });
  }

  /** The change itself, made upon the version `base`. */
  private propose(ballot: Ballot, content: RegisterContent | null, base: Ballot): void {
    assert(this.work.type === 'change', 'only a change proposes');
    // From here on it may be chosen, whatever becomes of this round.
    this.work.attempts.push(ballot);
    const reply = { type: 'strong-change', applied: true, version: ballot } as const;
    this.accept(ballot, { version: ballot, base, content }, { type: 'reply', reply });
  }

  private accept(ballot: Ballot, value: RegisterValue, sequel: Sequel): void {
    // A ballot promised by a row that is erased would only raise the floor for nothing.
    const next = sequel.type === 'erase' ? null : this.core.ballots.next();
    this.enter({ type: 'accepting', ballot, value, next, sequel, tally: new Tally(this.placement) });
  }

  private enter(phase: Exclude<Phase, { type: 'pausing' }>): void {
    this.phase = phase;
    this.sendTo(phase.tally.acceptors);
    this.setResend();
  }

  private setResend(): void {
    this.setTimer(RESEND_INTERVAL_MS, () => {
      const { phase } = this;
      if (phase.type === 'pausing') return;
      if (phase.tally.hasRefusal) {
        this.pause();
        return;
      }
      this.sendTo(phase.tally.open);
      this.setResend();
    });
  }

  private handleReports(tally: Tally<Report>): void {
    const finding = findingOf(tally.values);
    const { work } = this;
    switch (work.type) {
      case 'read':
        this.handleRead(finding);
        return;
      case 'change':
        this.handleFinding(finding);
        return;
      case 'collect':
        this.handleCollectable(finding);
        return;
      default:
        unreachable(work);
    }
  }

  private handleRead(finding: Finding): void {
    if (finding.isChosen) {
      if (this.phase.type === 'asking') this.core.counters.fastReads++;
      this.show(finding.latest);
    } else if (this.phase.type === 'asking') {
      this.prepare();
    } else {
      // What a minority has may be chosen or not. It is told only once it is, or a later read might tell otherwise.
      this.writeBack(finding, { type: 'show' });
    }
  }

  private handleFinding(finding: Finding): void {
    const { phase, work } = this;
    assert(phase.type === 'preparing' && work.type === 'change', 'a change is made upon what was prepared');
    const fate = fateOf(work.attempts, finding);
    switch (fate.type) {
      case 'made': {
        const reply = { type: 'strong-change', applied: true, version: fate.version } as const;
        this.writeBack(finding, { type: 'reply', reply });
        return;
      }
      case 'unknown':
        this.fail('took other changes meanwhile', true);
        return;
      case 'not-made': {
        const plan = planOf(work.request, finding.latest, this.core.now.wallMs);
        if (plan.type === 'write') this.propose(phase.ballot, plan.content, finding.reached);
        // An attempt that a minority has accepted is ruled out by having something else chosen after it.
        else if (finding.isChosen && work.attempts.length === 0) this.reply(plan.reply);
        else this.writeBack(finding, { type: 'reply', reply: plan.reply });
        return;
      }
      default:
        unreachable(fate);
    }
  }

  /** The identity change: the same value, with the same version, accepted under this round's ballot. */
  private writeBack({ latest, reached }: Finding, sequel: Sequel): void {
    const { phase } = this;
    assert(phase.type === 'preparing', 'a value is accepted under a prepared ballot');
    const { ballot } = phase;
    this.accept(ballot, latest ?? { version: ballot, base: reached, content: null }, sequel);
  }

  private handleCollectable(finding: Finding): void {
    const { phase } = this;
    assert(phase.type === 'preparing', 'a collection prepares first');
    if (finding.latest === null || shown(finding.latest, this.core.now.wallMs).content !== null) {
      this.endCollection(true);
      return;
    }
    const { ballot } = phase;
    const isTombstone = finding.latest.content === null;
    const value = isTombstone ? finding.latest : { version: ballot, base: finding.reached, content: null };
    this.accept(ballot, value, { type: 'erase' });
  }

  private handleChosen({ ballot, value, next, sequel }: Extract<Phase, { type: 'accepting' }>): void {
    if (sequel.type === 'erase') {
      // All acceptors of the only group have accepted it (`isEnough`): see `acceptor.ts`.
      this.enter({ type: 'erasing', ballot, tally: new Tally(this.placement) });
      return;
    }
    if (next !== null) this.host.leads.put(this.key.id, { epoch: this.placement.epoch, next, value });
    if (value.content === null) this.host.onDeleted(this.key);
    if (sequel.type === 'reply') this.reply(sequel.reply);
    else this.show(value);
  }

  private handleRefused(from: NodeId, refusal: Refusal): void {
    const { phase } = this;
    switch (refusal.reason) {
      case 'promised':
        this.core.ballots.observe(refusal.promised);
        if (phase.type === 'pausing') return;
        phase.tally.refuse(from);
        if (this.isCollecting) this.endCollection(false);
        else if (!phase.tally.isPossible((node) => this.core.isUp(node))) this.pause();
        return;
      case 'stale-epoch':
        // The round begins anew under the later ring, once this node has it.
        if (from !== this.core.options.self) this.core.emit({ type: 'register-epoch-behind', peer: from });
        return;
      case 'unknown-epoch':
        if (from !== this.core.options.self) this.core.emit({ type: 'register-epoch-ahead', peer: from });
        break;
      case 'not-ready':
        // Asked again with those that are silent.
        break;
      default:
        unreachable(refusal);
    }
  }

  /** Two proposers that take turns in outbidding each other would never end: one of them waits longer. */
  private pause(): void {
    this.core.counters.contentions++;
    const bound = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.contentions++, 10));
    this.phase = { type: 'pausing' };
    this.setTimer(1 + this.core.options.prng.below(bound), () => {
      if (!this.failUnreachable()) this.prepare();
    });
  }

  private get hasAttempts(): boolean {
    return this.work.type === 'change' && this.work.attempts.length > 0;
  }

  private isEnough(tally: Tally<unknown>): boolean {
    return this.isCollecting ? tally.isUnanimous : tally.isQuorum;
  }

  /** True when there is no quorum to be had. */
  private failUnreachable(): boolean {
    const isUp = (node: NodeId): boolean => this.core.isUp(node);
    if (this.work.type === 'collect') {
      const isStable = this.placement.groups.length === 1;
      if (isStable && acceptorsOf(this.placement).every(isUp)) return false;
      this.endCollection(false);
      return true;
    }
    if (isQuorum(this.placement, isUp)) return false;
    this.fail('are not all there: too few can be reached', this.hasAttempts);
    return true;
  }

  private show(value: RegisterValue | null): void {
    this.reply({ type: 'strong-get', ...shown(value, this.core.now.wallMs) });
  }

  private fail(what: string, isUnknown: boolean): void {
    if (isUnknown) this.core.counters.unknownOutcomes++;
    this.reply({ type: 'failed', failure: unavailable(what, isUnknown) });
  }

  private reply(reply: RegisterReply): void {
    const { work } = this;
    assert(work.type !== 'collect', 'a collection has no client');
    this.end();
    for (const client of work.type === 'read' ? work.readers : [work]) this.answer(client, reply);
  }

  private answer(client: Client, reply: RegisterReply): void {
    if (client.ended) return;
    client.ended = true;
    if (client.deadline !== undefined) client.deadline.ended = true;
    client.respond(reply);
  }

  private endCollection(isOver: boolean): void {
    if (this.ended || this.work.type !== 'collect') return;
    this.end();
    this.work.done(isOver);
  }

  private end(): void {
    if (this.ended) return;
    this.ended = true;
    this.phase = { type: 'pausing' };
    if (this.timer !== undefined) this.timer.ended = true;
    this.host.onEnded();
  }

  private setTimer(delayMs: number, ring: () => void): void {
    if (this.timer !== undefined) this.timer.ended = true;
    this.timer = this.core.alarm(delayMs, ring);
  }

  private sendTo(nodes: readonly NodeId[]): void {
    const message = this.message();
    for (const node of nodes) if (this.core.isUp(node)) this.core.send(node, message);
  }

  private message(): RoundRequestMessage {
    const { phase } = this;
    const { shard, name } = this.key;
    const { epoch } = this.placement;
    switch (phase.type) {
      case 'asking':
        return { type: 'register-query', shard, name, epoch, ballot: phase.ballot };
      case 'preparing':
        return { type: 'register-prepare', shard, name, epoch, ballot: phase.ballot };
      case 'accepting': {
        const { ballot, value, next } = phase;
        return { type: 'register-accept', shard, name, epoch, ballot, value, next };
      }
      case 'erasing':
        return { type: 'register-erase', shard, name, epoch, ballot: phase.ballot };
      case 'pausing':
        throw new Error('nothing is sent in a pause');
      default:
        return unreachable(phase);
    }
  }
}

function unavailable(what: string, isUnknown: boolean) {
  const advice = isUnknown ? 'read the key to see whether the change was made' : 'nothing was changed; retry';
  const message = `the acceptors of the key ${what}; ${advice}`;
  return failure('quorum-unavailable', message, { stateChanged: isUnknown ? 'maybe' : 'no' });
}
