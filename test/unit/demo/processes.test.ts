import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DemoCluster, type DemoNode } from '../../../src/demo/cluster.ts';
import { DemoProcess } from '../../../src/demo/demo-process.ts';
import { readEvents } from '../../../src/demo/event-stream.ts';
import { DemoHub } from '../../../src/demo/hub.ts';
import { attemptCommand, namespaceSupport } from '../../../src/demo/network.ts';
import { NodeClient } from '../../../src/demo/node-client.ts';
import { freePorts } from '../../../src/demo/ports.ts';
import { startServer } from '../../../src/demo/server.ts';
import { TcpForwarder } from '../../../src/demo/tcp-forwarder.ts';
import { until } from '../../support/until.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf-demo-test-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const noLoss = (): never => {
  throw new Error('not expected');
};

function script(code: string, options: { stopGraceMs?: number; onLost?: (error: Error) => void } = {}): DemoProcess {
  return new DemoProcess({
    name: 'n1',
    directory,
    command: [process.execPath, '-e', code],
    onLost: noLoss,
    ...options,
  });
}

async function logContains(node: DemoProcess, line: string): Promise<void> {
  await until(`the log has "${line}"`, async () => (await node.logTail()).includes(line));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('DemoProcess', () => {
  test('tells of an end that nobody asked for, and keeps the log', async () => {
    const { promise, resolve } = Promise.withResolvers<Error>();
    const node = script('console.error("the port is used"); process.exit(3)', { onLost: resolve });
    node.start();
    expect((await promise).message).toBe(
      'n1 ended on its own (exit status 3); the end of its log:\n  the port is used',
    );
    expect(await node.logTail()).toEqual(['the port is used']);
    expect(node.isRunning).toBe(false);
  });

  test('tells why a program could not be started at all', async () => {
    const { promise, resolve } = Promise.withResolvers<Error>();
    const command = ['/nonexistent/holdfast', 'start'];
    const node = new DemoProcess({ name: 'n1', directory, command, onLost: resolve });
    node.start();
    expect((await promise).message).toMatch(/ENOENT.* and logged nothing$/);
  });

  test('a kill is no surprise, and it can start again with the same log', async () => {
    const node = script('console.log("up " + process.pid); setInterval(() => {}, 1000)');
    node.start();
    const first = node.pid as number;
    await logContains(node, `up ${first}`);
    await node.kill();
    expect(isAlive(first)).toBe(false);
    node.start();
    const second = node.pid as number;
    await logContains(node, `up ${second}`);
    await node.stop();
    expect(isAlive(second)).toBe(false);
    expect(await node.logTail()).toEqual([`up ${first}`, `up ${second}`]);
  });

  test('one that does not leave is killed after the grace', async () => {
    const node = script(
      'process.on("SIGTERM", () => console.log("no")); console.log("up"); setInterval(() => {}, 1000)',
      {
        stopGraceMs: 50,
      },
    );
    node.start();
    const pid = node.pid as number;
    await logContains(node, 'up');
    await node.stop();
    expect(isAlive(pid)).toBe(false);
    expect(await node.logTail()).toEqual(['up', 'no']);
  });
});

const printArguments = 'console.log(process.argv.slice(1).join(" ")); setInterval(() => {}, 1000)';

async function argumentsOf({ process }: Pick<DemoNode, 'process'>): Promise<string> {
  process.start();
  await until('it runs', async () => (await process.logTail()).length > 0);
  const [line = ''] = await process.logTail();
  await process.kill();
  return line;
}

describe('DemoCluster', () => {
  const uplink = { address: '/ip4/127.0.0.1/tcp/1', tokenFile: '/t/token' };
  const create = (code: string, onLost: (error: Error) => void = noLoss, mdns = true): Promise<DemoCluster> =>
    DemoCluster.create({ nodes: 3, directory, program: [process.execPath, '-e', code, '--'], mdns, uplink, onLost });

  test('every node has addresses, data and a name of its own, and all have one secret', async () => {
    const cluster = await create(printArguments);
    const lines = await Promise.all(cluster.nodes.map(argumentsOf));
    for (const [index, line] of lines.entries()) {
      expect(line).toMatch(
        /^start --data-dir data --name n\d --secret-file .*\/secret --listen \/ip4\/127\.0\.0\.1\/tcp\/\d+ /,
      );
      expect(line).toContain(`--name n${index + 1} `);
      expect(line).toContain('--mdns on');
      expect(line).toContain('--hub /ip4/127.0.0.1/tcp/1 --hub-token-file /t/token ');
      expect(line).not.toContain('--seed');
    }
    const ports = lines.flatMap((line) => line.match(/(?<=tcp\/|:)\d+/g) ?? []);
    expect(new Set(ports).size).toBe(6 + 1);
  });

  test('without mDNS every node has seeds, never itself', async () => {
    const cluster = await create(printArguments, noLoss, false);
    for (const node of cluster.nodes) {
      const line = await argumentsOf(node);
      const own = /--listen (\S+)/.exec(line)?.[1];
      const seeds = [...line.matchAll(/--seed (\S+)/g)].map(([, seed]) => seed);
      expect(line).toContain('--mdns off');
      expect(seeds).toHaveLength(2);
      expect(seeds).not.toContain(own);
    }
  });

  test('a node that fails to start is reported with the end of its log', async () => {
    const ending = new AbortController();
    const cluster = await create('console.error("EADDRINUSE"); process.exit(1)', (error) => ending.abort(error));
    const [node] = cluster.nodes;
    const started = startServer(node as DemoNode, ending.signal);
    await expect(started).rejects.toThrow('n1 ended on its own (exit status 1); the end of its log:\n  EADDRINUSE');
  });

  test('the settings of the user are not those of the nodes', async () => {
    process.env.HOLDFAST_SECRET = 'x';
    try {
      const code = 'console.log(Object.keys(process.env).join()); setInterval(() => {}, 1000)';
      const line = await argumentsOf((await create(code)).nodes[0] as DemoNode);
      expect(line).toContain('PATH');
      expect(line).not.toContain('HOLDFAST');
    } finally {
      delete process.env.HOLDFAST_SECRET;
    }
  });
});

describe('DemoHub', () => {
  test('has data and ports of its own, and the cable to it another one', async () => {
    const hub = await DemoHub.create({
      directory,
      program: [process.execPath, '-e', printArguments, '--'],
      onLost: noLoss,
    });
    const line = await argumentsOf(hub);
    const [, own, http] =
      /^hub --data-dir \S+\/hub\/data --name hub --listen \/ip4\/127\.0\.0\.1\/tcp\/(\d+) --http 127\.0\.0\.1:(\d+) /.exec(
        line,
      ) ?? [];
    const cable = hub.uplink.address.split('/').at(-1);
    expect(new Set([own, http, cable]).size).toBe(3);
    expect(hub.client.api).toBe(`http://127.0.0.1:${String(http)}`);
    expect(hub.pids).toEqual([]);
  });
});

describe('ports', () => {
  test('none is given out twice', async () => {
    const ports = [...(await freePorts(5)), ...(await freePorts(5))];
    expect(new Set(ports).size).toBe(10);
  });
});

describe('TcpForwarder', () => {
  /** Answers with what it hears, in capitals, and ends when the other side does. */
  async function shouter(): Promise<Server> {
    const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
      socket.on('data', (data) => socket.write(data.toString().toUpperCase()));
      socket.on('end', () => socket.end('!'));
      socket.on('error', () => undefined);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  }

  const portOf = (server: Server): number => (server.address() as AddressInfo).port;

  test('passes on bytes and ends both ways, until it is cut, and again when it is mended', async () => {
    const server = await shouter();
    const [port = 0] = await freePorts(1);
    const forwarder = new TcpForwarder(port, portOf(server));
    const dial = (): Socket => connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const said = async (): Promise<string> => {
      const socket = dial();
      socket.end('hello');
      return text(socket);
    };
    try {
      await expect(said()).rejects.toThrow('ECONNREFUSED');
      await forwarder.mend();
      expect(await said()).toBe('HELLO!');

      const open = dial();
      open.write('x');
      await once(open, 'data');
      const broken = once(open, 'error');
      forwarder.cut();
      expect(await broken).toMatchObject([{ code: 'ECONNRESET' }]);
      await expect(said()).rejects.toThrow('ECONNREFUSED');

      await forwarder.mend();
      expect(await said()).toBe('HELLO!');
    } finally {
      forwarder.cut();
      server.close();
    }
  });

  test('where nothing listens at the far end, a connection ends', async () => {
    const [port = 0, nobody = 0] = await freePorts(2);
    const forwarder = new TcpForwarder(port, nobody);
    await forwarder.mend();
    const socket = connect({ port, host: '127.0.0.1' });
    expect(await text(socket)).toBe('');
    forwarder.cut();
  });

  test('says so where somebody else has its port', async () => {
    const server = await shouter();
    await expect(new TcpForwarder(portOf(server), 1).mend()).rejects.toThrow('EADDRINUSE');
    server.close();
  });
});

describe('namespaceSupport', () => {
  test('exists on Linux only', () => {
    expect(namespaceSupport('darwin', true, noLoss)).toEqual({ ok: false, reason: expect.stringContaining('Linux') });
  });

  test('root needs no user namespace', () => {
    const support = namespaceSupport('linux', true, () => null);
    expect(support).toMatchObject({ ok: true, how: 'made as root' });
    expect(support.ok && support.prefix.slice(0, 4)).toEqual(['unshare', '--net', 'sh', '-c']);
    // What follows is run by the shell after the set-up.
    expect(support.ok && support.prefix.at(-2)).toMatch(/&& exec "\$@"$/);
  });

  test('falls back to a user namespace, and then says what failed first', () => {
    const attempted: string[] = [];
    const support = namespaceSupport('linux', true, (command) => {
      attempted.push(command.join(' '));
      return command.includes('--map-root-user') ? null : 'Operation not permitted';
    });
    expect(support).toMatchObject({ ok: true, how: 'made in a user namespace' });
    expect(attempted).toHaveLength(2);
    expect(namespaceSupport('linux', false, () => 'no ip')).toEqual({ ok: false, reason: 'no ip' });
  });

  test('an attempt says what went wrong', () => {
    expect(attemptCommand(['sh', '-c', 'true'])).toBeNull();
    expect(attemptCommand(['sh', '-c', 'echo denied >&2; exit 1'])).toBe('denied');
    expect(attemptCommand(['sh', '-c', 'exit 4'])).toContain('status 4');
    expect(attemptCommand(['/nonexistent/unshare'])).toBe('/nonexistent/unshare is not installed');
  });
});

describe('NodeClient', () => {
  test('says which node failed and why', async () => {
    const server = createServer((_, response) => {
      response.writeHead(503).end('{"code":"quorum-unavailable","detail":"1 of 2"}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = new NodeClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    await expect(client.put('k', 'v')).rejects.toThrow('answered 503 quorum-unavailable: 1 of 2');
    expect(await client.isReady()).toBe(false);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await expect(client.read('k', 'one')).rejects.toThrow(`${client.api} does not answer: `);
  });

  test('reads events however they are cut, and skips what is none', async () => {
    const stream =
      'retry: 1\nid: r:0\n\nevent: reset\ndata: {"reason":"x"}\n\nid: r:1\ndata: {"type":"ä","data":{"a":1}}\n\n: hi\n';
    const bytes = new TextEncoder().encode(stream);
    async function* singles(): AsyncGenerator<Uint8Array> {
      for (const byte of bytes) yield await Promise.resolve(Uint8Array.of(byte));
    }
    const events = [];
    for await (const event of readEvents(singles())) events.push(event);
    expect(events).toEqual([{ type: 'ä', data: { a: 1 } }]);
  });
});
