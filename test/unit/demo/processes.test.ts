import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DemoCluster, type DemoNode } from '../../../src/demo/cluster.ts';
import { readEvents } from '../../../src/demo/event-stream.ts';
import { attemptCommand, namespaceSupport } from '../../../src/demo/network.ts';
import { NodeClient } from '../../../src/demo/node-client.ts';
import { NodeProcess } from '../../../src/demo/node-process.ts';
import { until } from '../../support/until.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf-demo-test-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const noLoss = (): never => {
  throw new Error('not expected');
};

function script(
  code: string,
  options: { stopGraceMs?: number; onUnexpectedEnd?: (how: string) => void } = {},
): NodeProcess {
  return new NodeProcess({
    name: 'n1',
    directory,
    command: [process.execPath, '-e', code],
    env: process.env,
    onUnexpectedEnd: noLoss,
    ...options,
  });
}

async function logContains(node: NodeProcess, line: string): Promise<void> {
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

describe('NodeProcess', () => {
  test('tells of an end that nobody asked for, and keeps the log', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const node = script('console.error("the port is used"); process.exit(3)', { onUnexpectedEnd: resolve });
    node.start();
    expect(await promise).toBe('exit status 3');
    expect(await node.logTail()).toEqual(['the port is used']);
    expect(node.isRunning).toBe(false);
  });

  test('tells why a program could not be started at all', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const node = new NodeProcess({
      name: 'n1',
      directory,
      command: ['/nonexistent/holdfast', 'start'],
      env: {},
      onUnexpectedEnd: resolve,
    });
    node.start();
    expect(await promise).toContain('ENOENT');
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

describe('DemoCluster', () => {
  const create = (code: string, onNodeLost: (error: Error) => void = noLoss, mdns = true): Promise<DemoCluster> =>
    DemoCluster.create({ nodes: 3, directory, program: [process.execPath, '-e', code, '--'], mdns, onNodeLost });

  const printArguments = 'console.log(process.argv.slice(1).join(" ")); setInterval(() => {}, 1000)';

  async function argumentsOf(node: DemoNode): Promise<string> {
    node.process.start();
    await until('it runs', async () => (await node.process.logTail())[0] !== '');
    const [line = ''] = await node.process.logTail();
    await node.process.kill();
    return line;
  }

  test('every node has addresses, data and a name of its own, and all have one secret', async () => {
    const cluster = await create(printArguments);
    const lines = await Promise.all(cluster.nodes.map(argumentsOf));
    for (const [index, line] of lines.entries()) {
      expect(line).toMatch(
        /^start --data-dir data --name n\d --secret-file .*\/secret --listen \/ip4\/127\.0\.0\.1\/tcp\/\d+ /,
      );
      expect(line).toContain(`--name n${index + 1} `);
      expect(line).toContain('--mdns on');
      expect(line).not.toContain('--seed');
    }
    const ports = lines.flatMap((line) => line.match(/(?<=tcp\/|:)\d+/g) ?? []);
    expect(new Set(ports).size).toBe(6);
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
    const started = cluster.start(node as DemoNode, ending.signal);
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
