import { duration } from '../figures.ts';
import { type Chapter, narrate, type Story } from '../story.ts';
import { waitUntil } from '../wait.ts';

const VIEWS_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

/** The nodes start at once and find each other. */
export const FORM: Chapter = {
  title: 'Form',
  async run(story) {
    const { cluster, state, figures, signal } = story;
    narrate(story, `${cluster.nodes.length} nodes start and look for each other`);
    const startMs = performance.now();
    await Promise.all(
      cluster.nodes.map(async (node) => {
        const progress = state.node(node.name);
        progress.process = 'starting';
        await cluster.start(node, signal);
        progress.process = 'running';
      }),
    );
    const servingMs = performance.now();
    await waitUntil('every node sees all others alive', () => viewsAreComplete(story), {
      timeoutMs: VIEWS_TIMEOUT_MS,
      intervalMs: POLL_MS,
      signal,
    });
    figures.formedMs = performance.now() - startMs;
    figures.foundMs = performance.now() - servingMs;
    const shardsMs = await waitForShards(story, startMs);
    return `all views complete after ${duration(figures.formedMs)}, all shards after ${duration(shardsMs)}`;
  },
};

async function viewsAreComplete({ cluster }: Story): Promise<boolean> {
  const count = cluster.nodes.length;
  const complete = await Promise.all(
    cluster.nodes.map(async ({ client }) => {
      const members = await client.members().catch(() => []);
      return members.length === count && members.every(({ state }) => state === 'alive');
    }),
  );
  return complete.every(Boolean);
}

/** The load begins on a ring at rest: all nodes in it, every shard complete at its owners. */
async function waitForShards({ cluster, signal }: Story, startMs: number): Promise<number> {
  const isAtRest = async (): Promise<boolean> => {
    const settled = await Promise.all(
      cluster.nodes.map(async ({ client }) => {
        const [ring, { shards }] = await Promise.all([client.ring(), client.status()]);
        const inside = ring.members.filter((member) => member.in && member.shards > 0).length;
        return inside === cluster.nodes.length && shards.complete === shards.owned && shards.transferring === 0;
      }),
    ).catch(() => [false]);
    return settled.every(Boolean);
  };
  const options = { timeoutMs: VIEWS_TIMEOUT_MS, intervalMs: POLL_MS, signal };
  await waitUntil('every node is in the ring and has its shards', isAtRest, options);
  return performance.now() - startMs;
}
