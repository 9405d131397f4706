import { Prng } from '../../src/lib/prng.ts';
import { checkConvergence } from './checkers/convergence.ts';
import { checkDurability } from './checkers/durability.ts';
import { FAIR_WEATHER, SimCluster, type SimNode } from './cluster.ts';
import { type History, Workload } from './workload.ts';

/** Time for everything to converge once faults have stopped. */
const LIVENESS_MS = 120_000;

export interface SwarmReport {
  readonly seed: number;
  readonly problems: readonly string[];
  readonly history: History;
  readonly faults: readonly string[];
  readonly simulatedMs: number;
}

/** Which faults a run has, and how much of each: drawn from the seed, so that runs differ in kind. */
interface FaultPlan {
  readonly crashes: boolean;
  readonly partitions: boolean;
  readonly massRestart: boolean;
  readonly lateJoin: boolean;
  readonly loss: number;
  readonly slowDisks: boolean;
}

/**
 * One run: a cluster forms, clients work while faults come and go (safety phase), faults stop (liveness phase), and
 * everything must have converged with nothing acknowledged lost.
 */
export function runSwarm(seed: number, safetyMs = 60_000): SwarmReport {
  const prng = new Prng(seed);
  const faults: string[] = [];
  const nodes = 3 + prng.below(4);
  const plan: FaultPlan = {
    crashes: prng.chance(0.6),
    partitions: prng.chance(0.6),
    massRestart: prng.chance(0.25),
    lateJoin: prng.chance(0.4),
    loss: prng.chance(0.3) ? prng.float() * 0.2 : 0,
    slowDisks: prng.chance(0.2),
  };
  const cluster = new SimCluster({ seed: prng.uint32(), nodes, zones: prng.chance(0.3) ? 2 : 1 });
  const late = plan.lateJoin ? cluster.nodes.slice(-1 - prng.below(2)) : [];
  for (const node of cluster.nodes) if (!late.includes(node)) cluster.start(node);
  const workload = new Workload(cluster, new Prng(prng.uint32()), 8);
  cluster.run(prng.below(3000));
  workload.start(20 + prng.below(60));
  cluster.weather = {
    ...FAIR_WEATHER,
    loss: plan.loss,
    ...(plan.slowDisks ? { syncMinMs: 20, syncMaxMs: 300 } : {}),
  };
  const endMs = cluster.clock.nowMs + safetyMs;
  const note = (text: string): void => void faults.push(`${(cluster.clock.nowMs / 1000).toFixed(1)} s  ${text}`);
  while (cluster.clock.nowMs < endMs) {
    cluster.run(500 + prng.below(6000));
    fault(cluster, plan, prng, late, note);
  }
  note('faults stop');
  cluster.heal();
  workload.stop();
  for (const node of cluster.nodes) cluster.start(node);
  const settled = cluster.runUntil(
    () => cluster.isSettled() && checkConvergence(cluster).length === 0,
    LIVENESS_MS,
    1000,
  );
  const problems = [...workload.history.problems];
  if (!settled) {
    for (const { name, running } of cluster.nodes) {
      const stats = running?.node.replicationStats();
      problems.push(
        `not settled: ${name} ${JSON.stringify({ ...stats?.shards, hints: stats?.hints.records, inFlight: stats?.inFlight })}`,
      );
    }
  }
  problems.push(...checkConvergence(cluster), ...checkDurability(cluster, workload.history));
  return { seed, problems, history: workload.history, faults, simulatedMs: cluster.clock.nowMs };
}

function fault(cluster: SimCluster, plan: FaultPlan, prng: Prng, late: SimNode[], note: (text: string) => void): void {
  const draw = prng.float();
  const up = cluster.nodes.filter(({ running }) => running !== null);
  const down = cluster.nodes.filter((node) => node.running === null && !late.includes(node));
  if (late.length > 0 && draw < 0.2) {
    const node = late.pop() as SimNode;
    note(`${node.name} joins`);
    cluster.start(node);
  } else if (down.length > 0 && draw < 0.5) {
    const node = prng.pick(down) as SimNode;
    note(`${node.name} starts again`);
    cluster.start(node);
  } else if (plan.crashes && draw < 0.65 && up.length > 1) {
    const node = prng.pick(up) as SimNode;
    note(`${node.name} crashes`);
    cluster.crash(node);
  } else if (plan.partitions && draw < 0.8) {
    const shuffled = prng.shuffle([...cluster.nodes]);
    const at = 1 + prng.below(shuffled.length - 1);
    note(`partition ${names(shuffled.slice(0, at))} | ${names(shuffled.slice(at))}`);
    cluster.partition(shuffled.slice(0, at), shuffled.slice(at));
  } else if (plan.partitions && draw < 0.9) {
    note('heal');
    const { weather } = cluster;
    cluster.heal();
    cluster.weather = weather;
  } else if (plan.massRestart && draw < 0.95) {
    note('all crash at once');
    for (const node of up) cluster.crash(node);
    cluster.run(prng.below(500));
    for (const node of up) cluster.start(node);
  }
}

function names(nodes: readonly SimNode[]): string {
  return nodes.map(({ name }) => name).join(',');
}
