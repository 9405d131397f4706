import { Prng } from '../../src/lib/prng.ts';
import { checkConvergence } from './checkers/convergence.ts';
import { allCheckers } from './checkers/index.ts';
import { SimCluster } from './cluster.ts';
import { FaultInjector } from './fault-injector.ts';
import type { History } from './history.ts';
import type { SimObserver } from './observer.ts';
import { drawSchedule, type Schedule } from './schedule.ts';
import { SessionClients, type SessionHistory } from './session-clients.ts';
import { WatchClient } from './watch-clients.ts';
import { Workload } from './workload.ts';

/** Time for everything to converge once faults have stopped. */
const LIVENESS_MS = 120_000;
/** Then nothing happens for so long: views become equal, and the checkers see what an idle cluster does. */
const QUIET_MS = 40_487;
const HOT_KEYS = 8;

export interface SwarmReport {
  readonly seed: number;
  readonly schedule: Schedule;
  readonly problems: readonly string[];
  readonly history: History;
  readonly sessions: SessionHistory;
  /** What was done when, and what was passed over. */
  readonly faults: readonly string[];
  readonly simulatedMs: number;
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
  const { nodes, zones, discovery, redial } = schedule;
  const cluster = new SimCluster({ seed: prng.uint32(), nodes, zones, discovery, redial });
  const workload = new Workload(cluster, new Prng(prng.uint32()), HOT_KEYS, new Prng(prng.uint32()));
  const { history } = workload;
  const sessions = new SessionClients(cluster, new Prng(prng.uint32()), history.sent);
  const watch = new WatchClient(cluster, new Prng(prng.uint32()));
  const checkers = allCheckers(cluster, { history, sessions: sessions.history, watch });
  cluster.observers.push(watch, ...checkers, ...(options.observers ?? []));
  const faults: string[] = [];
  const note = (text: string): void => {
    faults.push(`${(cluster.clock.nowMs / 1000).toFixed(1)} s  ${text}`);
    for (const observer of cluster.observers) observer.fault?.(text);
  };
  const injector = new FaultInjector(cluster, workload.ledger, note);

  for (const node of cluster.nodes) if (!schedule.late.includes(node.index)) cluster.start(node);
  for (const { atMs, fault } of schedule.events) cluster.clock.at(atMs, () => injector.inject(fault));
  cluster.run(schedule.calmMs);
  cluster.weather = schedule.weather;
  workload.start(schedule.opIntervalMs);
  sessions.start(schedule.opIntervalMs * 2);
  watch.start();
  cluster.run(schedule.safetyMs);

  note('faults stop');
  workload.stop();
  sessions.stop();
  watch.stay();
  injector.endAll();
  const settled = cluster.runUntil(
    () => cluster.isSettled() && checkConvergence(cluster).length === 0,
    LIVENESS_MS,
    1000,
  );
  cluster.run(QUIET_MS);
  // A value whose time has come just now is being removed.
  cluster.runUntil(() => checkConvergence(cluster).length === 0, 1000);
  const problems = [...history.problems, ...(settled ? [] : unsettled(cluster))];
  for (const checker of checkers) problems.push(...checker.check());
  return {
    seed: schedule.seed,
    schedule,
    problems,
    history,
    sessions: sessions.history,
    faults,
    simulatedMs: cluster.clock.nowMs,
  };
}

function unsettled(cluster: SimCluster): string[] {
  return cluster.nodes.map(({ name, running }) => {
    const stats = running?.node.replicationStats();
    const state = { ...stats?.shards, hints: stats?.hints.records, inFlight: stats?.inFlight };
    return `liveness: ${name} has not settled: ${JSON.stringify(state)}`;
  });
}
