import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { Entry } from '../../../../src/protocol/causal/entry.ts';
import { type SyncItem, WHOLE } from '../../../../src/protocol/replication/message.ts';
import { eventGroups, messagesOf, PartGatherer } from '../../../../src/protocol/replication/sync-parts.ts';

const ACTOR = '00000000000000aa';
const KIB = 1024;

function entry(counter: number, bytes: number): Entry {
  const payload = { kind: 'register', value: new Uint8Array(bytes), contentType: '' } as const;
  return { dot: { actor: ACTOR, counter }, hlc: counter, expiresAtMs: 0, payload };
}

function item(key: string, entries: readonly Entry[], events: CausalContext): SyncItem {
  const past = CausalContext.fromDots([{ actor: 'ffffffffffffffff', counter: 7 }]);
  return { bucket: 'b', key, entries, past, events, part: WHOLE };
}

const SMALL = item('small', [entry(1, 10)], CausalContext.fromDots([{ actor: ACTOR, counter: 1 }]));
const LARGE = item(
  'large',
  Array.from({ length: 5 }, (_, i) => entry(i + 1, 700 * KIB)),
  CausalContext.fromRanges([{ actor: ACTOR, from: 1, to: 100_000 }]),
);

function partsOf(large: SyncItem): SyncItem[] {
  return messagesOf([large]).map(([part]) => part as SyncItem);
}

describe('messagesOf', () => {
  it('leaves items that fit together in one message', () => {
    expect(messagesOf([SMALL, SMALL])).toEqual([[SMALL, SMALL]]);
  });

  it('gives each further part of a large item a message, the last of which others may follow', () => {
    const messages = messagesOf([SMALL, LARGE, SMALL]);
    expect(messages.map((items) => items.map(({ key, part }) => `${key} ${part.index}`))).toEqual([
      ['small 0', 'large 0'],
      ['large 1'],
      ['large 2'],
      ['large 3'],
      ['large 4', 'small 0'],
    ]);
    expect(partsOf(LARGE).map(({ part }) => part.more)).toEqual([true, true, true, true, false]);
  });
});

describe('eventGroups', () => {
  it('splits ranges, and loses none', () => {
    const events = CausalContext.fromRanges([
      { actor: ACTOR, from: 1, to: 25 },
      { actor: ACTOR, from: 30, to: 30 },
      { actor: 'bb', from: 5, to: 9 },
    ]);
    const groups = eventGroups(events, 10);
    expect(groups.map((group) => group.dotCount)).toEqual([10, 10, 10, 1]);
    const union = new CausalContext();
    for (const group of groups) union.union(group);
    expect(union.equals(events)).toBe(true);
  });
});

describe('PartGatherer', () => {
  it('puts the parts together again', () => {
    const gatherer = new PartGatherer();
    const answers = partsOf(LARGE).map((part) => gatherer.add('peer', 'objects', 1, part));
    expect(answers.slice(0, -1)).toEqual(['more', 'more', 'more', 'more']);
    expect(answers.at(-1)).toEqual(LARGE);
  });

  it('takes parts of other peers, shards and kinds in between', () => {
    const gatherer = new PartGatherer();
    const sources = [['a', 'objects', 1] as const, ['b', 'objects', 1] as const, ['a', 'copies', 2] as const];
    let whole = 0;
    for (const part of partsOf(LARGE)) {
      for (const [peer, kind, shard] of sources) if (typeof gatherer.add(peer, kind, shard, part) !== 'string') whole++;
    }
    expect(whole).toBe(3);
  });

  it('is at a loss where a part is missing, of another key, or its peer went away in between', () => {
    const gatherer = new PartGatherer();
    const [first, second, third] = partsOf(LARGE) as [SyncItem, SyncItem, SyncItem];
    expect(gatherer.add('peer', 'objects', 1, second)).toBe('lost');
    gatherer.add('peer', 'objects', 1, first);
    expect(gatherer.add('peer', 'objects', 1, third)).toBe('lost');
    expect(gatherer.add('peer', 'objects', 1, second)).toBe('lost');
    gatherer.add('peer', 'objects', 1, first);
    expect(gatherer.add('peer', 'objects', 1, { ...second, key: 'another' })).toBe('lost');
    gatherer.add('peer', 'objects', 1, first);
    gatherer.handlePeerDown('peer');
    expect(gatherer.add('peer', 'objects', 1, second)).toBe('lost');
  });

  it('holds no more than 64 MiB, and lets go of what was heard of least of late', () => {
    const gatherer = new PartGatherer();
    const [first, second] = partsOf(LARGE) as [SyncItem, SyncItem];
    // 700 KiB each, and the oldest again in the middle.
    for (let shard = 0; shard < 60; shard++) expect(gatherer.add('peer', 'objects', shard, first)).toBe('more');
    expect(gatherer.add('peer', 'objects', 0, second)).toBe('more');
    for (let shard = 60; shard < 95; shard++) expect(gatherer.add('peer', 'objects', shard, first)).toBe('more');
    expect(gatherer.add('peer', 'objects', 1, second)).toBe('lost');
    expect(gatherer.add('peer', 'objects', 94, second)).toBe('more');
    const endless = new PartGatherer();
    let answer: SyncItem | string = 'more';
    let index = 0;
    for (; answer === 'more' && index < 1000; index++) {
      answer = endless.add('peer', 'objects', 1, { ...first, part: { index, more: true } });
    }
    expect(answer).toBe('lost');
    expect(index).toBe(Math.floor((64 * KIB) / 700) + 1);
  });
});
