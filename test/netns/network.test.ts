import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { NetnsCluster, type NetnsNode, netnsUnavailable, runNetnsCluster } from '../support/netns-cluster.ts';

const unavailable = netnsUnavailable();
if (unavailable !== undefined) console.log(`netns tests skipped: ${unavailable}`);

const peer = `exec ${process.execPath} ${join(import.meta.dirname, 'datagram-peer.ts')}`;

describe.skipIf(unavailable !== undefined)('the network of a cluster in namespaces', () => {
  const size = 5;
  let cluster: NetnsCluster;
  let nodes: readonly NetnsNode[];
  let tagCount = 0;

  const nodeAt = (number: number): NetnsNode => {
    const node = nodes[number - 1];
    if (node === undefined) throw new Error(`no node ${number}`);
    return node;
  };
  const answers = async (node: NetnsNode): Promise<string[]> =>
    (await (await fetch(`${node.http}/received`)).json()) as string[];
  const send = async (from: number, to: string, text: string, count = 1): Promise<void> => {
    const query = new URLSearchParams({ to, text, count: String(count) });
    expect((await fetch(`${nodeAt(from).http}/send?${query.toString()}`)).status).toBe(200);
  };

  /** Every node sends one datagram with this text to every other one; returns the arrived "from->to" once `probe` arrived. */
  const sendToAll = async (text: string): Promise<void> => {
    for (const from of nodes) {
      for (const to of nodes) if (to.node !== from.node) await send(from.node, to.ip, text);
    }
  };
  const arrived = async (text: string): Promise<string[]> => {
    const pairs: string[] = [];
    for (const to of nodes) {
      for (const line of await answers(to)) {
        const from = nodes.find((node) => line === `${node.ip} ${text}`);
        if (from !== undefined) pairs.push(`${from.node}->${to.node}`);
      }
    }
    return pairs.sort();
  };
  const numbers = Array.from({ length: size }, (_, index) => index + 1);
  const allPairs = numbers.flatMap((from) => numbers.filter((to) => to !== from).map((to) => `${from}->${to}`)).sort();

  /** What gets through while `fault` holds. Datagrams of one path keep their order, so those sent after the heal end the wait. */
  const pairsDuring = async (fault: () => void): Promise<string[]> => {
    tagCount += 1;
    fault();
    await sendToAll(`during-${tagCount}`);
    cluster.heal();
    await sendToAll(`after-${tagCount}`);
    await vi.waitUntil(async () => (await arrived(`after-${tagCount}`)).length === allPairs.length, 5000);
    return arrived(`during-${tagCount}`);
  };

  beforeAll(async () => {
    cluster = NetnsCluster.up({ nodes: size, zones: 2, command: peer });
    nodes = cluster.status().nodes;
    for (const node of nodes) {
      await vi.waitUntil(
        () =>
          answers(node).then(
            () => true,
            () => false,
          ),
        { timeout: 20_000 },
      );
    }
  });

  beforeEach(() => cluster.heal());

  afterAll(() => cluster?.down());

  test('status names every node, its zone and its addresses', () => {
    const status = cluster.status();
    expect(status.nodes.map(({ name, zone }) => `${name} ${zone ?? '-'}`)).toEqual([
      'n1 z1',
      'n2 z2',
      'n3 z1',
      'n4 z2',
      'n5 z1',
    ]);
    expect(status.nodes.every((node) => node.pid !== null && node.http === `http://${node.ip}:7480`)).toBe(true);
    expect(status.cuts).toEqual([]);
  });

  test('without a fault everybody reaches everybody', async () => {
    expect(await pairsDuring(() => {})).toEqual(allPairs);
  });

  test('a partition cuts exactly the paths between its groups', async () => {
    const side = (node: string): number => (Number(node) <= 2 ? 0 : 1);
    const inside = allPairs.filter((pair) => side(pair.charAt(0)) === side(pair.charAt(3)));
    expect(await pairsDuring(() => cluster.partition([1, 2], [3, 4, 5]))).toEqual(inside);
  });

  test('a node in no group of a partition reaches both sides', async () => {
    const got = await pairsDuring(() => cluster.partition([1], [3]));
    expect(got).toEqual(allPairs.filter((pair) => pair !== '1->3' && pair !== '3->1'));
  });

  test('an isolated node is alone, and still answers the machine', async () => {
    const got = await pairsDuring(() => cluster.isolate(4));
    expect(got).toEqual(allPairs.filter((pair) => !pair.includes('4')));
  });

  test('oneway cuts one direction only', async () => {
    expect(await pairsDuring(() => cluster.oneway(2, 5))).toEqual(allPairs.filter((pair) => pair !== '2->5'));
  });

  test('a later partition replaces the one before, isolate adds to it', () => {
    cluster.partition([1], [2, 3]);
    cluster.partition([4], [5]);
    expect(cluster.status().cuts).toEqual([
      { from: 4, to: 5 },
      { from: 5, to: 4 },
    ]);
    cluster.isolate(1);
    expect(cluster.status().cuts).toHaveLength(2 + 2 * (size - 1));
    cluster.heal();
    expect(cluster.status().cuts).toEqual([]);
  });

  test('loss drops about the asked share', async () => {
    const count = 1000;
    cluster.loss(30);
    expect(cluster.status().lossPercent).toBe(30);
    // In small lots, each read before the next: on a busy machine the receiver's socket buffer would lose some too.
    for (let sent = 0; sent < count; sent += 50) {
      await send(1, nodeAt(2).ip, 'lossy', 50);
      await answers(nodeAt(2));
    }
    cluster.heal();
    await send(1, nodeAt(2).ip, 'end of loss');
    await vi.waitUntil(async () => (await answers(nodeAt(2))).includes(`${nodeAt(1).ip} end of loss`), 5000);
    const got = (await answers(nodeAt(2))).filter((line) => line.endsWith(' lossy')).length;
    // 700 expected, standard deviation 14.5: six of them on each side.
    expect(got).toBeGreaterThan(610);
    expect(got).toBeLessThan(790);
  });

  test('multicast reaches every node of the cluster and never the machine', async () => {
    const heard: string[] = [];
    const socket = createSocket({ type: 'udp4', reuseAddr: true });
    socket.on('message', (message) => heard.push(message.toString()));
    await new Promise<void>((done) => socket.bind(5354, done));
    socket.addMembership('224.0.0.251', nodeAt(1).ip.replace(/^10\.77\.(\d+)\..*/, '10.78.$1.1'));
    await send(1, '224.0.0.251', 'multicast');
    for (const node of nodes) {
      await vi.waitUntil(async () => (await answers(node)).includes(`${nodeAt(1).ip} multicast`), 5000);
    }
    expect(heard).toEqual([]);
    await new Promise<void>((done) => socket.close(done));
  });

  test('delay works, or is refused with the reason and changes nothing', () => {
    const result = runNetnsCluster(['delay', '20', '--id', cluster.id]);
    if (result.status === 0) {
      expect(cluster.status().delayMs).toBe(20);
      cluster.heal();
    } else {
      expect(result.stderr).toContain('no netem');
    }
    expect(cluster.status().delayMs).toBe(0);
  });

  test('exec runs in the namespace of its node', () => {
    expect(cluster.exec(3, 'ip', '-o', '-4', 'addr', 'show', 'dev', 'eth0')).toContain(`${nodeAt(3).ip}/24`);
  });

  test('a killed node is stopped and can start again', async () => {
    const before = nodeAt(2).pid;
    cluster.kill(2);
    expect(cluster.status().nodes[1]?.pid).toBeNull();
    expect(runNetnsCluster(['kill', '2', '--id', cluster.id]).stderr).toContain('node 2 does not run');
    cluster.start(2);
    expect(cluster.status().nodes[1]?.pid).not.toBe(before);
    await vi.waitUntil(() => answers(nodeAt(2)).catch(() => undefined), { timeout: 20_000 });
  });

  test('a second cluster coexists, and down leaves nothing of it', () => {
    const second = NetnsCluster.up({ nodes: 2, command: 'sleep 1000 & exec sleep 1000' });
    const status = second.status();
    expect(status.subnet).not.toBe(cluster.status().subnet);
    const pids = status.nodes.flatMap((node) =>
      spawnSync('ip', ['netns', 'pids', node.namespace], { encoding: 'utf8' }).stdout.trim().split('\n'),
    );
    expect(pids).toHaveLength(4);
    expect(pids.every((pid) => existsSync(`/proc/${pid}/exe`))).toBe(true);
    second.down();
    const print = (...args: string[]): string => spawnSync('ip', args, { encoding: 'utf8' }).stdout;
    expect(print('netns', 'list')).not.toContain(`hf-${second.id}-`);
    expect(print('link')).not.toContain(`hf-${second.id}-`);
    expect(print('route')).not.toContain(status.subnet);
    expect(existsSync(status.stateDir)).toBe(false);
    // The executable of a dead process is gone, even while its parent has not collected it.
    const running = pids.filter((pid) => existsSync(`/proc/${pid}/exe`));
    expect(running).toEqual([]);
    expect(runNetnsCluster(['down', '--id', second.id])).toMatchObject({ status: 0 });
  });
});

describe('bad use of netns-cluster', () => {
  test.each([
    [['fly'], "unknown command 'fly'"],
    [['status', '--id', 'Not_Good'], '--id takes'],
    [['up', '--id'], '--id takes a value'],
  ])('%j is refused with status 2', (args, message) => {
    const result = runNetnsCluster(args);
    expect(result.stderr).toContain(message);
    expect(result.status).toBe(2);
  });

  test.skipIf(unavailable !== undefined).each([
    [['up', '--nodes', '0'], '--nodes takes 1 to 100', 2],
    [['up', '--zones', '9'], '--zones takes', 2],
    [['up', '--mdns', 'perhaps'], '--mdns takes on or off', 2],
    [['up', '--colour', 'red'], "unknown option '--colour'", 2],
    [['status'], 'no cluster', 1],
    [['partition', '1', '2'], 'no cluster', 1],
  ])('%j is refused with its reason', (args, message, status) => {
    const result = runNetnsCluster([...args, '--id', 'nobody']);
    expect(result.stderr).toContain(message);
    expect(result.status).toBe(status);
  });

  test('without root it says so', () => {
    const script = join(import.meta.dirname, '../../scripts/netns-cluster');
    const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--clear-groups'] : [];
    const [program, ...args] = [...asNobody, 'bash', '-s', 'up', '--id', 'nobody'] as readonly string[] as [
      string,
      ...string[],
    ];
    // Through standard input, because another user may not be allowed to read this folder.
    const text = spawnSync('cat', [script], { encoding: 'utf8' }).stdout;
    const result = spawnSync(program, args, { encoding: 'utf8', input: text, cwd: '/' });
    expect(result.stderr).toContain('need root');
    expect(result.status).toBe(1);
  });

  test.skipIf(unavailable !== undefined)('a program that ends at once fails the start, with its last words', () => {
    const result = runNetnsCluster(['up', '--id', 'nobody', '--nodes', '1', '--', '--no-such-option']);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('ended before it answered');
    expect(runNetnsCluster(['status', '--id', 'nobody']).stderr).toContain('no cluster');
  });
});
