import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { EventFeeds, type MemberNews } from '../support/event-feeds.ts';
import { alternateBlocks, Inspector, inspectorEnvironment } from '../support/inspector.ts';
import { aliveCounts, clientsOf } from '../support/mesh-join.ts';
import { NetnsCluster, type NetnsNode, netnsUnavailable } from '../support/netns-cluster.ts';
import { until } from '../support/until.ts';

const unavailable = netnsUnavailable();
if (unavailable !== undefined) console.log(`netns tests skipped: ${unavailable}`);

const TIMEOUT_MS = 200_000;
/** Only catches what is broken; how fast it is, `npm run bench -- membership` measures. */
const NEWS_TIMEOUT_MS = 45_000;
const STALL_MS = 20_000;
const DEBUG_PORT = 9229;

describe.skipIf(unavailable !== undefined)('membership in namespaces', () => {
  const size = 5;
  let cluster: NetnsCluster;
  let nodes: readonly NetnsNode[];
  const feeds = new EventFeeds();

  beforeAll(async () => {
    for (const [name, value] of Object.entries(inspectorEnvironment(`0.0.0.0:${DEBUG_PORT}`))) vi.stubEnv(name, value);
    cluster = NetnsCluster.up({ nodes: size, seeds: 'on', mdns: 'off' });
    vi.unstubAllEnvs();
    nodes = cluster.status().nodes;
    for (const { name, http } of nodes) await feeds.follow(name, http);
    await untilAllAlive();
  }, TIMEOUT_MS);

  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(feeds.news());
  });

  afterAll(() => {
    feeds.close();
    cluster?.down();
  }, TIMEOUT_MS);

  const nodeAt = (number: number): NetnsNode => nodes[number - 1] as NetnsNode;
  const untilAllAlive = async (): Promise<void> => {
    const clients = clientsOf(nodes);
    try {
      await until(
        'every node holds all alive',
        async () => (await aliveCounts(clients)).every((count) => count === size),
        NEWS_TIMEOUT_MS,
      );
    } finally {
      for (const client of clients) client.close();
    }
  };

  test(
    'a node whose packets are dropped silently is dead to all, all are dead to it, and the heal mends both',
    async () => {
      const newsSince = feeds.fromNow();
      cluster.isolate(5);
      await until(
        'both sides know',
        () => {
          const dead = ['n1', 'n2', 'n3', 'n4'].map((name) => `${name} member-dead`);
          const isDeadToAll = feeds.lastOf('n5').join() === dead.join();
          return isDeadToAll && [1, 2, 3, 4].every((n) => feeds.lastOf(`n${n}`).includes('n5 member-dead'));
        },
        NEWS_TIMEOUT_MS,
      );
      const others = newsSince().filter(({ observer, name }) => observer !== 'n5' && name !== 'n5');
      expect(others.filter(isGone)).toEqual([]);
      cluster.heal();
      await untilAllAlive();
    },
    TIMEOUT_MS,
  );

  test(
    'one node stopped and one in busy loops for 20 s do no harm to a third',
    async () => {
      const [stopped, blocked] = [nodeAt(4), nodeAt(5)];
      if (stopped.pid === null || blocked.pid === null) throw new Error('the nodes do not run');
      const newsSince = feeds.fromNow();
      process.kill(blocked.pid, 'SIGUSR1');
      const inspector = await Inspector.attach(`${blocked.ip}:${DEBUG_PORT}`);
      process.kill(stopped.pid, 'SIGSTOP');
      try {
        await alternateBlocks(STALL_MS, (ms) => inspector.block(ms));
      } finally {
        process.kill(stopped.pid, 'SIGCONT');
        inspector.close();
      }
      await untilAllAlive();
      const news = newsSince();
      // Both faults were real: otherwise nothing would be shown.
      expect(news.some(({ type, name }) => type === 'member-dead' && name === stopped.name)).toBe(true);
      expect(news.some(({ type, name }) => type === 'member-suspect' && name === blocked.name)).toBe(true);
      const thirds = news.filter(({ name }) => name !== stopped.name && name !== blocked.name);
      expect(thirds.filter(isGone)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});

function isGone({ type }: MemberNews): boolean {
  return type === 'member-dead' || type === 'member-left';
}
