import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createIdentity } from '../../src/adapters/libp2p/identity.ts';
import { LANES } from '../../src/ports/transport.ts';
import { spawnJson } from '../support/json-child.ts';
import type { TestNode } from '../support/libp2p-nodes.ts';
import { Libp2pNodes, numbered, numberOf, portOf, seedOf } from '../support/libp2p-nodes.ts';
import { until } from '../support/until.ts';

const CHILD = new URL('../support/libp2p-child.ts', import.meta.url).pathname;

describe('libp2p mesh on loopback', () => {
  let cluster: Libp2pNodes;

  beforeEach(() => {
    cluster = new Libp2pNodes();
  });

  afterEach(async () => {
    await cluster.stop();
  });

  it('names the address and the fix when the port is taken, and when the address is wrong', async () => {
    const a = await cluster.start();
    const taken = cluster.start({ listen: [seedOf(a)] });
    await expect(taken).rejects.toMatchObject({ name: 'TransportError', code: 'address-in-use' });
    await expect(cluster.start({ listen: [seedOf(a)] })).rejects.toThrow(
      new RegExp(`127.0.0.1:${portOf(a)}.*--listen`),
    );
    await expect(cluster.start({ listen: ['/ip4/192.0.2.1/tcp/7400'] })).rejects.toMatchObject({
      code: 'address-unavailable',
    });
    await expect(cluster.start({ listen: ['0.0.0.0:7400'] })).rejects.toMatchObject({ code: 'bad-address' });
    await expect(cluster.start({ seeds: ['node1'] })).rejects.toMatchObject({ code: 'bad-address' });
  });

  it('dials a seed without peer id until it answers, and itself not for long', async () => {
    const first = await cluster.start();
    const address = seedOf(first);
    const identity = await createIdentity();
    await first.transport.stop();
    const waiting = await cluster.start({ seeds: [address] });
    await until('it has tried in vain', () => (waiting.transport.counters()['dial_failures_total_refused'] ?? 0) >= 2);
    const late = await cluster.start({ identity, listen: [address], seeds: [address] });
    await until('they are connected', () => joined(waiting, late) && joined(late, waiting));
    expect(waiting.seen.connected).toEqual([{ peer: identity.peer, addresses: [`${address}/p2p/${identity.peer}`] }]);
    expect(late.transport.counters()['peers_connected']).toBe(1);
  });

  it('lets the peer that was not talked to for longest give way when there are too many', async () => {
    const hub = await cluster.start({ linksMax: 2 });
    const [idle, used] = [await cluster.start(), await cluster.start()];
    idle.transport.dial(hub.transport.self, [hub.address]);
    await until('the first is connected', () => joined(idle, hub));
    used.transport.dial(hub.transport.self, [hub.address]);
    await until('the second is connected', () => joined(used, hub));
    hub.transport.send(used.transport.self, 'control', numbered(1));
    const third = await cluster.start();
    third.transport.dial(hub.transport.self, [hub.address]);
    await until('the first has given way', () => (hub.transport.counters()['links_evicted_total'] ?? 0) > 0);
    expect(hub.seen.disconnected[0]).toBe(idle.transport.self);
  });

  it('reaches a known peer again after a restart, and remembers addresses', async () => {
    const a = await cluster.start();
    const book = new Map<string, readonly string[]>();
    const b = await cluster.start({
      seeds: [seedOf(a)],
      onAddresses: (peer, addresses) => void book.set(peer, addresses),
    });
    await until('b knows a', () => book.has(a.transport.self));
    await b.transport.stop();
    const knownPeers = [...book].map(([peer, addresses]) => ({ peer, addresses }));
    const again = await cluster.start({ knownPeers });
    await until('b finds a without a seed', () => joined(again, a));
    expect(knownPeers).toEqual([{ peer: a.transport.self, addresses: [a.address] }]);
  });

  it('keeps one connection and every frame when both sides dial at once', async () => {
    const pairs: [TestNode, TestNode][] = [];
    for (let i = 0; i < 6; i++) pairs.push([await cluster.start(), await cluster.start()]);
    const sent = new Map<TestNode, number>();
    for (const [a, b] of pairs) {
      a.transport.dial(b.transport.self, [b.address]);
      b.transport.dial(a.transport.self, [a.address]);
    }
    const count = (node: TestNode, name: string): number => node.transport.counters()[name] ?? 0;
    await until('every dial is settled', () => pairs.flat().every((node) => count(node, 'dials_total') === 1));
    expect(pairs.flat().reduce((sum, node) => sum + count(node, 'duplicate_connections_total'), 0)).toBeGreaterThan(0);
    const sendOne = (from: TestNode, to: TestNode): void => {
      const next = sent.get(from) ?? 0;
      if (from.transport.send(to.transport.self, LANES[next % 3] ?? 'data', numbered(next))) sent.set(from, next + 1);
    };
    await until('the redundant connections are gone', () => {
      for (const [a, b] of pairs) {
        sendOne(a, b);
        sendOne(b, a);
      }
      return pairs.flat().every((node) => count(node, 'connections_open') === 1);
    });
    await until('every frame arrived', () =>
      pairs.every(([a, b]) => a.seen.frames.length === sent.get(b) && b.seen.frames.length === sent.get(a)),
    );
    for (const node of pairs.flat()) {
      for (const lane of LANES) {
        const numbers = node.seen.framesOf(lane).map(numberOf);
        expect(numbers).toEqual(numbers.toSorted((x, y) => x - y));
      }
      expect(node.seen.connected.length).toBe(1);
      expect(node.seen.disconnected).toEqual([]);
    }
  });

  it('replaces a half-open connection when the peer comes back', async () => {
    const a = await cluster.start();
    const relay = await startRelay(portOf(a));
    const identity = await createIdentity();
    const before = await cluster.start({ identity, seeds: [`/ip4/127.0.0.1/tcp/${relay.port}`] });
    await until('connected through the relay', () => joined(a, before));
    // From now on nothing passes, not even the end of the connection: a power cut as the other side sees it.
    relay.freeze();
    await before.transport.stop();
    expect(joined(a, before)).toBe(true);
    const after = await cluster.start({ identity, seeds: [seedOf(a)] });
    await until('the new one is admitted', () => a.seen.connected.length === 2);
    expect(a.seen.disconnected).toEqual([identity.peer]);
    await until('frames pass', () => {
      a.transport.send(identity.peer, 'control', numbered(1));
      return after.seen.frames.length > 0;
    });
    relay.close();
  });

  it('knows within moments that a peer was killed, and reports the refused redial', async () => {
    const a = await cluster.start();
    const child = spawnJson(process.execPath, [CHILD, JSON.stringify({ seeds: [seedOf(a)] })]);
    await until('the child joins', () => a.seen.connected.length === 1);
    const killedAt = performance.now();
    child.process.kill('SIGKILL');
    await until('the loss is known', () => a.seen.disconnected.length === 1);
    expect(performance.now() - killedAt).toBeLessThan(1_000);
    const { peer, addresses } = a.seen.connected[0] ?? { peer: '', addresses: [] };
    a.transport.dial(peer, addresses);
    await until('the redial is refused', () => a.seen.dialFailures.length === 1);
    expect(a.seen.dialFailures).toEqual([{ peer, reason: 'refused' }]);
  });

  it('leaves nothing behind that keeps the process alive', async () => {
    const a = await cluster.start();
    const child = spawnJson(process.execPath, [CHILD, JSON.stringify({ seeds: [seedOf(a)], stopWhenConnected: true })]);
    await until('the child exits by itself', () => child.exit !== null);
    expect({ exit: child.exit, errors: child.errors }).toEqual({ exit: 0, errors: [] });
    expect(child.events.map(({ event }) => event)).toContain('stopped');
  });

  it('reports a timeout when nobody answers the handshake', async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => {
      silent.listen(0, '127.0.0.1', resolve);
    });
    const port = (silent.address() as { port: number }).port;
    const a = await cluster.start({ dialTimeoutMs: 300 });
    const stranger = await createIdentity();
    a.transport.dial(stranger.peer, [`/ip4/127.0.0.1/tcp/${port}`]);
    await until('the dial times out', () => a.seen.dialFailures.length === 1);
    expect(a.seen.dialFailures).toEqual([{ peer: stranger.peer, reason: 'timeout' }]);
    silent.close();
  });

  it('delivers publications among three that are connected in a chain', async () => {
    const b = await cluster.start();
    const a = await cluster.start({ seeds: [seedOf(b)] });
    const c = await cluster.start({ seeds: [seedOf(b)] });
    for (const { transport } of [a, b, c]) transport.subscribe('news');
    await until('c hears a through b', async () => {
      await a.transport.publish('news', Buffer.from('over two hops'));
      return c.seen.publications.length > 0;
    });
    expect(c.seen.publications[0]).toEqual({ topic: 'news', from: a.transport.self, text: 'over two hops' });
    expect(joined(a, c)).toBe(false);
  });

  it('meshes twenty nodes within seconds', async () => {
    // All forty ends of the handshakes share this process; each takes longer than it would on a device of its own.
    const patient = { dialTimeoutMs: 20_000 };
    const hub = await cluster.start(patient);
    const startedAt = performance.now();
    const nodes = [
      hub,
      ...(await Promise.all(Array.from({ length: 19 }, () => cluster.start({ ...patient, seeds: [seedOf(hub)] })))),
    ];
    for (const node of nodes) {
      for (const other of nodes) {
        if (node.transport.self < other.transport.self) node.transport.dial(other.transport.self, [other.address]);
      }
    }
    await until(
      'everyone is connected to everyone',
      () => nodes.every(({ transport }) => transport.counters()['peers_connected'] === 19),
      30_000,
    );
    console.log(`20 nodes meshed in ${Math.round(performance.now() - startedAt)} ms`);
    for (const node of nodes) expect(node.seen.connected.length).toBe(19);
  });

  it('carries thousands of frames a second', async () => {
    const [a, b] = [await cluster.start(), await cluster.start()];
    a.transport.dial(b.transport.self, [b.address]);
    await until('connected', () => joined(a, b));
    const frame = numbered(1, 4096);
    const count = 20_000;
    let sent = 0;
    const startedAt = performance.now();
    await until('all arrived', () => {
      while (sent < count && a.transport.send(b.transport.self, 'data', frame)) sent += 1;
      return b.seen.frames.length === count;
    });
    const seconds = (performance.now() - startedAt) / 1000;
    console.log(`${Math.round(count / seconds)} frames of 4 KiB a second, both ends in one process`);
    expect(count / seconds).toBeGreaterThan(1_000);
  });
});

function joined(node: TestNode, other: TestNode): boolean {
  return node.transport.isConnected(other.transport.self);
}

/** Passes TCP on to a port until it is frozen; then it holds every connection open and passes nothing. */
async function startRelay(port: number): Promise<{ port: number; freeze(): void; close(): void }> {
  let frozen = false;
  const sockets: Socket[] = [];
  const pass = (from: Socket, to: Socket): void => {
    from.on('data', (bytes) => {
      if (!frozen) to.write(bytes);
    });
    from.on('end', () => {
      if (!frozen) to.end();
    });
    from.on('error', () => undefined);
  };
  const server: Server = createServer({ allowHalfOpen: true }, (inbound) => {
    const outbound = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    sockets.push(inbound, outbound);
    pass(inbound, outbound);
    pass(outbound, inbound);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as { port: number }).port,
    freeze() {
      frozen = true;
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
