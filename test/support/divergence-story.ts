import type { HttpClient } from './http-client.ts';
import type { NamespaceNodes } from './namespace-nodes.ts';
import { until } from './until.ts';
import { WriteLoad } from './write-load.ts';

const SIDES = [
  [1, 2],
  [3, 4, 5],
] as const;
/** Keys whose merge is timed at every owner; all are compared afterwards. */
const SAMPLE_MAX = 600;
const WRITE_TIMEOUT_MS = 900_000;
const MERGE_TIMEOUT_MS = 120_000;

export interface DivergenceReport {
  readonly keys: number;
  /** From the heal until every owner, asked alone, gives the same value for each sampled key. */
  readonly equalAfterMs: number;
  /** Values that nobody was told of as acknowledged, and keys that are gone. */
  readonly wrong: readonly string[];
}

/** The same keys overwritten on both sides of a partition, then healed: how long until all replicas are equal? */
export async function divergeAndMerge(all: NamespaceNodes, keys: number): Promise<DivergenceReport> {
  const { cluster, clients } = all;
  await all.untilFormed();
  await write(clients, keys);
  cluster.partition(...SIDES);
  await all.untilAlive([2, 2, 3, 3, 3]);
  const sides = await Promise.all(
    SIDES.map((side) =>
      write(
        side.map((number) => clients[number - 1] as HttpClient),
        keys,
      ),
    ),
  );
  const allowed = new Map<string, (string | null)[]>();
  for (const side of sides) {
    for (const expectation of side.expectations()) {
      allowed.set(expectation.key, [...(allowed.get(expectation.key) ?? []), ...expectation.allowed]);
    }
  }
  const names = [...allowed.keys()];
  const sample = names.filter((_, i) => i % Math.ceil(names.length / SAMPLE_MAX) === 0);
  const owners = await ownersOf(all, sample);
  const healedMs = performance.now();
  cluster.heal();
  let open = sample;
  await until(
    'every owner holds the same values',
    async () => {
      const differing: string[] = [];
      await all.forEach(open, async (key) => {
        const values = await Promise.all((owners.get(key) ?? []).map((client) => valueAt(client, key)));
        if (new Set(values).size > 1 || values.includes(undefined)) differing.push(key);
      });
      open = differing;
      return open.length === 0;
    },
    MERGE_TIMEOUT_MS,
  );
  const equalAfterMs = performance.now() - healedMs;
  await all.untilEqual();
  const wrong: string[] = [];
  await all.forEach(names, async (key, i) => {
    const value = await valueAt(clients[i % clients.length] as HttpClient, key, 'quorum');
    if (value === undefined || allowed.get(key)?.includes(value) !== true) wrong.push(`${key}: ${value?.slice(0, 60)}`);
  });
  return { keys: names.length, equalAfterMs, wrong };
}

/** Each key once. */
async function write(clients: readonly HttpClient[], keys: number): Promise<WriteLoad> {
  const load = new WriteLoad({ clients, workers: 16, prefix: 'both/' });
  load.start();
  await load.untilTotal(keys, WRITE_TIMEOUT_MS);
  await load.stop();
  return load;
}

async function ownersOf(all: NamespaceNodes, keys: readonly string[]): Promise<Map<string, HttpClient[]>> {
  const byName = new Map(all.nodes.map(({ name }, i) => [name, all.clients[i] as HttpClient]));
  const found = new Map<string, HttpClient[]>();
  await all.forEach(keys, async (key, i) => {
    const client = all.clients[i % all.clients.length] as HttpClient;
    const path = `/v1/ring/locate?bucket=default&key=${encodeURIComponent(key)}`;
    const { owners } = await client.json<{ owners: string[] }>(path);
    found.set(
      key,
      owners.map((name) => byName.get(name) as HttpClient),
    );
  });
  return found;
}

async function valueAt(client: HttpClient, key: string, r = 'one'): Promise<string | undefined> {
  const answer = await client.send('GET', `/v1/kv/default/${encodeURIComponent(key)}?r=${r}`).catch(() => null);
  return answer?.status === 200 ? answer.text : undefined;
}
