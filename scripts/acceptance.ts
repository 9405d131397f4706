/**
 * Measures what the program promises, with real processes and at full size; the tests run the same stories smaller.
 *
 *   node scripts/acceptance.ts [--keys N] [STORY…]
 *
 *   durability   quorum writes, one of three nodes killed and restarted twice
 *   overwrites   the same with overwrites and deletes on few keys
 *   outage       all nodes killed at once under load and restarted, five times
 *   wipe         one of four nodes killed under load, its store deleted, started again
 *   change       a node added to four and another taken out of the ring, under load
 *   join         five nodes join by mDNS alone, median of five (needs root, as all that follow)
 *   partition    2 | 3 under writes on both sides, then healed
 *   divergence   10,000 keys overwritten on both sides of 2 | 3: time until all replicas are equal
 *   siblings     one key of a `siblings` bucket written 10,000 times on both sides of 2 | 3
 *
 * --keys: keys of each story, 10,000 without it; the acceptance of a release takes 100,000. Without a name all of
 * them. Prints one line of figures a story; status 1 when one misses its promise.
 */
import { parseArgs } from 'node:util';
import { addNode, removeNode, wipeStore } from '../test/support/change-stories.ts';
import { divergeAndMerge } from '../test/support/divergence-story.ts';
import { checkDurability, type DurabilityReport, killAndRestart } from '../test/support/durability-story.ts';
import { LocalCluster } from '../test/support/local-cluster.ts';
import { type JoinTimes, measureMdnsJoin, median } from '../test/support/mesh-join.ts';
import { NamespaceNodes } from '../test/support/namespace-nodes.ts';
import { netnsUnavailable } from '../test/support/netns-cluster.ts';
import { PartitionStory } from '../test/support/partition-story.ts';
import { writeSiblings } from '../test/support/siblings-story.ts';
import { WriteLoad } from '../test/support/write-load.ts';

const { values: flags, positionals: chosen } = parseArgs({
  options: { keys: { type: 'string', default: '10000' } },
  allowPositionals: true,
});
const KEYS = Number(flags.keys);
if (!Number.isInteger(KEYS) || KEYS < 100) {
  console.error('acceptance: --keys takes a whole number from 100');
  process.exit(2);
}
/** Fixed by the promises themselves, unless fewer keys are asked for. */
const DIVERGENT = Math.min(KEYS, 10_000);
const WRITES_TIMEOUT_MS = 1_200_000;
const JOIN_MS_MAX = 2000;
const MERGE_MS_MAX = 10_000;

type Verdict = { readonly passed: boolean; readonly figures: Readonly<Record<string, unknown>> };

const stories: Readonly<Record<string, () => Promise<Verdict>>> = {
  durability: () => underLoad({}),
  overwrites: () => underLoad({ keys: 960, deleteShare: 0.3 }),
  outage,
  wipe,
  change,
  join,
  partition,
  divergence,
  siblings,
};

function loadOn(cluster: LocalCluster, options: { keys?: number; deleteShare?: number }): WriteLoad {
  return new WriteLoad({ clients: cluster.nodes.map(({ http }) => http), workers: 64, ...options });
}

async function underLoad(options: { keys?: number; deleteShare?: number }): Promise<Verdict> {
  const cluster = await LocalCluster.start({ nodes: 3 });
  try {
    const load = loadOn(cluster, options);
    load.start();
    await killAndRestart(cluster, load, { node: 2, times: 2, writesBetween: Math.ceil(KEYS / 6) });
    await load.untilTotal(KEYS, WRITES_TIMEOUT_MS);
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
      await load.untilMore(Math.ceil(KEYS / 5));
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

async function wipe(): Promise<Verdict> {
  return await changed(4, async (cluster, load) => {
    const { completeAfterMs } = await wipeStore(cluster, load, { node: 2, writesBetween: Math.ceil(KEYS / 3) });
    return { completeAfterMs };
  });
}

async function change(): Promise<Verdict> {
  return await changed(5, async (cluster, load) => {
    await load.untilMore(Math.ceil(KEYS / 4), WRITES_TIMEOUT_MS);
    const added = await addNode(cluster, cluster.node(5));
    await load.untilMore(Math.ceil(KEYS / 4), WRITES_TIMEOUT_MS);
    const removed = await removeNode(cluster, cluster.node(2));
    return { addedAfterMs: added.completeAfterMs, removedAfterMs: removed.completeAfterMs };
  });
}

/** A load on the first four nodes, of which something happens in the middle. */
async function changed(
  nodes: number,
  happen: (cluster: LocalCluster, load: WriteLoad) => Promise<Record<string, number>>,
): Promise<Verdict> {
  const cluster = await LocalCluster.create({ nodes });
  try {
    const first = cluster.nodes.slice(0, 4);
    for (const node of first) node.spawn();
    await Promise.all(first.map((node) => node.untilReady()));
    await cluster.untilComplete();
    const load = new WriteLoad({ clients: first.map(({ http }) => http), workers: 32 });
    load.start();
    const figures = await happen(cluster, load);
    await load.untilTotal(KEYS, WRITES_TIMEOUT_MS);
    await load.stop();
    const { passed, figures: checked } = verdict(await checkDurability(cluster, load));
    return { passed, figures: { ...figures, ...checked } };
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
  return await inNamespaces(async (nodes) => {
    // The fifth that is written before is small beside what both sides bring together.
    const options = { before: Math.ceil(KEYS / 5), during: Math.ceil((KEYS * 2) / 5) };
    const { wrong, lastDifferences, ...figures } = await new PartitionStory(nodes, options).run();
    for (const line of wrong.slice(0, 10)) console.error(line);
    const passed =
      wrong.length === 0 && figures.readableAfterMs <= MERGE_MS_MAX && figures.equalAfterMs <= MERGE_MS_MAX;
    if (!passed) for (const line of lastDifferences) console.error(`equal last: ${line}`);
    return { passed, figures: { ...figures, wrong: wrong.length } };
  });
}

async function divergence(): Promise<Verdict> {
  return await inNamespaces(async (nodes) => {
    const { wrong, ...figures } = await divergeAndMerge(nodes, DIVERGENT);
    for (const line of wrong.slice(0, 10)) console.error(line);
    const passed = wrong.length === 0 && figures.equalAfterMs <= MERGE_MS_MAX;
    return { passed, figures: { ...figures, wrong: wrong.length } };
  });
}

async function siblings(): Promise<Verdict> {
  return await inNamespaces(async (nodes) => {
    const { wrong, ...figures } = await writeSiblings(nodes, DIVERGENT);
    for (const line of wrong.slice(0, 10)) console.error(line);
    return { passed: wrong.length === 0, figures };
  });
}

async function inNamespaces(story: (nodes: NamespaceNodes) => Promise<Verdict>): Promise<Verdict> {
  requireNamespaces();
  const nodes = NamespaceNodes.up(5);
  try {
    return await story(nodes);
  } catch (error) {
    console.error(nodes.logs());
    throw error;
  } finally {
    nodes.down();
  }
}

function requireNamespaces(): void {
  const reason = netnsUnavailable();
  if (reason !== undefined) throw new Error(`this story needs network namespaces: ${reason}`);
}

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
