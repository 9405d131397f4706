import { expect, it } from 'vitest';
import { CausalContext, NOTHING } from '../../../src/protocol/causal/context.ts';
import type { Entries } from '../../../src/protocol/causal/entry.ts';
import type { PeerMessage } from '../../../src/protocol/node/message.ts';
import { FrameBatcher } from '../../../src/runtime/frame-batcher.ts';
import { MemoryNetwork } from '../../support/memory-transport.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const MIB = 1024 * 1024;

function reply(values: number): PeerMessage {
  const entries: Entries = Array.from({ length: values }, (_, i) => ({
    dot: { actor: 'a'.repeat(16), counter: i + 1 },
    hlc: i,
    expiresAtMs: 0,
    payload: { kind: 'register', value: new Uint8Array(MIB), contentType: '' },
  }));
  const context = new CausalContext();
  return {
    type: 'read-reply',
    id: 1,
    status: 'object',
    standing: 'stored',
    entries,
    context,
    past: null,
    bare: NOTHING,
    owners: 0,
  };
}

it('counts and reports a message that no frame can hold, and sends the others', () => {
  const log = new RecordingLog();
  const frames = new FrameBatcher(new MemoryNetwork().create('secret'), log);
  frames.add('peer', reply(1));
  frames.add('peer', reply(5));
  frames.flush();
  expect(frames.oversized).toBe(1);
  expect(frames.sent.get('read-reply')).toMatchObject({ messages: 1 });
  expect(log.lines).toMatchObject([{ level: 'error', fields: { type: 'read-reply', peer: 'peer' } }]);
});
