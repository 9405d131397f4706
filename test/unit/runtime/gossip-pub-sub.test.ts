import { describe, expect, it } from 'vitest';
import type { PublicationListener } from '../../../src/ports/pub-sub.ts';
import { GossipPubSub } from '../../../src/runtime/gossip-pub-sub.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryNetwork, type MemoryTransport } from '../../support/memory-transport.ts';
import { RecordingHandler } from '../../support/recording-handler.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const MEBIBYTE = 1024 * 1024;

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

class Peer {
  readonly clock = new ManualClock();
  readonly heard: string[] = [];
  readonly transport: MemoryTransport;
  readonly pubSub: GossipPubSub;
  readonly listener: PublicationListener = ({ channel, message }) => {
    this.heard.push(`${Buffer.from(channel).toString()}=${Buffer.from(message.subarray(0, 20)).toString()}`);
    return 1;
  };

  constructor(network: MemoryNetwork) {
    this.transport = network.create('secret');
    this.pubSub = new GossipPubSub(this.transport, this.clock, new RecordingLog());
  }

  async start(): Promise<void> {
    const handler = new RecordingHandler();
    handler.handlePublication = (topic, from, data) => this.pubSub.handlePublication(topic, from, data);
    await this.transport.start(handler);
    this.pubSub.start();
  }

  publish(channel: string, message: string | Uint8Array): Promise<number> {
    const data = typeof message === 'string' ? bytes(message) : message;
    return this.pubSub.publish({ channel: bytes(channel), message: data });
  }
}

async function settle(): Promise<void> {
  await new Promise((done) => setImmediate(done));
}

async function pair(): Promise<[Peer, Peer]> {
  const network = new MemoryNetwork();
  const peers: [Peer, Peer] = [new Peer(network), new Peer(network)];
  for (const peer of peers) await peer.start();
  peers[0].transport.join(peers[1].transport);
  peers[1].transport.join(peers[0].transport);
  return peers;
}

describe('pub/sub of a node', () => {
  it('delivers to its own subscribers before anything else, also before it has started', () => {
    const alone = new Peer(new MemoryNetwork());
    alone.pubSub.subscribe(bytes('news'), alone.listener);
    alone.pubSub.subscribe(null, alone.listener);
    void alone.publish('news', 'one');
    void alone.publish('other', 'two');
    expect(alone.heard).toEqual(['news=one', 'news=one', 'other=two']);
  });

  it('tells how many receivers there were here', async () => {
    const [a, b] = await pair();
    a.pubSub.subscribe(bytes('news'), () => 3);
    a.pubSub.subscribe(null, () => 2);
    b.pubSub.subscribe(bytes('news'), b.listener);
    expect(await a.publish('news', 'one')).toBe(5);
    expect(await a.publish('none', 'one')).toBe(2);
    expect(await b.publish('none', 'one')).toBe(0);
  });

  it('reaches subscribers of a channel and of all channels on other nodes, once and in order', async () => {
    const [a, b] = await pair();
    b.pubSub.subscribe(bytes('news'), b.listener);
    const endAll = b.pubSub.subscribe(null, b.listener);
    a.pubSub.subscribe(bytes('news'), a.listener);
    for (const message of ['1', '2', '3']) await a.publish('news', message);
    await a.publish('elsewhere', '4');
    await settle();
    expect(b.heard).toEqual(['news=1', 'news=1', 'news=2', 'news=2', 'news=3', 'news=3', 'elsewhere=4']);
    expect(a.heard).toEqual(['news=1', 'news=2', 'news=3']);
    endAll();
    endAll();
    await a.publish('news', '5');
    await settle();
    expect(b.heard.slice(7)).toEqual(['news=5']);
    expect(a.pubSub.counters).toEqual({ sent: 5, received: 0, dropped: 0, refused: 0 });
    expect(b.pubSub.counters).toEqual({ sent: 0, received: 5, dropped: 0, refused: 0 });
  });

  it('takes part in a topic until a while after its last subscriber', async () => {
    const [a, b] = await pair();
    const end = b.pubSub.subscribe(bytes('news'), b.listener);
    const second = b.pubSub.subscribe(bytes('news'), b.listener);
    end();
    b.clock.advance(60_000);
    await a.publish('news', '1');
    await settle();
    expect(b.heard).toEqual(['news=1']);
    second();
    b.clock.advance(20_000);
    await a.publish('news', '2');
    await settle();
    expect(b.pubSub.counters.received).toBe(2);
    b.clock.advance(20_000);
    await a.publish('news', '3');
    await settle();
    expect(b.pubSub.counters.received).toBe(2);
    const again = b.pubSub.subscribe(bytes('news'), b.listener);
    await a.publish('news', '4');
    await settle();
    expect(b.heard).toEqual(['news=1', 'news=4']);
    // Somebody came back meanwhile: the wait begins anew.
    again();
    b.clock.advance(20_000);
    b.pubSub.subscribe(bytes('news'), b.listener)();
    b.clock.advance(20_000);
    await a.publish('news', '5');
    await settle();
    expect(b.pubSub.counters.received).toBe(4);
  });

  it('subscriptions made before the transport starts count from its start', async () => {
    const network = new MemoryNetwork();
    const [a, b] = [new Peer(network), new Peer(network)];
    b.pubSub.subscribe(bytes('news'), b.listener);
    await a.start();
    await b.start();
    a.transport.join(b.transport);
    b.transport.join(a.transport);
    await a.publish('news', '1');
    await settle();
    expect(b.heard).toEqual(['news=1']);
  });

  it('paces what goes to others, in order, and drops what would not fit in the line', async () => {
    const [a, b] = await pair();
    b.pubSub.subscribe(bytes('news'), b.listener);
    let answered = 0;
    for (let i = 0; i < 20; i++) {
      void a.publish('news', bytes(String(i).padEnd(MEBIBYTE, ' '))).then(() => answered++);
    }
    await settle();
    // A burst of 8 MiB, 7 of which the last may overdraw; 7 wait; the rest is dropped, and its callers go on.
    expect(b.heard).toHaveLength(8);
    expect(a.pubSub.counters).toEqual({ sent: 8, received: 0, dropped: 5, refused: 0 });
    expect(answered).toBe(13);
    for (let i = 0; i < 20; i++) {
      a.clock.advance(100);
      await settle();
    }
    expect(b.heard.map((text) => text.trim())).toEqual(Array.from({ length: 15 }, (_, i) => `news=${i}`));
    expect(answered).toBe(20);
  });

  it('refuses channels and messages over their bounds, and tells nobody', async () => {
    const [a] = await pair();
    a.pubSub.subscribe(null, a.listener);
    await expect(a.publish('c'.repeat(1025), 'x')).rejects.toMatchObject({ code: 'bad-request' });
    await expect(a.publish('c', new Uint8Array(MEBIBYTE + 1))).rejects.toMatchObject({ code: 'value-too-large' });
    expect(a.heard).toEqual([]);
    expect(await a.publish('c'.repeat(1024), new Uint8Array(MEBIBYTE))).toBe(1);
  });

  it('counts what it cannot decode against the sender, and ignores topics of others', async () => {
    const [a, b] = await pair();
    b.pubSub.subscribe(null, b.listener);
    for (let i = 0; i < 5; i++) await a.transport.publish(`holdfast/pubsub/1/${i}`, new Uint8Array([200]));
    b.pubSub.handlePublication('something/else', a.transport.self, new Uint8Array([200]));
    await settle();
    expect(b.pubSub.counters.refused).toBe(5);
    expect(b.transport.counters()['misbehaviour_total']).toBe(5);
    expect(b.heard).toEqual([]);
  });

  it('a gossip that fails is counted and fails no caller', async () => {
    const [a] = await pair();
    a.transport.publish = () => Promise.reject(new Error('no'));
    expect(await a.publish('news', 'x')).toBe(0);
    expect(a.pubSub.counters).toMatchObject({ sent: 0, dropped: 1 });
  });

  it('stops with its callers answered', async () => {
    const [a] = await pair();
    const last = Array.from({ length: 10 }, () => a.publish('news', new Uint8Array(MEBIBYTE)));
    await settle();
    a.pubSub.stop();
    expect(await Promise.all(last)).toEqual(Array.from({ length: 10 }, () => 0));
    expect(await a.publish('news', 'x')).toBe(0);
    expect(a.pubSub.counters.sent).toBe(8);
  });
});
