import { describe, expect, it } from 'vitest';
import type { Ballot } from '../../../../src/protocol/register/ballot.ts';
import type { RegisterMessage } from '../../../../src/protocol/register/message.ts';
import { afterLoss, UNKNOWN_SHARD } from '../../../../src/protocol/register/record.ts';
import type { RegisterValue } from '../../../../src/protocol/register/value.ts';
import { ballotOf, LoneAcceptor, NAME, valueOf } from '../../../support/lone-acceptor.ts';

const at = (ballot: Ballot, epoch = 1) => ({ shard: 0, name: NAME, epoch, ballot });
const query = (): RegisterMessage => ({ type: 'register-query', ...at(ballotOf(1, 'q')) });
const prepare = (ballot: Ballot, epoch = 1): RegisterMessage => ({ type: 'register-prepare', ...at(ballot, epoch) });
const erase = (ballot: Ballot, epoch = 1): RegisterMessage => ({ type: 'register-erase', ...at(ballot, epoch) });
const accept = (ballot: Ballot, value: RegisterValue, next: Ballot | null = null, epoch = 1): RegisterMessage => ({
  type: 'register-accept',
  ...at(ballot, epoch),
  value,
  next,
});
const refusedFor = (promised: Ballot) => [{ type: 'register-refused', refusal: { reason: 'promised', promised } }];

describe('an acceptor', () => {
  it('promises, and refuses what is below its promise', () => {
    const lone = new LoneAcceptor();
    expect(lone.tell(prepare(ballotOf(5)))).toMatchObject([{ type: 'register-promise', accepted: null }]);
    expect(lone.tell(prepare(ballotOf(4)))).toMatchObject(refusedFor(ballotOf(5)));
    expect(lone.tell(accept(ballotOf(4), valueOf(ballotOf(4), 'x')))).toMatchObject(refusedFor(ballotOf(5)));
    expect(lone.tell(prepare(ballotOf(5, 'o')))).toMatchObject(refusedFor(ballotOf(5)));
    expect(lone.tell(accept(ballotOf(5), valueOf(ballotOf(5), 'x')))).toMatchObject([{ type: 'register-accepted' }]);
    expect(lone.tell(prepare(ballotOf(6)))).toMatchObject([
      { type: 'register-promise', accepted: { ballot: ballotOf(5), value: { version: ballotOf(5) } } },
    ]);
  });

  it('has on its disk what it promised and accepted', () => {
    const lone = new LoneAcceptor();
    lone.tell(prepare(ballotOf(5)));
    expect(lone.row).toMatchObject({ promised: ballotOf(5), accepted: null });
    lone.tell(accept(ballotOf(5), valueOf(ballotOf(5), 'x'), ballotOf(6)));
    expect(lone.row).toMatchObject({ promised: ballotOf(6), accepted: { ballot: ballotOf(5), copied: false } });
    const again = new LoneAcceptor({ shards: lone.shards, row: lone.row });
    expect(again.tell(prepare(ballotOf(5)))).toMatchObject(refusedFor(ballotOf(6)));
  });

  it('says nothing before that is synced, also to those who ask meanwhile', () => {
    const lone = new LoneAcceptor();
    lone.syncs = false;
    expect(lone.tell(prepare(ballotOf(5)))).toEqual([]);
    expect(lone.tell(accept(ballotOf(5), valueOf(ballotOf(5), 'x')))).toEqual([]);
    expect(lone.tell(query())).toEqual([]);
    const ids = lone.effects.flatMap((effect) => (effect.type === 'register-persist' ? [effect.id] : []));
    const before = lone.effects.length;
    lone.input({ type: 'register-persisted', id: ids.at(-2) as number });
    expect(lone.sent(before).map(({ type }) => type)).toEqual(['register-promise']);
    lone.input({ type: 'register-persisted', id: ids.at(-1) as number });
    expect(lone.sent(before).map(({ type }) => type)).toEqual([
      'register-promise',
      'register-accepted',
      'register-current',
    ]);
  });

  it('promises the next ballot along with what it accepts, and takes a copy of the message for what it is', () => {
    const lone = new LoneAcceptor();
    const message = accept(ballotOf(5), valueOf(ballotOf(5), 'x'), ballotOf(6));
    expect(lone.tell(message)).toMatchObject([{ type: 'register-accepted' }]);
    expect(lone.tell(message)).toMatchObject([{ type: 'register-accepted' }]);
    expect(lone.tell(prepare(ballotOf(5, 'q')))).toMatchObject(refusedFor(ballotOf(6)));
    expect(lone.effects.filter(({ type }) => type === 'register-persist')).toHaveLength(2);
  });

  it('erases what all have accepted, and keeps the promise for the key in the floor of its shard', () => {
    const lone = new LoneAcceptor();
    lone.tell(accept(ballotOf(5), valueOf(ballotOf(5), null)));
    lone.tell(prepare(ballotOf(7)));
    expect(lone.tell(erase(ballotOf(5)))).toMatchObject([{ type: 'register-erased' }]);
    expect(lone.row).toBeUndefined();
    expect(lone.shards.get(0)?.floor).toEqual(ballotOf(7));
    // What was promised before is over as well; only what is above both may begin with the absent key.
    for (const late of [4, 5, 6, 7]) {
      expect(lone.tell(accept(ballotOf(late), valueOf(ballotOf(late), 'old')))).toMatchObject(refusedFor(ballotOf(7)));
      expect(lone.tell(prepare(ballotOf(late)))).toMatchObject(refusedFor(ballotOf(7)));
    }
    expect(lone.tell(query())).toMatchObject([{ accepted: null, floor: ballotOf(7) }]);
    expect(lone.tell(prepare(ballotOf(8)))).toMatchObject([{ type: 'register-promise', accepted: null }]);
    const again = new LoneAcceptor({ shards: lone.shards });
    expect(again.tell(prepare(ballotOf(7)))).toMatchObject(refusedFor(ballotOf(7)));
  });

  it('erases nothing else', () => {
    const lone = new LoneAcceptor();
    lone.tell(accept(ballotOf(5), valueOf(ballotOf(5), null)));
    lone.tell(erase(ballotOf(4)));
    lone.tell(erase(ballotOf(5), 2));
    expect(lone.row).toBeDefined();
    lone.tell(accept(ballotOf(6), valueOf(ballotOf(6), null)));
    lone.tell(erase(ballotOf(5)));
    expect(lone.row?.accepted?.ballot).toEqual(ballotOf(6));
    lone.tell(accept(ballotOf(7), valueOf(ballotOf(7), 'x')));
    lone.tell(erase(ballotOf(7)));
    expect(lone.row?.accepted?.value.content).not.toBeNull();
  });

  it('never lowers a floor', () => {
    const lone = new LoneAcceptor();
    const other = { bucket: 'b', key: 'other' };
    for (const [name, counter] of [
      [NAME, 9],
      [other, 5],
    ] as const) {
      const ballot = ballotOf(counter);
      lone.tell({ ...accept(ballot, valueOf(ballot, null)), name } as RegisterMessage);
    }
    for (const [name, counter] of [
      [NAME, 9],
      [other, 5],
    ] as const) {
      lone.tell({ ...erase(ballotOf(counter)), name } as RegisterMessage);
    }
    expect(lone.rows.size).toBe(0);
    expect(lone.shards.get(0)?.floor).toEqual(ballotOf(9));
  });

  it('drops a row of a mere promise that a scan has found', () => {
    const lone = new LoneAcceptor();
    lone.tell(prepare(ballotOf(5)));
    lone.input({ type: 'register-tombstones', names: [NAME] });
    expect(lone.row).toBeUndefined();
    expect(lone.tell(accept(ballotOf(4), valueOf(ballotOf(4), 'x')))).toMatchObject(refusedFor(ballotOf(5)));
  });

  it('answers only those with the same ring, and says who is behind', () => {
    const lone = new LoneAcceptor();
    lone.changePlacement([['n1', 'n2', 'n3']]);
    expect(lone.tell(prepare(ballotOf(5), 1))).toMatchObject([{ refusal: { reason: 'stale-epoch', epoch: 2 } }]);
    expect(lone.tell(accept(ballotOf(5), valueOf(ballotOf(5), 'x'), null, 1))).toMatchObject([
      { refusal: { reason: 'stale-epoch', epoch: 2 } },
    ]);
    expect(lone.tell(prepare(ballotOf(5), 3), 'n3')).toMatchObject([
      { refusal: { reason: 'unknown-epoch', epoch: 2 } },
    ]);
    expect(lone.effects).toContainEqual({ type: 'register-epoch-ahead', peer: 'n2' });
    expect(lone.effects).toContainEqual({ type: 'register-epoch-behind', peer: 'n3' });
    expect(lone.tell(prepare(ballotOf(5), 2))).toMatchObject([{ type: 'register-promise' }]);
    expect(lone.row).toBeDefined();
  });

  it('has no say where it may not vote, nor under a ring that is older than the one it has spoken under', () => {
    const lone = new LoneAcceptor();
    lone.canVote = false;
    expect(lone.tell(prepare(ballotOf(5)))).toMatchObject([{ refusal: { reason: 'not-ready' } }]);
    lone.canVote = true;
    lone.changePlacement([['n1', 'n2', 'n3']]);
    const again = new LoneAcceptor({ shards: lone.shards });
    expect(again.tell(prepare(ballotOf(5)))).toMatchObject([{ refusal: { reason: 'not-ready' } }]);
  });
});

describe('the standing of an acceptor', () => {
  const promises = (lone: LoneAcceptor): boolean =>
    lone.tell(prepare(ballotOf(50), lone.placement.epoch)).some(({ type }) => type === 'register-promise');

  it('lasts while its group stays, and through a joint ring to a group that it has copied', () => {
    const lone = new LoneAcceptor();
    expect(promises(lone)).toBe(true);
    lone.changePlacement([
      ['n1', 'n2', 'n3'],
      ['n1', 'n2', 'n4'],
    ]);
    expect([promises(lone), lone.core.caughtUp(0, 2)]).toEqual([true, false]);
    lone.changePlacement([['n1', 'n2', 'n4']]);
    expect(promises(lone)).toBe(false);
  });

  it('is as before where the joint ring is given up', () => {
    const lone = new LoneAcceptor();
    lone.changePlacement([['n1', 'n2', 'n3'], ['n4']]);
    lone.changePlacement([['n1', 'n2', 'n3']]);
    expect([promises(lone), lone.core.caughtUp(0, 3)]).toEqual([true, true]);
  });

  it('is lost with epochs that it has not seen, unless its group is known to have been the same', () => {
    const lone = new LoneAcceptor();
    lone.changePlacement([['n1', 'n2', 'n3']], 5);
    expect(promises(lone)).toBe(false);
    const told = new LoneAcceptor();
    told.placement = { epoch: 5, groups: [['n1', 'n2', 'n3']], since: 1 };
    told.input({ type: 'register-placement-changed' });
    expect(promises(told)).toBe(true);
  });

  it('of one that was away begins without its old rows, which may have been erased elsewhere', () => {
    const lone = new LoneAcceptor();
    lone.tell(accept(ballotOf(5), valueOf(ballotOf(5), 'old')));
    lone.changePlacement([['n2', 'n3', 'n4']], 3);
    expect(lone.tell(prepare(ballotOf(9), 3))).toMatchObject([{ refusal: { reason: 'not-ready' } }]);
    lone.changePlacement([
      ['n2', 'n3', 'n4'],
      ['n1', 'n3', 'n4'],
    ]);
    expect(lone.tell(prepare(ballotOf(9), 4))).toMatchObject([{ type: 'register-promise', accepted: null }]);
  });

  it('is good again once a majority of the group has been copied, whose word is no vote of its own', () => {
    const lone = new LoneAcceptor();
    lone.changePlacement([['n1', 'n2', 'n3']], 5);
    for (const peer of ['n2', 'n3']) lone.input({ type: 'peer-up', peer });
    const asks = lone.effects.filter((each) => each.type === 'send' && each.message.type === 'register-rows-ask');
    expect(asks).toHaveLength(2);
    const accepted = { ballot: ballotOf(8), value: valueOf(ballotOf(8), 'x'), copied: false };
    const row = { promised: ballotOf(8), accepted, generation: 0 };
    const page = { type: 'register-rows', shard: 0, epoch: 5, after: null, floor: ballotOf(3) } as const;
    lone.tell({ ...page, rows: [{ name: NAME, row }], last: NAME }, 'n2');
    lone.tell({ ...page, rows: [], last: null }, 'n3');
    // A page that was asked for no more, or comes twice.
    lone.tell({ ...page, rows: [], last: null }, 'n2');
    expect(lone.core.caughtUp(0, 5)).toBe(false);
    lone.tell({ ...page, rows: [], after: NAME, last: null }, 'n2');
    expect(lone.core.caughtUp(0, 5)).toBe(true);
    expect(lone.effects).toContainEqual({ type: 'register-caught-up', shard: 0, epoch: 5 });
    expect(lone.row).toMatchObject({ promised: ballotOf(8), accepted: { ballot: ballotOf(8), copied: true } });
    expect(lone.shards.get(0)?.floor).toEqual(ballotOf(3));
    expect(lone.tell({ type: 'register-query', ...at(ballotOf(1, 'q'), 5) })).toMatchObject([
      { accepted: { copied: true } },
    ]);
  });

  const asked = (lone: LoneAcceptor): RegisterMessage[] =>
    lone.sent().filter(({ type }) => type === 'register-rows-ask');
  const copyAll = (lone: LoneAcceptor, epoch: number): void => {
    const page = {
      type: 'register-rows',
      shard: 0,
      epoch,
      after: null,
      floor: ballotOf(3),
      rows: [],
      last: null,
    } as const;
    for (const peer of ['n2', 'n3']) lone.tell(page, peer);
  };

  it.each([
    ['row', { table: 'register', shard: 0, name: NAME }],
    ['record of the shard', { table: 'register-shard', shard: 0 }],
  ] as const)('is lost with a bad %s, until the shard has been copied under a later ring', (_name, record) => {
    const lone = new LoneAcceptor();
    for (const peer of ['n2', 'n3']) lone.input({ type: 'peer-up', peer });
    lone.tell(accept(ballotOf(5), valueOf(ballotOf(5), 'old')));
    lone.input({ type: 'register-lost', record });
    expect(promises(lone)).toBe(false);
    expect(lone.core.caughtUp(0, 1)).toBe(false);
    expect(lone.row === undefined).toBe(record.table === 'register');
    // Not under the same one: the round that relies on what was forgotten may not be over.
    lone.input({ type: 'register-placement-changed' });
    expect([asked(lone), lone.core.stats().takeovers]).toEqual([[], 0]);
    const again = new LoneAcceptor({ shards: lone.shards, row: lone.row });
    expect([promises(again), again.core.caughtUp(0, 1)]).toEqual([false, false]);
    for (const peer of ['n2', 'n3']) again.input({ type: 'peer-up', peer });
    again.changePlacement([['n1', 'n2', 'n3']]);
    expect(promises(again)).toBe(false);
    expect(asked(again)).toHaveLength(2);
    copyAll(again, 2);
    expect([promises(again), again.core.caughtUp(0, 2)]).toEqual([true, true]);
    // What was on the disk counts no more.
    expect(again.tell({ type: 'register-query', ...at(ballotOf(1, 'q'), 2) })).toMatchObject([{ accepted: null }]);
  });

  it('is not brought back by a copy that was under way when a record went bad', () => {
    const lone = new LoneAcceptor();
    lone.changePlacement([['n1', 'n2', 'n3']], 5);
    for (const peer of ['n2', 'n3']) lone.input({ type: 'peer-up', peer });
    expect(asked(lone)).toHaveLength(2);
    lone.input({ type: 'register-lost', record: { table: 'register-shard', shard: 0 } });
    copyAll(lone, 5);
    expect(lone.core.caughtUp(0, 5)).toBe(false);
    expect(lone.effects).not.toContainEqual({ type: 'register-caught-up', shard: 0, epoch: 5 });
  });

  it('is not that of a founder where the record was lost', () => {
    const record = afterLoss(UNKNOWN_SHARD, 1, 4);
    const lone = new LoneAcceptor({ shards: new Map([[0, record]]) });
    expect([promises(lone), lone.core.caughtUp(0, 1)]).toEqual([false, false]);
    lone.changePlacement([['n1', 'n2', 'n3']]);
    expect(lone.shards.get(0)).toMatchObject({ epoch: 2, member: true, whole: [], generation: 5 });
  });
});
