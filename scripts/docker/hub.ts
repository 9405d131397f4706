import { type ComposeCluster, NODES, SITE } from './compose-cluster.ts';
import { check, figures, say, seconds, signal, until, written } from './progress.ts';

/** A bucket that goes both ways. */
const PRICES = 'prices';
const CUT_OFF_WRITES = 100;
const REACHED_TIMEOUT_MS = 60_000;
const IN_STEP_TIMEOUT_MS = 120_000;
/** A cable that is cut without a word. */
const NOTICED_TIMEOUT_MS = 90_000;

const ALL_VALUES = `select key, encode(value, 'base64') as base64, written_by as by from holdfast_value
  where site = '${SITE}' and bucket = 'default' and key like 'docker-check/%' and key <> 'docker-check/visits'`;

interface Row {
  readonly key: string;
  readonly base64: string;
  readonly by: string;
}

/** The hub knows all five nodes; a bucket for both directions is made. */
export async function meetHub(cluster: ComposeCluster): Promise<void> {
  await until('the hub has a session for all five nodes', REACHED_TIMEOUT_MS, async () => {
    const [answer] = await cluster.ask('hub', [`/v1/sites/${SITE}`]);
    const { sessions } = JSON.parse(answer?.text ?? '') as Site;
    return sessions.some(({ island }) => island?.members.length === NODES.length) ? true : null;
  });
  const settings = {
    method: 'PUT',
    body: JSON.stringify({ sync: 'both' }),
    headers: { 'Content-Type': 'application/json' },
  };
  const [made] = await cluster.ask('node1', [{ path: `/v1/buckets/${PRICES}`, ...settings }]);
  check(
    made?.status === 200 || made?.status === 201,
    `PUT of the bucket ${PRICES}: ${String(made?.status)} ${String(made?.text)}`,
  );
  say('the hub has a session for all five nodes');
}

interface Site {
  readonly sessions: readonly { readonly island: { readonly members: readonly string[] } | null }[];
}

/** PostgreSQL has every acknowledged write, and no other. */
export async function hubHasAll(cluster: ComposeCluster): Promise<void> {
  let rows: readonly Row[] = [];
  const wrong = (): string[] => {
    const found = new Map(rows.map(({ key, base64 }) => [key, Buffer.from(base64, 'base64').toString()]));
    const lost = [...written].filter(([key, value]) => found.get(key) !== value).map(([key]) => key);
    return [...lost, ...[...found.keys()].filter((key) => !written.has(key))];
  };
  await until('PostgreSQL has all that was written', IN_STEP_TIMEOUT_MS, async () => {
    rows = await cluster.rows<Row>(ALL_VALUES);
    return wrong().length === 0 ? true : null;
  }).catch((error: unknown) => {
    const keys = wrong();
    throw new Error(`${String(error)}: ${keys.length} keys differ, as ${keys.slice(0, 5).join(', ')}`);
  });
  const writers = new Set(rows.map(({ by }) => by));
  const strangers = [...writers].filter((by) => !(NODES as readonly string[]).includes(by));
  check(strangers.length === 0, `PostgreSQL names as writers ${strangers.join(', ')}`);
  check(writers.size === NODES.length, `PostgreSQL names as writers only ${[...writers].join(', ')}`);
  say(`PostgreSQL has all ${rows.length} values, key by key, written by all five nodes`);
}

/** Both sides go on writing while the hub is not on their network. */
export async function cutOff(cluster: ComposeCluster, put: (index: number) => Promise<void>): Promise<void> {
  const cutMs = performance.now();
  await cluster.cutHub();
  for (let i = 1; i <= CUT_OFF_WRITES && !signal.aborted; i++) await put(i);
  const path = `/v1/sites/${SITE}/kv/${PRICES}/bread`;
  const [atHub] = await cluster.ask('hub', [{ path, method: 'PUT', body: '2.80' }]);
  check(atHub?.status === 204, `PUT at the hub that is cut off: ${String(atHub?.status)} ${String(atHub?.text)}`);
  await until('the nodes are degraded', NOTICED_TIMEOUT_MS, async () => {
    const [answer] = await cluster.ask('node1', ['/v1/status']);
    return (JSON.parse(answer?.text ?? '') as { level: string }).level === 'degraded' ? true : null;
  });
  figures['cutNoticedMs'] = Math.round(performance.now() - cutMs);
  const rows = await cluster.rows<Row>(`${ALL_VALUES} and key like 'docker-check/cut-off/%'`);
  check(rows.length === 0, `${rows.length} values came to the hub though it was cut off`);
  say(
    `hub disconnected from the network: ${CUT_OFF_WRITES} writes at node1 and one at the hub went on; ` +
      `noticed after ${seconds(figures['cutNoticedMs'])}`,
  );
  await reconnect(cluster);
}

async function reconnect(cluster: ComposeCluster): Promise<void> {
  const fromMs = performance.now();
  await cluster.reconnectHub();
  await hubHasAll(cluster);
  await until('what was written at the hub is at every node', IN_STEP_TIMEOUT_MS, async () => {
    const path = `/v1/kv/${PRICES}/bread?r=one`;
    const answers = await Promise.all(NODES.map((node) => cluster.ask(node, [path])));
    return answers.every(([answer]) => answer?.status === 200 && answer.text === '2.80') ? true : null;
  });
  figures['reconnectedMs'] = Math.round(performance.now() - fromMs);
  say(`hub reconnected: in step again, both ways, after ${seconds(figures['reconnectedMs'])}`);
}
