import { expect, it } from 'vitest';
import { failure } from '../../../../src/lib/failure.ts';
import type { ReplicationCore } from '../../../../src/protocol/replication/core.ts';
import { Forwarder } from '../../../../src/protocol/replication/forwarder.ts';
import type { ForwardMessage } from '../../../../src/protocol/replication/message.ts';
import type { ClientReply, ClientRequest } from '../../../../src/protocol/replication/request.ts';

const INCREMENT: ClientRequest = {
  type: 'mutate',
  bucket: 'b',
  key: 'k',
  mutation: { type: 'increment', by: 1 },
  level: 'quorum',
  context: null,
};

/** The first owner refuses; returns what was sent to whom, and what the client was told. */
function refused(stateChanged: 'no' | 'maybe'): { readonly sentTo: string[]; readonly replies: ClientReply[] } {
  const sentTo: string[] = [];
  const replies: ClientReply[] = [];
  let lastId = 0;
  const core = {
    options: { self: 'self', replicaTimeoutMs: 100, requestTimeoutMs: 1000 },
    now: { monoMs: 0 },
    counters: { forwards: 0 },
    ring: { owners: () => ['first', 'second'] },
    shards: { find: () => undefined },
    shardOf: () => 0,
    isUp: () => true,
    send: (to: string, _message: ForwardMessage) => void sentTo.push(to),
  } as unknown as ReplicationCore;
  const forwarder = new Forwarder(core, () => ++lastId, { execute: () => undefined, executeForPeer: () => undefined });
  forwarder.handleRequest(INCREMENT, (reply) => void replies.push(reply));
  const reply = { type: 'failed', failure: failure('not-ready', 'not now', { stateChanged }) } as const;
  forwarder.handleReply('first', { type: 'forward-reply', id: lastId, reply });
  return { sentTo, replies };
}

it('tries another owner where the first refused before it did anything', () => {
  expect(refused('no')).toEqual({ sentTo: ['first', 'second'], replies: [] });
});

it('does not count an increment twice that one owner may have taken, whatever another said of it', () => {
  const { sentTo, replies } = refused('maybe');
  expect(sentTo).toEqual(['first']);
  expect(replies).toMatchObject([{ type: 'failed', failure: { stateChanged: 'maybe' } }]);
});
