/**
 * How long a cluster is without a leader after its leader was killed, beside etcd, and what leases cost while nothing
 * happens. All times are from SIGKILL until this process is told, which asks every survivor all the time. The
 * ratio compares like with like in the first two rows only: writes of Holdfast wait for no leader.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { type Electorate, etcdElectorate, holdfastElectorate, type Voter } from './electorate.ts';
import { Failover, type FailoverTimes } from './failover.ts';
import { diskWarning, machineLine, median, whole } from './figures.ts';
import { SOURCES } from './holdfast.ts';
import { isInstalled, Processes } from './processes.ts';
import type { Ground } from './system.ts';
import { difference, type Sent, traffic } from './traffic.ts';
import { BenchUsageError, numberOption } from './usage.ts';

const SYSTEMS = ['holdfast', 'etcd'] as const;

const MEASURES = {
  led: { title: 'until a survivor has a new leader', target: null },
  followed: { title: 'until all survivors have it', target: 3000 },
  written: { title: 'until a write succeeds', target: null },
} as const satisfies Record<keyof FailoverTimes, { readonly title: string; readonly target: number | null }>;

interface Failovers {
  readonly system: Electorate['system'];
  readonly nodes: number;
  readonly rounds: readonly FailoverTimes[];
}

/** What a node sends for leases. */
interface LeaseCost {
  readonly node: string;
  readonly leads: boolean;
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
}

interface Sample {
  readonly atMs: number;
  readonly sent: Awaited<ReturnType<typeof traffic>>;
}

interface Plan {
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly idleSeconds: number;
  readonly directory: string;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false },
      nodes: { type: 'string', default: '5,10' },
      rounds: { type: 'string', default: '10' },
      seconds: { type: 'string', default: '20' },
      only: { type: 'string', default: '' },
      directory: { type: 'string', default: tmpdir() },
      program: { type: 'string', default: SOURCES },
    },
  });
  const only = values.only.split(',').filter((word) => word !== '');
  const unknown = only.find((word) => !SYSTEMS.some((name) => name === word));
  if (unknown !== undefined) throw new BenchUsageError(`--only does not know ${unknown}`);
  const does = (name: (typeof SYSTEMS)[number]): boolean => only.length === 0 || only.includes(name);
  const plan: Plan = {
    sizes: values.nodes.split(',').map((text) => Math.floor(numberOption('nodes', text, 3, 50))),
    rounds: Math.floor(numberOption('rounds', values.rounds, 1, 100)),
    idleSeconds: numberOption('seconds', values.seconds, 1, 600),
    directory: values.directory,
  };
  const program = { file: resolve(values.program), nodeArguments: [] };
  note(machineLine());
  const warning = await diskWarning(plan.directory);
  if (warning !== null) note(warning);
  const hasEtcd = does('etcd') && isInstalled('etcd');
  if (does('etcd') && !hasEtcd) note('etcd is not installed: without it (Debian: etcd-server)');
  const failovers: Failovers[] = [];
  const costs: LeaseCost[] = [];
  for (const count of does('holdfast') ? plan.sizes : []) {
    const { times, cost } = await measure(plan, (ground) => holdfastElectorate(ground, count, program));
    failovers.push(times);
    // The leader of the largest cluster has most to send.
    if (count === Math.max(...plan.sizes)) costs.push(...cost);
  }
  if (hasEtcd) failovers.push((await measure(plan, etcdElectorate)).times);
  if (values.json) process.stdout.write(`${JSON.stringify({ ...plan, failovers, costs })}\n`);
  else
    process.stdout.write(
      [title(plan, hasEtcd), timesTable(failovers), ...costTable(costs, plan), machineLine(), ''].join('\n'),
    );
}

/** Makes a cluster, kills its leaders, and leaves nothing of it behind. */
async function measure(
  plan: Plan,
  make: (ground: Ground) => Promise<Electorate>,
): Promise<{ readonly times: Failovers; readonly cost: readonly LeaseCost[] }> {
  const directory = await mkdtemp(join(plan.directory, 'holdfast-bench-'));
  const processes = new Processes();
  try {
    const electorate = await make({ processes, directory });
    const { system, voters } = electorate;
    note(`${system}: starting ${voters.length} nodes`);
    const failover = new Failover(electorate, processes);
    await failover.start();
    const cost = system === 'holdfast' ? await leaseCosts(voters, failover, plan) : [];
    const rounds: FailoverTimes[] = [];
    for (let round = 1; round <= plan.rounds; round++) {
      const times = await failover.killLeader();
      rounds.push(times);
      const { led, followed, written } = times;
      note(`${system} ${round}: led after ${whole(led)} ms, by all ${whole(followed)} ms, writes ${whole(written)} ms`);
    }
    return { times: { system, nodes: voters.length, rounds }, cost };
  } finally {
    await processes.stopAll();
    await rm(directory, { recursive: true, force: true });
  }
}

async function leaseCosts(voters: readonly Voter[], failover: Failover, { idleSeconds }: Plan): Promise<LeaseCost[]> {
  const leader = await failover.leader();
  note(`leases for ${idleSeconds} s`);
  const sample = (): Promise<Sample[]> =>
    Promise.all(voters.map(async (voter) => ({ atMs: performance.now(), sent: await traffic([voter], 'lease-') })));
  const before = await sample();
  await delay(idleSeconds * 1000);
  const after = await sample();
  if ((await failover.leader()) !== leader) throw new Error('the leader changed while nothing happened');
  return voters.map((voter, i) => {
    const [from, to] = [before[i] as Sample, after[i] as Sample];
    const spent = [...difference(from.sent, to.sent).values()];
    const perSecond = (what: keyof Sent): number =>
      (spent.reduce((sum, sent) => sum + sent[what], 0) * 1000) / (to.atMs - from.atMs);
    const [messagesPerSecond, bytesPerSecond] = [perSecond('messages'), perSecond('bytes')];
    return { node: voter.name, leads: voter === leader, messagesPerSecond, bytesPerSecond };
  });
}

/** Progress, for a person who waits. */
function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

function title({ rounds }: Plan, hasEtcd: boolean): string {
  const beside = hasEtcd ? '; etcd with its default times' : '';
  return `${rounds} rounds each; leaders of holdfast are quorate, its writes wait for no leader${beside}`;
}

function timesTable(failovers: readonly Failovers[]): string {
  const etcd = failovers.find(({ system }) => system === 'etcd');
  const right = 'right' as const;
  const output = new Table({
    head: ['SIGKILL of the leader', 'system', 'nodes', 'median', 'min', 'max', 'unit', 'at most', '/ etcd'],
    colAligns: ['left', 'left', right, right, right, right, 'left', right, right],
    style: { head: [], border: [] },
  });
  for (const name of Object.keys(MEASURES) as (keyof FailoverTimes)[]) {
    const { title, target } = MEASURES[name];
    for (const { system, nodes, rounds } of failovers) {
      const values = rounds.map((times) => times[name]);
      const ratio = median(values) / median(etcd?.rounds.map((times) => times[name]) ?? []);
      output.push([
        title,
        system,
        nodes,
        ...[median(values), Math.min(...values), Math.max(...values)].map(whole),
        'ms',
        target === null || system === 'etcd' ? '' : whole(target),
        system === 'etcd' || !Number.isFinite(ratio) ? '' : ratio.toFixed(2),
      ]);
    }
  }
  return output.toString();
}

/** Empty where nothing was measured. */
function costTable(costs: readonly LeaseCost[], { idleSeconds }: Plan): string[] {
  if (costs.length === 0) return [];
  const output = new Table({
    head: [`leases of ${costs.length} nodes, for ${idleSeconds} s`, 'messages/s', 'B/s'],
    colAligns: ['left', 'right', 'right'],
    style: { head: [], border: [] },
  });
  const rows = { 'sent by the leader': true, 'sent by each other one, median': false };
  for (const [title, leads] of Object.entries(rows)) {
    const some = costs.filter((cost) => cost.leads === leads);
    const middle = (what: 'messagesPerSecond' | 'bytesPerSecond'): number => median(some.map((cost) => cost[what]));
    output.push([title, middle('messagesPerSecond').toFixed(1), whole(middle('bytesPerSecond'))]);
  }
  return [output.toString()];
}
