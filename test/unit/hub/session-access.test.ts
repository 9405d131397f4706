import { describe, expect, test } from 'vitest';
import { hlcAt } from '../../../src/lib/hlc.ts';
import { CausalContext, NOTHING } from '../../../src/protocol/causal/context.ts';
import type { Entry } from '../../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../../src/protocol/causal/mutation.ts';
import type { SessionContext } from '../../../src/protocol/replication/request.ts';
import type { HubReply, UplinkItem } from '../../../src/protocol/uplink/message.ts';
import type { HubClientReply, VirtualHub } from '../../simulation/virtual-hub.ts';
import { newHub, SHARD } from '../../support/uplink-pair.ts';

const SITE = 'a'.repeat(16);
const NAME = { bucket: 'both', key: 'k' };
const REMOVE: Mutation = { type: 'delete' };

function entry(counter: number): Entry {
  const payload = { kind: 'register', value: Uint8Array.of(counter), contentType: 'text/plain' } as const;
  return { dot: { actor: SITE, counter }, hlc: hlcAt(1_000_000 + counter), expiresAtMs: 0, payload };
}

/** The first events of the site. */
function upTo(counter: number): CausalContext {
  return CausalContext.fromRanges([{ actor: SITE, from: 1, to: counter }]);
}

/** The key with the value of its last event, as the site has it. */
function copy(counter: number, events: CausalContext = NOTHING): UplinkItem {
  return { ...NAME, entries: [entry(counter)], past: null, events, more: false, sent: null };
}

/** A step of a comparison that is to count the first `floor` events, when the site covers `covered` and the key shows the last. */
function compareCopy(hub: VirtualHub, floor: number, covered: number): string {
  const compare = { type: 'hub-compare', shard: SHARD, buckets: ['both'], revision: null, children: null } as const;
  const differ = hub.answer({ ...compare, sums: [] });
  if (differ.type !== 'hub-differ' || differ.revision === null) throw new Error(differ.type);
  const about = { shard: SHARD, buckets: ['both'], revision: differ.revision, leaves: [], interval: null } as const;
  const ranges = { context: upTo(covered), floor: upTo(floor) };
  const copied = hub.answer({ type: 'hub-copies', ...about, ...ranges, items: [copy(covered)] });
  if (copied.type !== 'hub-copied' || copied.revision === null) throw new Error(copied.type);
  return copied.revision;
}

function end(hub: VirtualHub, revision: string, floor: number): HubReply {
  const compared = { shard: SHARD, buckets: ['both'], revision, context: upTo(floor), floor: upTo(floor) };
  return hub.answer({ type: 'hub-done', ...compared, skippedOf: [] });
}

/** The site sends the last event of the key. */
function push(hub: VirtualHub, counter: number): void {
  const events = CausalContext.fromDots([{ actor: SITE, counter }]);
  const of = { shard: SHARD, context: upTo(counter), later: NOTHING, skipped: NOTHING, skippedOf: [], own: NOTHING };
  const reply = hub.answer({ type: 'hub-push', pushes: [{ ...of, items: [copy(counter, events)] }] });
  expect(reply).toMatchObject({ results: [{ status: 'applied' }] });
}

/** From now on the hub counts an event of the bucket without its key. */
function skip(hub: VirtualHub, counter: number): void {
  const skipped = CausalContext.fromDots([{ actor: SITE, counter }]);
  const of = { shard: SHARD, context: upTo(counter), items: [], later: NOTHING, own: NOTHING };
  hub.answer({ type: 'hub-push', pushes: [{ ...of, skipped, skippedOf: ['both'] }] });
}

function read(hub: VirtualHub, session: SessionContext | null = null): HubClientReply {
  return hub.replyTo({ type: 'get', ...NAME, level: 'one', session });
}

function write(hub: VirtualHub, mutation: Mutation, context: SessionContext | null = null): HubClientReply {
  return hub.replyTo({ type: 'mutate', ...NAME, mutation, level: 'one', context });
}

/** What a client is shown, and the session that it has from then on. */
function shown(
  hub: VirtualHub,
  session: SessionContext | null = null,
): SessionContext & { readonly counters: number[] } {
  const reply = read(hub, session);
  if (reply.type !== 'get') throw new Error(JSON.stringify(reply));
  const { context, bare, entries } = reply;
  return { context, bare, counters: entries.map(({ dot }) => dot.counter) };
}

const REFUSED = { type: 'failed', failure: { code: 'session-unavailable' } };

describe('a key that is shown half-way through a comparison', () => {
  test('has been seen, though nothing of it is counted', () => {
    const hub = newHub();
    hub.save();
    compareCopy(hub, 1, 1);
    expect(hub.rows.shards.get(SHARD)?.context.isEmpty).toBe(true);
    const session = shown(hub);
    expect(session.counters).toEqual([1]);
    expect(session.context.has({ actor: SITE, counter: 1 })).toBe(true);
    expect(shown(hub, session).counters).toEqual([1]);
    hub.restore();
    expect(read(hub, session)).toMatchObject(REFUSED);
    expect(write(hub, REMOVE, session)).toMatchObject(REFUSED);
  });

  test('and was written after that began is shown to who has seen it once it is counted', () => {
    const hub = newHub();
    push(hub, 1);
    hub.save();
    const revision = compareCopy(hub, 1, 2);
    const session = shown(hub);
    expect(session.counters).toEqual([2]);
    expect(session.context.has({ actor: SITE, counter: 2 })).toBe(true);
    // It has nothing of what the event replaced elsewhere, and says so.
    expect(read(hub, session)).toMatchObject(REFUSED);
    expect(write(hub, REMOVE, session)).toMatchObject(REFUSED);
    expect(end(hub, revision, 1)).toMatchObject({ done: true });
    expect(read(hub, session)).toMatchObject(REFUSED);
    push(hub, 2);
    expect(shown(hub, session).counters).toEqual([2]);
    hub.restore();
    expect(shown(hub).counters).toEqual([1]);
    expect(read(hub, session)).toMatchObject(REFUSED);
  });

  test.each([1, 2])('and is deleted there does not return with the copy that comes again (floor %i)', (floor) => {
    const hub = newHub();
    push(hub, 1);
    compareCopy(hub, floor, 2);
    expect(write(hub, REMOVE)).toMatchObject({ type: 'mutate' });
    expect(shown(hub).counters).toEqual([]);
    const revision = compareCopy(hub, floor, 2);
    expect(shown(hub).counters).toEqual([]);
    expect(end(hub, revision, floor)).toMatchObject({ done: true });
    if (floor < 2) push(hub, 2);
    expect(shown(hub).counters).toEqual([]);
  });
});

test('a key of a bucket of which the hub lacks some does not return either', () => {
  const hub = newHub();
  push(hub, 1);
  skip(hub, 2);
  expect(shown(hub).counters).toEqual([1]);
  expect(write(hub, REMOVE)).toMatchObject({ type: 'mutate' });
  compareCopy(hub, 1, 1);
  expect(shown(hub).counters).toEqual([]);
});
