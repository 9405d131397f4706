import { describe, expect, test } from 'vitest';
import { CausalContext, NOTHING } from '../../../../src/protocol/causal/context.ts';
import { leafOf } from '../../../../src/protocol/causal/fingerprint-tree.ts';
import { nameId, type ObjectName } from '../../../../src/protocol/causal/name.ts';
import type { HubFetchedReply, SiteBucket } from '../../../../src/protocol/uplink/message.ts';
import { Restoration } from '../../../../src/protocol/uplink/restoration.ts';
import type { PulledItems, Restored } from '../../../../src/protocol/uplink/source.ts';
import type { VirtualHub } from '../../../simulation/virtual-hub.ts';
import { FakeSource, newHub, SHARD } from '../../../support/uplink-pair.ts';

const SITE = 'a'.repeat(16);

function put(hub: VirtualHub, name: ObjectName, bytes = 3, context: CausalContext | null = null): void {
  const value = new Uint8Array(bytes);
  const mutation = { type: 'put', value, contentType: 'text/plain', expiresAtMs: 0, onlyIf: null } as const;
  hub.write({ shard: SHARD, ...name }, mutation, context);
}

function fetch(hub: VirtualHub, names: readonly ObjectName[], after: ObjectName | null = null): HubFetchedReply {
  const leaves = [...new Set(names.map((name) => leafOf(nameId(name))))];
  const ask = { type: 'hub-fetch', shard: SHARD, buckets: ['both', 'up'], leaves, after } as const;
  const reply = hub.answer(ask);
  if (reply.type !== 'hub-fetched') throw new Error(reply.type);
  return reply;
}

/** The site says that these are none of the hub's. */
function skip(hub: VirtualHub, counter: number, bucket: string): void {
  const skipped = CausalContext.fromDots([{ actor: SITE, counter }]);
  const of = { shard: SHARD, context: skipped, items: [], later: NOTHING, own: NOTHING };
  const reply = hub.answer({ type: 'hub-push', pushes: [{ ...of, skipped, skippedOf: [bucket] }] });
  expect(reply).toMatchObject({ results: [{ status: 'applied' }] });
}

describe('what a hub still has', () => {
  test('is told of the leaves that were asked for, page by page', () => {
    const hub = newHub();
    const names = Array.from({ length: 6 }, (_, i) => ({ bucket: 'both', key: `k${i}` }));
    for (const name of names) put(hub, name, 100_000);
    const wanted = names.slice(0, 5);
    const found: string[] = [];
    let pages = 0;
    for (let after: ObjectName | null = null; ; pages++) {
      const { items, upto, context } = fetch(hub, wanted, after);
      for (const { key, events } of items) {
        found.push(key);
        expect(context.covers(events)).toBe(true);
        expect(events.dotCount).toBe(1);
      }
      if (upto === null) break;
      after = upto;
    }
    expect(found).toEqual(wanted.map(({ key }) => key));
    expect(pages).toBeGreaterThan(0);
  });

  test('shows that it has changed meanwhile', () => {
    const hub = newHub();
    const name = { bucket: 'both', key: 'k' };
    put(hub, name);
    const before = fetch(hub, [name]);
    expect(fetch(hub, [name])).toEqual(before);
    put(hub, { bucket: 'up', key: 'other' });
    expect(fetch(hub, [name]).revision).not.toBe(before.revision);
  });

  test('is told of the buckets that were named, and that there are others', () => {
    const hub = newHub();
    const name = { bucket: 'both', key: 'k' };
    put(hub, name);
    expect(fetch(hub, [name])).toMatchObject({ hasOthers: false, items: [name] });
    put(hub, { bucket: 'island', key: 'k' });
    expect(fetch(hub, [name])).toMatchObject({ hasOthers: true, items: [name] });
    expect(fetch(hub, [])).toMatchObject({ hasOthers: true, items: [], upto: null });
  });

  test('names the buckets of which it counts events without their keys, and gives no copy that rests on these', () => {
    const hub = newHub();
    const name = { bucket: 'both', key: 'k' };
    put(hub, name);
    skip(hub, 1, 'local');
    expect(fetch(hub, [name])).toMatchObject({ partial: ['local'], items: [name] });
    skip(hub, 2, 'both');
    // Written at the hub itself: what that had replaced is known.
    expect(fetch(hub, [name])).toMatchObject({ partial: ['both', 'local'], items: [name] });
  });

  test('leaves out what no answer can hold, and says so', () => {
    const hub = newHub();
    const large = { bucket: 'both', key: 'large' };
    hub.buckets.set('both', { ...(hub.buckets.get('both') as SiteBucket), conflict: 'siblings' });
    for (let i = 0; i < 3; i++) put(hub, large, 1_000_000, NOTHING);
    const small = { bucket: 'up', key: 'small' };
    put(hub, small);
    expect(fetch(hub, [large, small])).toMatchObject({ isWhole: false, items: [], upto: large });
    expect(fetch(hub, [large, small], large)).toMatchObject({ isWhole: true, items: [small], upto: null });
  });
});

/** How a comparison of what the source and the hub have ends, and what was settled. */
function restore(hub: VirtualHub, source: FakeSource): { readonly end: string; readonly settled: readonly Restored[] } {
  const settled: Restored[] = [];
  const ends: string[] = [];
  const counted = hub.rows.shards.get(SHARD)?.context ?? NOTHING;
  const buckets = source.buckets().filter((name) => source.policyOf(name) !== 'none');
  const scope = { shard: SHARD, buckets, hub: counted, before: source.context.clone() };
  const restoration = new Restoration(scope, {
    source: Object.assign(source, {
      shards: () => [SHARD],
      join: (_shard: number, { items }: PulledItems, use: (isTaken: boolean | null) => void) => use(items.length === 0),
    }),
    restoring: {
      restMs: () => 0,
      settle: (_shard, restored, use) => {
        settled.push(restored);
        use(true);
      },
    },
    request: (request, use) => use(hub.answer(request)),
    onEnd: (end) => ends.push(end),
  });
  restoration.start();
  while (source.run());
  expect(ends).toHaveLength(1);
  return { end: ends[0] ?? '', settled };
}

describe('a key that is gone at the hub', () => {
  const GONE = { bucket: 'island', key: 'k' };

  function setup(): { readonly hub: VirtualHub; readonly source: FakeSource } {
    const source = new FakeSource(SITE);
    source.write(GONE.key, 'old', GONE.bucket);
    const hub = newHub();
    const events = source.context.clone();
    events.add({ actor: 'b'.repeat(16), counter: 1 });
    const item = { ...GONE, entries: [], past: null, events, more: false, sent: null };
    const of = { shard: SHARD, context: events, later: NOTHING, skipped: NOTHING, skippedOf: [], own: NOTHING };
    hub.answer({ type: 'hub-push', pushes: [{ ...of, items: [item] }] });
    return { hub, source };
  }

  test('is dropped with all that is counted', () => {
    const { hub, source } = setup();
    source.policies.set('island', 'both');
    const { end, settled } = restore(hub, source);
    expect(end).toBe('settled');
    expect(settled[0]?.late).toMatchObject([{ ...GONE, entries: [] }]);
  });

  test('is not counted as such while its bucket is not known here, nor what else the hub counts', () => {
    const { hub, source } = setup();
    expect(restore(hub, source)).toEqual({ end: 'failed', settled: [] });
  });
});
