import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../src/lib/prng.ts';
import { TokenBucket } from '../../../../src/lib/token-bucket.ts';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import { Carrier } from '../../../../src/protocol/uplink/carrier.ts';
import { DrainPace } from '../../../../src/protocol/uplink/drain-pace.ts';
import type { HubReply, HubRequest, UplinkItem } from '../../../../src/protocol/uplink/message.ts';
import type { UplinkMessage } from '../../../../src/protocol/uplink/relay.ts';

const ASK: HubRequest = { type: 'hub-ask', shards: [1], combined: null };
const WELCOME: HubReply = { type: 'hub-welcome', site: 'site', hub: 'hub', buckets: [] };
const PUSH: HubRequest = {
  type: 'hub-push',
  pushes: [
    {
      shard: 1,
      context: new CausalContext(),
      items: Array.from({ length: 100 }, (_, i) => itemOf(`key-${i}`)),
      later: new CausalContext(),
      skipped: new CausalContext(),
      skippedOf: [],
      own: new CausalContext(),
    },
  ],
};
/** By then all that waits has ended. */
const LONG_MS = 400_000;

interface Sent {
  readonly id: number;
  readonly request: HubRequest;
}

/** The leader of its island, with a link that the test answers for. */
function leader(bytesPerSecond = 0): {
  carrier: Carrier;
  drain: DrainPace;
  sent: Sent[];
  messages: { readonly to: string; readonly message: UplinkMessage }[];
  links: string[];
  run: (untilMs: number) => void;
} {
  const sent: Sent[] = [];
  const messages: { readonly to: string; readonly message: UplinkMessage }[] = [];
  const links: string[] = [];
  const drain = new DrainPace();
  const carrier = new Carrier(
    {
      self: 'self',
      prng: new Prng(1),
      pace: new TokenBucket(bytesPerSecond),
      drain,
      hello: () => ({ type: 'hub-hello', shards: 16, clusterId: 'cluster', buckets: [], actors: [] }),
      send: (to, message) => void messages.push({ to, message }),
      openLink: () => void links.push('open'),
      closeLink: () => void links.push('close'),
      transmit: (id, request) => void sent.push({ id, request }),
      onRoute: () => undefined,
      onNews: () => undefined,
      onBuckets: () => undefined,
      onRefused: () => undefined,
    },
    0,
  );
  carrier.handleLeader('self', 0);
  let nowMs = 0;
  const run = (untilMs: number): void => {
    for (; nowMs < untilMs; nowMs += 1000) carrier.handleTimeout(nowMs);
  };
  return { carrier, drain, sent, messages, links, run };
}

function itemOf(key: string): UplinkItem {
  return { bucket: 'b', key, entries: [], past: null, events: new CausalContext(), more: false, sent: null };
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

describe('a node that serves clients', () => {
  test('sends what it and others have one after the other, and what is urgent in between', () => {
    const end = leader();
    end.carrier.handlePeerUp('peer', 0);
    greet(end, 0);
    end.drain.noteServed(0);
    end.drain.handleTurn(0, 0);
    end.drain.handleTurn(0, 100);
    const relayed: UplinkMessage = { type: 'uplink-request', id: 7, urgent: false, request: PUSH };
    const before = end.sent.length;
    end.carrier.request(PUSH, false, () => undefined);
    end.carrier.handleMessage('peer', relayed, 100);
    expect(end.sent.slice(before).map(({ request }) => request.type)).toEqual(['hub-push']);
    expect(end.carrier.isBusy).toBe(true);
    end.carrier.request(ASK, true, () => undefined);
    expect(end.sent.at(-1)?.request.type).toBe('hub-ask');
    let turns = 0;
    for (let nowMs = 120; end.carrier.isBusy; nowMs += 20) {
      end.drain.noteServed(nowMs);
      end.drain.handleTurn(0, nowMs);
      end.carrier.handleTimeout(nowMs);
      turns++;
    }
    expect(turns).toBeGreaterThan(3);
    expect(turns).toBeLessThan(50);
    expect(end.sent.slice(before).map(({ request }) => request.type)).toEqual(['hub-push', 'hub-ask', 'hub-push']);
  });

  test('and has no session holds its requests back as well, and forgets those that are lost with the way', () => {
    const end = leader();
    end.carrier.handlePeerUp('peer', 0);
    end.carrier.handleMessage('peer', { type: 'uplink-state', session: 5 }, 0);
    end.drain.noteServed(0);
    end.drain.handleTurn(0, 0);
    end.drain.handleTurn(0, 100);
    const replies: (HubReply | null)[] = [];
    const requests = (): number => end.messages.filter(({ message }) => message.type === 'uplink-request').length;
    for (let i = 0; i < 3; i++) end.carrier.request(PUSH, false, (reply) => void replies.push(reply));
    expect(requests()).toBe(1);
    end.carrier.handleMessage('peer', { type: 'uplink-state', session: 0 }, 100);
    expect(replies).toEqual([null, null, null]);
    end.carrier.handleMessage('peer', { type: 'uplink-state', session: 6 }, 100);
    end.run(10_000);
    expect(end.carrier.isBusy).toBe(false);
    expect(requests()).toBe(1);
  });
});

describe('where more is to be sent than may be', () => {
  /** Bytes per second; a push takes about ten seconds. */
  const SLOW = 70;
  const REQUESTS = 20;

  function relayed(id: number): UplinkMessage {
    return { type: 'uplink-request', id, urgent: false, request: PUSH };
  }

  test('another member asks anew for what has waited too long, and is not answered when it does so no longer', () => {
    const end = leader(SLOW);
    end.carrier.handlePeerUp('peer', 0);
    greet(end, 0);
    for (let id = 1; id <= REQUESTS; id++) end.carrier.handleMessage('peer', relayed(id), 0);
    const refusedBy = (): number[] =>
      end.messages.flatMap(({ message }) =>
        message.type === 'uplink-reply' && message.reply === null ? [message.id] : [],
      );
    const pushes = (): number => end.sent.filter(({ request }) => request === PUSH).length;
    end.run(59_000);
    expect(refusedBy()).toEqual([]);
    const before = pushes();
    expect(before).toBeGreaterThan(2);
    end.run(62_000);
    expect(refusedBy()).toHaveLength(REQUESTS - pushes());
    expect(end.carrier.isBusy).toBe(false);
    // There is time for the answer.
    end.carrier.handleMessage('peer', relayed(REQUESTS + 1), 62_000);
    end.run(80_000);
    expect(pushes()).toBeLessThan(before + 4);
    expect(refusedBy()).not.toContain(REQUESTS + 1);
  });

  test('what this node asks for itself is no better off', () => {
    const end = leader(SLOW);
    greet(end, 0);
    let refused = 0;
    for (let i = 0; i < REQUESTS; i++)
      end.carrier.request(PUSH, false, (reply) => void (refused += reply === null ? 1 : 0));
    end.run(59_000);
    expect(refused).toBe(0);
    end.run(62_000);
    expect(refused).toBeGreaterThan(REQUESTS / 2);
    expect(end.carrier.isBusy).toBe(false);
  });

  test('what is urgent does not keep out what is not', () => {
    const end = leader(SLOW);
    greet(end, 0);
    const goOn = (): void => end.carrier.request(PUSH, true, goOn);
    for (let i = 0; i < 4; i++) goOn();
    const isAsked = (): boolean => end.sent.some(({ request }) => request === ASK);
    const ask = (): void => end.carrier.request(ASK, false, ask);
    ask();
    expect(isAsked()).toBe(false);
    let answered = end.sent.length - 1;
    for (let nowMs = 1000; nowMs < LONG_MS && !isAsked(); nowMs += 1000) {
      end.run(nowMs);
      for (const { id } of end.sent.slice(answered)) end.carrier.handleLinkReply(id, { type: 'hub-noted' }, nowMs);
      answered = end.sent.length;
    }
    expect(isAsked()).toBe(true);
    expect(answered).toBeGreaterThan(5);
  });
});
