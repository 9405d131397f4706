import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/lib/prng.ts';
import type { NodeId } from '../../src/protocol/machine.ts';
import type { RegisterCounters } from '../../src/protocol/register/counters.ts';
import { linearizability } from '../support/linearizable-register.ts';
import { RegisterClients } from '../support/register-clients.ts';
import { RegisterCluster } from '../support/register-cluster.ts';

const NODES = ['n1', 'n2', 'n3', 'n4', 'n5'];
const SEEDS = Number(process.env['REGISTER_SEEDS'] ?? 15);
const FIRST_SEED = Number(process.env['REGISTER_SEED'] ?? 1);
const STORM_MS = 12_000;

interface Weather {
  readonly crashes: boolean;
  readonly cuts: boolean;
  readonly rings: boolean;
  /** Many clients of one key, and nodes that do not agree on who is up, so that proposers outbid one another. */
  readonly rivals: boolean;
}

/** One run: a storm, then calm, then a last look. Returns what the nodes that were left have done. */
function storm(
  seed: number,
  weather: Weather,
): { readonly counters: RegisterCounters[]; readonly problems: string[]; readonly undecided: number } {
  const faults = new Prng(seed ^ 0x5eed);
  const cluster = new RegisterCluster({
    seed,
    nodes: NODES,
    group: ['n1', 'n2', 'n3'],
    // The fewer requests are under way at once, the more histories can be decided.
    options: { changeTimeoutMs: 300, collectDelayMs: faults.pick([50, 300, 2000]) ?? 300 },
  });
  const { rivals } = weather;
  cluster.lossRate = faults.pick([0, 0.02, 0.1]) ?? 0;
  cluster.duplicateRate = faults.pick([0, 0.05, 0.2]) ?? 0;
  cluster.lateRate = faults.pick([0, 0.01, 0.05]) ?? 0;
  cluster.delayMaxMs = faults.pick([3, 20, 80]) ?? 3;
  const clients = new RegisterClients(cluster, {
    keys: rivals ? 1 : 3,
    clients: rivals ? 5 : 4,
    thinkMaxMs: faults.pick(rivals ? [20, 100] : [60, 300, 2500]) ?? 300,
  });
  const counters: RegisterCounters[] = [];
  const crash = (id: NodeId): void => {
    const stats = cluster.node(id).core?.stats();
    if (stats !== undefined) counters.push({ ...stats.counters });
    cluster.crash(id);
  };
  while (cluster.nowMs < (rivals ? STORM_MS / 4 : STORM_MS)) {
    cluster.run(rivals ? 5 + faults.below(60) : 50 + faults.below(250));
    if (rivals) {
      for (const id of NODES)
        cluster.doubt(id, faults.pick(NODES.filter((peer) => peer !== id)) as NodeId, faults.below(200));
    }
    const roll = faults.float();
    const id = faults.pick(NODES) as NodeId;
    if (weather.crashes && roll < 0.1) {
      crash(id);
      // A process that is back before anybody noticed.
      if (faults.chance(0.7)) cluster.start(id);
    }
    if (weather.crashes && roll >= 0.1 && roll < 0.3) startAll(cluster);
    else if (weather.cuts && roll < 0.4)
      cluster.cut(
        [id],
        NODES.filter(() => faults.chance(0.7)),
      );
    else if (weather.cuts && roll < 0.55) cluster.heal();
    else if (weather.rings && roll < 0.75) turnRing(cluster, faults);
    if (faults.chance(0.2)) scan(cluster, id);
  }
  clients.stopped = true;
  cluster.lossRate = 0;
  cluster.duplicateRate = 0;
  cluster.lateRate = 0;
  startAll(cluster);
  cluster.heal();
  for (const id of NODES) cluster.learn(id, cluster.lastEpoch);
  cluster.run(4000);
  clients.readAll();
  cluster.run(4000);
  for (const id of NODES) counters.push({ ...cluster.core(id).stats().counters });
  const problems = [...clients.complaints];
  let undecided = 0;
  for (const [key, history] of clients.histories) {
    if (history.at(-1)?.outcome.type !== 'shown') problems.push(`${key} cannot be read after the storm`);
    const verdict = linearizability(history);
    if (verdict === 'no') problems.push(`${key} is not linearizable`);
    if (verdict === 'undecided') undecided++;
  }
  return { counters, problems, undecided };
}

function startAll(cluster: RegisterCluster): void {
  for (const id of NODES) if (cluster.node(id).core === undefined) cluster.start(id);
}

/** One step: to a joint ring, or on from it once the new group has copied the shards; now and then back. */
function turnRing(cluster: RegisterCluster, faults: Prng): void {
  const groups = cluster.rings.at(-1)?.groups ?? [];
  const [first = [], second] = groups;
  if (second === undefined) cluster.changeRing([first, faults.shuffle([...NODES]).slice(0, faults.pick([3, 3, 1, 5]))]);
  else if (cluster.isTakenOver()) cluster.changeRing([second]);
  else if (faults.chance(0.1)) cluster.changeRing([first]);
}

function scan(cluster: RegisterCluster, id: NodeId): void {
  const names = cluster
    .node(id)
    .written.all()
    .filter(({ row }) => row.accepted === null || row.accepted.value.content === null)
    .map(({ name }) => name);
  cluster.input(id, { type: 'register-tombstones', names });
}

const CALM: Weather = { crashes: false, cuts: false, rings: false, rivals: false };
const WEATHERS: readonly (Weather & { readonly name: string })[] = [
  { name: 'loss, copies and delays', ...CALM },
  { name: 'rivals', ...CALM, rivals: true },
  { name: 'crashes', ...CALM, crashes: true },
  { name: 'crashes among rivals', ...CALM, crashes: true, rivals: true },
  { name: 'partitions', ...CALM, cuts: true },
  { name: 'ring changes', ...CALM, rings: true },
  { name: 'ring changes among rivals', ...CALM, rings: true, rivals: true },
  { name: 'everything', crashes: true, cuts: true, rings: true, rivals: false },
  { name: 'everything among rivals', crashes: true, cuts: true, rings: true, rivals: true },
];

describe('strong registers', () => {
  it.each(WEATHERS)('are linearizable through $name', (weather) => {
    const total: Record<string, number> = {};
    const failed: string[] = [];
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const { counters, problems, undecided } = storm(seed, weather);
      total['undecided'] = (total['undecided'] ?? 0) + undecided;
      for (const problem of problems) failed.push(`REGISTER_SEED=${seed} REGISTER_SEEDS=1: ${problem}`);
      for (const each of counters) {
        for (const [name, count] of Object.entries(each)) total[name] = (total[name] ?? 0) + count;
      }
    }
    expect(failed).toEqual([]);
    if (process.env['REGISTER_TOTALS'] !== undefined) console.log(weather.name, total);
    if (SEEDS < 10) return;
    expect(total['undecided']).toBeLessThan(SEEDS / 4);
    // A storm in which nothing happens would prove nothing.
    const expected = ['fastRounds', 'fullRounds', 'fastReads', 'contentions', 'forwards', 'unknownOutcomes'];
    if (!weather.rivals) expected.push('erased');
    if (weather.rings) expected.push('copiedRows');
    expect(expected.filter((name) => (total[name] ?? 0) < 10)).toEqual([]);
  });
});
