import { describe, expect, test } from 'vitest';
import { CausalContext, NOTHING } from '../../../../src/protocol/causal/context.ts';
import { atHub, FakeSource, newHub, SHARD, UplinkEnd } from '../../../support/uplink-pair.ts';

const A = 'aaaaaaaaaaaaaaaa';
const B = 'bbbbbbbbbbbbbbbb';

/** Keys that lie between those named `a…` and `z…`. */
function middle(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `m${i}`);
}

describe('a comparison of all keys', () => {
  test('ends where the hub has many keys that this holder has never heard of', () => {
    const hub = newHub();
    const other = new FakeSource(B);
    for (const key of middle(600)) other.write(key, 'of the other island');
    new UplinkEnd(hub, other).settle();
    const own = new FakeSource(A);
    for (let i = 0; i < 4000; i++) own.write(`a${i}`, 'own');
    own.strip();
    expect(new UplinkEnd(hub, own).settle()).toBeLessThan(200);
    expect(atHub(hub, 'a0')).toBe('own');
    expect(atHub(hub, 'm0')).toBe('of the other island');
  });

  test('waits for a bucket that this holder has not heard of yet', () => {
    const hub = newHub();
    const own = new FakeSource(A);
    own.write('k', 'value', 'late');
    own.strip();
    const end = new UplinkEnd(hub, own);
    end.settle();
    own.policies.set('late', 'up');
    end.settle();
    const payload = hub.read({ shard: SHARD, bucket: 'late', key: 'k' }).object.entries[0]?.payload;
    expect(payload?.kind).toBe('register');
  });

  test('rids the hub of what it remembered of events that have come since', () => {
    const hub = newHub();
    const own = new FakeSource(A);
    own.write('gone', 'old');
    own.write('gone', null);
    own.write('other', 'new');
    const later = CausalContext.fromDots([{ actor: A, counter: 3 }]);
    const earlier = CausalContext.fromDots([1, 2].map((counter) => ({ actor: A, counter })));
    const item = { bucket: 'up', key: 'gone', entries: [], past: later, events: earlier, more: false, sent: null };
    const push = { shard: SHARD, context: earlier, later: NOTHING, skipped: NOTHING, skippedOf: [], own: NOTHING };
    hub.answer({ type: 'hub-push', pushes: [{ ...push, items: [item] }] });
    new UplinkEnd(hub, own).settle();
    expect(atHub(hub, 'other')).toBe('new');
    expect([...hub.rows.objects.values()].map(({ name }) => name.key)).toEqual(['gone', 'other']);
    const after = new FakeSource(B);
    after.write('third', 'x');
    after.strip();
    new UplinkEnd(hub, after).settle();
    expect([...hub.rows.objects.values()].map(({ name }) => name.key)).toEqual(['other', 'third']);
  });

  test('finds all that was deleted here, however many keys go with one interval', () => {
    const hub = newHub();
    const own = new FakeSource(A);
    const gone = middle(2000);
    for (const key of gone) own.write(key, 'old');
    new UplinkEnd(hub, own).settle();
    expect(atHub(hub, 'm0')).toBe('old');
    for (const key of gone) own.write(key, null);
    // Large enough that an interval takes several requests.
    for (let i = 0; i < 250; i++) own.write(`a${i}`, 'x'.repeat(4096));
    for (let i = 0; i < 4000; i++) own.write(`z${i}`, 'own');
    own.strip();
    new UplinkEnd(hub, own).settle();
    expect(gone.filter((key) => atHub(hub, key) !== undefined)).toEqual([]);
  });
});
