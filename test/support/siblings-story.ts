import type { HttpClient } from './http-client.ts';
import type { NamespaceNodes } from './namespace-nodes.ts';
import { until } from './until.ts';

const BUCKET = 'carts';
const KEY = 'cart';
const PATH = `/v1/kv/${BUCKET}/${KEY}`;
const SIDES = [
  [1, 2],
  [3, 4, 5],
] as const;
/** Clients at once on each side: so many values can be concurrent there, and no more. */
const WRITERS_PER_SIDE = 3;
const MERGE_TIMEOUT_MS = 60_000;

interface Seen {
  readonly values: readonly string[];
  readonly context: string;
}

export interface SiblingsReport {
  readonly writes: number;
  readonly concurrency: number;
  /** Most values seen at once while the sides were apart, and after they met. */
  readonly siblingsMaxApart: number;
  readonly siblingsMaxTogether: number;
  /** From the heal until every node, asked for a quorum, gives the same values. */
  readonly equalAfterMs: number;
  readonly wrong: readonly string[];
}

/**
 * One key of a `siblings` bucket, written on both sides of a partition by clients that read it first and pass the
 * context on: however many writes, there are never more values than clients that wrote at the same time.
 */
export async function writeSiblings(all: NamespaceNodes, writes: number): Promise<SiblingsReport> {
  const { cluster, clients } = all;
  await all.untilFormed();
  const created = await clients[0]?.send('PUT', `/v1/buckets/${BUCKET}`, {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ conflict: 'siblings' }),
  });
  if (created === undefined || created.status >= 300) throw new Error(`the bucket was not created: ${created?.text}`);
  await until('every node knows the bucket', async () => {
    const answers = await Promise.all(clients.map((client) => client.send('GET', `/v1/buckets/${BUCKET}`)));
    return answers.every(({ status }) => status === 200);
  });
  cluster.partition(...SIDES);
  await all.untilAlive([2, 2, 3, 3, 3]);
  const tally = { writes: 0, siblingsMax: 0, latest: new Map<string, string>() };
  await Promise.all(
    SIDES.flatMap((side) =>
      Array.from({ length: WRITERS_PER_SIDE }, (_, writer) =>
        writeChain(
          side.map((number) => clients[number - 1] as HttpClient),
          `${side[0]}-${writer}`,
          Math.ceil(writes / SIDES.length / WRITERS_PER_SIDE),
          tally,
        ),
      ),
    ),
  );
  const siblingsMaxApart = tally.siblingsMax;
  const wrong: string[] = [];
  if (siblingsMaxApart > WRITERS_PER_SIDE) wrong.push(`${siblingsMaxApart} values on one side`);
  const healedMs = performance.now();
  cluster.heal();
  let together: readonly string[] = [];
  await until(
    'every node gives the same values',
    async () => {
      const seen = await Promise.all(clients.map((client) => read(client).catch(() => null)));
      const texts = seen.map((one) => JSON.stringify(one?.values.toSorted()));
      together = seen[0]?.values ?? [];
      return together.length > 0 && new Set(texts).size === 1 && (await all.untilAlive([5, 5, 5, 5, 5]), true);
    },
    MERGE_TIMEOUT_MS,
  );
  const equalAfterMs = performance.now() - healedMs;
  if (together.length > 2 * WRITERS_PER_SIDE) wrong.push(`${together.length} values after the heal`);
  for (const side of SIDES) {
    const own = together.filter((value) => value.startsWith(`${side[0]}-`));
    if (own.length === 0) wrong.push(`nothing of side ${side[0]} is left`);
    // A value that its own writer has replaced since must not be there.
    for (const value of own) if (tally.latest.get(writerOf(value)) !== value) wrong.push(`${value} is out of date`);
  }
  const { context } = await read(clients[2] as HttpClient);
  await put(clients[2] as HttpClient, 'merged', context, 'all');
  for (const [i, client] of clients.entries()) {
    const { values } = await read(client);
    if (values.join() !== 'merged') wrong.push(`n${i + 1} gives ${values.join()} after the merge was written`);
  }
  await all.untilEqual();
  return {
    writes: tally.writes,
    concurrency: WRITERS_PER_SIDE,
    siblingsMaxApart,
    siblingsMaxTogether: together.length,
    equalAfterMs,
    wrong,
  };
}

/** Reads, and writes with what it has seen, again and again. */
async function writeChain(
  clients: readonly HttpClient[],
  name: string,
  count: number,
  tally: { writes: number; siblingsMax: number; latest: Map<string, string> },
): Promise<void> {
  for (let i = 0; i < count; i++) {
    const client = clients[i % clients.length] as HttpClient;
    const { values, context } = await read(client);
    tally.siblingsMax = Math.max(tally.siblingsMax, values.length);
    const value = `${name}#${i}`;
    await put(client, value, context, 'quorum');
    tally.latest.set(name, value);
    tally.writes++;
  }
}

function writerOf(value: string): string {
  return value.slice(0, value.indexOf('#'));
}

async function put(client: HttpClient, body: string, context: string, w: string): Promise<void> {
  const headers = context === '' ? {} : { 'holdfast-context': context };
  const answer = await client.send('PUT', `${PATH}?w=${w}`, { body, headers });
  if (answer.status !== 204) throw new Error(`PUT ${body}: ${answer.status} ${answer.text}`);
}

async function read(client: HttpClient): Promise<Seen> {
  const answer = await client.send('GET', PATH);
  const context = String(answer.headers['holdfast-context'] ?? '');
  if (answer.status === 404) return { values: [], context };
  if (answer.status === 200) return { values: [answer.text], context };
  if (answer.status !== 300) throw new Error(`GET ${PATH}: ${answer.status} ${answer.text}`);
  const siblings = JSON.parse(answer.text) as { value: string }[];
  return { values: siblings.map(({ value }) => Buffer.from(value, 'base64').toString('utf8')), context };
}
