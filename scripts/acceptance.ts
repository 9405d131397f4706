/**
 * Measures what the program promises, with real processes and at full size; the tests run the same stories smaller.
 *
 *   node scripts/acceptance.ts [--keys N] [--idle-seconds N] [--loopback] [STORY…]
 *
 * Stories and what happens in each: --help. Without a name all of them run, one after the other, each on a cluster of
 * its own in network namespaces (root on Linux). --loopback: without namespaces, for those that cut no network.
 * --keys: keys of each story, 10,000 without it; the acceptance of a release takes 100,000. --idle-seconds: how long the
 * story `hub` measures what an idle uplink costs, 300 without it.
 *
 * Status 0 when every story has kept its promise, 1 when one missed it, failed or could not run, 2 for bad usage.
 */
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { netnsUnavailable } from '../test/support/netns-cluster.ts';
import { closeAll, type Setting } from './acceptance/clusters.ts';
import { figureLine, seconds } from './acceptance/outcome.ts';
import { STORIES, type Story } from './acceptance/stories.ts';

type Ending = 'kept' | 'MISSED' | 'FAILED' | 'NOT RUN';

const USAGE = `usage: node scripts/acceptance.ts [--keys N] [--idle-seconds N] [--loopback] [STORY…]

${Object.entries(STORIES)
  .map(([name, { what, needsNamespaces }]) => `  ${name.padEnd(12)} ${what}${needsNamespaces ? ' (namespaces)' : ''}`)
  .join('\n')}`;

const { setting, chosen } = readArguments();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void closeAll().finally(() => process.exit(130)));
}
const unavailable = netnsUnavailable();
const endings: string[] = [];
for (const [name, story] of chosen) {
  const startedMs = performance.now();
  const before = cpuTimes();
  console.log(`${name}: ${story.what}`);
  const ending = await tell(story);
  const line = `${ending.padEnd(8)} ${name.padEnd(12)} ${seconds(performance.now() - startedMs).padStart(8)}  load average ${load()}${stolenSince(before)}`;
  console.log(`${line}\n`);
  endings.push(line);
  if (ending !== 'kept') process.exitCode = 1;
}
const where = setting.loopback ? 'on loopback' : 'in network namespaces';
console.log(`${setting.keys.toLocaleString('en')} keys, ${where}\n${endings.join('\n')}`);

async function tell(story: Story): Promise<Ending> {
  if (unavailable !== undefined && !setting.loopback) {
    console.error(`  needs network namespaces, or --loopback for some stories: ${unavailable}`);
    return 'NOT RUN';
  }
  if (story.needsNamespaces && setting.loopback) {
    console.error('  cuts the network, which needs network namespaces');
    return 'NOT RUN';
  }
  if (typeof story.lacks === 'string') {
    console.error(`  ${story.lacks}`);
    return 'NOT RUN';
  }
  try {
    const { figures, problems } = await story.run(setting);
    for (const [name, value] of Object.entries(figures)) console.log(`  ${figureLine(name, value)}`);
    for (const line of problems) console.error(`  ${line}`);
    return problems.length === 0 ? 'kept' : 'MISSED';
  } catch (error) {
    console.error(error);
    return 'FAILED';
  }
}

function readArguments(): { setting: Setting; chosen: [string, Story][] } {
  try {
    const { values, positionals } = parseArgs({
      options: {
        keys: { type: 'string', default: '10000' },
        'idle-seconds': { type: 'string', default: '300' },
        loopback: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
      allowPositionals: true,
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    const keys = Number(values.keys);
    if (!Number.isInteger(keys) || keys < 100) throw new Error('--keys takes a whole number from 100');
    const idleSeconds = Number(values['idle-seconds']);
    if (!(idleSeconds >= 1)) throw new Error('--idle-seconds takes a number from 1');
    const unknown = positionals.filter((name) => !Object.hasOwn(STORIES, name));
    if (unknown.length > 0) throw new Error(`no story ${unknown.join(', ')}`);
    const chosen = Object.entries(STORIES).filter(([name]) => positionals.length === 0 || positionals.includes(name));
    return { setting: { keys, loopback: values.loopback, idleSeconds }, chosen };
  } catch (error) {
    console.error(`acceptance: ${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

function load(): string {
  return loadavg()
    .map((value) => value.toFixed(2))
    .join(' ');
}

/** Of all CPUs together; null where the system does not say. */
function cpuTimes(): { readonly stolen: number; readonly all: number } | null {
  try {
    const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
    // user, nice, system, idle, iowait, irq, softirq, steal (proc(5)); what guests take is in the first two.
    const times = first.split(/ +/).slice(1, 9).map(Number);
    return { stolen: times[7] ?? 0, all: times.reduce((sum, time) => sum + time, 0) };
  } catch {
    return null;
  }
}

/** What other virtual machines took meanwhile: figures of two machines compare only where it is alike. */
function stolenSince(before: ReturnType<typeof cpuTimes>): string {
  const now = cpuTimes();
  if (before === null || now === null || now.all === before.all) return '';
  return `, ${Math.round((100 * (now.stolen - before.stolen)) / (now.all - before.all))} % of the CPU stolen`;
}
