/**
 * `npm run docker:check`: builds the image and runs docker-compose.yml for real, as a Compose project of its own:
 * five nodes find each other by mDNS, share data, have it at the hub in PostgreSQL, are cut off from the hub and get it
 * back, lose one of them to SIGKILL and get it back, and all start again on their volumes.
 * Prints what it does and one line of figures; status 1 when something does not hold. Containers, networks and volumes
 * are removed at the end, also after a failure or Ctrl-C; the image holdfast:local stays.
 *
 * Needs a Docker engine with Compose, redis-cli, and the ports 7480, 7379 and 7580 of 127.0.0.1. Takes about three minutes.
 */

import { loadavg } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CommandError, run } from './docker/command.ts';
import { ComposeCluster, NODES, type NodeService, SERVICES } from './docker/compose-cluster.ts';
import { cutOff, hubHasAll, meetHub } from './docker/hub.ts';
import { check, figures, interrupted, say, seconds, signal, until, written } from './docker/progress.ts';

const API = 'http://127.0.0.1:7480';
const REDIS = ['redis-cli', '-h', '127.0.0.1', '-p', '7379'];
const VICTIM: NodeService = 'node4';
const KEYS = 60;
const KEYS_A_NODE = 20;
const OUTAGE_WRITES_MIN = 60;

const COMMAND_TIMEOUT_MS = 60_000;
const REQUEST_TIMEOUT_MS = 8000;
const HEALTHY_TIMEOUT_MS = 120_000;
const COMPLETE_TIMEOUT_MS = 120_000;
const DEAD_TIMEOUT_MS = 60_000;
const OUTAGE_WRITES_TIMEOUT_MS = 60_000;
const CAUGHT_UP_TIMEOUT_MS = 120_000;
const TRAFFIC_PAUSE_MS = 10;

interface Member {
  readonly name: string;
  readonly state: string;
  readonly since: string;
  readonly self: boolean;
}

interface Status {
  readonly peerId: string;
  readonly bootEpoch: number;
  readonly shards: { readonly owned: number; readonly complete: number; readonly transferring: number };
  readonly hints: { readonly records: number };
}

interface View {
  readonly service: NodeService;
  readonly members: readonly Member[];
  readonly status: Status;
}

async function viewOf(cluster: ComposeCluster, service: NodeService): Promise<View> {
  const answers = await cluster.ask(service, ['/v1/members', '/v1/status']);
  const [members, status] = answers.map(({ status: code, text }) => {
    check(code === 200, `${service} answered ${code}: ${text}`);
    return JSON.parse(text) as unknown;
  });
  return { service, members: (members as { members: readonly Member[] }).members, status: status as Status };
}

/** The views of all nodes; null while one of them does not answer. */
async function views(cluster: ComposeCluster): Promise<View[] | null> {
  try {
    return await Promise.all(NODES.map((service) => viewOf(cluster, service)));
  } catch (error) {
    if (error instanceof CommandError) return null;
    throw error;
  }
}

function isComplete({ members }: View): boolean {
  const alive = members.filter(({ state }) => state === 'alive').map(({ name }) => name);
  return members.length === NODES.length && NODES.every((service) => alive.includes(service));
}

function latest(members: readonly Member[]): number {
  return Math.max(...members.map(({ since }) => Date.parse(since)));
}

/** Waits for all containers to be healthy and all views to hold all nodes alive; times from before the start. */
async function untilFormed(cluster: ComposeCluster, label: string, fromMs: number): Promise<View[]> {
  const healthy = until('all containers are healthy', HEALTHY_TIMEOUT_MS, async () => {
    const containers = await cluster.containers();
    return containers.every(({ health }) => health === 'healthy') ? performance.now() : null;
  });
  const complete = until('all nodes hold all five alive', COMPLETE_TIMEOUT_MS, async () => {
    const all = await views(cluster);
    return all?.every(isComplete) ? all : null;
  });
  const [healthyMs, all] = await Promise.all([healthy, complete]);
  const lastStartMs = Math.max(...(await cluster.containers()).map(({ startedMs }) => startedMs));
  // The views tell themselves since when they are complete; asking took longer.
  const members = all.flatMap((view) => view.members);
  const completeMs = latest(members);
  const lastServesMs = latest(members.filter(({ self }) => self));
  figures[`${label}HealthyMs`] = Math.round(healthyMs - fromMs);
  figures[`${label}CompleteMs`] = completeMs - lastStartMs;
  figures[`${label}CompleteAfterServingMs`] = completeMs - lastServesMs;
  say(
    `all healthy ${seconds(healthyMs - fromMs)} after compose up; all five views complete ` +
      `${seconds(completeMs - lastStartMs)} after the last container started, ` +
      `${seconds(completeMs - lastServesMs)} after the last node joined`,
  );
  return all;
}

function kvPath(key: string, level = ''): string {
  return `/v1/kv/default/${encodeURIComponent(key)}${level}`;
}

async function putOnNode1(key: string, value: string): Promise<void> {
  const response = await fetch(`${API}${kvPath(key, '?w=quorum')}`, {
    method: 'PUT',
    body: value,
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  const text = await response.text();
  check(response.status === 204, `PUT ${key} at node1: ${response.status} ${text}`);
  written.set(key, value);
}

/** Which of the keys the node does not answer with what was written; each with the answer. */
async function wrongAt(
  cluster: ComposeCluster,
  service: NodeService,
  keys: readonly string[],
  level: 'one' | 'quorum',
): Promise<string[]> {
  const paths = keys.map((key) => kvPath(key, `?r=${level}`));
  const answers = await cluster.ask(service, paths);
  return keys.flatMap((key, i) => {
    const { status, text } = answers[i] ?? { status: 0, text: '' };
    return status === 200 && text === written.get(key) ? [] : [`${service} ${key}: ${status} ${text.slice(0, 200)}`];
  });
}

async function checkEverywhere(cluster: ComposeCluster): Promise<void> {
  const keys = [...written.keys()];
  for (const service of NODES) {
    const wrong = await wrongAt(cluster, service, keys, 'quorum');
    check(
      wrong.length === 0,
      `${wrong.length} of ${keys.length} values are wrong:\n  ${wrong.slice(0, 5).join('\n  ')}`,
    );
  }
  say(`${keys.length} acknowledged writes read at quorum in each of the five containers`);
}

async function buildAll(cluster: ComposeCluster): Promise<void> {
  const options = { timeoutMs: COMMAND_TIMEOUT_MS, signal };
  await run([process.execPath, resolve(import.meta.dirname, 'build.ts')], options);
  say('bundle built');
  await cluster.build();
  say('image built');
}

async function form(cluster: ComposeCluster): Promise<View[]> {
  const fromMs = performance.now();
  await cluster.up();
  say('containers of five nodes, the hub and its database started');
  for (const { service, environment } of await cluster.containers()) {
    const seeded = environment.some((line) => line.startsWith('HOLDFAST_SEED'));
    check(!seeded, `${service} has seeds: the check could not tell whether mDNS works`);
  }
  return untilFormed(cluster, 'first', fromMs);
}

async function shareData(cluster: ComposeCluster): Promise<void> {
  for (let i = 1; i <= KEYS; i++) await putOnNode1(`docker-check/${i}`, `value ${i}`);
  say(`${KEYS} values put through node1's published port`);
  // Enough for each of them to own some of its keys, which it then writes itself.
  for (const node of NODES) {
    const keys = Array.from({ length: KEYS_A_NODE }, (_, i) => `docker-check/by/${node}/${i}`);
    const requests = keys.map((key) => ({ path: kvPath(key, '?w=quorum'), method: 'PUT', body: `by ${node}` }));
    const answers = await cluster.ask(node, requests);
    const refused = answers.find(({ status }) => status !== 204);
    check(refused === undefined, `PUT at ${node}: ${String(refused?.status)} ${String(refused?.text)}`);
    for (const key of keys) written.set(key, `by ${node}`);
  }
  say(`${KEYS_A_NODE} values put in each of the five containers`);
  await checkEverywhere(cluster);
  for (const service of NODES) {
    const value = await cluster.holdfast(service, ['get', 'default', 'docker-check/1']);
    check(value === 'value 1', `holdfast get in ${service} printed ${value}`);
  }
  say('holdfast get in each container prints the value');
}

async function redis(args: readonly string[]): Promise<string> {
  return (await run([...REDIS, ...args], { timeoutMs: COMMAND_TIMEOUT_MS, signal })).trim();
}

async function speakRedis(): Promise<void> {
  const stored = await redis(['SET', 'docker-check/redis', 'by redis-cli']);
  check(stored === 'OK', `SET answered ${stored}`);
  written.set('docker-check/redis', 'by redis-cli');
  const own = await redis(['GET', 'docker-check/redis']);
  check(own === 'by redis-cli', `GET of the own value answered ${own}`);
  const other = await redis(['GET', 'docker-check/1']);
  check(other === 'value 1', `GET of a value put over HTTP answered ${other}`);
  await redis(['INCR', 'docker-check/visits']);
  const count = await redis(['INCR', 'docker-check/visits']);
  check(count === '2', `the second INCR answered ${count}`);
  say('redis-cli on 7379: SET, GET, GET of a value put over HTTP, INCR');
}

/** Reads and writes at node1, one after the other, until it is stopped. */
class Traffic {
  readonly missed: string[] = [];
  readonly failures: string[] = [];
  reads = 0;
  slowestMs = 0;
  /** Writes that the killed node had in hand: nobody can say what became of them, so a client repeats them. */
  repeated = 0;
  private stopping = false;
  private readonly running: Promise<void>;

  constructor() {
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
  }

  private async run(): Promise<void> {
    const keys = [...written.keys()];
    for (let i = 0; !this.stopping && !signal.aborted; i++) {
      const key = keys[i % keys.length] ?? '';
      const fromMs = performance.now();
      try {
        if (i % 3 === 2) await this.write(i);
        else await this.read(key);
      } catch (error) {
        this.failures.push(error instanceof Error ? error.message : String(error));
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - fromMs);
      await delay(TRAFFIC_PAUSE_MS);
    }
  }

  private async write(i: number): Promise<void> {
    const put = (): Promise<void> => putOnNode1(`docker-check/outage/${i}`, `written while ${VICTIM} was away ${i}`);
    await put().catch(async (error: unknown) => {
      if (!String(error).includes('"stateChanged":"maybe"')) throw error;
      this.repeated++;
      await put();
    });
    this.missed.push(`docker-check/outage/${i}`);
  }

  private async read(key: string): Promise<void> {
    const response = await fetch(`${API}${kvPath(key, '?r=quorum')}`, {
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const text = await response.text();
    const isRight = response.status === 200 && text === written.get(key);
    check(isRight, `GET ${key} at node1: ${response.status} ${text.slice(0, 200)}`);
    this.reads++;
  }
}

/** Kills one node under traffic; the keys that were written without it. */
async function outage(cluster: ComposeCluster): Promise<readonly string[]> {
  const traffic = new Traffic();
  try {
    const fromMs = performance.now();
    await cluster.kill(VICTIM);
    const killed = (await cluster.containers()).find(({ service }) => service === VICTIM);
    check(killed?.running === false, `${VICTIM} still runs after SIGKILL`);
    await until(`node1 holds ${VICTIM} dead`, DEAD_TIMEOUT_MS, async () => {
      const response = await fetch(`${API}/v1/members`, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
      const { members } = (await response.json()) as { members: readonly Member[] };
      return members.some(({ name, state }) => name === VICTIM && state === 'dead') ? true : null;
    });
    figures['deadMs'] = Math.round(performance.now() - fromMs);
    say(`${VICTIM} killed with SIGKILL (exit ${killed.exitCode}), dead for node1 ${seconds(figures['deadMs'])} later`);
    await until(`${OUTAGE_WRITES_MIN} writes without ${VICTIM}`, OUTAGE_WRITES_TIMEOUT_MS, () =>
      Promise.resolve(traffic.missed.length >= OUTAGE_WRITES_MIN ? true : null),
    );
  } finally {
    await traffic.stop();
  }
  const { reads, missed, failures, slowestMs, repeated } = traffic;
  check(failures.length === 0, `${failures.length} requests failed meanwhile:\n  ${failures.slice(0, 5).join('\n  ')}`);
  // One request at a time: no more than one can have been in the hands of the killed node.
  check(repeated <= 1, `${repeated} writes ended without an answer, although one node was killed once`);
  Object.assign(figures, { outageReads: reads, outageWrites: missed.length, repeated });
  figures['slowestMs'] = Math.round(slowestMs);
  say(
    `${reads} reads and ${missed.length} writes went on at node1, ${repeated} of them at the second try, the slowest took ${seconds(slowestMs)}`,
  );
  return missed;
}

async function comeBack(cluster: ComposeCluster, missed: readonly string[]): Promise<void> {
  const fromMs = performance.now();
  await cluster.start(VICTIM);
  await until(`${VICTIM} has caught up`, CAUGHT_UP_TIMEOUT_MS, async () => {
    const all = await views(cluster);
    if (all === null || !all.every(isComplete)) return null;
    const settled = all.every(({ status: { shards, hints } }) => {
      return shards.owned > 0 && shards.complete === shards.owned && shards.transferring === 0 && hints.records === 0;
    });
    if (!settled) return null;
    return (await wrongAt(cluster, VICTIM, missed, 'one')).length === 0 ? true : null;
  });
  figures['caughtUpMs'] = Math.round(performance.now() - fromMs);
  say(
    `${VICTIM} started again and caught up in ${seconds(figures['caughtUpMs'])}: alive in all views, shards complete, ` +
      `no hints left, ${missed.length} missed writes read from it`,
  );
  await checkEverywhere(cluster);
}

/** Stops all nodes in good order, removes the containers and starts new ones on the same volumes. */
async function restartOnVolumes(cluster: ComposeCluster, before: readonly View[]): Promise<void> {
  const stopFromMs = performance.now();
  await cluster.stop();
  for (const { service, exitCode } of await cluster.containers()) {
    check(exitCode === 0, `${service} ended with status ${exitCode} when told to stop`);
  }
  figures['stopMs'] = Math.round(performance.now() - stopFromMs);
  await cluster.down();
  const volumes = await cluster.volumes();
  // And that of the token.
  check(volumes.length === SERVICES.length + 1, `volumes after compose down: ${volumes.join(', ')}`);
  say(
    `all nodes stopped with status 0 in ${seconds(figures['stopMs'])}; containers removed, ${volumes.length} volumes kept`,
  );
  const fromMs = performance.now();
  await cluster.up();
  const after = await untilFormed(cluster, 'again', fromMs);
  for (const { service, status } of before) {
    const now = after.find((view) => view.service === service)?.status;
    check(now?.peerId === status.peerId, `${service} came back as another peer`);
    check(now.bootEpoch > status.bootEpoch, `${service} has the start number of its earlier run`);
  }
  await checkEverywhere(cluster);
}

async function cleanUp(cluster: ComposeCluster): Promise<void> {
  const again = cluster.with(new AbortController().signal);
  await again.downWithVolumes();
  const left = await again.leftovers();
  check(left.length === 0, `these are left: ${left.join(', ')}`);
  say('containers, networks and volumes removed');
}

async function tell(cluster: ComposeCluster): Promise<void> {
  try {
    const before = await form(cluster);
    await meetHub(cluster);
    await shareData(cluster);
    await speakRedis();
    await hubHasAll(cluster);
    await cutOff(cluster, (i) => putOnNode1(`docker-check/cut-off/${i}`, `written without the hub ${i}`));
    const missed = await outage(cluster);
    await comeBack(cluster, missed);
    await hubHasAll(cluster);
    await restartOnVolumes(cluster, before);
    await hubHasAll(cluster);
  } catch (error) {
    const logs = await cluster.with(new AbortController().signal).logs();
    if (!signal.aborted) console.error(logs);
    throw error;
  }
}

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => interrupted.abort(new Error(`ended by ${name}`)));
}
try {
  const options = { timeoutMs: COMMAND_TIMEOUT_MS, signal };
  await run(['redis-cli', '--version'], options);
  const cluster = await ComposeCluster.connect(signal);
  await buildAll(cluster);
  try {
    // What a run left that was killed.
    await cluster.downWithVolumes();
    await tell(cluster);
  } finally {
    await cleanUp(cluster);
  }
  console.log(`kept docker: ${JSON.stringify({ ...figures, loadAverage: loadavg()[0] })}`);
} catch (error) {
  console.error(`docker-check: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
