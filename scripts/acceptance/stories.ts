import { addNode, removeNode, wipeStore } from '../../test/support/change-stories.ts';
import { divergeAndMerge } from '../../test/support/divergence-story.ts';
import { checkDurability, type DurabilityReport, killAndRestart } from '../../test/support/durability-story.ts';
import type { LocalCluster } from '../../test/support/local-cluster.ts';
import { type JoinTimes, measureMdnsJoin, median } from '../../test/support/mesh-join.ts';
import { PartitionStory } from '../../test/support/partition-story.ts';
import { POSTGRES_MISSING } from '../../test/support/postgres-server.ts';
import { writeSiblings } from '../../test/support/siblings-story.ts';
import { WriteLoad } from '../../test/support/write-load.ts';
import { type Setting, watched, withCluster, withNetwork } from './clusters.ts';
import { hub } from './hub.ts';
import { leader } from './leader.ts';
import { lateness, type Outcome, problemsOf } from './outcome.ts';

export interface Story {
  /** What happens, in a line. */
  readonly what: string;
  /** It cuts the network, so it cannot run on loopback. */
  readonly needsNamespaces: boolean;
  /** What else is needed and not there; null: nothing. */
  readonly lacks?: string | null;
  readonly run: (setting: Setting) => Promise<Outcome>;
}

const WRITES_TIMEOUT_MS = 1_200_000;
const OUTAGES = 5;
const JOIN_MS_MAX = 2000;
const MERGE_MS_MAX = 10_000;
/** Fixed by the promise itself, unless fewer keys are asked for. */
const DIVERGENT_MAX = 10_000;

export const STORIES: Readonly<Record<string, Story>> = {
  durability: {
    what: 'quorum writes, one of three nodes killed and restarted twice',
    needsNamespaces: false,
    run: (setting) => killOne(setting, {}),
  },
  overwrites: {
    what: 'the same with overwrites and deletes on few keys',
    needsNamespaces: false,
    run: (setting) => killOne(setting, { keys: 960, deleteShare: 0.3 }),
  },
  outage: {
    what: 'all nodes killed at once under load and restarted, five times',
    needsNamespaces: false,
    run: outage,
  },
  wipe: {
    what: 'one of four nodes killed under load, its store deleted, started again',
    needsNamespaces: false,
    run: wipe,
  },
  change: {
    what: 'a node added to four and another taken out of the ring, under load',
    needsNamespaces: false,
    run: change,
  },
  join: {
    what: 'five nodes join by mDNS alone, median of five',
    needsNamespaces: true,
    run: join,
  },
  partition: {
    what: 'five nodes cut 2 | 3 with writes on both sides and deletes on one, then healed',
    needsNamespaces: true,
    run: partition,
  },
  divergence: {
    what: '10,000 keys overwritten on both sides of 2 | 3: time until all replicas are equal',
    needsNamespaces: true,
    run: divergence,
  },
  siblings: {
    what: 'one key of a `siblings` bucket written 10,000 times on both sides of 2 | 3',
    needsNamespaces: true,
    run: siblings,
  },
  leader: {
    what: 'the leader of five and ten nodes killed ten times, stopped and cut off; links that fail in part; strong writes meanwhile',
    needsNamespaces: true,
    run: leader,
  },
  hub: {
    what: 'what an idle uplink costs; cut, written on, drained, also with hub and carrier killed; its database restored from before',
    needsNamespaces: true,
    lacks: POSTGRES_MISSING,
    run: hub,
  },
};

function loadOn(cluster: LocalCluster, options: { keys?: number; deleteShare?: number; prefix?: string }): WriteLoad {
  return new WriteLoad({ clients: cluster.nodes.map(({ http }) => http), workers: 64, ...options });
}

async function killOne(setting: Setting, options: { keys?: number; deleteShare?: number }): Promise<Outcome> {
  return await withCluster(3, setting, async (cluster) => {
    await cluster.startAll();
    const load = loadOn(cluster, options);
    load.start();
    await watched(load, async () => {
      await killAndRestart(cluster, load, { node: 2, times: 2, writesBetween: Math.ceil(setting.keys / 6) });
      await load.untilTotal(setting.keys, WRITES_TIMEOUT_MS);
    });
    await load.stop();
    return checked(await checkDurability(cluster, load));
  });
}

async function outage(setting: Setting): Promise<Outcome> {
  return await withCluster(3, setting, async (cluster) => {
    const figures: Record<string, number> = {};
    for (let round = 1; round <= OUTAGES; round++) {
      await cluster.startAll();
      const load = loadOn(cluster, { prefix: `round-${round}/`, keys: 6400, deleteShare: 0.1 });
      load.start();
      await watched(load, () => load.untilMore(Math.ceil(setting.keys / OUTAGES), WRITES_TIMEOUT_MS));
      await cluster.killAll('SIGKILL');
      await load.stop(true);
      await cluster.startAll();
      const outcome = checked(await checkDurability(cluster, load));
      for (const [name, value] of Object.entries(outcome.figures)) {
        if (typeof value === 'number') {
          figures[name] = name.endsWith('Ms') ? Math.max(value, figures[name] ?? 0) : value + (figures[name] ?? 0);
        }
      }
      if (outcome.problems.length > 0) return { figures: { round, ...figures }, problems: outcome.problems };
    }
    return { figures, problems: [] };
  });
}

async function wipe(setting: Setting): Promise<Outcome> {
  return await changed(4, setting, async (cluster, load) => {
    const { completeAfterMs } = await wipeStore(cluster, load, { node: 2, writesBetween: Math.ceil(setting.keys / 3) });
    return { completeAfterMs };
  });
}

async function change(setting: Setting): Promise<Outcome> {
  const share = Math.ceil(setting.keys / 4);
  return await changed(5, setting, async (cluster, load) => {
    await load.untilMore(share, WRITES_TIMEOUT_MS);
    const added = await addNode(cluster, cluster.node(5));
    await load.untilMore(share, WRITES_TIMEOUT_MS);
    const removed = await removeNode(cluster, cluster.node(2));
    return { addedAfterMs: added.completeAfterMs, removedAfterMs: removed.completeAfterMs };
  });
}

/** A load on the first four nodes, of which something happens in the middle. */
async function changed(
  nodes: number,
  setting: Setting,
  happen: (cluster: LocalCluster, load: WriteLoad) => Promise<Record<string, number>>,
): Promise<Outcome> {
  return await withCluster(nodes, setting, async (cluster) => {
    const first = cluster.nodes.slice(0, 4);
    for (const node of first) node.spawn();
    await Promise.all(first.map((node) => node.untilReady()));
    await cluster.untilComplete();
    const load = new WriteLoad({ clients: first.map(({ http }) => http), workers: 32 });
    load.start();
    const figures = await watched(load, async () => {
      const measured = await happen(cluster, load);
      await load.untilTotal(setting.keys, WRITES_TIMEOUT_MS);
      return measured;
    });
    await load.stop();
    const { figures: more, problems } = checked(await checkDurability(cluster, load));
    return { figures: { ...figures, ...more }, problems };
  });
}

function checked(report: DurabilityReport): Outcome {
  const { lost, differences, staleReads, idleDeletes, ...figures } = report;
  return {
    figures: { ...figures, lost: lost.length, differences: differences.length },
    problems: [
      ...problemsOf('lost', lost),
      ...problemsOf('replicas differ', differences),
      ...problemsOf('stale read', staleReads),
      ...problemsOf('delete without effect', idleDeletes),
    ],
  };
}

async function join(): Promise<Outcome> {
  const times: JoinTimes[] = [];
  for (let i = 0; i < 5; i++) times.push(await measureMdnsJoin(5));
  const joinMs = median(times.map(({ fromLastStartMs }) => fromLastStartMs));
  const figures = {
    joinedAfterMs: joinMs,
    each: times.map(({ fromLastStartMs }) => `${Math.round(fromLastStartMs)} ms`).join(', '),
    startingOfThatMs: median(times.map(({ lastAnswersMs }) => lastAnswersMs)),
  };
  return { figures, problems: lateness('joined after', joinMs, JOIN_MS_MAX) };
}

async function partition({ keys }: Setting): Promise<Outcome> {
  return await withNetwork(async (nodes) => {
    // The fifth that is written before is small beside what both sides bring together.
    const options = { before: Math.ceil(keys / 5), during: Math.ceil((keys * 2) / 5) };
    const { wrong, lastDifferences, ...figures } = await new PartitionStory(nodes, options).run();
    const late = [
      ...lateness('readable after', figures.readableAfterMs, MERGE_MS_MAX),
      ...lateness('equal after', figures.equalAfterMs, MERGE_MS_MAX),
    ];
    const last = late.length > 0 ? problemsOf('equal last', lastDifferences) : [];
    return {
      figures: { ...figures, wrong: wrong.length },
      problems: [...late, ...last, ...problemsOf('wrong', wrong)],
    };
  });
}

async function divergence({ keys }: Setting): Promise<Outcome> {
  return await withNetwork(async (nodes) => {
    const { wrong, ...figures } = await divergeAndMerge(nodes, Math.min(keys, DIVERGENT_MAX));
    const late = lateness('equal after', figures.equalAfterMs, MERGE_MS_MAX);
    return { figures: { ...figures, wrong: wrong.length }, problems: [...late, ...problemsOf('wrong', wrong)] };
  });
}

async function siblings({ keys }: Setting): Promise<Outcome> {
  return await withNetwork(async (nodes) => {
    const { wrong, ...figures } = await writeSiblings(nodes, Math.min(keys, DIVERGENT_MAX));
    return { figures, problems: problemsOf('wrong', wrong) };
  });
}
