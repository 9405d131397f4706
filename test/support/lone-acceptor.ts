import { Prng } from '../../src/lib/prng.ts';
import type { Ballot } from '../../src/protocol/register/ballot.ts';
import { REGISTER_DEFAULTS } from '../../src/protocol/register/core.ts';
import type { RegisterEffect, RegisterInput } from '../../src/protocol/register/effect.ts';
import type { RegisterMessage } from '../../src/protocol/register/message.ts';
import type { RegisterPlacement } from '../../src/protocol/register/placement.ts';
import type { AcceptorRow, ShardRecord } from '../../src/protocol/register/record.ts';
import { Registers } from '../../src/protocol/register/registers.ts';
import type { RegisterValue } from '../../src/protocol/register/value.ts';

export const NAME = { bucket: 'b', key: 'k' };

export function ballotOf(counter: number, proposer = 'p'): Ballot {
  return { counter, proposer };
}

/** A value that was proposed under the ballot; null: a tombstone. */
export function valueOf(version: Ballot, text: string | null, base = ballotOf(0, '')): RegisterValue {
  const content =
    text === null ? null : { bytes: new TextEncoder().encode(text), contentType: 'text/plain', expiresAtMs: null };
  return { version, base, content };
}

/** The node `n1` of a cluster that is played by the test; its disk is empty or as given. */
export class LoneAcceptor {
  placement: RegisterPlacement = { epoch: 1, groups: [['n1', 'n2', 'n3']] };
  canVote = true;
  /** False: batches stay unconfirmed. */
  syncs = true;
  readonly rows = new Map<string, AcceptorRow>();
  readonly shards = new Map<number, ShardRecord>();
  readonly effects: RegisterEffect[] = [];
  readonly core: Registers;
  private nowMs = 0;

  constructor({ shards = new Map<number, ShardRecord>(), epoch = 1, row = undefined as AcceptorRow | undefined } = {}) {
    this.placement = { ...this.placement, epoch };
    if (row !== undefined) this.rows.set(NAME.key, row);
    this.core = new Registers(
      {
        ...REGISTER_DEFAULTS,
        self: 'n1',
        proposerId: '00000000000000aa',
        prng: new Prng(1),
        shardOf: () => 0,
        placement: () => this.placement,
        heldShards: () => [0],
        canVote: () => this.canVote,
        foundingEpoch: 1,
      },
      { shards },
      { monoMs: 0, wallMs: 0 },
    );
    this.take(this.core.start(this.now));
  }

  get row(): AcceptorRow | undefined {
    return this.rows.get(NAME.key);
  }

  input(input: RegisterInput): void {
    this.take(this.core.handle(input, this.now));
  }

  /** Takes a message of `n2`; returns what is sent in answer. */
  tell(message: RegisterMessage, from = 'n2'): RegisterMessage[] {
    const before = this.effects.length;
    this.input({ type: 'message', from, message });
    return this.sent(before);
  }

  sent(since = 0): RegisterMessage[] {
    return this.effects.slice(since).flatMap((effect) => (effect.type === 'send' ? [effect.message] : []));
  }

  changePlacement(groups: readonly (readonly string[])[], epoch = this.placement.epoch + 1): void {
    this.placement = { epoch, groups };
    this.input({ type: 'register-placement-changed' });
  }

  pass(forMs: number): void {
    const untilMs = this.nowMs + forMs;
    for (let due = this.core.nextDeadline(); due !== undefined && due <= untilMs; due = this.core.nextDeadline()) {
      this.nowMs = Math.max(this.nowMs, due);
      this.take(this.core.handleTimeout(this.now));
    }
    this.nowMs = untilMs;
  }

  private get now() {
    return { monoMs: this.nowMs, wallMs: this.nowMs };
  }

  private take(effects: readonly RegisterEffect[]): void {
    this.effects.push(...effects);
    for (const effect of effects) {
      if (effect.type === 'register-read') {
        this.input({ type: 'register-read-done', id: effect.id, row: this.rows.get(effect.name.key) ?? null });
      } else if (effect.type === 'register-persist' && this.syncs) {
        for (const write of effect.rows) {
          if (write.table === 'register-shard') this.shards.set(write.shard, write.value);
          else if (write.value === null) this.rows.delete(write.name.key);
          else this.rows.set(write.name.key, write.value);
        }
        this.input({ type: 'register-persisted', id: effect.id });
      }
    }
  }
}
