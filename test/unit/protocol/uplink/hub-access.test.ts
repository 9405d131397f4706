import { expect, test } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { Mutation } from '../../../../src/protocol/causal/mutation.ts';
import { joinObject } from '../../../../src/protocol/causal/object.ts';
import { readCounter } from '../../../../src/protocol/causal/value.ts';
import type { HubMutated } from '../../../../src/protocol/uplink/hub-access.ts';
import type { VirtualHub } from '../../../simulation/virtual-hub.ts';
import { newHub, SHARD } from '../../../support/uplink-pair.ts';

const COUNT: Mutation = { type: 'increment', by: 1 };

function count(hub: VirtualHub, key: string): Extract<HubMutated, { applied: true }> {
  const written = hub.write({ shard: SHARD, bucket: 'both', key }, COUNT);
  if (!written.applied) throw new Error('not counted');
  return written;
}

/** What a site has that had the first copy and takes the second. */
function siteCount(
  first: Extract<HubMutated, { applied: true }>,
  second: Extract<HubMutated, { applied: true }>,
): ReturnType<typeof readCounter> {
  const events = CausalContext.fromRanges(second.context.minus(first.context));
  const { object } = joinObject(first.object, first.context, { ...second.object, seen: second.context, events });
  return readCounter(object.entries);
}

test('an increment that the store of the hub has forgotten is counted all the same where the site knows of it', () => {
  const hub = newHub();
  count(hub, 'k');
  hub.save();
  count(hub, 'k');
  const known = count(hub, 'k');
  expect(readCounter(known.object.entries)).toBe(3);
  hub.restore();
  expect(siteCount(known, count(hub, 'k'))).toBe(4);
  expect(siteCount(known, count(hub, 'k'))).toBe(5);
});

test('also where another key has been written since', () => {
  const hub = newHub();
  count(hub, 'k');
  hub.save();
  const known = count(hub, 'k');
  hub.restore();
  count(hub, 'other');
  expect(siteCount(known, count(hub, 'k'))).toBe(3);
});

test('of one process a key has one running total', () => {
  const hub = newHub();
  for (let i = 0; i < 5; i++) count(hub, i % 2 === 0 ? 'k' : 'other');
  const { object } = count(hub, 'k');
  expect(object.entries).toHaveLength(1);
  expect(readCounter(object.entries)).toBe(4);
});
