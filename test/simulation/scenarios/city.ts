import { CityClusters, type CityPlan } from './city-clusters.ts';
import { runIdle } from './idle.ts';
import { type Scenario, type ScenarioOptions, type ScenarioReport, seconds, tableLines } from './scenario.ts';

const MINUTE_MS = 60_000;
/** Beyond the city's summaries, which are said every two seconds on each of two levels. */
const SUMMARY_WITHIN_MS = 20_000;
const MERGE_WITHIN_MS = 30_000;
const FORM_WITHIN_MS = 30_000;
/** A killed process is known in its cluster within this time. */
const CRASH_WITHIN_MS = 1500;

export interface CityTimes {
  readonly restMs: number;
  readonly cutMs: number;
  readonly darkMs: number;
}

/** 1,000 cameras, 500 sensors, 50 aggregation servers, 5 district centres. */
const PLAN: CityPlan = { districts: 5, neighbourhoods: 10, cameras: 20, sensors: 10 };
const TIMES: CityTimes = { restMs: 5 * MINUTE_MS, cutMs: 60 * MINUTE_MS, darkMs: 10 * MINUTE_MS };

/** Steps of the story, each with how long it took and how long it may take. */
class Story {
  readonly rows: string[][] = [];
  readonly problems: string[] = [];
  private readonly progress: (text: string) => void;

  constructor(progress: (text: string) => void) {
    this.progress = progress;
  }

  within(name: string, limitMs: number, tookMs: number): void {
    this.rows.push([name, Number.isFinite(tookMs) ? `${seconds(tookMs)} s` : 'never', `${seconds(limitMs)} s`]);
    if (tookMs > limitMs) this.problems.push(`city: ${name}: not within ${seconds(limitMs)} s`);
    this.progress(name);
  }
}

export function runCity(plan: CityPlan, times: CityTimes, { seed, progress }: ScenarioOptions): ScenarioReport {
  const city = new CityClusters(plan, seed);
  const story = new Story(progress);
  const below = plan.neighbourhoods * plan.districts * (1 + plan.cameras + plan.sensors);
  formation(city, story, below);
  city.resetTraffic();
  city.run(times.restMs);
  const layers = (['street', 'aggregation', 'district'] as const).map((layer) => [
    layer,
    String(city.layers[layer].length),
    String(Math.round(city.meanBytes(layer) / (times.restMs / 1000))),
  ]);
  crashes(city, story, below);
  backboneCut(city, story, below, times.cutMs);
  powerCut(city, story, below, times.darkMs);
  if (city.falseDeaths > 0) story.problems.push(`city: ${city.falseDeaths} false deaths`);
  return {
    lines: [
      ...tableLines(['step', 'took', 'limit'], story.rows),
      `deaths believed of nodes that lived: ${city.falseDeaths}`,
      '',
      ...tableLines(['layer', 'nodes', 'bytes/s at rest'], layers),
    ],
    problems: story.problems,
    simulatedMs: city.nowMs,
  };
}

function formation(city: CityClusters, story: Story, below: number): void {
  story.within(
    `all ${city.size} nodes start, every cluster is complete`,
    FORM_WITHIN_MS,
    city.runUntil(() => city.isSettled(), FORM_WITHIN_MS),
  );
  story.within(
    `the city counts ${below} nodes alive below its centres`,
    SUMMARY_WITHIN_MS,
    city.runUntil(() => city.view().alive === below && city.view().total === below, SUMMARY_WITHIN_MS),
  );
}

/** A camera, then an aggregation server, then another camera of the neighbourhood that is on its own. */
function crashes(city: CityClusters, story: Story, below: number): void {
  const [server, ...devices] = city.membersBelow('server-0-0') as [string, string, ...string[]];
  const [camera, other] = devices as [string, string];
  city.kill(camera);
  story.within(
    'a camera crashes: its neighbourhood knows',
    CRASH_WITHIN_MS,
    city.runUntil(() => city.isLostBelow(server, [camera]), 10_000),
  );
  story.within(
    'the city counts one less',
    SUMMARY_WITHIN_MS,
    city.runUntil(() => city.view().alive === below - 1, SUMMARY_WITHIN_MS),
  );
  city.kill(server);
  story.within(
    'an aggregation server crashes: its district knows',
    CRASH_WITHIN_MS,
    city.runUntil(() => city.isDeadAbove(server), 10_000),
  );
  story.within(
    'its neighbourhood knows and goes on',
    CRASH_WITHIN_MS,
    city.runUntil(() => city.isLostBelow(server, [camera, server]), 10_000),
  );
  story.within(
    'the city sees one dark neighbourhood',
    SUMMARY_WITHIN_MS,
    city.runUntil(() => city.view().dark === 1, SUMMARY_WITHIN_MS),
  );
  city.kill(other);
  story.within(
    'alone, it notices the crash of another camera',
    CRASH_WITHIN_MS,
    city.runUntil(() => city.isLostBelow(server, [camera, server, other]), 10_000),
  );
  for (const id of [server, camera, other]) city.restart(id);
  story.within(
    'all three come back: everything is complete',
    MERGE_WITHIN_MS,
    city.runUntil(() => isWhole(city, below), MERGE_WITHIN_MS),
  );
}

function backboneCut(city: CityClusters, story: Story, below: number, cutMs: number): void {
  const districts = city.layers.district.length;
  city.cutBackbone();
  story.within(
    'the backbone is cut: a centre sees the other districts as lost',
    MINUTE_MS,
    city.runUntil(() => city.view().lost === districts - 1, MINUTE_MS),
  );
  city.run(cutMs);
  const isUnharmed = city.layers.district.every((centre) => city.isLostBelow(centre, []));
  if (!isUnharmed) story.problems.push('city: the cut backbone has harmed a district');
  city.healBackbone();
  story.within(
    `it heals after ${Math.round(cutMs / MINUTE_MS)} min: the city is whole`,
    MERGE_WITHIN_MS,
    city.runUntil(() => isWhole(city, below), MERGE_WITHIN_MS),
  );
  city.isBackboneCut = false;
}

function powerCut(city: CityClusters, story: Story, below: number, darkMs: number): void {
  const dark = city.membersBelow('server-0-1');
  const server = dark[0] as string;
  for (const id of dark) city.kill(id);
  story.within(
    'power fails in a neighbourhood: its district knows',
    CRASH_WITHIN_MS,
    city.runUntil(() => city.isDeadAbove(server), 10_000),
  );
  story.within(
    'the city sees it dark',
    SUMMARY_WITHIN_MS,
    city.runUntil(() => city.view().dark === 1, SUMMARY_WITHIN_MS),
  );
  city.run(darkMs);
  for (const id of dark) city.restart(id);
  story.within(
    `power is back after ${Math.round(darkMs / MINUTE_MS)} min: everything is complete`,
    MERGE_WITHIN_MS,
    city.runUntil(() => isWhole(city, below), MERGE_WITHIN_MS),
  );
}

function isWhole(city: CityClusters, below: number): boolean {
  const { alive, dark, lost } = city.view();
  return alive === below && dark === 0 && lost === 0 && city.isSettled();
}

function cityAndFlat(options: ScenarioOptions): ScenarioReport {
  const layered = runCity(PLAN, TIMES, options);
  const flat = runIdle([1555], MINUTE_MS, options);
  return {
    lines: [...layered.lines, '', 'the same nodes in one flat cluster, at rest:', ...flat.lines],
    problems: [...layered.problems, ...flat.problems],
    simulatedMs: layered.simulatedMs + flat.simulatedMs,
  };
}

export const city: Scenario = {
  summary: 'a city of 1,555 nodes in three layers of clusters: formation, crashes, a cut backbone, a power cut',
  run: cityAndFlat,
};
