import { describe, expect, test } from 'vitest';
import type { Elector, Electorate } from '../../../../src/protocol/electorate/electorate.ts';
import { idsOf } from '../../../../src/protocol/electorate/electorate.ts';
import { Founding, type FoundingRecord, NO_FOUNDING } from '../../../../src/protocol/electorate/founding.ts';
import type { FoundingMessage } from '../../../../src/protocol/electorate/message.ts';

function elector(id: string): Elector {
  return { id, weight: 1, zone: '', disk: `disk-${id}` };
}

const FIVE = ['a', 'b', 'c', 'd', 'e'].map(elector);

/** One node and its disk, whose syncs are held back. */
class LoneFounding {
  readonly sent: { to: string; message: FoundingMessage }[] = [];
  readonly founded: Electorate[] = [];
  readonly syncs: (() => void)[] = [];
  readonly founding: Founding;

  constructor(self: string, record: FoundingRecord = NO_FOUNDING) {
    this.founding = new Founding(
      {
        self,
        shards: 16,
        replicas: 3,
        send: (to, message) => this.sent.push({ to, message }),
        persist: (_, done) => this.syncs.push(done),
        onFounded: (electorate) => this.founded.push(electorate),
      },
      record,
    );
  }

  sync(): void {
    for (const done of this.syncs.splice(0)) done();
  }

  /** The electors of the last proposal. */
  get proposed(): readonly string[] | undefined {
    const last = this.sent.findLast(({ message }) => message.type === 'found-accept')?.message;
    return last?.type === 'found-accept' ? idsOf(last.electorate.electors) : undefined;
  }
}

describe('founding', () => {
  test('one term proposes one electorate, also where its leader had no majority for a while', () => {
    const lone = new LoneFounding('a');
    const { founding } = lone;
    founding.lead(7, FIVE.slice(0, 3), 0);
    lone.sync();
    founding.handle('b', { type: 'found-promise', term: 7, accepted: null });
    expect(lone.proposed).toEqual(['a', 'b', 'c']);
    founding.stop();
    lone.sent.length = 0;
    // The ring has grown meanwhile, and none of those that promise has heard of the proposal.
    founding.lead(7, FIVE, 5000);
    for (const id of ['b', 'c', 'd']) founding.handle(id, { type: 'found-promise', term: 7, accepted: null });
    expect(lone.proposed).toEqual(['a', 'b', 'c']);
  });

  test('a term that nobody can have come to keeps no leader out', () => {
    const lone = new LoneFounding('b');
    lone.founding.handle('x', { type: 'found-ask', term: Number.MAX_SAFE_INTEGER });
    lone.founding.handle('a', { type: 'found-ask', term: 3 });
    lone.sync();
    expect(lone.sent).toEqual([{ to: 'a', message: { type: 'found-promise', term: 3, accepted: null } }]);
  });

  test('while the disk takes nothing, few answers wait for it', () => {
    const lone = new LoneFounding('b');
    for (let i = 0; i < 1000; i++) lone.founding.handle('a', { type: 'found-ask', term: 3 });
    expect(lone.syncs.length).toBeLessThan(100);
    lone.sync();
    lone.founding.handle('a', { type: 'found-ask', term: 4 });
    lone.sync();
    expect(lone.sent.at(-1)?.message).toEqual({ type: 'found-promise', term: 4, accepted: null });
  });
});
