/**
 * How fast a cluster of real processes knows of failures and of new nodes, and what it costs while nothing happens.
 * Each system is measured alone, one after the other. All times end when this process has received the news of the
 * last member: Holdfast's from the event feeds, Serf's from the agents' logs; both arrive within milliseconds.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { netnsUnavailable } from '../../test/support/netns-cluster.ts';
import { machineLine, median, whole } from './figures.ts';
import { type Detector, Fleet } from './fleet.ts';
import { holdfastDetector } from './holdfast-member.ts';
import { loopbackPlace, NamespacePlace, type Place } from './place.ts';
import { SERF, serfVersion } from './serf.ts';
import { BenchUsageError, numberOption } from './usage.ts';

const START_TIMEOUT_MS = 120_000;
const NEWS_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 30_000;
/** Longer than this nobody waits for a healed cluster. */
const HEAL_MS_MAX = 90_000;
/** After the last member was seen, for what joining sets off. */
const SETTLE_MS = 5_000;
/** Between rounds. */
const PAUSE_MS = 2_000;
const STALL_MS = 20_000;
/** For accusations by those that come back. */
const AFTER_STALL_MS = 10_000;

const SYSTEMS = ['holdfast', 'serf'] as const;
const ON_LOOPBACK = ['kill', 'join', 'stall'] as const;
const IN_NAMESPACES = ['idle', 'silent'] as const;
const WORDS: readonly string[] = [...SYSTEMS, ...ON_LOOPBACK, ...IN_NAMESPACES];

const MEASURES = {
  kill: { title: 'SIGKILL, until all others know', unit: 'ms', target: 1000 },
  join: { title: 'new node, until it sees all and all see it', unit: 'ms', target: null },
  'join-starting': { title: '  of that, until its process answers', unit: 'ms', target: null },
  'stall-third': { title: 'others declared dead meanwhile', unit: 'nodes', target: 0 },
  'stall-blocked': { title: '  the blocked one was declared dead', unit: 'times', target: null },
  idle: { title: 'idle, sent by each node on the wire', unit: 'B/s', target: null },
  silent: { title: 'packets dropped, until all others know', unit: 'ms', target: 4500 },
  heal: { title: 'healed, until all see all again', unit: 'ms', target: null },
} as const;
type MeasureName = keyof typeof MEASURES;

interface Figures {
  readonly system: Detector['name'];
  readonly measure: MeasureName;
  /** One a round; for `idle` one a node. */
  readonly values: readonly number[];
}

interface Plan {
  readonly nodes: number;
  readonly rounds: number;
  readonly idleSeconds: number;
  readonly does: (word: string) => boolean;
  readonly record: (figures: Figures) => void;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false },
      nodes: { type: 'string', default: '10' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '30' },
      only: { type: 'string', default: '' },
    },
  });
  const chosen = chosenWords(values.only);
  const does = (word: string): boolean => chosen.includes(word);
  const figures: Figures[] = [];
  const plan: Plan = {
    nodes: Math.floor(numberOption('nodes', values.nodes, 4, 50)),
    rounds: Math.floor(numberOption('rounds', values.rounds, 1, 20)),
    idleSeconds: numberOption('seconds', values.seconds, 1, 600),
    does,
    record: (some) => void figures.push(some),
  };
  process.stderr.write(`${machineLine()}\n`);
  const reason = IN_NAMESPACES.some(does) ? netnsUnavailable() : undefined;
  if (reason !== undefined) process.stderr.write(`without ${IN_NAMESPACES.join(' and ')}: ${reason}\n`);
  const version = does('serf') ? serfVersion() : null;
  if (does('serf') && version === null) process.stderr.write('serf is not installed: without it (Debian: serf)\n');
  const detectors = [...(does('holdfast') ? [holdfastDetector()] : []), ...(version === null ? [] : [SERF])];
  for (const detector of detectors) {
    if (ON_LOOPBACK.some(does))
      await withFleet(detector, () => loopbackPlace(plan.nodes + plan.rounds), plan, onLoopback);
    if (IN_NAMESPACES.some(does) && reason === undefined) {
      await withFleet(detector, () => NamespacePlace.create(plan.nodes), plan, inNamespaces);
    }
  }
  const { nodes, rounds } = plan;
  if (values.json) process.stdout.write(`${JSON.stringify({ nodes, rounds, serf: version, figures })}\n`);
  else process.stdout.write(`${title(plan, version)}\n${table(figures)}\n${machineLine()}\n`);
}

/** The words given, where a system or a measure that nobody named means all of its kind. */
function chosenWords(only: string): string[] {
  const given = only.split(',').filter((word) => word !== '');
  const unknown = given.find((word) => !WORDS.includes(word));
  if (unknown !== undefined) throw new BenchUsageError(`--only does not know ${unknown}`);
  const all = (words: readonly string[]): readonly string[] =>
    given.some((word) => words.includes(word)) ? [] : words;
  return [...given, ...all(SYSTEMS), ...all([...ON_LOOPBACK, ...IN_NAMESPACES])];
}

/** Makes the place and the cluster, and leaves nothing of them behind, also when this process is interrupted. */
async function withFleet<P extends Place>(
  detector: Detector,
  makePlace: () => Promise<P>,
  plan: Plan,
  measure: (fleet: Fleet, plan: Plan, place: P) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  let place: P | null = null;
  let fleet: Fleet | null = null;
  const remove = (): void => {
    place?.close();
    rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
  };
  const onSignal = (): void => {
    fleet?.kill();
    remove();
    process.exit(130);
  };
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  try {
    progress(detector, `starting ${plan.nodes} nodes`);
    place = await makePlace();
    fleet = new Fleet(detector, place.seats, directory);
    await fleet.startFirst(plan.nodes, START_TIMEOUT_MS);
    await delay(SETTLE_MS);
    await measure(fleet, plan, place);
  } finally {
    await fleet?.close();
    remove();
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

async function onLoopback(fleet: Fleet, plan: Plan): Promise<void> {
  if (plan.does('kill')) await measureKills(fleet, plan);
  if (plan.does('stall')) await measureStall(fleet, plan);
  // The last, since nodes that have left keep their shards.
  if (plan.does('join')) await measureJoins(fleet, plan);
}

async function inNamespaces(fleet: Fleet, plan: Plan, place: NamespacePlace): Promise<void> {
  if (plan.does('idle')) await measureIdle(fleet, plan, place);
  if (plan.does('silent')) await measureSilence(fleet, plan, place);
}

async function measureKills(fleet: Fleet, { nodes, rounds, record }: Plan): Promise<void> {
  const values: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const victim = victimOf(round, nodes);
    const others = fleet.others(victim);
    const fromMs = performance.now();
    await fleet.end(victim, 'SIGKILL', END_TIMEOUT_MS);
    values.push((await newsMs(fleet, fromMs, others, victim, 'dead')) - fromMs);
    progress(fleet.detector, `SIGKILL of ${victim}: known by all after ${whole(values.at(-1) ?? 0)} ms`);
    fleet.start(victim);
    await fleet.untilSettled(START_TIMEOUT_MS);
    await delay(PAUSE_MS);
  }
  record({ system: fleet.detector.name, measure: 'kill', values });
}

async function measureJoins(fleet: Fleet, { nodes, rounds, record }: Plan): Promise<void> {
  const values: number[] = [];
  const starting: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const name = `n${nodes + round}`;
    const others = fleet.names;
    const fromMs = performance.now();
    fleet.start(name);
    let lastMs = await newsMs(fleet, fromMs, others, name, 'alive');
    for (const other of others) lastMs = Math.max(lastMs, await newsMs(fleet, fromMs, [name], other, 'alive'));
    values.push(lastMs - fromMs);
    starting.push(fleet.answeredAfterMs(name));
    progress(fleet.detector, `${name} joined within ${whole(values.at(-1) ?? 0)} ms`);
    await delay(PAUSE_MS);
    await fleet.end(name, 'SIGINT', END_TIMEOUT_MS);
    // Some agents of Serf take the end of a leaving one for a failure.
    await fleet.until(`${name} has left`, NEWS_TIMEOUT_MS, () => fleet.sightings.isGone(others, name));
    await delay(PAUSE_MS);
  }
  const system = fleet.detector.name;
  record({ system, measure: 'join', values });
  // Serf's agents say nothing before they have joined.
  if (system === 'holdfast') record({ system, measure: 'join-starting', values: starting });
}

/** One member is stopped, another one blocked again and again; nobody else may come to harm. */
async function measureStall(fleet: Fleet, { nodes, record }: Plan): Promise<void> {
  const [stopped, blocked] = [victimOf(1, nodes), victimOf(2, nodes)];
  progress(fleet.detector, `SIGSTOP of ${stopped} and blocks of ${blocked} for ${STALL_MS / 1000} s`);
  const fromMs = performance.now();
  fleet.signal(stopped, 'SIGSTOP');
  await fleet.block(blocked, STALL_MS);
  fleet.signal(stopped, 'SIGCONT');
  await delay(AFTER_STALL_MS);
  const dead = fleet.sightings.all.filter(({ atMs, state }) => atMs >= fromMs && state === 'dead');
  if (!dead.some(({ subject }) => subject === stopped)) throw new Error('the stopped node was not noticed');
  const third = new Set(dead.map(({ subject }) => subject).filter((name) => name !== stopped && name !== blocked));
  const ofBlocked = dead.filter(({ subject }) => subject === blocked);
  // Whatever was said was heard: a feed that had ended meanwhile would fail here.
  await fleet.untilSettled(NEWS_TIMEOUT_MS);
  const system = fleet.detector.name;
  record({ system, measure: 'stall-third', values: [third.size] });
  record({ system, measure: 'stall-blocked', values: [ofBlocked.length] });
}

/** Counts whole Ethernet frames, the few of the observation included. */
async function measureIdle(fleet: Fleet, { idleSeconds, record }: Plan, place: NamespacePlace): Promise<void> {
  progress(fleet.detector, `idle for ${idleSeconds} s`);
  const [before, fromMs] = [place.sentBytes(), performance.now()];
  await delay(idleSeconds * 1000);
  const [after, toMs] = [place.sentBytes(), performance.now()];
  const values = fleet.names.map((name) => {
    const bytes = (after.get(name) ?? Number.NaN) - (before.get(name) ?? Number.NaN);
    return (bytes * 1000) / (toMs - fromMs);
  });
  record({ system: fleet.detector.name, measure: 'idle', values });
}

async function measureSilence(fleet: Fleet, plan: Plan, place: NamespacePlace): Promise<void> {
  const { nodes, rounds, record } = plan;
  const values: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const victim = victimOf(round, nodes);
    const others = fleet.others(victim);
    const fromMs = performance.now();
    place.cut(victim);
    values.push((await newsMs(fleet, fromMs, others, victim, 'dead')) - fromMs);
    progress(fleet.detector, `${victim} cut off: known by all after ${whole(values.at(-1) ?? 0)} ms`);
    if (round === rounds) {
      await measureHeal(fleet, plan, { place, victim, others, fromMs });
      continue;
    }
    place.heal();
    // By a restart both systems come back soon; by themselves it can take minutes.
    await fleet.end(victim, 'SIGKILL', END_TIMEOUT_MS);
    fleet.start(victim);
    await fleet.untilSettled(START_TIMEOUT_MS);
    await delay(PAUSE_MS);
  }
  record({ system: fleet.detector.name, measure: 'silent', values });
}

interface Cut {
  readonly place: NamespacePlace;
  readonly victim: string;
  readonly others: readonly string[];
  readonly fromMs: number;
}

async function measureHeal(fleet: Fleet, { record }: Plan, { place, victim, others, fromMs }: Cut): Promise<void> {
  const { sightings, detector } = fleet;
  // The other side has to know as well before it can be told better.
  for (const other of others) await newsMs(fleet, fromMs, [victim], other, 'dead');
  const healedMs = performance.now();
  place.heal();
  const names = [...others, victim];
  const isOver = (): boolean => sightings.isComplete(names) || performance.now() - healedMs > HEAL_MS_MAX;
  await fleet.until('all see all again', HEAL_MS_MAX * 2, isOver);
  const lastMs = sightings.all.findLast(({ state }) => state === 'alive')?.atMs ?? Number.NaN;
  const value = sightings.isComplete(names) ? lastMs - healedMs : Number.POSITIVE_INFINITY;
  progress(detector, `healed: all see all again after ${shown('heal', value)} ms`);
  record({ system: detector.name, measure: 'heal', values: [value] });
}

/** When the last of the observers had said so. */
async function newsMs(
  fleet: Fleet,
  fromMs: number,
  observers: readonly string[],
  subject: string,
  state: 'alive' | 'dead',
): Promise<number> {
  const last = (): number | null => fleet.sightings.lastMs(fromMs, observers, subject, state);
  await fleet.until(`all know that ${subject} is ${state}`, NEWS_TIMEOUT_MS, () => last() !== null);
  return last() ?? Number.NaN;
}

/** Another one each round, never one of those through which others join. */
function victimOf(round: number, nodes: number): string {
  return `n${4 + ((round - 1) % (nodes - 3))}`;
}

/** A value for people. */
function shown(measure: MeasureName, value: number): string {
  return measure === 'heal' && !Number.isFinite(value) ? `> ${whole(HEAL_MS_MAX)}` : whole(value);
}

function progress({ name }: Detector, text: string): void {
  process.stderr.write(`${name}: ${text}\n`);
}

function title({ nodes, rounds, idleSeconds }: Plan, serf: string | null): string {
  const beside = serf === null ? '' : `; serf (says it is ${serf}), profile lan, without encryption`;
  return (
    `${nodes} nodes, ${rounds} rounds; idle for ${idleSeconds} s; one node stopped and one blocked for ` +
    `${STALL_MS / 1000} s (holdfast: busy loops by the inspector, serf: SIGSTOP and SIGCONT in turn)${beside}`
  );
}

function table(figures: readonly Figures[]): string {
  const hasSerf = figures.some(({ system }) => system === 'serf');
  const right = 'right' as const;
  const output = new Table({
    head: ['', 'system', 'median', 'min', 'max', 'unit', 'at most', ...(hasSerf ? ['/ serf'] : [])],
    colAligns: ['left', 'left', right, right, right, 'left', right, ...(hasSerf ? [right] : [])],
    style: { head: [], border: [] },
  });
  for (const name of Object.keys(MEASURES) as MeasureName[]) {
    const { title: text, unit, target } = MEASURES[name];
    for (const { system, values } of figures.filter(({ measure }) => measure === name)) {
      const serf = figures.find((other) => other.system === 'serf' && other.measure === name);
      const ratio = median(values) / median(serf?.values ?? []);
      output.push([
        text,
        system,
        ...[median(values), Math.min(...values), Math.max(...values)].map((value) => shown(name, value)),
        unit,
        target === null || system === 'serf' ? '' : whole(target),
        ...(hasSerf ? [system === 'serf' || !Number.isFinite(ratio) ? '' : ratio.toFixed(2)] : []),
      ]);
    }
  }
  return output.toString();
}
