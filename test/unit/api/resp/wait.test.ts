import { expect, test } from 'vitest';
import type { CommandCall } from '../../../../src/api/resp/command.ts';
import { WAIT_COMMANDS } from '../../../../src/api/resp/commands/wait.ts';
import { createSession } from '../../../../src/api/resp/session.ts';
import { CausalContext } from '../../../../src/ports/node-handle.ts';

test('WAIT without end ends with its connection', async () => {
  const session = createSession(1, 'client', 'server', 0);
  session.writes.noteWrite('k', {
    type: 'mutate',
    applied: true,
    dot: { actor: 'a', counter: 1 },
    context: new CausalContext(),
    bare: new CausalContext(),
    acks: 2,
    owners: 3,
    quorum: 'strict',
    before: [],
    after: [],
  });
  let asked = 0;
  const confirm = async () => {
    session.closed = ++asked === 3;
    return { type: 'confirm', nodes: 2, owners: 3 };
  };
  const args = ['WAIT', '3', '0'].map((arg) => Buffer.from(arg));
  const call = { services: { keyspace: { confirm } }, session, args, keys: [] } as unknown as CommandCall;
  expect(await WAIT_COMMANDS[0]?.handler(call)).toBe(2);
  expect(asked).toBe(3);
});
