import { expect, it } from 'vitest';
import type { NodeEffect, NodeInput } from '../../../src/protocol/node/effect.ts';
import type { Node } from '../../../src/protocol/node/node.ts';
import { Driver, type DriverHooks } from '../../../src/runtime/driver.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryStorage } from '../../support/memory-storage.ts';
import { MemoryNetwork } from '../../support/memory-transport.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const SCAN = { table: 'object', shard: 0, after: null, limit: 1 } as const;

it('handles nothing and says nothing once it was halted, whatever was under way', async () => {
  const handled: NodeInput['type'][] = [];
  let replies = 0;
  const node = {
    handle: ({ type }: NodeInput): NodeEffect[] => {
      handled.push(type);
      if (type === 'leave') return [{ type: 'scan', id: 1, scan: SCAN }];
      return [{ type: 'reply', id: 1, reply: { type: 'list', items: [], next: null } as never }];
    },
    nextDeadline: () => undefined,
  };
  const clock = new ManualClock();
  const hooks = { onReply: () => void replies++, onFatal: (error: unknown) => expect.unreachable(String(error)) };
  const driver = new Driver({
    node: node as unknown as Node,
    storage: new MemoryStorage(),
    meta: [],
    transport: new MemoryNetwork().create('s'),
    hub: null,
    clock,
    log: new RecordingLog(),
    hooks: hooks as unknown as DriverHooks,
  });
  const run = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) {
      clock.advance(1);
      await Promise.resolve();
    }
  };
  // What such a scan leads to as long as nothing is wrong.
  driver.post({ type: 'leave' });
  await run();
  expect([handled, replies]).toEqual([['leave', 'scan-done'], 1]);
  driver.post({ type: 'leave' });
  clock.advance(1);
  driver.post({ type: 'lag', lagMs: 1 });
  driver.halt();
  await run();
  driver.post({ type: 'lag', lagMs: 1 });
  await run();
  expect([handled, replies]).toEqual([['leave', 'scan-done', 'leave'], 1]);
  await driver.stop();
  expect(handled).toHaveLength(3);
});
