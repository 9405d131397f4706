import { Prng } from '../../src/lib/prng.ts';
import { checkConvergence } from './checkers/convergence.ts';
import { allCheckers } from './checkers/index.ts';
import { checkReconciliation } from './checkers/reconciliation.ts';
import { SimCluster } from './cluster.ts';
import { CopyLedger } from './copy-ledger.ts';
import { FaultInjector } from './fault-injector.ts';
import type { History } from './history.ts';
import { HubClients } from './hub-clients.ts';
import { HubFaults, hubFaultText } from './hub-faults.ts';
import type { SimObserver } from './observer.ts';
import { DEFAULT_BUCKET, PLACED_BUCKETS, type SimBucket } from './placed-buckets.ts';
import { drawSchedule, type Schedule } from './schedule.ts';
import { SessionClients, type SessionHistory } from './session-clients.ts';
import { StrongClients } from './strong-clients.ts';
import type { StrongHistory } from './strong-history.ts';
import { StrongLosses } from './strong-losses.ts';
import { WatchClient } from './watch-clients.ts';
import { Workload } from './workload.ts';

/** Time for everything to converge once faults have stopped. */
const LIVENESS_MS = 120_000;
/** Then nothing happens for so long: views become equal, and the checkers see what an idle cluster does. */
const QUIET_MS = 40_487;
const HOT_KEYS = 8;
/** So slow that other owners wait for it. */
const SYNC_BYTES_PER_SECOND = 16 * 1024;
/** How much more seldom clients use buckets with a placement of their own. */
const PLACED_INTERVALS = 3;
const PLACED_SEED = 0x706c6163;
const STRONG_SEED = 0x7374726b;
const HUB_SEED = 0x68756263;
/** How much more seldom clients of the bucket that goes both ways do something. */
const HUB_INTERVALS = 3;
/** A node that believes that the hub has all asks again by then. */
const HUB_CHECK_MS = 130_000;
/** How much more seldom one of the clients of strong keys does something. */
const STRONG_INTERVALS = 4;
/** Once nothing else is to be done, every node has a majority of the electors, and of each key's acceptors, by then. */
const STRONG_AGAIN_MS = 30_000;

export interface SwarmReport {
  readonly seed: number;
  readonly schedule: Schedule;
  readonly problems: readonly string[];
  /** Of the bucket that is there from the start, and of those created on the way. */
  readonly history: History;
  readonly placed: readonly History[];
  readonly sessions: SessionHistory;
  readonly strong: StrongHistory;
  /** What the checkers could not hold against this run. */
  readonly exemptions: readonly string[];
  /** What was done when, and what was passed over. */
  readonly faults: readonly string[];
  readonly simulatedMs: number;
  /** What the hub was asked, what it has, and how many reads of clients with a session it has answered; nothing where there is none. */
  readonly hub: { readonly requests: number; readonly keys: number; readonly sessionReads: number };
}

export interface SwarmOptions {
  readonly observers?: readonly SimObserver[];
}

/** The run that a seed stands for. */
export function runSwarm(seed: number, safetyMs = 60_000, nodes?: number): SwarmReport {
  return runSchedule(drawSchedule(seed, { safetyMs, ...(nodes === undefined ? {} : { nodes }) }));
}

/**
 * One run: a cluster forms, clients work while faults come and go (safety phase), faults stop (liveness phase), and
 * everything must have converged with nothing acknowledged lost.
 */
export function runSchedule(schedule: Schedule, options: SwarmOptions = {}): SwarmReport {
  const prng = new Prng(schedule.seed);
  const { nodes, zones, discovery, redial, outAfterMs } = schedule;
  const cluster = new SimCluster({
    seed: prng.uint32(),
    nodes,
    zones,
    discovery,
    redial,
    outAfterMs,
    firstSyncBytesPerSecond: SYNC_BYTES_PER_SECOND,
    hub: schedule.hub !== null,
  });
  const ledger = new CopyLedger(cluster.nodes);
  const workload = new Workload(cluster, {
    bucket: DEFAULT_BUCKET,
    ledger,
    prng: new Prng(prng.uint32()),
    hotKeys: HOT_KEYS,
    collectionPrng: new Prng(prng.uint32()),
  });
  const { history } = workload;
  const placed = placedWorkloads(cluster, ledger, schedule.seed);
  const histories = [history, ...placed.map((each) => each.history)];
  const sessions = new SessionClients(cluster, {
    prng: new Prng(prng.uint32()),
    bucket: DEFAULT_BUCKET.dataName,
    prefix: 'session',
    sent: history.sent,
    hub: null,
  });
  const hubClients = new HubClients(cluster, new Prng(schedule.seed ^ HUB_SEED), history.sent);
  ledger.onLoss = () => {
    sessions.handleLoss();
    hubClients.handleLoss();
  };
  const watch = new WatchClient(cluster, new Prng(prng.uint32()));
  const strong = new StrongClients(cluster, new Prng(schedule.seed ^ STRONG_SEED));
  const losses = new StrongLosses(cluster.nodes);
  const checkers = allCheckers(cluster, {
    histories,
    sessions: sessions.history,
    watch,
    hubClients,
    strong: { history: strong.history, losses },
  });
  cluster.observers.push(watch, ...checkers, ...(options.observers ?? []));
  const faults: string[] = [];
  const begun = new Set<number>();
  const note = (text: string): void => {
    faults.push(`${(cluster.clock.nowMs / 1000).toFixed(1)} s  ${text}`);
    for (const observer of cluster.observers.ofFaults) observer.fault(text);
  };
  const onBucket = (bucket: SimBucket): void => {
    const index = PLACED_BUCKETS.indexOf(bucket);
    if (begun.has(index)) return;
    begun.add(index);
    placed[index]?.start(schedule.opIntervalMs * PLACED_INTERVALS);
  };
  const hubFaults = beginHub(cluster, schedule, hubClients, note);
  const injector = new FaultInjector(cluster, ledger, note, onBucket, losses);

  for (const node of cluster.nodes) if (!schedule.late.includes(node.index)) cluster.start(node);
  for (const { atMs, fault } of schedule.events) cluster.clock.at(atMs, () => injector.inject(fault));
  cluster.run(schedule.calmMs);
  cluster.weather = schedule.weather;
  workload.start(schedule.opIntervalMs);
  sessions.start(schedule.opIntervalMs * 2);
  watch.start();
  if (schedule.strong) strong.start(schedule.opIntervalMs * STRONG_INTERVALS);
  if (schedule.hub !== null) hubClients.start(schedule.opIntervalMs * HUB_INTERVALS);
  cluster.run(schedule.safetyMs);

  note('faults stop');
  for (const each of [workload, ...placed]) each.stop();
  sessions.stop();
  strong.stop();
  hubClients.stop();
  hubFaults?.endAll();
  watch.stay();
  injector.endAll();
  const settled = cluster.runUntil(
    () => cluster.isSettled() && checkConvergence(cluster).length === 0,
    LIVENESS_MS,
    1000,
  );
  cluster.runUntil(() => checkReconciliation(cluster).length === 0, HUB_CHECK_MS, 1000);
  if (schedule.strong) tryStrong(cluster, strong, losses);
  cluster.run(QUIET_MS);
  // A value whose time has come just now is being removed.
  cluster.runUntil(() => checkConvergence(cluster).length === 0, 1000);
  const problems = [
    ...hubClients.problems(),
    ...histories.flatMap((each) => each.problems),
    ...(settled ? [] : unsettled(cluster)),
  ];
  for (const checker of checkers) problems.push(...checker.check());
  return {
    seed: schedule.seed,
    schedule,
    problems,
    history,
    placed: placed.map((each) => each.history),
    sessions: sessions.history,
    strong: strong.history,
    exemptions: checkers.flatMap((checker) => checker.exemptions?.() ?? []),
    faults,
    simulatedMs: cluster.clock.nowMs,
    hub: {
      requests: cluster.hub?.requests ?? 0,
      keys: cluster.hub?.rows.objects.size ?? 0,
      sessionReads: hubClients.sessions.reduce((sum, { history: { atHub } }) => sum + atHub.answered, 0),
    },
  };
}

/** Also what is done to the hub is done in time. */
function beginHub(
  cluster: SimCluster,
  { hub: events }: Schedule,
  clients: HubClients,
  note: (text: string) => void,
): HubFaults | null {
  const { hub, clock, nodes } = cluster;
  if (hub === null || events === null) return null;
  const after = (delayMs: number, run: () => void): void => clock.after(delayMs, run);
  const faults = new HubFaults(hub, nodes, after, () => clients.noteForgotten());
  for (const { atMs, fault } of events) {
    clock.at(atMs, () => {
      note(hubFaultText(fault));
      faults.inject(fault);
    });
  }
  return faults;
}

/** With draws of their own: what becomes of the other buckets is as without them. */
function placedWorkloads(cluster: SimCluster, ledger: CopyLedger, seed: number): Workload[] {
  const prng = new Prng(seed ^ PLACED_SEED);
  return PLACED_BUCKETS.map((bucket) => {
    const draws = { prng: new Prng(prng.uint32()), collectionPrng: new Prng(prng.uint32()) };
    return new Workload(cluster, { bucket, ledger, hotKeys: HOT_KEYS, ...draws });
  });
}

/** With all links healed, and all nodes up: each of them does as it is told, unless the disks are lost that it takes. */
function tryStrong(cluster: SimCluster, strong: StrongClients, losses: StrongLosses): void {
  let isDone = false;
  strong.tryAll(
    STRONG_AGAIN_MS,
    (key) => losses.isGone(key),
    () => {
      isDone = true;
    },
  );
  cluster.runUntil(() => isDone, 2 * STRONG_AGAIN_MS);
}

function unsettled(cluster: SimCluster): string[] {
  return cluster.nodes.map(({ name, running }) => {
    const stats = running?.node.replicationStats();
    const state = { ...stats?.shards, hints: stats?.hints.records, inFlight: stats?.inFlight };
    return `liveness: ${name} has not settled: ${JSON.stringify(state)}`;
  });
}
