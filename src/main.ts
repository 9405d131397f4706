/** The composition root: the only file that constructs adapters. */

import './require-node.ts';

import { createHash, randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { makeDataDirectory } from './adapters/level/data-directory.ts';
import { openHubLevelStore } from './adapters/level/hub-level-store.ts';
import { openLevelStorage } from './adapters/level/level-storage.ts';
import { runTrialTask } from './adapters/level/trial.ts';
import { listenError } from './adapters/libp2p/host.ts';
import { createSiteToken, siteKeyOf } from './adapters/libp2p/hub-admission.ts';
import { createHubLink, createHubLinks } from './adapters/libp2p/hub-link.ts';
import { createHubListener } from './adapters/libp2p/hub-listener.ts';
import { type Identity, loadIdentity, readIdentity } from './adapters/libp2p/identity.ts';
import { createSigner } from './adapters/libp2p/signer.ts';
import { createLibp2pTransport } from './adapters/libp2p/transport.ts';
import { prometheusRenderer } from './adapters/prometheus/metrics-renderer.ts';
import { systemClock } from './adapters/system/clock.ts';
import { createLog } from './adapters/system/log.ts';
import { tryListen } from './adapters/system/port.ts';
import { systemSampler } from './adapters/system/resource-sampler.ts';
import { endpointText } from './api/endpoint.ts';
import { startHttpApi } from './api/http/server.ts';
import { startHubApi } from './api/hub/server.ts';
import { listenErrorOf } from './api/listen-error.ts';
import { startRespServer } from './api/resp/server.ts';
import { processContext } from './cli/context.ts';
import { CliError } from './cli/errors.ts';
import { runCli } from './cli/program.ts';
import { listenEndpoint } from './config/address.ts';
import type { HubConfig } from './config/hub-config.ts';
import type { NodeConfig } from './config/node-config.ts';
import { Secret } from './config/secret.ts';
import { Hub } from './hub/hub.ts';
import type { HubAbove } from './hub/hub-uplink.ts';
import type { HubLink } from './ports/hub-link.ts';
import type { HubStore } from './ports/hub-store.ts';
import type { Log } from './ports/log.ts';
import type { CorruptRecord, Storage } from './ports/storage.ts';
import { LocalNode } from './runtime/local-node.ts';
import {
  DataDirectoryError,
  type ExpectedState,
  type NodeState,
  openNodeState,
  storedClusterId,
} from './runtime/node-state.ts';
import { WIRE_VERSION } from './wire/message.ts';
import { recordOf } from './wire/record.ts';

const { version } = packageJson;
const SECRET_FILE = 'cluster.secret';
const WRITE_BUFFER_BYTES_MAX = 16 * 1024 * 1024;
const RECORDS_LOST_FILE = 'records-lost';
/** First word of a command line that only this program itself uses. */
const STORE_TRIAL = '--store-trial';

/** Runs a node until SIGINT or SIGTERM, or until it fails. */
async function startNode(config: NodeConfig): Promise<void> {
  const log = createLog({ level: config.logLevel, format: config.logFormat });
  const closers: (() => Promise<void>)[] = [];
  const stopped = stopSignal();
  try {
    await compose(config, log, closers, stopped.fail);
    await stopped.promise;
    log.info('leaving the cluster');
  } catch (error) {
    // Whatever starts it again would do so in vain.
    throw error instanceof DataDirectoryError ? new CliError(error.message, 'bad-config', { cause: error }) : error;
  } finally {
    for (const close of closers.reverse()) await close();
  }
  log.info('stopped');
}

/** Runs a hub until SIGINT or SIGTERM, or until it fails. */
async function startHub(config: HubConfig): Promise<void> {
  const log = createLog({ level: config.logLevel, format: config.logFormat });
  const closers: (() => Promise<void>)[] = [];
  const stopped = stopSignal();
  try {
    await composeHub(config, log, closers);
    await stopped.promise;
    log.info('stopping: sites come back to another hub, or to this one');
  } finally {
    for (const close of closers.reverse()) await close();
  }
  log.info('stopped');
}

async function composeHub(config: HubConfig, log: Log, closers: (() => Promise<void>)[]): Promise<void> {
  const { name, dataDir, listen, announce } = config;
  // A used port must not leave a directory behind that no hub has ever run on.
  if (!existsSync(dataDir)) await checkPorts({ ...config, resp: null });
  await makeDataDirectory(dataDir);
  const store = await openHubStore(config, log);
  closers.push(() => store.close());
  const identity = await loadIdentity(dataDir);
  const hub = new Hub({
    name,
    peerId: identity.peer,
    version,
    storeKind: config.database === null ? 'embedded' : 'postgres',
    store,
    listener: createHubListener({ identity, listen, announce, log }),
    clock: systemClock,
    log,
    metrics: prometheusRenderer,
    random: () => randomBytes(8).toString('hex'),
    issueToken: (site) => {
      const token = createSiteToken(site);
      return { token, key: siteKeyOf(token) };
    },
    processUsage,
    above: hubAbove(config, identity, log),
  });
  closers.push(() => hub.stop());
  const http = await startHubApi({ hub, ...config.http, log, version });
  closers.push(() => http.close());
  await hub.start();
  const { addresses } = await hub.status();
  log.info('serving', {
    name,
    peerId: identity.peer,
    store: config.database === null ? 'embedded' : String(config.database),
    addresses: addresses.join(' '),
    http: endpointText(http.address, http.port),
  });
}

/** Null: the hub has none above it. */
function hubAbove({ hub, hubToken, tuning }: HubConfig, identity: Identity, log: Log): HubAbove | null {
  if (hub === null || hubToken === null) return null;
  return {
    address: hub,
    site: hubToken.site,
    bytesPerSecond: tuning.hubBytesPerSecond,
    linkOf: createHubLinks({ identity, address: hub, token: hubToken, log }),
  };
}

async function openHubStore({ dataDir, database }: HubConfig, log: Log): Promise<HubStore> {
  if (database === null) {
    return await openHubLevelStore({
      directory: join(dataDir, 'store'),
      trialCommand: trialCommand(),
      clock: systemClock,
      log,
    });
  }
  // Loaded on demand: only a hub with a database has a use for it.
  const { openHubPostgresStore } = await import('./adapters/postgres/hub-postgres-store.ts');
  return await openHubPostgresStore({ url: database.reveal(), clock: systemClock, log });
}

async function compose(
  config: NodeConfig,
  log: Log,
  closers: (() => Promise<void>)[],
  fail: (error: unknown) => void,
): Promise<void> {
  // A used port must not leave a directory behind that no node has ever run on.
  if (!existsSync(config.dataDir)) await checkPorts(config);
  await makeDataDirectory(config.dataDir);
  const { storage, damage } = await openStore(config, log);
  closers.push(() => storage.close());
  const secret = await clusterSecret(config, storage, log);
  const clusterId = clusterIdOf(secret);
  const { shards } = config.tuning;
  const known = await readIdentity(config.dataDir);
  const { state, lost } = await openState(storage, damage, { clusterId, shards, hasRun: known !== null });
  // A new one is written after the first state: a start that fails in between is not taken for a lost disk.
  const identity = known ?? (await loadIdentity(config.dataDir));
  if (known === null && state.bootEpoch > 1) {
    log.warn(
      'identity.key was missing: this node has a new identity, and joins with its data as a new member; once it has, take the old one out with `holdfast ring remove`',
      { peerId: identity.peer },
    );
  }
  damage.onLost = (reason) => fail(recordsLost(reason));
  const transport = await createLibp2pTransport({
    identity,
    secret: secret.reveal(),
    hello: { clusterId, versionMin: WIRE_VERSION, versionMax: WIRE_VERSION, shards },
    listen: config.listen,
    seeds: config.seeds,
    ...(config.mdns ? {} : { mdns: false }),
    knownPeers: state.known.map(({ id, profile }) => ({ peer: id, addresses: profile.addresses })),
    log,
  });
  const hub = hubLink(config, identity, log);
  const sampler = systemSampler(config.dataDir);
  const { score } = await sampler.sample();
  const node = new LocalNode(
    {
      config,
      version,
      clusterId,
      state,
      storage,
      transport,
      hub,
      clock: systemClock,
      sampler,
      metrics: prometheusRenderer,
      log,
      seed: randomBytes(4).readUInt32BE(),
      signer: createSigner(identity),
      proposerId: randomBytes(8).toString('hex'),
      run: randomBytes(6).toString('hex'),
      processUsage,
      onFatal: fail,
    },
    score,
  );
  closers.push(async () => hub?.close());
  closers.push(() => node.stop());
  damage.onLost = (reason) => {
    node.halt();
    fail(recordsLost(reason));
  };
  damage.onCorrupt = (record) => node.handleCorruptRecord(record);
  for (const record of damage.corrupt) node.handleCorruptRecord(record);
  if (lost !== null) node.handleRecordsLost(lost);
  // Listeners first: a used port must not cost the cluster a join and a leave.
  const http = await startListeners(node, config, log, closers);
  await node.start();
  log.info(node.ready ? 'serving' : 'waiting for the cluster', {
    name: config.name,
    peerId: identity.peer,
    clusterId,
    http: endpointText(http.address, http.port),
  });
}

async function startListeners(
  node: LocalNode,
  config: NodeConfig,
  log: Log,
  closers: (() => Promise<void>)[],
): Promise<{ readonly address: string; readonly port: number }> {
  const http = await startHttpApi({ node, ...config.http, log, version });
  closers.push(() => http.close());
  if (config.resp === null) return http;
  const resp = await startRespServer({ node, ...config.resp, log, version });
  closers.push(() => resp.close());
  return http;
}

/** Null: there is no hub. */
function hubLink({ hub, hubToken }: NodeConfig, identity: Identity, log: Log): HubLink | null {
  if (hub === null || hubToken === null) return null;
  return createHubLink({ identity, address: hub, token: hubToken, log });
}

/** Throws what opening the listeners would throw. */
async function checkPorts({ http, resp, listen }: Pick<NodeConfig, 'http' | 'resp' | 'listen'>): Promise<void> {
  const check = (host: string, port: number, explain: (error: unknown) => unknown): Promise<void> =>
    tryListen(host, port).catch((error: unknown) => {
      throw explain(error);
    });
  await check(http.host, http.port, (error) => listenErrorOf(error, 'HTTP API', '--http', http.host, http.port));
  if (resp !== null) {
    const { host, port } = resp;
    await check(host, port, (error) => listenErrorOf(error, 'Redis listener', '--resp', host, port));
  }
  for (const address of listen) {
    const endpoint = listenEndpoint(address);
    if (endpoint !== undefined) await check(endpoint.host, endpoint.port, (error) => listenError(error, [address]));
  }
}

async function openState(
  storage: Storage,
  damage: Damage,
  cluster: Pick<ExpectedState, 'clusterId' | 'shards' | 'hasRun'>,
): Promise<{ state: NodeState; lost: string | null }> {
  const lostMeanwhile: string[] = [];
  const lostBefore = await readFile(damage.lostFile, 'utf8').catch(() => null);
  damage.onLost = (reason) => void lostMeanwhile.push(reason);
  const state = await openNodeState(storage, {
    ...cluster,
    drawActor: () => randomBytes(8).toString('hex'),
    corrupt: damage.corrupt,
    renewActor: existsSync(damage.lostFile),
  });
  // What was read before the loss is not what is there now.
  const [lost] = lostMeanwhile;
  if (lost !== undefined) throw recordsLost(lost);
  await rm(damage.lostFile, { force: true });
  return { state, lost: lostBefore?.trim() ?? null };
}

function recordsLost(reason: string): Error {
  return new Error(`the disk lost records while the node ran (${reason}); start it again`);
}

/** Names the cluster without telling its secret. */
function clusterIdOf(secret: Secret): string {
  return createHash('sha256').update('holdfast cluster id').update(secret.reveal()).digest('hex').slice(0, 16);
}

function processUsage(): { residentBytes: number; cpuSeconds: number } {
  const { user, system } = process.cpuUsage();
  return { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 };
}

/** What turns out bad on the disk, before and while the node runs. */
interface Damage {
  readonly corrupt: CorruptRecord[];
  /** Exists from a loss that cannot be named until the next start has taken a new actor id for it. */
  readonly lostFile: string;
  onCorrupt: (record: CorruptRecord) => void;
  onLost: (reason: string) => void;
}

async function openStore(config: NodeConfig, log: Log): Promise<{ storage: Storage; damage: Damage }> {
  const corrupt: CorruptRecord[] = [];
  const damage: Damage = {
    corrupt,
    lostFile: join(config.dataDir, RECORDS_LOST_FILE),
    onCorrupt: (record) => void corrupt.push(record),
    onLost: () => undefined,
  };
  const storage = await openLevelStorage({
    directory: join(config.dataDir, 'store'),
    log,
    onCorrupt: (record) => damage.onCorrupt(record),
    keepsCorrupt: (key) => !['meta', 'other'].includes(recordOf(key).table),
    onRecordsLost: (reason) => {
      // Counters may have gone back, and no dot is used twice.
      writeFileSync(damage.lostFile, `${reason}\n`, { flush: true });
      log.error(
        'the disk lost data, and nobody can say which; the other nodes send this one what it lacks once it has started, so keep them running, and replace the disk if this happens again',
        { reason },
      );
      damage.onLost(reason);
    },
    trialCommand: trialCommand(),
    cacheBytes: config.tuning.blockCacheBytes,
    // The node refuses writes at the headroom itself; the rest of it is for deletes and for what is under way.
    headroomBytes: Math.floor(config.tuning.diskHeadroomBytes / 4),
    // A compaction holds several times as much twice over, and has to fit into the headroom.
    writeBufferBytes: Math.min(WRITE_BUFFER_BYTES_MAX, Math.floor(config.tuning.diskHeadroomBytes / 8)),
  });
  return { storage, damage };
}

/** The configured secret, or the one that this data directory made for a cluster of its own. */
async function clusterSecret(config: NodeConfig, storage: Storage, log: Log): Promise<Secret> {
  if (config.secret !== null) return config.secret;
  const path = join(config.dataDir, SECRET_FILE);
  const stored = await readFile(path, 'utf8').catch(() => null);
  if (stored !== null) {
    const secret = Secret.parse(stored.trim());
    if (secret === undefined) {
      throw new Error(
        `${path} does not hold a cluster secret; restore it, or pass the cluster's secret with --secret-file`,
      );
    }
    return secret;
  }
  // A start that is about to fail must not leave a secret behind which later ones would take for the cluster's.
  const owner = storedClusterId(storage);
  if (owner !== null) {
    throw new DataDirectoryError(
      `the data directory belongs to cluster ${owner}, and no secret was given; pass the cluster's own with --secret-file, or use another directory`,
    );
  }
  const text = randomBytes(32).toString('hex');
  const file = await open(path, 'wx', 0o600);
  await file.writeFile(`${text}\n`);
  await file.sync();
  await file.close();
  log.warn('no secret given: this node forms a cluster of its own; start others with --secret-file to join it', {
    secretFile: path,
  });
  return Secret.parse(text) as Secret;
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
function stopSignal(): { promise: Promise<void>; fail: (error: unknown) => void } {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let signals = 0;
  const onSignal = (): void => {
    if (++signals > 1) process.exit(1);
    resolve();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return { promise, fail: reject };
}

/** This program once more, for a damaged store; without what attaches a debugger to the first. */
function trialCommand(): string[] {
  const options = process.execArgv.filter((option) => !option.startsWith('--inspect'));
  return [process.execPath, ...options, process.argv[1] as string, STORE_TRIAL];
}

async function runHoldfast(args: readonly string[]): Promise<number> {
  const [word, task, directory] = args;
  if (word === STORE_TRIAL) return await runTrialTask(task, directory);
  return await runCli(
    args,
    processContext({
      version,
      startNode,
      startHub,
      runDemo: async (options) => {
        // Loaded on demand: a node has no use for it.
        const { runDemo } = await import('./demo/demo.ts');
        const sampler = systemSampler(tmpdir());
        await runDemo(options, { sample: () => sampler.sample() });
      },
    }),
  );
}

process.exitCode = await runHoldfast(process.argv.slice(2));
