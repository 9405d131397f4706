import type { DemoNode } from '../cluster.ts';
import { counted, duration } from '../figures.ts';
import { OutageReads } from '../outage-reads.ts';
import { type Chapter, narrate, type Story } from '../story.ts';
import { pause, waitUntil } from '../wait.ts';

const DETECTION_TIMEOUT_MS = 30_000;
/** Per observer; all observers together must not become a load. */
const POLL_MS_PER_NODE = 5;
const POLL_MS_MIN = 20;

/** One node is killed under load. The others notice, and reads and writes go on. */
export const KILL: Chapter = {
  title: 'Kill',
  async run(story) {
    const { cluster, state, figures, ledger, signal } = story;
    const victim = cluster.nodes[Math.floor(cluster.nodes.length / 2)] as DemoNode;
    const others = cluster.nodes.filter((node) => node !== victim);
    narrate(story, `${victim.name} is killed with SIGKILL; reads and writes go on`);
    const killedMs = performance.now();
    const killed = victim.process.kill();
    state.node(victim.name).process = 'killed';
    const reads = new OutageReads(others, ledger);
    story.outage = { victim: victim.name, killedMs, failoversBefore: ledger.failovers, reads };
    state.outage = { fromMs: killedMs, toMs: null };
    state.reads = reads;
    figures.victim = victim.name;
    await killed;
    const detections = await Promise.all(others.map((node) => detect(story, node, victim.name, killedMs)));
    figures.firstSuspicionMs = Math.min(...detections.map(({ suspectedMs }) => suspectedMs));
    figures.detectedMs = Math.max(...detections.map(({ deadMs }) => deadMs));
    const detected = duration(figures.detectedMs);
    const keeper = others.length >= (state.ring?.replicas ?? 0) ? 'fallbacks keep hints of' : 'the others keep';
    narrate(story, `all others hold ${victim.name} dead after ${detected}; ${keeper} what it misses`);
    await pause(story.steadyMs, signal);
    const writes = ledger.between(killedMs, performance.now()).length;
    return `dead for all after ${detected}; ${counted(writes)} writes and ${counted(reads.done)} reads went on`;
  },
};

/** When this node first doubted the victim, and when it held it dead; ms after the kill. */
async function detect(
  { cluster, signal }: Story,
  node: DemoNode,
  victim: string,
  killedMs: number,
): Promise<{ suspectedMs: number; deadMs: number }> {
  let suspectedMs: number | null = null;
  let deadMs = 0;
  const isDead = async (): Promise<boolean> => {
    const member = (await node.client.members().catch(() => [])).find(({ name }) => name === victim);
    const sinceMs = performance.now() - killedMs;
    if (member !== undefined && member.state !== 'alive') suspectedMs ??= sinceMs;
    deadMs = sinceMs;
    return member?.state === 'dead';
  };
  await waitUntil(`${node.name} holds ${victim} dead`, isDead, {
    timeoutMs: DETECTION_TIMEOUT_MS,
    intervalMs: Math.max(POLL_MS_MIN, POLL_MS_PER_NODE * cluster.nodes.length),
    signal,
  });
  return { suspectedMs: suspectedMs ?? deadMs, deadMs };
}
