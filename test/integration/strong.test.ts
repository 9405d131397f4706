import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { LocalCluster, type LocalNodeProcess } from '../support/local-cluster.ts';
import { IF_ABSENT, StrongClient, type WriteOutcome } from '../support/strong-client.ts';
import { until } from '../support/until.ts';

const TIMEOUT_MS = 240_000;
const CLIENTS = 20;
const ROUNDS = 8;
const INCREMENTS = 10;

// One node more than a key has owners, so that every node also serves keys that it does not hold.
describe('strong buckets on a cluster', () => {
  let cluster: LocalCluster;
  let clients: readonly StrongClient[];

  beforeAll(async () => {
    cluster = await LocalCluster.start({ nodes: 4 });
    clients = cluster.nodes.map(({ http }) => new StrongClient(http));
  }, TIMEOUT_MS);

  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  afterAll(() => cluster?.close(), TIMEOUT_MS);

  const clientAt = (index: number): StrongClient => clients[index % clients.length] as StrongClient;

  /** All of them at once, over all nodes. */
  const race = (write: (client: StrongClient, index: number) => Promise<WriteOutcome>): Promise<WriteOutcome[]> =>
    Promise.all(Array.from({ length: CLIENTS }, (_, i) => write(clientAt(i), i)));

  /** Its value at every node, which must be the same. */
  const valueOf = async (key: string): Promise<string | null> => {
    const reads = await Promise.all(clients.map((client) => client.read(key)));
    expect(new Set(reads.map((read) => JSON.stringify(read))).size).toBe(1);
    const [read] = reads;
    if (read?.type !== 'read') throw new Error(`${key} cannot be read: ${JSON.stringify(read)}`);
    return read.value;
  };

  // The first: nobody has asked for a strong key before.
  test('the first write of all founds them, and every node reads what any has written', async () => {
    const [a, b, c, d] = clients as [StrongClient, StrongClient, StrongClient, StrongClient];
    // A cluster has a leader a moment after its nodes see each other.
    let first: WriteOutcome | undefined;
    await until(
      'the first strong write is made',
      async () => {
        first = await b.write('first', 'one', IF_ABSENT);
        return first.type === 'made' || first.type === 'conflict';
      },
      TIMEOUT_MS,
      100,
    );
    expect(await valueOf('first')).toBe('one');
    const before = await a.read('first');
    expect(before).toMatchObject({ type: 'read', etag: expect.stringMatching(/^"[^"]+"$/) as string });
    const etag = before.type === 'read' ? (before.etag ?? '') : '';
    expect(await c.write('first', 'no', IF_ABSENT)).toEqual({ type: 'conflict' });
    expect(await c.write('first', 'two', { 'if-match': etag })).toMatchObject({ type: 'made' });
    expect(await d.write('first', 'no', { 'if-match': etag })).toEqual({ type: 'conflict' });
    expect(await valueOf('first')).toBe('two');
    expect(await valueOf('never')).toBeNull();
  });

  test('of many that create a key, or change it as they have read it, one does', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const key = `race-${round}`;
      const created = await race((client, i) => client.write(key, `created by ${i}`, IF_ABSENT));
      await expectOneWinner(key, created, 'created by');
      const read = await clientAt(round).read(key);
      const etag = read.type === 'read' ? (read.etag ?? '') : '';
      const changed = await race((client, i) => client.write(key, `changed by ${i}`, { 'if-match': etag }));
      await expectOneWinner(key, changed, 'changed by');
    }
  });

  test('no acknowledged increment of a counter is lost, and none counts twice', async () => {
    let unknown = 0;
    let acknowledged = 0;
    const increment = async (from: number): Promise<void> => {
      for (let attempt = from; ; attempt++) {
        const client = clientAt(attempt);
        const read = await client.read('counter');
        if (read.type !== 'read') continue;
        const condition = read.etag === undefined ? IF_ABSENT : { 'if-match': read.etag };
        const outcome = await client.write('counter', String(Number(read.value ?? 0) + 1), condition);
        if (outcome.type === 'unknown') unknown++;
        if (outcome.type !== 'made') continue;
        acknowledged++;
        return;
      }
    };
    const work = async (_: unknown, worker: number): Promise<void> => {
      for (let i = 0; i < INCREMENTS; i++) await increment(worker + i);
    };
    await Promise.all(Array.from({ length: CLIENTS }, work));
    expect(acknowledged).toBe(CLIENTS * INCREMENTS);
    const value = Number(await valueOf('counter'));
    expect(value).toBeGreaterThanOrEqual(acknowledged);
    expect(value).toBeLessThanOrEqual(acknowledged + unknown);
  });

  test('a lock has one holder, and each one a higher token', async () => {
    const send = (node: LocalNodeProcess, path: string, body: object): ReturnType<typeof node.http.send> =>
      node.http.send('POST', `/v1/locks/press${path}`, {
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      });
    const [a, b] = cluster.nodes as [LocalNodeProcess, LocalNodeProcess];
    const answers = await Promise.all(cluster.nodes.map((node, i) => send(node, '', { owner: `client ${i}` })));
    expect(answers.map(({ status }) => status).toSorted((x, y) => x - y)).toEqual([200, 409, 409, 409]);
    const won = answers.find(({ status }) => status === 200);
    const { token } = JSON.parse(won?.text ?? '') as { token: number };
    expect((await send(b, '/renew', { token })).status).toBe(200);
    expect((await send(b, '/release', { token: token - 1 })).status).toBe(409);
    const waiting = send(a, '', { owner: 'waits', waitMs: 20_000 });
    expect((await send(b, '/release', { token })).status).toBe(204);
    const next = await waiting;
    expect(next.status).toBe(200);
    expect((JSON.parse(next.text) as { token: number }).token).toBeGreaterThan(token);
  });

  test('everything acknowledged is there after one node was killed, and after all were', async () => {
    const victim = cluster.node(1);
    const keys = Array.from({ length: CLIENTS }, (_, i) => ({ key: `kept-${i}`, tried: 0, acknowledged: 0 }));
    let isStopping = false;
    const running = keys.map(async (kept, i) => {
      for (let turn = i; !isStopping; turn++) {
        const node = cluster.nodes[turn % cluster.nodes.length] as LocalNodeProcess;
        kept.tried++;
        const outcome = await new StrongClient(node.http).write(kept.key, String(kept.tried)).catch(() => null);
        if (outcome?.type === 'made') kept.acknowledged = kept.tried;
      }
    });
    const untilMore = async (): Promise<void> => {
      const goals = keys.map(({ tried }) => tried + 5);
      const isMore = (): boolean => keys.every(({ acknowledged }, i) => acknowledged >= (goals[i] as number));
      await until('every key was written again', isMore, TIMEOUT_MS);
    };
    const expectAll = async (): Promise<void> => {
      for (const { key, tried, acknowledged } of keys) {
        const value = Number(await valueOf(key));
        expect(value).toBeGreaterThanOrEqual(acknowledged);
        expect(value).toBeLessThanOrEqual(tried);
      }
    };
    try {
      await untilMore();
      expect(await victim.kill()).toBe('SIGKILL');
      await untilMore();
      await victim.start();
      await untilMore();
    } finally {
      isStopping = true;
      await Promise.all(running);
    }
    await cluster.untilComplete();
    await expectAll();
    await cluster.killAll();
    await cluster.startAll();
    await untilReadable();
    await expectAll();
  });

  /** A node that has just started asks those that are not connected yet. */
  const untilReadable = async (): Promise<void> => {
    const isReadable = async (): Promise<boolean> =>
      (await Promise.all(clients.map((client) => client.read('first')))).every(({ type }) => type === 'read');
    await until('strong keys are read at all nodes', isReadable, TIMEOUT_MS, 100);
  };

  const expectOneWinner = async (key: string, outcomes: readonly WriteOutcome[], words: string): Promise<void> => {
    const those = (type: WriteOutcome['type']): number[] =>
      outcomes.flatMap((outcome, i) => (outcome.type === type ? [i] : []));
    const value = (await valueOf(key)) ?? '';
    const winner = Number(value.slice(words.length));
    expect(value.startsWith(words)).toBe(true);
    // On a machine that stalls nobody may have been told that he has won.
    expect(those('made').length).toBe(those('unknown').includes(winner) ? 0 : 1);
    expect([...those('made'), ...those('unknown')]).toContain(winner);
    expect(those('refused')).toEqual([]);
  };
});
