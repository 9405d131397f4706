import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../src/lib/prng.ts';
import { founded } from '../../../../src/protocol/electorate/electorate.ts';
import { NO_ELECTORATE } from '../../../../src/protocol/electorate/keeper.ts';
import { type StrongEffect, StrongKeys } from '../../../../src/protocol/node/strong-keys.ts';

/** A node that is no elector, and its clock. */
class LoneGateway {
  readonly effects: StrongEffect[] = [];
  readonly strong: StrongKeys;
  private monoMs = 0;

  constructor() {
    this.strong = new StrongKeys(
      {
        self: 'x',
        actor: 'disk-x',
        shards: 16,
        replicas: 3,
        prng: new Prng(1),
        proposerId: '00000000000000aa',
        restoredRegisters: { shards: new Map() },
        electorate: NO_ELECTORATE,
        use: (effects) => this.effects.push(...effects),
      },
      this.now,
    );
  }

  get now() {
    return { monoMs: this.monoMs, wallMs: 1_700_000_000_000 + this.monoMs };
  }

  runTo(ms: number): void {
    for (let next = this.strong.nextDeadline(); next !== undefined && next <= ms; next = this.strong.nextDeadline()) {
      this.monoMs = Math.max(this.monoMs, next);
      this.strong.handleTimeout(this.now);
    }
    this.monoMs = ms;
  }
}

describe('requests before the first electorate', () => {
  test('are answered within two seconds, also where acceptors are found late and say nothing', () => {
    const lone = new LoneGateway();
    const { strong } = lone;
    strong.request(1, { type: 'strong-get', bucket: 'strong', key: 'x' }, lone.now);
    lone.runTo(1400);
    const electors = ['a', 'b', 'c'].map((id) => ({ id, weight: 1, zone: '', disk: `disk-${id}` }));
    for (const { id } of electors) strong.handleRegisters({ type: 'peer-up', peer: id }, lone.now);
    const electorate = founded('1.a', { shards: 16, replicas: 3, electors });
    strong.handleMessage('a', { type: 'electorate-tell', electorate }, lone.now);
    expect(lone.effects.some((effect) => effect.type === 'send' && effect.message.type === 'register-forward')).toBe(
      true,
    );
    lone.runTo(2000);
    const replies = lone.effects.filter(({ type }) => type === 'reply');
    expect(replies).toMatchObject([{ id: 1, reply: { type: 'failed', failure: { code: 'quorum-unavailable' } } }]);
  });
});
