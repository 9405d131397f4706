import { expect, test } from 'vitest';
import { CausalContext, NOTHING } from '../../../../src/protocol/causal/context.ts';
import type { VirtualHub } from '../../../simulation/virtual-hub.ts';
import { newHub, SHARD } from '../../../support/uplink-pair.ts';

const WRITES = 3000;

/** A hub at which that much was written. */
function written(): VirtualHub {
  const hub = newHub();
  const value = new TextEncoder().encode('hub');
  for (let i = 0; i < WRITES; i++) {
    const put = { type: 'put', value, contentType: 'text/plain', expiresAtMs: 0, onlyIf: null } as const;
    hub.write({ shard: SHARD, bucket: 'both', key: `k${i}` }, put);
  }
  return hub;
}

/** Takes all that comes down to a holder without anything; of what it has, so much is said to be settled. */
function pullAll(hub: VirtualHub, settledOf: (context: CausalContext) => CausalContext): CausalContext {
  const context = new CausalContext();
  for (let more = true; more; ) {
    const settled = settledOf(context).clone();
    const reply = hub.answer({ type: 'hub-pull', shard: SHARD, context: context.clone(), settled });
    if (reply.type !== 'hub-pulled') throw new Error(reply.type);
    for (const { events } of reply.items) context.union(events);
    more = reply.more;
  }
  return context;
}

test('what one holder has pulled comes down to the others as well', () => {
  const hub = written();
  for (let i = 0; i < 10; i++) expect(pullAll(hub, () => NOTHING).dotCount).toBe(WRITES);
});

test('the index of what all owners have goes, but for the latest', () => {
  const hub = written();
  for (let i = 0; i < 10; i++) pullAll(hub, (context) => context);
  expect(hub.rows.events.size).toBe(1024);
});
