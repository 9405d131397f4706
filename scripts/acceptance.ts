/**
 * Measures what the program promises, with real processes and at full size; the tests run the same stories smaller.
 *
 *   node scripts/acceptance.ts durability   10,000 quorum writes, one of three nodes killed and restarted twice
 *   node scripts/acceptance.ts overwrites   the same with overwrites and deletes on few keys
 *   node scripts/acceptance.ts outage       all nodes killed at once under load and restarted, five times
 *   node scripts/acceptance.ts join         five nodes join by mDNS alone, median of five (needs root)
 *   node scripts/acceptance.ts partition    2 | 3 under writes on both sides, then healed (needs root)
 *
 * Without a name all of them. Prints one line of figures a story; status 1 when one misses its promise.
 */
import { checkDurability, type DurabilityReport, killAndRestart } from '../test/support/durability-story.ts';
import { LocalCluster } from '../test/support/local-cluster.ts';
import { type JoinTimes, measureMdnsJoin, median } from '../test/support/mesh-join.ts';
import { netnsUnavailable } from '../test/support/netns-cluster.ts';
import { PartitionStory } from '../test/support/partition-story.ts';
import { WriteLoad } from '../test/support/write-load.ts';

const WRITES = 10_000;
const JOIN_MS_MAX = 2000;
const MERGE_MS_MAX = 10_000;

type Verdict = { readonly passed: boolean; readonly figures: Readonly<Record<string, unknown>> };

const stories: Readonly<Record<string, () => Promise<Verdict>>> = {
  durability: () => underLoad({}),
  overwrites: () => underLoad({ keys: 960, deleteShare: 0.3 }),
  outage,
  join,
  partition,
};

function loadOn(cluster: LocalCluster, options: { keys?: number; deleteShare?: number }): WriteLoad {
  return new WriteLoad({ clients: cluster.nodes.map(({ http }) => http), workers: 64, ...options });
}

async function underLoad(options: { keys?: number; deleteShare?: number }): Promise<Verdict> {
  const cluster = await LocalCluster.start({ nodes: 3 });
  try {
    const load = loadOn(cluster, options);
    load.start();
    await killAndRestart(cluster, load, { node: 2, times: 2, writesBetween: WRITES / 6 });
    await load.untilTotal(WRITES);
    await load.stop();
    return verdict(await checkDurability(cluster, load));
  } catch (error) {
    console.error(cluster.logs());
    throw error;
  } finally {
    await cluster.close();
  }
}

async function outage(): Promise<Verdict> {
  const cluster = await LocalCluster.start({ nodes: 3 });
  try {
    let last: Verdict = { passed: true, figures: {} };
    for (let round = 1; round <= 5 && last.passed; round++) {
      const load = new WriteLoad({
        clients: cluster.nodes.map(({ http }) => http),
        prefix: `round-${round}/`,
        workers: 64,
        keys: 6400,
        deleteShare: 0.1,
      });
      load.start();
      await load.untilMore(WRITES / 5);
      await cluster.killAll('SIGKILL');
      await load.stop(true);
      await cluster.startAll();
      last = verdict(await checkDurability(cluster, load));
      console.log(`outage ${round}: ${JSON.stringify(last.figures)}`);
      await cluster.startAll();
    }
    return last;
  } catch (error) {
    console.error(cluster.logs());
    throw error;
  } finally {
    await cluster.close();
  }
}

function verdict(report: DurabilityReport): Verdict {
  const { lost, differences, staleReads, idleDeletes, ...figures } = report;
  const problems = { lost, differences, staleReads, idleDeletes };
  for (const [kind, lines] of Object.entries(problems)) {
    for (const line of lines.slice(0, 10)) console.error(`${kind}: ${line}`);
  }
  const counts = Object.fromEntries(Object.entries(problems).map(([kind, lines]) => [kind, lines.length]));
  return { passed: Object.values(counts).every((count) => count === 0), figures: { ...figures, ...counts } };
}

async function join(): Promise<Verdict> {
  requireNamespaces();
  const times: JoinTimes[] = [];
  for (let i = 0; i < 5; i++) times.push(await measureMdnsJoin(5));
  const joinMs = median(times.map(({ fromLastStartMs }) => fromLastStartMs));
  const figures = {
    medianMs: Math.round(joinMs),
    eachMs: times.map(({ fromLastStartMs }) => Math.round(fromLastStartMs)),
    medianOfThatStartingMs: Math.round(median(times.map(({ lastAnswersMs }) => lastAnswersMs))),
  };
  return { passed: joinMs <= JOIN_MS_MAX, figures };
}

async function partition(): Promise<Verdict> {
  requireNamespaces();
  const story = PartitionStory.up({ before: 2000, during: 2000 });
  try {
    const { wrong, lastDifferences, ...figures } = await story.run();
    for (const line of wrong.slice(0, 10)) console.error(line);
    const passed =
      wrong.length === 0 && figures.readableAfterMs <= MERGE_MS_MAX && figures.equalAfterMs <= MERGE_MS_MAX;
    if (!passed) for (const line of lastDifferences) console.error(`equal last: ${line}`);
    return { passed, figures: { ...figures, wrong: wrong.length } };
  } catch (error) {
    console.error(story.logs());
    throw error;
  } finally {
    story.down();
  }
}

function requireNamespaces(): void {
  const reason = netnsUnavailable();
  if (reason !== undefined) throw new Error(`this story needs network namespaces: ${reason}`);
}

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !(name in stories));
if (unknown.length > 0) {
  console.error(`acceptance: no story ${unknown.join(', ')}; there are ${Object.keys(stories).join(', ')}`);
  process.exit(2);
}
for (const [name, story] of Object.entries(stories)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const { passed, figures } = await story();
  console.log(`${passed ? 'kept' : 'MISSED'} ${name}: ${JSON.stringify(figures)}`);
  if (!passed) process.exitCode = 1;
}
