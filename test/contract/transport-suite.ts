import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Transport } from '../../src/ports/transport.ts';
import { FRAME_BYTES_MAX, LANES } from '../../src/ports/transport.ts';
import { RecordingHandler } from '../support/recording-handler.ts';
import { until } from '../support/until.ts';

/** Creates transports that can reach each other; those with another secret must not be admitted. */
export interface TransportHarness {
  create(secret: string): Promise<Transport>;
}

interface Node {
  readonly transport: Transport;
  readonly seen: RecordingHandler;
}

/** What every Transport must do, whatever carries it. */
export function describeTransport(createHarness: () => TransportHarness): void {
  let harness: TransportHarness;
  let nodes: Node[];

  beforeEach(() => {
    harness = createHarness();
    nodes = [];
  });

  afterEach(async () => {
    await Promise.all(nodes.map(({ transport }) => transport.stop()));
  });

  async function startNode(secret = 'one secret for all'): Promise<Node> {
    const node = { transport: await harness.create(secret), seen: new RecordingHandler() };
    await node.transport.start(node.seen);
    nodes.push(node);
    return node;
  }

  async function connect(from: Node, to: Node): Promise<void> {
    from.transport.dial(to.transport.self, to.transport.addresses());
    await until('both ends are connected', () => isJoined(from, to) && isJoined(to, from));
  }

  async function startPair(): Promise<[Node, Node]> {
    const pair: [Node, Node] = [await startNode(), await startNode()];
    await connect(...pair);
    return pair;
  }

  it('connects by dialling and reports each peer once, with where it can be dialled', async () => {
    const [a, b] = await startPair();
    expect(a.seen.connected.map(({ peer }) => peer)).toEqual([b.transport.self]);
    expect(b.seen.connected.map(({ peer }) => peer)).toEqual([a.transport.self]);
    expect(a.seen.connected[0]?.addresses).toEqual(b.transport.addresses());
    expect(b.seen.connected[0]?.addresses).toEqual(a.transport.addresses());
  });

  it('reports one peer when both dial at once', async () => {
    const a = await startNode();
    const b = await startNode();
    b.transport.dial(a.transport.self, a.transport.addresses());
    await connect(a, b);
    await exchange(a, b);
    expect([a.seen.connected.length, b.seen.connected.length]).toEqual([1, 1]);
    expect([a.seen.disconnected, b.seen.disconnected]).toEqual([[], []]);
  });

  it('takes dialling a connected peer for done', async () => {
    const [a, b] = await startPair();
    a.transport.dial(b.transport.self, b.transport.addresses());
    await exchange(a, b);
    expect(a.seen.connected.length).toBe(1);
    expect(a.seen.dialFailures).toEqual([]);
  });

  it('carries frames on every lane both ways, whole and in order', async () => {
    const [a, b] = await startPair();
    for (const lane of LANES) {
      for (let i = 0; i < 200; i++) {
        expect(a.transport.send(b.transport.self, lane, frameOf(i))).toBe(true);
        expect(b.transport.send(a.transport.self, lane, frameOf(i + 1000))).toBe(true);
      }
    }
    await until('all frames arrive', () => a.seen.frames.length === 600 && b.seen.frames.length === 600);
    for (const lane of LANES) {
      expect(b.seen.framesOf(lane).map(numberOf)).toEqual(Array.from({ length: 200 }, (_, i) => i));
      expect(a.seen.framesOf(lane).map(numberOf)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1000));
    }
  });

  it('carries the largest frame on every lane', async () => {
    const [a, b] = await startPair();
    const frame = new Uint8Array(FRAME_BYTES_MAX).map((_, i) => (i * 7919) >>> 5);
    for (const lane of LANES) expect(a.transport.send(b.transport.self, lane, frame)).toBe(true);
    await until('all three arrive', () => b.seen.frames.length === LANES.length);
    for (const { frame: received } of b.seen.frames) expect(Buffer.compare(received, frame)).toBe(0);
  });

  it('refuses frames beyond the queue of a lane, and delivers every one that it took', async () => {
    const [a, b] = await startPair();
    const taken: number[] = [];
    for (let i = 0; i < 100; i++) {
      if (a.transport.send(b.transport.self, 'control', frameOf(i, 64 * 1024))) taken.push(i);
    }
    expect(taken.length).toBeGreaterThan(4);
    expect(taken.length).toBeLessThan(100);
    await until('what was taken arrives', () => b.seen.frames.length === taken.length);
    expect(b.seen.frames.map(({ frame }) => numberOf(frame))).toEqual(taken);
    expect(a.transport.counters()['frames_dropped_total_control']).toBe(100 - taken.length);
    await exchange(a, b);
  });

  it('drops frames to peers that are not connected', async () => {
    const a = await startNode();
    const b = await startNode();
    expect(a.transport.isConnected(b.transport.self)).toBe(false);
    expect(a.transport.send(b.transport.self, 'data', frameOf(1))).toBe(false);
    expect(a.transport.counters()['frames_dropped_total_data']).toBe(1);
  });

  it('disconnects both ends, and connects again', async () => {
    const [a, b] = await startPair();
    a.transport.disconnect(b.transport.self);
    expect(a.transport.isConnected(b.transport.self)).toBe(false);
    expect(a.transport.send(b.transport.self, 'data', frameOf(1))).toBe(false);
    await until('both know', () => a.seen.disconnected.length === 1 && b.seen.disconnected.length === 1);
    expect([a.seen.disconnected, b.seen.disconnected]).toEqual([[b.transport.self], [a.transport.self]]);
    await connect(a, b);
    await exchange(a, b);
  });

  it('reports the loss of a peer that stops', async () => {
    const [a, b] = await startPair();
    await b.transport.stop();
    await until('the loss is known', () => a.seen.disconnected.length === 1);
    expect(a.transport.isConnected(b.transport.self)).toBe(false);
  });

  it('reports a refused dial where nothing listens any more', async () => {
    const a = await startNode();
    const b = await startNode();
    const addresses = b.transport.addresses();
    await b.transport.stop();
    a.transport.dial(b.transport.self, addresses);
    await until('the dial fails', () => a.seen.dialFailures.length > 0);
    expect(a.seen.dialFailures[0]).toEqual({ peer: b.transport.self, reason: 'refused' });
    expect(a.seen.connected).toEqual([]);
  });

  it('does not admit a peer with another secret', async () => {
    const a = await startNode();
    const stranger = await startNode('another secret');
    stranger.transport.dial(a.transport.self, a.transport.addresses());
    await until('the dial is denied', () => stranger.seen.dialFailures.length > 0);
    expect(stranger.seen.dialFailures[0]).toEqual({ peer: a.transport.self, reason: 'denied' });
    expect([a.seen.connected, stranger.seen.connected]).toEqual([[], []]);
    expect(stranger.transport.send(a.transport.self, 'data', frameOf(1))).toBe(false);
  });

  it('delivers publications to subscribers among its peers and to itself', async () => {
    const [a, b] = await startPair();
    const c = await startNode();
    await connect(c, a);
    for (const { transport } of [a, b]) transport.subscribe('news');
    c.transport.subscribe('other');
    // Subscriptions travel on their own; what is published before they arrive may be missed.
    await until('b hears a', async () => {
      await a.transport.publish('news', new TextEncoder().encode('hello'));
      return b.seen.publications.length > 0;
    });
    expect(b.seen.publications[0]).toEqual({ topic: 'news', from: a.transport.self, text: 'hello' });
    expect(a.seen.publications[0]).toEqual({ topic: 'news', from: a.transport.self, text: 'hello' });
    expect(c.seen.publications).toEqual([]);
    a.transport.unsubscribe('news');
    const before = a.seen.publications.length;
    await a.transport.publish('news', new TextEncoder().encode('again'));
    await until('b hears a again', () => b.seen.publications.some(({ text }) => text === 'again'));
    expect(a.seen.publications.length).toBe(before);
  });

  it('publishes into the void without an error', async () => {
    const a = await startNode();
    await expect(a.transport.publish('nobody', new Uint8Array([1]))).resolves.toBeUndefined();
  });

  it('disconnects and bans a peer that is reported again and again', async () => {
    const [a, b] = await startPair();
    a.transport.reportMisbehaviour(b.transport.self, 'once is no crime');
    expect(a.transport.isConnected(b.transport.self)).toBe(true);
    for (let i = 0; i < 10; i++) a.transport.reportMisbehaviour(b.transport.self, 'undecodable frame');
    expect(a.transport.isConnected(b.transport.self)).toBe(false);
    expect(a.transport.counters()['misbehaviour_total']).toBe(11);
    a.transport.dial(b.transport.self, b.transport.addresses());
    await until('the dial fails', () => a.seen.dialFailures.length > 0);
    expect(a.seen.dialFailures[0]).toEqual({ peer: b.transport.self, reason: 'denied' });
    expect(a.seen.connected.length).toBe(1);
  });

  async function exchange(a: Node, b: Node): Promise<void> {
    const before = b.seen.frames.length;
    const beforeA = a.seen.frames.length;
    expect(a.transport.send(b.transport.self, 'control', frameOf(7))).toBe(true);
    expect(b.transport.send(a.transport.self, 'control', frameOf(8))).toBe(true);
    await until('one frame each way', () => b.seen.frames.length > before && a.seen.frames.length > beforeA);
  }
}

function isJoined(node: Node, other: Node): boolean {
  return node.transport.isConnected(other.transport.self);
}

function frameOf(value: number, size = 100): Uint8Array {
  const frame = new Uint8Array(size);
  new DataView(frame.buffer).setUint32(0, value);
  return frame;
}

function numberOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(0);
}
