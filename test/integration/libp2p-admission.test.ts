import type { Stream } from '@libp2p/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeFrame } from '../../src/adapters/libp2p/frame-reader.ts';
import { laneProtocol } from '../../src/adapters/libp2p/peer-link.ts';
import { FRAME_BYTES_MAX } from '../../src/ports/transport.ts';
import type { TestNode } from '../support/libp2p-nodes.ts';
import { HELLO, Libp2pNodes, numbered, portOf, SECRET, seedOf } from '../support/libp2p-nodes.ts';
import type { RawPeer } from '../support/raw-libp2p-peer.ts';
import { createRawPeer } from '../support/raw-libp2p-peer.ts';
import { sendAndEnd } from '../support/raw-socket.ts';
import { until } from '../support/until.ts';

describe('libp2p admission and hostile input', () => {
  let cluster: Libp2pNodes;
  let raw: RawPeer;

  beforeEach(async () => {
    cluster = new Libp2pNodes();
    raw = await createRawPeer({ eager: true });
  });

  afterEach(async () => {
    await raw.libp2p.stop();
    await cluster.stop();
  });

  it.each([
    ['secret-mismatch', { secret: 'wrong' }, /same --secret/],
    ['cluster-mismatch', { hello: { ...HELLO, clusterId: 'other' } }, /belongs to cluster/],
    ['version-mismatch', { hello: { ...HELLO, versionMin: 2, versionMax: 2 } }, /update the older/],
    ['shards-mismatch', { hello: { ...HELLO, shards: 64 } }, /same configuration/],
  ])('refuses a peer with %s, counts it on both sides and logs cause and fix once', async (code, options, advice) => {
    const a = await cluster.start();
    const b = await cluster.start(options);
    const counter = `admissions_refused_total_${code.replaceAll('-', '_')}`;
    for (const repeat of [1, 2]) {
      b.transport.dial(a.transport.self, [a.address]);
      await until(
        'both sides count it',
        () => a.transport.counters()[counter] === repeat && b.transport.counters()[counter] === repeat,
      );
      await until('the dial is reported', () => b.seen.dialFailures.length === repeat);
    }
    expect(b.seen.dialFailures[0]).toEqual({ peer: a.transport.self, reason: 'denied' });
    for (const node of [a, b]) {
      expect(node.log.warnings()).toEqual([expect.stringMatching(advice)]);
      expect(node.seen.connected).toEqual([]);
    }
  });

  it('closes a connection that never asks to be admitted', async () => {
    const a = await cluster.start({ admissionDeadlineMs: 300 });
    const connection = await raw.dial(a.address);
    await until('the node hangs up', () => connection.status !== 'open');
    expect(a.transport.counters()['admissions_refused_total_timeout']).toBe(1);
    await expectAlive(a);
  });

  it('serves no lane to a peer that is not admitted', async () => {
    const a = await cluster.start();
    const connection = await raw.dial(a.address);
    const stream = await connection.newStream(laneProtocol('data'));
    sendQuietly(stream, encodeFrame(numbered(1)));
    await until('the stream is reset', () => stream.status !== 'open');
    expect(a.transport.counters()['streams_refused_total']).toBeGreaterThanOrEqual(1);
    expect(a.seen.frames).toEqual([]);
    await expectAlive(a);
  });

  it('neither tells an unadmitted gossipsub peer anything nor believes it', async () => {
    const a = await cluster.start({ admissionDeadlineMs: 20_000 });
    const b = await cluster.start({ seeds: [seedOf(a)] });
    for (const { transport } of [a, b]) transport.subscribe('news');
    raw.libp2p.services.pubsub.subscribe('news');
    const connection = await raw.dial(a.address);
    await until(
      'the stranger has tried to open a gossip stream',
      () => (a.transport.counters()['streams_refused_total'] ?? 0) > 0,
    );
    await until('b hears a', async () => {
      await a.transport.publish('news', Buffer.from('for members'));
      await raw.libp2p.services.pubsub.publish('news', Buffer.from('from a stranger'));
      return b.seen.publications.length > 2;
    });
    expect(connection.status).toBe('open');
    expect(raw.publications).toEqual([]);
    expect(texts(a)).not.toContain('from a stranger');
    expect(texts(b)).not.toContain('from a stranger');

    // An admitted peer of the same make is heard and hears: the silence above was the guard's doing.
    const member = await createRawPeer({ eager: false });
    member.libp2p.services.pubsub.subscribe('news');
    expect(await dialAndAdmit(member, a)).toBe('admitted');
    await until('the admitted peer takes part', async () => {
      await a.transport.publish('news', Buffer.from('for members'));
      await member.libp2p.services.pubsub.publish('news', Buffer.from('from a member'));
      return member.publications.includes('for members') && texts(b).includes('from a member');
    });
    await member.libp2p.stop();
  });

  it('lives on after garbage on its port, and counts it', async () => {
    const a = await cluster.start();
    const inputs = [
      Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      Buffer.alloc(100_000, 0xff),
      Buffer.alloc(5000),
      Buffer.from('\x13/multistream/1.0.0\n'),
      Buffer.concat([Buffer.from('\x13/multistream/1.0.0\n\x07/noise\n'), Buffer.alloc(70_000, 7)]),
    ];
    for (const input of inputs) await sendAndEnd(portOf(a), input);
    await until('all are counted', () => a.transport.counters()['inbound_handshakes_failed_total'] === inputs.length);
    await expectAlive(a);
  });

  it('resets a lane with an impossible frame, and bans the peer after a few', async () => {
    const a = await cluster.start();
    const connection = await raw.dial(a.address);
    expect(await raw.admit(connection, SECRET, HELLO)).toBe('admitted');
    const good = await connection.newStream(laneProtocol('control'));
    good.send(encodeFrame(numbered(1)));
    await until('a good frame arrives', () => a.seen.frames.length === 1);

    for (let broken = 1; broken <= 3; broken++) {
      const stream = await connection.newStream(laneProtocol('data'));
      const header = new Uint8Array(4 + 100);
      new DataView(header.buffer).setUint32(0, FRAME_BYTES_MAX + 1);
      sendQuietly(stream, header);
      await until('the lane is reset', () => stream.status !== 'open');
      expect(a.transport.counters()['lane_resets_total']).toBe(broken);
      expect(a.transport.isConnected(raw.libp2p.peerId.toString())).toBe(broken < 3);
    }
    await until('the ban takes effect', () => a.seen.disconnected.length === 1 && connection.status !== 'open');
    expect(a.transport.counters()['bans_total']).toBe(1);
    const again = await dialAndAdmit(raw, a);
    expect(again).not.toBe('admitted');
    await expectAlive(a);
  });

  it('refuses a malformed admission message', async () => {
    const a = await cluster.start();
    const connection = await raw.dial(a.address);
    const stream = await connection.newStream('/holdfast/admit/1');
    sendQuietly(stream, Buffer.alloc(64, 0xff));
    await until('it is refused', () => a.transport.counters()['admissions_refused_total_malformed'] === 1);
    await until('the connection is closed', () => connection.status !== 'open');
    await expectAlive(a);
  });

  /** A node that is alive admits an honest peer and exchanges frames with it. */
  async function expectAlive(node: TestNode): Promise<void> {
    const friend = await cluster.start({ seeds: [seedOf(node)] });
    await until('an honest peer joins', () => friend.transport.isConnected(node.transport.self));
    const before = node.seen.frames.length;
    await until('a frame gets through', () => {
      friend.transport.send(node.transport.self, 'data', numbered(42));
      return node.seen.frames.length > before;
    });
  }
});

async function dialAndAdmit(raw: RawPeer, node: TestNode): Promise<string> {
  try {
    return await raw.admit(await raw.dial(node.address), SECRET, HELLO);
  } catch {
    return 'hung up';
  }
}

function texts(node: TestNode): string[] {
  return node.seen.publications.map(({ text }) => text);
}

/** The node may have reset the stream already. */
function sendQuietly(stream: Stream, bytes: Uint8Array): void {
  try {
    stream.send(bytes);
  } catch {
    expect(stream.status).not.toBe('open');
  }
}
