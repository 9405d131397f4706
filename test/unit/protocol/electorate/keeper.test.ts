import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../src/lib/prng.ts';
import { type Electorate, founded, towards } from '../../../../src/protocol/electorate/electorate.ts';
import { NO_FOUNDING } from '../../../../src/protocol/electorate/founding.ts';
import { ElectorateKeeper } from '../../../../src/protocol/electorate/keeper.ts';
import type { ElectorateMessage } from '../../../../src/protocol/electorate/message.ts';

function electors(ids: readonly string[]) {
  return ids.map((id) => ({ id, weight: 1, zone: '', disk: `disk-${id}` }));
}

const FOUNDED = founded('1.a', { shards: 16, replicas: 3, electors: electors(['a', 'b', 'c']) });
const JOINT = towards(FOUNDED, electors(['a', 'b', 'c', 'd']));

/** The keeper of node a, which leads. */
class LoneKeeper {
  readonly sent: { to: string; message: ElectorateMessage }[] = [];
  readonly decided: Electorate[] = [];
  readonly keeper: ElectorateKeeper;
  nowMs = 0;

  constructor(current: Electorate) {
    this.keeper = new ElectorateKeeper(
      {
        self: 'a',
        shards: 16,
        replicas: 3,
        prng: new Prng(1),
        nowMs: () => this.nowMs,
        send: (to, message) => this.sent.push({ to, message }),
        persist: (_, done) => done(),
        decide: (next) => this.decided.push(next),
        isEnough: () => false,
        standing: () => ({ ready: false, mute: false }),
        onAdopted: () => undefined,
        onForeign: () => undefined,
      },
      { current, founding: NO_FOUNDING },
    );
    for (const id of ['b', 'c', 'd']) this.keeper.handleConnected(id);
    this.keeper.follow('a', { term: 1, target: current.electors });
    this.sent.length = 0;
  }

  get tells(): number {
    return this.sent.filter(({ message }) => message.type === 'electorate-tell').length;
  }
}

describe('the keeper of an electorate', () => {
  test('is told once of what it asks for again and again', () => {
    const lone = new LoneKeeper(FOUNDED);
    const { keeper } = lone;
    for (let i = 0; i < 100; i++) keeper.handleMessage('b', { type: 'electorate-ask' });
    for (let i = 0; i < 100; i++) keeper.handleAhead('b');
    expect(lone.tells).toBe(1);
    keeper.handleMessage('c', { type: 'electorate-ask' });
    expect(lone.tells).toBe(2);
    // The answer may have been lost.
    lone.nowMs = 1000;
    keeper.handleMessage('b', { type: 'electorate-ask' });
    expect(lone.tells).toBe(3);
    keeper.handleMessage('b', { type: 'electorate-tell', electorate: JOINT });
    keeper.handleMessage('b', { type: 'electorate-ask' });
    expect(lone.tells).toBe(4);
  });

  test('gives up a change for the word of an elector, and for nobody else', () => {
    for (const [from, count] of [
      ['x', 0],
      ['b', 1],
    ] as const) {
      const lone = new LoneKeeper(JOINT);
      const { lineage, epoch } = JOINT;
      const ready = { type: 'electorate-ready', lineage, epoch, ready: false, mute: true } as const;
      lone.nowMs = 20_000;
      lone.keeper.handleMessage(from, ready);
      expect(lone.decided).toHaveLength(count);
    }
  });
});
