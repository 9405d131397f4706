import { BUCKET } from '../api-client.ts';
import { duration } from '../figures.ts';
import { startServer } from '../server.ts';
import { type Chapter, narrate, type Story } from '../story.ts';
import { waitUntil } from '../wait.ts';

const VIEWS_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

/** The hub starts, then all nodes at once; they find each other and the hub. */
export const FORM: Chapter = {
  title: 'Form',
  async run(story) {
    const { cluster, hub, state, figures, signal } = story;
    narrate(story, 'the hub starts; the site gets a token for it');
    state.hub.process = 'starting';
    await hub.start(signal);
    state.hub.process = 'running';
    narrate(story, `${cluster.nodes.length} nodes start and look for each other`);
    const startMs = performance.now();
    await Promise.all(
      cluster.nodes.map(async (node) => {
        const progress = state.node(node.name);
        progress.process = 'starting';
        await startServer(node, signal);
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
    await waitForBucket(story);
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

/** Every node and the hub know of the bucket that the story writes to. */
async function waitForBucket({ cluster, hub, signal }: Story): Promise<void> {
  await cluster.nodes[0]?.client.createBucket();
  const clients = [hub.client, ...cluster.nodes.map(({ client }) => client)];
  const isKnown = async (): Promise<boolean> => {
    const known = await Promise.all(clients.map((client) => client.knowsBucket().catch(() => false)));
    return known.every(Boolean);
  };
  const options = { timeoutMs: VIEWS_TIMEOUT_MS, intervalMs: POLL_MS, signal };
  await waitUntil(`the site has told its hub of the bucket ${BUCKET}`, isKnown, options);
}
