import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

export const USAGE = `usage: npm run sim -- [options]

  --seeds N        runs of as many seeds (100)
  --seed S         the first seed (1); alone: that one run, with a trace where it fails
  --seconds T      length of the phase with faults, in simulated seconds (60)
  --nodes N        nodes of each run, 2 to 16; default: drawn from the seed (scenarios take more)
  --ring           operators change the ring in every run; default: in some
  --buckets        buckets with placements of their own are created in every run; default: in some
  --salvage        stores have to be repaired in every run; default: in some
  --strong         clients use strong buckets in every run; default: in most
  --hub            a hub, faults of it and of the lines to it; default: none
  --jobs N         runs at once; default: one for each core
  --minimise       of a run that fails, look for the smallest schedule that fails in the same way
  --schedule FILE  replay a schedule, as --minimise writes it
  --scenario NAME  a named scenario instead; "list" names them
  --help           this text

Exit status: 0 all held, 1 something did not, 2 the command was wrong.`;

/** The command line is wrong; the message says how. */
export class SimUsageError extends Error {}

export interface SingleOptions {
  readonly mode: 'single';
  readonly seed: number;
  readonly seconds: number;
  readonly nodes: number | undefined;
  readonly ring: boolean;
  readonly buckets: boolean;
  readonly salvage: boolean;
  readonly strong: boolean;
  readonly hub: boolean;
  readonly minimise: boolean;
  /** A file with a schedule, which then decides instead of the seed. */
  readonly schedule: string | undefined;
}

export interface ManyOptions {
  readonly mode: 'many';
  readonly first: number;
  readonly count: number;
  readonly seconds: number;
  readonly nodes: number | undefined;
  readonly ring: boolean;
  readonly buckets: boolean;
  readonly salvage: boolean;
  readonly strong: boolean;
  readonly hub: boolean;
  readonly jobs: number;
  readonly minimise: boolean;
}

export interface ScenarioRunOptions {
  readonly mode: 'scenario';
  readonly name: string;
  readonly seed: number;
  readonly nodes: number | undefined;
}

export type SimOptions = { readonly mode: 'help' } | SingleOptions | ManyOptions | ScenarioRunOptions;

export function optionsOf(args: string[]): SimOptions {
  const { values } = parseArgs({
    args,
    options: {
      seeds: { type: 'string' },
      seed: { type: 'string' },
      seconds: { type: 'string' },
      nodes: { type: 'string' },
      ring: { type: 'boolean', default: false },
      buckets: { type: 'boolean', default: false },
      salvage: { type: 'boolean', default: false },
      strong: { type: 'boolean', default: false },
      hub: { type: 'boolean', default: false },
      jobs: { type: 'string' },
      minimise: { type: 'boolean', default: false },
      schedule: { type: 'string' },
      scenario: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return { mode: 'help' };
  const { minimise, ring, buckets, salvage, strong, hub, scenario, schedule } = values;
  const first = whole('seed', values.seed, 0, 0xffff_ffff) ?? 1;
  const count = whole('seeds', values.seeds, 1, 1e9) ?? (values.seed === undefined ? 100 : 1);
  const seconds = positive('seconds', values.seconds) ?? 60;
  const nodes = whole('nodes', values.nodes, 2, scenario === undefined ? 16 : 100_000);
  const jobs = whole('jobs', values.jobs, 1, 1024) ?? availableParallelism();
  if (scenario !== undefined) {
    refuse('--scenario', { '--schedule': schedule, '--seeds': values.seeds, '--seconds': values.seconds });
    if (buckets) throw new SimUsageError('--buckets has no meaning with --scenario');
    if (salvage) throw new SimUsageError('--salvage has no meaning with --scenario');
    if (strong) throw new SimUsageError('--strong has no meaning with --scenario');
    if (hub) throw new SimUsageError('--hub has no meaning with --scenario');
    if (ring) throw new SimUsageError('--ring has no meaning with --scenario');
    if (minimise) throw new SimUsageError('--minimise has no meaning with --scenario');
    return { mode: 'scenario', name: scenario, seed: first, nodes };
  }
  if (schedule !== undefined)
    refuse('--schedule', {
      '--seed': values.seed,
      '--seeds': values.seeds,
      '--nodes': values.nodes,
      '--ring': ring ? 'on' : undefined,
      '--buckets': buckets ? 'on' : undefined,
      '--salvage': salvage ? 'on' : undefined,
      '--strong': strong ? 'on' : undefined,
      '--hub': hub ? 'on' : undefined,
    });
  if (schedule !== undefined || count === 1)
    return { mode: 'single', seed: first, seconds, nodes, ring, buckets, salvage, strong, hub, minimise, schedule };
  return {
    mode: 'many',
    first,
    count,
    seconds,
    nodes,
    ring,
    buckets,
    salvage,
    strong,
    hub,
    jobs: Math.min(jobs, count),
    minimise,
  };
}

function refuse(option: string, others: Readonly<Record<string, string | undefined>>): void {
  for (const [other, value] of Object.entries(others)) {
    if (value !== undefined) throw new SimUsageError(`${other} has no meaning with ${option}`);
  }
}

function whole(name: string, text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new SimUsageError(`--${name} takes a whole number from ${least} to ${most}, not "${text}"`);
}

function positive(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value;
  throw new SimUsageError(`--${name} takes a number above 0, not "${text}"`);
}
