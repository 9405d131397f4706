import type { HttpClient } from './http-client.ts';
import type { NamespaceNodes } from './namespace-nodes.ts';
import { until } from './until.ts';

const BUCKET = 'carts';
/** Written by clients that pass on the context of what they have read. */
const KNOWING = `/v1/kv/${BUCKET}/cart`;
/** Written by clients that pass on nothing. */
const BLIND = `/v1/kv/${BUCKET}/blind`;
/** Written by one client at a time that passes on nothing, through all nodes of a side in turn. */
const ALONE = `/v1/kv/${BUCKET}/alone`;
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

/** How a key is written. */
interface Manner {
  readonly path: string;
  /** Clients at once on each side: so many values can be concurrent there, and no more. */
  readonly writers: number;
  readonly passesContext: boolean;
}

const MANNERS: readonly (Manner & { readonly name: 'knowing' | 'blind' | 'alone' })[] = [
  { name: 'knowing', path: KNOWING, writers: WRITERS_PER_SIDE, passesContext: true },
  { name: 'blind', path: BLIND, writers: WRITERS_PER_SIDE, passesContext: false },
  { name: 'alone', path: ALONE, writers: 1, passesContext: false },
];

export interface SiblingsReport {
  /** Of each key. */
  readonly writes: number;
  readonly writersPerSide: number;
  /** Most values seen at once while the sides were apart, and after they met. */
  readonly knowingMaxApart: number;
  readonly knowingTogether: number;
  readonly blindMaxApart: number;
  readonly blindTogether: number;
  readonly aloneMaxApart: number;
  readonly aloneTogether: number;
  /** From the heal until nothing is left to be handed over and every node, asked for a quorum, gives the same values. */
  readonly equalAfterMs: number;
  readonly wrong: readonly string[];
}

interface Tally {
  writes: number;
  siblingsMax: number;
  readonly latest: Map<string, string>;
}

/**
 * Keys of a `siblings` bucket, written on both sides of a partition: by clients that read first and pass the context
 * on, and by clients that only ever put. However many writes, there are never more values than clients that wrote at
 * the same time.
 */
export async function writeSiblings(all: NamespaceNodes, writes: number): Promise<SiblingsReport> {
  const { cluster, clients } = all;
  await all.untilFormed();
  await createBucket(clients);
  cluster.partition(...SIDES);
  await all.untilAlive([2, 2, 3, 3, 3]);
  const wrong: string[] = [];
  const tallies = new Map<string, Tally>();
  for (const manner of MANNERS) {
    const tally: Tally = { writes: 0, siblingsMax: 0, latest: new Map() };
    await writeOnBothSides(clients, manner, writes, tally);
    tallies.set(manner.name, tally);
    if (tally.siblingsMax > manner.writers) wrong.push(`${manner.path}: ${tally.siblingsMax} values on one side`);
  }
  const healedMs = performance.now();
  cluster.heal();
  await all.untilAlive([5, 5, 5, 5, 5]);
  // Where all owners of a key are on one side, what the other has written is in hints alone: all agree before they have it.
  await all.untilHandedOver();
  const together = new Map<string, readonly string[]>();
  for (const { name, path } of MANNERS) together.set(name, await untilSame(clients, path));
  const equalAfterMs = performance.now() - healedMs;
  for (const manner of MANNERS) {
    const tally = tallies.get(manner.name) as Tally;
    wrong.push(...misplaced(manner, together.get(manner.name) ?? [], tally), ...(await resolved(clients, manner)));
  }
  await all.untilEqual();
  const apart = (name: string): number => tallies.get(name)?.siblingsMax ?? 0;
  const left = (name: string): number => together.get(name)?.length ?? 0;
  return {
    writes: tallies.get('knowing')?.writes ?? 0,
    writersPerSide: WRITERS_PER_SIDE,
    knowingMaxApart: apart('knowing'),
    knowingTogether: left('knowing'),
    blindMaxApart: apart('blind'),
    blindTogether: left('blind'),
    aloneMaxApart: apart('alone'),
    aloneTogether: left('alone'),
    equalAfterMs,
    wrong,
  };
}

async function createBucket(clients: readonly HttpClient[]): Promise<void> {
  const created = await clients[0]?.send('PUT', `/v1/buckets/${BUCKET}`, {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ conflict: 'siblings' }),
  });
  if (created === undefined || created.status >= 300) throw new Error(`the bucket was not created: ${created?.text}`);
  await until('every node knows the bucket', async () => {
    const answers = await Promise.all(clients.map((client) => client.send('GET', `/v1/buckets/${BUCKET}`)));
    return answers.every(({ status }) => status === 200);
  });
}

async function writeOnBothSides(
  clients: readonly HttpClient[],
  manner: Manner,
  writes: number,
  tally: Tally,
): Promise<void> {
  await Promise.all(
    SIDES.flatMap((side) =>
      Array.from({ length: manner.writers }, (_, writer) =>
        writeChain(
          side.map((number) => clients[number - 1] as HttpClient),
          manner,
          { name: `${side[0]}-${writer}`, count: Math.ceil(writes / SIDES.length / manner.writers) },
          tally,
        ),
      ),
    ),
  );
}

/** Reads, and writes with what it has seen or without, again and again. */
async function writeChain(
  clients: readonly HttpClient[],
  { path, passesContext }: Manner,
  { name, count }: { readonly name: string; readonly count: number },
  tally: Tally,
): Promise<void> {
  for (let i = 0; i < count; i++) {
    const client = clients[i % clients.length] as HttpClient;
    const { values, context } = await read(client, path);
    tally.siblingsMax = Math.max(tally.siblingsMax, values.length);
    const value = `${name}#${i}`;
    await put(client, path, value, { context: passesContext ? context : '', w: 'quorum' });
    tally.latest.set(name, value);
    tally.writes++;
  }
}

/** Waits until every node gives the same values of a key, and returns them. */
async function untilSame(clients: readonly HttpClient[], path: string): Promise<readonly string[]> {
  let values: readonly string[] = [];
  await until(
    `every node gives the same values of ${path}`,
    async () => {
      const seen = await Promise.all(clients.map((client) => read(client, path).catch(() => null)));
      const texts = seen.map((one) => JSON.stringify(one?.values.toSorted()));
      values = seen[0]?.values ?? [];
      return values.length > 0 && new Set(texts).size === 1;
    },
    MERGE_TIMEOUT_MS,
  );
  return values;
}

/** What is wrong with the values that are left of a key once the sides have met. */
function misplaced({ path, writers }: Manner, together: readonly string[], tally: Tally): string[] {
  const wrong: string[] = [];
  if (together.length > SIDES.length * writers) wrong.push(`${path}: ${together.length} values after the heal`);
  for (const side of SIDES) {
    const own = together.filter((value) => value.startsWith(`${side[0]}-`));
    if (own.length === 0) wrong.push(`${path}: nothing of side ${side[0]} is left`);
    // A value that its own writer has replaced since must not be there.
    for (const value of own) {
      if (tally.latest.get(writerOf(value)) !== value) wrong.push(`${path}: ${value} is out of date`);
    }
  }
  return wrong;
}

/** One more write, in the manner of the others, leaves one value. */
async function resolved(clients: readonly HttpClient[], { path, passesContext }: Manner): Promise<string[]> {
  const writer = clients[2] as HttpClient;
  // A link to an owner may still be on its way.
  await until(
    `every owner of ${path} takes the write`,
    async () => {
      const context = passesContext ? (await read(writer, path)).context : '';
      return await put(writer, path, 'merged', { context, w: 'all' }).then(
        () => true,
        () => false,
      );
    },
    MERGE_TIMEOUT_MS,
  );
  const wrong: string[] = [];
  for (const [i, client] of clients.entries()) {
    const { values } = await read(client, path);
    if (values.join() !== 'merged') wrong.push(`${path}: n${i + 1} gives ${values.join()} after the merge was written`);
  }
  return wrong;
}

function writerOf(value: string): string {
  return value.slice(0, value.indexOf('#'));
}

async function put(
  client: HttpClient,
  path: string,
  body: string,
  { context, w }: { readonly context: string; readonly w: string },
): Promise<void> {
  const headers = context === '' ? {} : { 'holdfast-context': context };
  const answer = await client.send('PUT', `${path}?w=${w}`, { body, headers });
  if (answer.status !== 204) throw new Error(`PUT ${body}: ${answer.status} ${answer.text}`);
}

async function read(client: HttpClient, path: string): Promise<Seen> {
  const answer = await client.send('GET', path);
  const context = String(answer.headers['holdfast-context'] ?? '');
  if (answer.status === 404) return { values: [], context };
  if (answer.status === 200) return { values: [answer.text], context };
  if (answer.status !== 300) throw new Error(`GET ${path}: ${answer.status} ${answer.text}`);
  const siblings = JSON.parse(answer.text) as { value: string }[];
  return { values: siblings.map(({ value }) => Buffer.from(value, 'base64').toString('utf8')), context };
}
