import { expect, test } from 'vitest';
import type { VirtualHub } from '../../../simulation/virtual-hub.ts';
import { atHub, CHECKED_MS, FakeSource, newHub, SHARD, UplinkEnd } from '../../../support/uplink-pair.ts';

/** A damaged disk: the store says of the bucket that its keys are to be compared. */
function lose(hub: VirtualHub, key: string): void {
  const stored = hub.rows.shards.get(SHARD);
  if (stored === undefined) throw new Error('the hub has nothing of the shard');
  for (const [id, { name }] of hub.rows.objects) if (name.key === key) hub.rows.objects.delete(id);
  hub.rows.shards.set(SHARD, { ...stored, partial: ['up'], revision: 'd'.repeat(16) });
}

const stateOf = (hub: VirtualHub) => {
  const { partial, doubtful } = hub.rows.shards.get(SHARD) ?? {};
  return { partial, doubtful };
};

test('what a hub has lost and an island does not have is waited for', () => {
  const hub = newHub();
  const [has, lacks] = [new FakeSource('a'.repeat(16)), new FakeSource('b'.repeat(16))];
  const [first, second] = [new UplinkEnd(hub, has), new UplinkEnd(hub, lacks)];
  has.write('k', 'only here');
  first.settle();
  lose(hub, 'k');
  expect(atHub(hub, 'k')).toBeUndefined();

  lacks.write('other', 'one');
  second.settle();
  expect(atHub(hub, 'other')).toBe('one');
  expect(stateOf(hub)).toEqual({ partial: [], doubtful: ['up'] });
  // It goes on without being asked for all keys again and again.
  lacks.write('other', 'two');
  expect(second.settle()).toBeLessThan(5);
  expect(atHub(hub, 'other')).toBe('two');
  expect(hub.answer({ type: 'hub-fetch', shard: SHARD, buckets: ['up'], leaves: [], after: null })).toMatchObject({
    isWhole: false,
  });

  // Nor does the one that has the key know yet of all that the hub counts.
  has.write('more', 'one');
  first.settle(CHECKED_MS);
  expect([atHub(hub, 'k'), stateOf(hub).doubtful]).toEqual([undefined, ['up']]);
  has.takeFrom(lacks, ['other']);
  has.write('more', 'two');
  first.settle(CHECKED_MS);
  expect([atHub(hub, 'k'), atHub(hub, 'other'), atHub(hub, 'more')]).toEqual(['only here', 'two', 'two']);
  expect(stateOf(hub)).toEqual({ partial: [], doubtful: [] });
});

test('a key that was deleted does not come again from an island that has not heard of it', () => {
  const hub = newHub();
  const [deletes, keeps] = [new FakeSource('a'.repeat(16)), new FakeSource('b'.repeat(16))];
  const [first, second] = [new UplinkEnd(hub, deletes), new UplinkEnd(hub, keeps)];
  keeps.write('k', 'old');
  second.settle();
  deletes.takeFrom(keeps, ['k']);
  deletes.write('k', null);
  deletes.write('lost', 'one');
  first.settle();
  lose(hub, 'lost');
  keeps.write('other', 'one');
  second.settle();
  deletes.takeFrom(keeps, ['other']);
  deletes.write('lost', 'two');
  first.settle(CHECKED_MS);
  expect([atHub(hub, 'k'), atHub(hub, 'lost'), atHub(hub, 'other')]).toEqual([undefined, 'two', 'one']);
  expect(stateOf(hub)).toEqual({ partial: [], doubtful: [] });
});
