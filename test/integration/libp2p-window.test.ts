import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import type { Libp2p, Stream } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { createLibp2p } from 'libp2p';
import { afterEach, describe, expect, it } from 'vitest';
import { delayWindowUpdates } from '../../src/adapters/libp2p/window-updates.ts';
import { until } from '../support/until.ts';

const PROTOCOL = '/test/1';
const MESSAGE_BYTES = 1000;
const WINDOW_BYTES = 256 * 1024;
const hosts: Libp2p[] = [];

afterEach(async () => {
  await Promise.all(hosts.splice(0).map(async (host) => host.stop()));
});

async function startHost(): Promise<Libp2p> {
  const host = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
  });
  hosts.push(host);
  return host;
}

/** A stream between two hosts; counts what the receiver gets and how often it grants window space. */
async function connect(receive: (stream: Stream) => void) {
  const [from, to] = [await startHost(), await startHost()];
  const seen = { bytes: 0, grants: 0 };
  await to.handle(PROTOCOL, (stream) => {
    const inner = stream as Stream & { sendWindowUpdate: () => void; recvWindowCapacity: number };
    receive(stream);
    // Called for each message; the capacity grows only when the sender is told of it.
    const update = inner.sendWindowUpdate.bind(inner);
    inner.sendWindowUpdate = () => {
      const before = inner.recvWindowCapacity;
      update();
      if (inner.recvWindowCapacity > before) seen.grants += 1;
    };
    stream.addEventListener('message', (event) => {
      seen.bytes += event.data.byteLength;
    });
  });
  const connection = await from.dial(to.getMultiaddrs());
  return { stream: await connection.newStream(PROTOCOL), seen };
}

async function send(stream: Stream, messages: number): Promise<void> {
  for (let i = 0; i < messages; i++) if (!stream.send(new Uint8Array(MESSAGE_BYTES))) await stream.onDrain();
}

describe('window updates of a stream', () => {
  it('follow every message as the library does it', async () => {
    const { stream, seen } = await connect(() => undefined);
    await send(stream, 100);
    await until('all has arrived', () => seen.bytes === 100 * MESSAGE_BYTES);
    expect(seen.grants).toBeGreaterThanOrEqual(10);
  });

  it('are kept back while less than half of the window is used', async () => {
    const { stream, seen } = await connect(delayWindowUpdates);
    await send(stream, 100);
    await until('all has arrived', () => seen.bytes === 100 * MESSAGE_BYTES);
    expect(seen.grants).toBe(0);
  });

  it('come in time for a sender that fills window after window', async () => {
    const { stream, seen } = await connect(delayWindowUpdates);
    const messages = Math.ceil((8 * WINDOW_BYTES) / MESSAGE_BYTES);
    await send(stream, messages);
    await until('all has arrived', () => seen.bytes === messages * MESSAGE_BYTES);
    expect(seen.grants).toBeGreaterThanOrEqual(1);
    expect(seen.grants).toBeLessThanOrEqual(messages / 50);
  });
});
