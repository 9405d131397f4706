import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../src/lib/prng.ts';
import { TokenBucket } from '../../../../src/lib/token-bucket.ts';
import { Carrier } from '../../../../src/protocol/uplink/carrier.ts';
import type { HubReply, HubRequest } from '../../../../src/protocol/uplink/message.ts';
import type { UplinkMessage } from '../../../../src/protocol/uplink/relay.ts';

const ASK: HubRequest = { type: 'hub-ask', shards: [1], combined: null };
const WELCOME: HubReply = { type: 'hub-welcome', site: 'site', hub: 'hub' };
/** By then all that waits has ended. */
const LONG_MS = 400_000;

interface Sent {
  readonly id: number;
  readonly request: HubRequest;
}

/** The leader of its island, with a link that the test answers for. */
function leader(): {
  carrier: Carrier;
  sent: Sent[];
  messages: { readonly to: string; readonly message: UplinkMessage }[];
  links: string[];
  run: (untilMs: number) => void;
} {
  const sent: Sent[] = [];
  const messages: { readonly to: string; readonly message: UplinkMessage }[] = [];
  const links: string[] = [];
  const carrier = new Carrier(
    {
      self: 'self',
      prng: new Prng(1),
      pace: new TokenBucket(0),
      hello: () => ({ type: 'hub-hello', shards: 16, clusterId: 'cluster', buckets: [], actors: [] }),
      send: (to, message) => void messages.push({ to, message }),
      openLink: () => void links.push('open'),
      closeLink: () => void links.push('close'),
      transmit: (id, request) => void sent.push({ id, request }),
      onRoute: () => undefined,
      onNews: () => undefined,
      onRefused: () => undefined,
    },
    0,
  );
  carrier.handleLeader('self', 0);
  let nowMs = 0;
  const run = (untilMs: number): void => {
    for (; nowMs < untilMs; nowMs += 1000) carrier.handleTimeout(nowMs);
  };
  return { carrier, sent, messages, links, run };
}

function greet({ carrier, sent }: ReturnType<typeof leader>, nowMs: number): void {
  carrier.handleLinkUp(nowMs);
  const hello = sent.at(-1);
  expect(hello?.request.type).toBe('hub-hello');
  carrier.handleLinkReply(hello?.id ?? 0, WELCOME, nowMs);
}

describe('a session that gives no answer', () => {
  test('to hello is ended, and another one begun', () => {
    const end = leader();
    expect(end.links).toEqual(['open']);
    end.carrier.handleLinkUp(0);
    end.run(LONG_MS);
    expect(end.links.slice(0, 3)).toEqual(['open', 'close', 'open']);
  });

  test('to requests is ended, and does not keep further ones for ever', () => {
    const end = leader();
    greet(end, 0);
    const replies: (HubReply | null)[] = [];
    for (let i = 0; i < 20; i++) end.carrier.request(ASK, false, (reply) => void replies.push(reply));
    end.run(LONG_MS);
    expect(replies).toHaveLength(20);
    expect(end.links).toContain('close');
    greet(end, LONG_MS);
    const before = end.sent.length;
    end.carrier.request(ASK, false, () => undefined);
    expect(end.sent).toHaveLength(before + 1);
  });

  test('because there is another way leaves alone what is asked that way', () => {
    const end = leader();
    end.carrier.handlePeerUp('peer', 0);
    greet(end, 0);
    let lost = 0;
    const askAgain = (reply: HubReply | null): void => {
      if (reply === null && ++lost < 10) end.carrier.request(ASK, false, askAgain);
    };
    end.carrier.request(ASK, false, askAgain);
    end.carrier.handleMessage('peer', { type: 'uplink-state', session: 5 }, 0);
    end.carrier.handleLinkDown(0);
    expect(lost).toBe(1);
    expect(end.messages.filter(({ message }) => message.type === 'uplink-request')).toHaveLength(1);
  });

  test('to a request of another member is ended, and the member told so', () => {
    const end = leader();
    end.carrier.handlePeerUp('peer', 0);
    greet(end, 0);
    end.carrier.handleMessage('peer', { type: 'uplink-request', id: 7, urgent: false, request: ASK }, 0);
    end.run(LONG_MS);
    expect(end.messages).toContainEqual({ to: 'peer', message: { type: 'uplink-reply', id: 7, reply: null } });
  });
});
