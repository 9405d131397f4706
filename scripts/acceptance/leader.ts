import { LeaderStory } from '../../test/support/leader-story.ts';
import { median } from '../../test/support/mesh-join.ts';
import type { NamespaceNodes } from '../../test/support/namespace-nodes.ts';
import { withNetwork } from './clusters.ts';
import { lateness, type Outcome, problemsOf } from './outcome.ts';

const KILLS = 10;
const KILLS_UNDER_WRITES = 3;
const FAILOVER_MS_MAX = 3000;
const ELECTED_MS_MAX = 10_000;
/** Strong writes wait for no leader. */
const SILENCE_MS_MAX = 1000;
const REFUSED_MS_MAX = 2000;
const ONE_WAY_MS = 20_000;
const CHAIN_MS = 60_000;
/** While links fail in part, of whatever length: a change when they fail, and one when they are back. */
const CHANGES_MAX = 2;

/** Who leads when leaders die, and when the network is cut for some only. Each cluster is of its own. */
export async function leader(): Promise<Outcome> {
  const five = await withNetwork(ofFive);
  const ten = await withNetwork(ofTen, 10);
  const three = await withNetwork(ofThree, 3);
  return {
    figures: { ...five.figures, ...ten.figures, ...three.figures },
    problems: [...five.problems, ...ten.problems, ...three.problems],
  };
}

async function ofFive(nodes: NamespaceNodes): Promise<Outcome> {
  await nodes.untilFormed();
  const story = new LeaderStory(nodes);
  const times = await failovers(story);
  const stale = await story.stopLeader();
  const silences = await silencesUnderKills(story);
  const { electedMs, servedMs, refusedMs, mergedMs, wrong } = await story.divide();
  const oneWayChanges = await story.oneWay(ONE_WAY_MS);
  const failoverOfFiveMs = median(times);
  return {
    figures: {
      failoverOfFiveMs,
      worstOfFiveMs: Math.max(...times),
      eachOfFive: each(times),
      longestWithoutStrongWriteMs: Math.max(...silences),
      electedInBothPartsMs: electedMs,
      strongServedInPartsMs: servedMs,
      strongRefusedWithinMs: refusedMs,
      mergedMs,
      oneWayChanges,
    },
    problems: [
      ...lateness('five nodes: led again after', failoverOfFiveMs, FAILOVER_MS_MAX),
      ...problemsOf('stopped leader', stale),
      ...lateness('a leader killed: no strong write for', Math.max(...silences), SILENCE_MS_MAX),
      ...lateness('a leader in both parts after', electedMs, ELECTED_MS_MAX),
      ...lateness('divided: a strong request refused after', refusedMs, REFUSED_MS_MAX),
      ...problemsOf('divided', wrong),
      ...unrest('a one-way link', oneWayChanges),
    ],
  };
}

async function ofTen(nodes: NamespaceNodes): Promise<Outcome> {
  await nodes.untilFormed();
  const times = await failovers(new LeaderStory(nodes));
  const failoverOfTenMs = median(times);
  return {
    figures: { failoverOfTenMs, worstOfTenMs: Math.max(...times), eachOfTen: each(times) },
    problems: lateness('ten nodes: led again after', failoverOfTenMs, FAILOVER_MS_MAX),
  };
}

async function ofThree(nodes: NamespaceNodes): Promise<Outcome> {
  await nodes.untilFormed();
  const chainChanges = await new LeaderStory(nodes).chain(CHAIN_MS);
  return { figures: { chainChanges }, problems: unrest('a chain', chainChanges) };
}

async function failovers(story: LeaderStory): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < KILLS; i++) times.push(await story.killLeader());
  return times;
}

async function silencesUnderKills(story: LeaderStory): Promise<number[]> {
  const silences: number[] = [];
  for (let i = 0; i < KILLS_UNDER_WRITES; i++) silences.push((await story.killLeaderUnderWrites()).silenceMs);
  return silences;
}

function each(times: readonly number[]): string {
  return times.map((ms) => `${Math.round(ms)} ms`).join(', ');
}

function unrest(what: string, changes: number): string[] {
  return changes <= CHANGES_MAX ? [] : [`${what}: the leader changed ${changes} times, promised ${CHANGES_MAX}`];
}
