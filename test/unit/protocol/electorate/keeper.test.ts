import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../src/lib/prng.ts';
import { type Elector, type Electorate, founded, towards } from '../../../../src/protocol/electorate/electorate.ts';
import { NO_FOUNDING } from '../../../../src/protocol/electorate/founding.ts';
import { ElectorateKeeper } from '../../../../src/protocol/electorate/keeper.ts';
import type { ElectorateMessage } from '../../../../src/protocol/electorate/message.ts';

function electors(ids: readonly string[]): Elector[] {
  return ids.map((id) => ({ id, weight: 1, zone: '', disk: `disk-${id}` }));
}

const FOUNDED = founded('1.a', { shards: 16, replicas: 3, electors: electors(['a', 'b', 'c']) });
const JOINT = towards(FOUNDED, electors(['a', 'b', 'c', 'd']));

/** The keeper of node a, which leads. */
class LoneKeeper {
  readonly sent: { to: string; message: ElectorateMessage }[] = [];
  readonly decided: Electorate[] = [];
  readonly keeper: ElectorateKeeper;
  /** How many of those that are ready are enough. */
  enough = Number.POSITIVE_INFINITY;
  nowMs = 0;

  constructor(current: Electorate | null) {
    this.keeper = new ElectorateKeeper(
      {
        self: 'a',
        disk: 'disk-a',
        shards: 16,
        replicas: 3,
        prng: new Prng(1),
        nowMs: () => this.nowMs,
        send: (to, message) => this.sent.push({ to, message }),
        persist: (_, done) => done(),
        decide: (next) => this.decided.push(next),
        isEnough: (ready) => ready.size >= this.enough,
        standing: () => ({ ready: false, mute: false }),
        onAdopted: () => undefined,
        onForeign: () => undefined,
      },
      { current, founding: NO_FOUNDING },
    );
    for (const id of ['b', 'c', 'd']) this.keeper.handleConnected(id);
    this.keeper.follow('a', { term: 1, target: current?.electors ?? [] });
    this.sent.length = 0;
  }

  /** Another target, at the next tick at the latest. */
  lead(target: readonly Elector[]): void {
    this.keeper.follow('a', { term: 1, target });
    this.tick();
  }

  tick(): void {
    this.nowMs += 5000;
    this.keeper.handleTimeout();
  }

  /** Each has said on the present connection that it runs on its disk. */
  introduce(...ids: readonly string[]): void {
    for (const id of ids) this.keeper.handleMessage(id, { type: 'electorate-disk', disk: `disk-${id}` });
  }

  /** Each has copied its shards. */
  report(...ids: readonly string[]): void {
    const { current } = this.keeper;
    if (current === null) throw new Error('there is nothing to be ready for');
    const { lineage, epoch } = current;
    const ready = { type: 'electorate-ready', lineage, epoch, ready: true, mute: false } as const;
    for (const id of ids) this.keeper.handleMessage(id, ready);
  }

  get foundings(): number {
    return this.sent.filter(({ to, message }) => to === 'b' && message.type === 'found-ask').length;
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

  test('proposes no electors of whom a majority runs on other disks than it names', () => {
    const lone = new LoneKeeper(FOUNDED);
    const { keeper } = lone;
    // Who is connected may be on another disk by now.
    lone.lead(electors(['a', 'b']));
    keeper.handleMessage('b', { type: 'electorate-disk', disk: 'disk-new' });
    lone.tick();
    expect(lone.decided).toEqual([]);
    // What was said on a connection counts no longer than it lasts, and nothing counts of those that are not connected.
    lone.introduce('b');
    expect(lone.decided).toHaveLength(1);
    const gone = new LoneKeeper(FOUNDED);
    gone.introduce('b');
    gone.keeper.handleDisconnected('b');
    gone.introduce('b');
    gone.lead(electors(['a', 'b']));
    gone.keeper.handleConnected('b');
    gone.tick();
    expect(gone.decided).toEqual([]);
    gone.introduce('b');
    expect(gone.decided).toHaveLength(1);
  });

  test('goes on with a majority, and then to the disk that the others did not know', () => {
    const lone = new LoneKeeper(FOUNDED);
    const { keeper } = lone;
    lone.introduce('b', 'd');
    keeper.handleMessage('c', { type: 'electorate-disk', disk: 'disk-new' });
    lone.lead(electors(['a', 'b', 'c', 'd']));
    expect(lone.decided.map(({ electors: next }) => next)).toEqual([electors(['a', 'b', 'c', 'd'])]);
    const right = electors(['a', 'b', 'c']).map((each) => (each.id === 'c' ? { ...each, disk: 'disk-new' } : each));
    const other = new LoneKeeper(FOUNDED);
    other.introduce('b');
    other.lead(right);
    expect(other.decided).toMatchObject([{ electors: right, previous: null }]);
  });

  test('ends no change with an elector that was ready on a disk that it has lost', () => {
    const lone = new LoneKeeper(JOINT);
    lone.enough = 3;
    lone.introduce('b', 'c', 'd');
    lone.report('b', 'c', 'd');
    lone.keeper.handleMessage('b', { type: 'electorate-disk', disk: 'disk-new' });
    lone.tick();
    expect(lone.decided).toEqual([]);
    lone.introduce('b');
    expect(lone.decided).toMatchObject([{ electors: JOINT.electors, previous: null }]);
  });

  test('founds nothing with members of whom a majority runs on other disks than they are named with', () => {
    const lone = new LoneKeeper(null);
    lone.lead(electors(['a', 'b']));
    lone.keeper.handleMessage('b', { type: 'electorate-disk', disk: 'disk-new' });
    lone.keeper.want();
    expect(lone.foundings).toBe(0);
    lone.introduce('b');
    expect(lone.foundings).toBe(1);
  });
});
