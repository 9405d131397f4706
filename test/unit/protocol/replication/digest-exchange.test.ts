import { describe, expect, it } from 'vitest';
import { Prng } from '../../../../src/lib/prng.ts';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { ReplicationCore } from '../../../../src/protocol/replication/core.ts';
import { DigestExchange } from '../../../../src/protocol/replication/digest-exchange.ts';
import type { ReplicationMessage } from '../../../../src/protocol/replication/message.ts';
import type { Shard } from '../../../../src/protocol/replication/shard-table.ts';

const ACTOR = '00000000000000aa';

interface Side {
  readonly exchange: DigestExchange;
  readonly contexts: Map<number, CausalContext>;
  /** Peers whose context of the shards is known. */
  readonly known: Set<string>;
  readonly sent: ReplicationMessage[];
  readonly found: string[];
  readonly now: { monoMs: number };
}

/** A holder of shards 0, 1 and 2, each of them with so many events. */
function holder(self: string, counts: readonly number[]): Side {
  const contexts = new Map(
    counts.map((to, id) => [id, CausalContext.fromRanges(to === 0 ? [] : [{ actor: ACTOR, from: 1, to }])]),
  );
  const sent: ReplicationMessage[] = [];
  const known = new Set<string>();
  const found: string[] = [];
  const now = { monoMs: 0 };
  const core = {
    options: { self, prng: new Prng(self.charCodeAt(0)) },
    now,
    isUp: () => true,
    shards: {
      find: (id: number) => {
        const context = contexts.get(id);
        return context === undefined ? undefined : ({ id, context, known: known as unknown } as Partial<Shard>);
      },
    },
    sendDurable: (_to: string, message: ReplicationMessage) => sent.push(message),
  } as unknown as ReplicationCore;
  const exchange = new DigestExchange(core, {
    onEqual: (peer, { id }) => found.push(`${peer}/${id} equal`),
    onDiffer: (peer, { id }) => found.push(`${peer}/${id} differs`),
  });
  return { exchange, contexts, known, sent, found, now };
}

/** Delivers what one has sent. */
function deliver(from: string, { sent }: Side, { exchange }: Side): void {
  for (const message of sent.splice(0)) {
    if (message.type === 'sync-digest') exchange.handleDigest(from, message);
    else if (message.type === 'sync-digests') exchange.handleDigests(from, message);
    else if (message.type === 'sync-equal') exchange.handleEqual(from, message);
  }
}

describe('DigestExchange', () => {
  it('ends with one message from each where nothing differs', () => {
    const a = holder('a', [1, 2, 3]);
    const b = holder('b', [1, 2, 3]);
    a.exchange.open('b', [2, 0, 1]);
    deliver('a', a, b);
    expect(b.sent.map(({ type }) => type)).toEqual(['sync-equal']);
    deliver('b', b, a);
    expect(a.found).toEqual([0, 1, 2].map((id) => `b/${id} equal`));
    expect(b.found).toEqual([0, 1, 2].map((id) => `a/${id} equal`));
    expect(a.sent).toEqual([]);
  });

  it('finds what differs, and tells which others are equal', () => {
    const a = holder('a', [1, 2, 3]);
    const b = holder('b', [1, 5, 3]);
    a.exchange.open('b', [0, 1, 2]);
    deliver('a', a, b);
    deliver('b', b, a);
    expect(a.found).toEqual(['b/1 differs', 'b/0 equal', 'b/2 equal']);
    deliver('a', a, b);
    expect(b.found).toEqual(['a/0 equal', 'a/2 equal']);
  });

  it.each([
    ['and looks at it again soon', [], 100],
    ['which is left to the next round where the peer has been heard before', ['b'], undefined],
  ])('does not take for equal what has changed since it was told, %s', (_, known, againMs) => {
    const a = holder('a', [1, 2]);
    const b = holder('b', [1, 2]);
    a.exchange.open('b', [0, 1]);
    deliver('a', a, b);
    a.contexts.get(1)?.add({ actor: ACTOR, counter: 3 });
    for (const peer of known) a.known.add(peer);
    deliver('b', b, a);
    expect(a.found).toEqual(['b/0 equal']);
    expect(a.exchange.nextDeadline()).toBe(againMs);
  });

  it.each([
    ['a', [1, 1], 'z', [1, 9], 'a'],
    ['a', [1, 9], 'z', [1, 1], 'z'],
    // Neither covers less.
    ['a', [2, 1], 'z', [1, 2], 'a'],
  ] as const)('lets the one that covers less ask, where both have opened one (%s %j, %s %j)', (...story) => {
    const [nameA, countsA, nameB, countsB, expected] = story;
    const a = holder(nameA, countsA);
    const b = holder(nameB, countsB);
    a.exchange.open(nameB, [0, 1]);
    b.exchange.open(nameA, [0, 1]);
    const fromB = { ...b, sent: b.sent.splice(0) };
    deliver(nameA, a, b);
    deliver(nameB, fromB, a);
    deliver(nameA, a, b);
    deliver(nameB, b, a);
    expect({ a: a.found.some((each) => each.endsWith('differs')) }).toEqual({ a: expected === nameA });
    expect({ b: b.found.some((each) => each.endsWith('differs')) }).toEqual({ b: expected === nameB });
  });

  it('answers the next one where its own gave way to the one before', () => {
    const a = holder('a', [1, 2]);
    const z = holder('z', [2, 1]);
    a.exchange.open('z', [0, 1]);
    z.exchange.open('a', [0, 1]);
    const crossing = { ...z, sent: z.sent.splice(0) };
    deliver('a', a, z);
    deliver('z', crossing, a);
    z.sent.length = 0;
    // Another holder has sent this one what it missed.
    a.contexts.get(1)?.addRange({ actor: ACTOR, from: 1, to: 9 });
    a.exchange.open('z', [1]);
    deliver('a', a, z);
    expect(z.sent).toMatchObject([{ type: 'sync-digests' }]);
  });

  it('answers the next one where its own, about more, was never answered', () => {
    const a = holder('a', [1, 1]);
    const z = holder('z', [1, 1]);
    a.exchange.open('z', [0, 1]);
    // The peer took this node for dead just then.
    a.sent.length = 0;
    z.exchange.open('a', [0]);
    deliver('z', z, a);
    z.contexts.get(0)?.addRange({ actor: ACTOR, from: 1, to: 9 });
    deliver('a', a, z);
    z.now.monoMs = 100;
    a.now.monoMs = 100;
    z.exchange.handleTimeout();
    deliver('z', z, a);
    expect(a.sent).toMatchObject([{ type: 'sync-digests' }]);
  });

  it('answers all the same where its own was lost, or was about less', () => {
    const a = holder('a', [1, 1]);
    const b = holder('b', [1, 9]);
    a.exchange.open('b', [0]);
    b.exchange.open('a', [0, 1]);
    deliver('b', b, a);
    expect(a.sent.map(({ type }) => type)).toEqual(['sync-digest', 'sync-digests']);
    a.sent.length = 0;
    a.exchange.open('b', [0, 1]);
    a.sent.length = 0;
    a.now.monoMs = 1500;
    b.exchange.open('a', [0, 1]);
    deliver('b', b, a);
    expect(a.sent.map(({ type }) => type)).toEqual(['sync-digests']);
  });

  it('looks at shards again together, after a moment', () => {
    const a = holder('a', [1, 2, 3]);
    for (const id of [2, 0]) a.exchange.openSoon('b', { id } as Shard);
    expect(a.exchange.nextDeadline()).toBe(100);
    a.now.monoMs = 100;
    a.exchange.handleTimeout();
    expect(a.sent).toMatchObject([{ type: 'sync-digest', shards: [0, 2], events: 4 }]);
    expect(a.exchange.nextDeadline()).toBeUndefined();
  });
});
