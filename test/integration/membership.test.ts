import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { EventFeeds } from '../support/event-feeds.ts';
import { LocalCluster, type LocalNodeProcess } from '../support/local-cluster.ts';
import { until } from '../support/until.ts';

const TIMEOUT_MS = 200_000;
/** Only catches what is broken; how fast it is, `npm run bench -- membership` measures. */
const NEWS_TIMEOUT_MS = 20_000;
/** A closed connection that was taken for a failure would be told within this time. */
const SECOND_THOUGHTS_MS = 1_500;

interface MemberJson {
  readonly name: string;
  readonly state: string;
  readonly incarnation: number;
}

describe('what real nodes know of each other', () => {
  let cluster: LocalCluster;
  const feeds = new EventFeeds();

  beforeAll(async () => {
    cluster = await LocalCluster.start({ nodes: 4 });
    for (const { name, http } of cluster.nodes) await feeds.follow(name, http.base);
  }, TIMEOUT_MS);

  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster?.logs());
  });

  afterAll(async () => {
    feeds.close();
    await cluster?.close();
  }, TIMEOUT_MS);

  const othersOf = (node: LocalNodeProcess): LocalNodeProcess[] => cluster.nodes.filter((other) => other !== node);
  const untilTold = async (node: LocalNodeProcess, type: string): Promise<void> => {
    const expected = othersOf(node).map(({ name }) => `${name} ${type}`);
    await until(
      `every other node tells ${type} of ${node.name}`,
      () => feeds.lastOf(node.name).join() === expected.join(),
      NEWS_TIMEOUT_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; told last: ${feeds.lastOf(node.name).join(', ')}`, { cause: error });
    });
  };
  const seenBy = async (observer: LocalNodeProcess, subject: LocalNodeProcess): Promise<MemberJson | undefined> => {
    const { members } = await observer.http.json<{ members: MemberJson[] }>('/v1/members');
    return members.find(({ name }) => name === subject.name);
  };
  /** Starts a node again and checks that the others tell its new life from the one before. */
  const expectNewLife = async (node: LocalNodeProcess): Promise<void> => {
    const [observer] = othersOf(node) as [LocalNodeProcess];
    const before = await seenBy(observer, node);
    const bootEpochs = feeds.news().filter(({ name }) => name === node.name);
    await node.start();
    await feeds.follow(node.name, node.http.base);
    await untilTold(node, 'member-alive');
    for (const other of othersOf(node)) {
      const now = await seenBy(other, node);
      expect(now?.state).toBe('alive');
      expect(now?.incarnation).toBeGreaterThan(before?.incarnation ?? Number.POSITIVE_INFINITY);
    }
    const latest = feeds.news().filter(({ name, type }) => name === node.name && type === 'member-alive');
    expect(Math.max(...bootEpochs.map(({ bootEpoch }) => bootEpoch))).toBe(1);
    for (const { name } of othersOf(node)) {
      expect(latest.findLast(({ observer: teller }) => teller === name)?.bootEpoch).toBe(2);
    }
  };

  test(
    'a killed node is dead to all, and comes back as a new life of the same member',
    async () => {
      const victim = cluster.node(4);
      await victim.kill('SIGKILL');
      await untilTold(victim, 'member-dead');
      expect((await seenBy(cluster.node(1), victim))?.state).toBe('dead');
      await expectNewLife(victim);
    },
    TIMEOUT_MS,
  );

  test(
    'a node that is stopped in order has left and is never called dead',
    async () => {
      const leaver = cluster.node(3);
      expect(await leaver.stop()).toBe(0);
      await untilTold(leaver, 'member-left');
      await delay(SECOND_THOUGHTS_MS);
      const told = feeds.news().filter(({ name }) => name === leaver.name);
      expect(told.filter(({ type }) => type === 'member-dead')).toEqual([]);
      for (const other of othersOf(leaver)) expect((await seenBy(other, leaver))?.state).toBe('left');
      await expectNewLife(leaver);
    },
    TIMEOUT_MS,
  );
});
