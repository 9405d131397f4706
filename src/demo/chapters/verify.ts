import type { DemoNode } from '../cluster.ts';
import { counted } from '../figures.ts';
import type { AcknowledgedWrite } from '../ledger.ts';
import { type Chapter, narrate, type Story } from '../story.ts';
import { forEachLimited, messageOf, pause } from '../wait.ts';
import { compareWithHub } from './compare.ts';

const REQUESTS_IN_FLIGHT_PER_NODE = 6;
const ATTEMPTS_MAX = 3;
const RETRY_MS = 200;
/** An owner that was slow for a moment gets what it missed by anti-entropy, every 10 s. */
const COPIES_TIMEOUT_MS = 25_000;

/** A read that is to give exactly this value. */
interface Check {
  readonly node: DemoNode;
  readonly write: AcknowledgedWrite;
}

/**
 * Everything that was acknowledged is read back: each copy at its owner alone, then every value at every node; and site
 * and hub are compared.
 */
export function verifyChapter(timeoutMs = COPIES_TIMEOUT_MS): Chapter {
  return { title: 'Verify', run: (story) => verify(story, timeoutMs) };
}

async function verify(story: Story, timeoutMs: number): Promise<string> {
  const { cluster, ledger, load, recorder, figures } = story;
  await Promise.all([load.stop(), recorder.stop()]);
  const { writes } = ledger;
  narrate(story, `the load ends; every copy of ${counted(writes.length)} acknowledged writes is read at its owner`);
  // Copies first: a read at quorum would repair what is missing.
  const copies = await copiesOf(story, writes);
  figures.copiesRead = copies.length;
  figures.missingCopies = await missingCopies(story, copies, timeoutMs);
  await compareWithHub(story, timeoutMs);
  narrate(story, 'every acknowledged write is read back at every node at quorum');
  figures.quorumReads = writes.length * cluster.nodes.length;
  figures.lost = [...(await unreadable(story, writes)), ...(await lostReadings(story))];
  narrate(story, 'and so is every write of the hub');
  figures.missingAtSite = await unreadable(story, story.cut?.ledger.writes ?? []);
  figures.verified = true;
  const lost = `${counted(writes.length)} acknowledged, ${counted(figures.lost.length)} lost`;
  return `${lost}; ${counted(figures.keysDiffering.length)} of ${counted(figures.keysCompared)} keys differ at the hub`;
}

/** The keys of those writes that some node does not return at quorum. */
async function unreadable(story: Story, writes: readonly AcknowledgedWrite[]): Promise<string[]> {
  const checks = story.cluster.nodes.flatMap((node) => writes.map((write) => ({ node, write })));
  const failing = await failingReads(story, checks, 'quorum');
  return [...new Set(failing.map(({ write }) => write.key))];
}

/** One check for each owner of each write. */
async function copiesOf({ cluster, state }: Story, writes: readonly AcknowledgedWrite[]): Promise<Check[]> {
  const checks: Check[] = [];
  let turn = 0;
  let done = 0;
  await forEachLimited(writes, inFlight(cluster.nodes), async (write) => {
    const asked = cluster.nodes[turn++ % cluster.nodes.length] as DemoNode;
    const { owners } = await asked.client.locate(write.key);
    for (const node of cluster.nodes) if (owners.includes(node.name)) checks.push({ node, write });
    state.progress = { done: ++done, total: writes.length };
  });
  return checks;
}

async function missingCopies(story: Story, copies: readonly Check[], timeoutMs: number): Promise<number> {
  const deadlineMs = performance.now() + timeoutMs;
  let missing = await failingReads(story, copies, 'one');
  while (missing.length > 0 && performance.now() < deadlineMs) {
    story.state.narration = `${counted(missing.length)} copies are not at their owners yet; anti-entropy brings them`;
    await pause(RETRY_MS, story.signal);
    missing = await failingReads(story, missing, 'one');
  }
  for (const { node, write } of missing.slice(0, ATTEMPTS_MAX)) {
    story.state.tell(`${node.name} owns ${write.key} and does not have it`, 'bad');
  }
  return missing.length;
}

/** Those of the reads that did not give the value; a node that does not answer is asked again first. */
async function failingReads(story: Story, checks: readonly Check[], level: 'one' | 'quorum'): Promise<Check[]> {
  const { cluster, state, signal } = story;
  const failing: Check[] = [];
  let done = 0;
  const queues = cluster.nodes.map((node) => checks.filter((check) => check.node === node));
  await Promise.all(
    queues.map((queue) =>
      forEachLimited(queue, REQUESTS_IN_FLIGHT_PER_NODE, async (check) => {
        const problem = await readProblem(check, level, signal);
        if (problem !== null) {
          failing.push(check);
          if (level === 'quorum') state.tell(problem, 'bad');
        }
        state.progress = { done: ++done, total: checks.length };
      }),
    ),
  );
  return failing;
}

async function readProblem(
  { node, write }: Check,
  level: 'one' | 'quorum',
  signal: AbortSignal,
): Promise<string | null> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      const found = await node.client.read(write.key, level);
      if (found === write.value) return null;
      return `${node.name} reads ${found === null ? 'nothing' : 'another value'} for ${write.key}`;
    } catch (error) {
      if (attempt >= ATTEMPTS_MAX) return `${node.name} cannot read ${write.key}: ${messageOf(error)}`;
      await pause(RETRY_MS, signal);
    }
  }
}

/** Keys of readings whose latest acknowledged value some node does not have; a later one is as good. */
async function lostReadings({ cluster, recorder, signal }: Story): Promise<string[]> {
  const lost: string[] = [];
  await forEachLimited([...recorder.latest], inFlight(cluster.nodes), async ([key, { number }]) => {
    for (const { client } of cluster.nodes) {
      signal.throwIfAborted();
      const text = await client.read(key, 'quorum').catch(() => null);
      const found = text === null ? null : (JSON.parse(text) as { number: number });
      if (found === null || found.number < number) {
        lost.push(key);
        return;
      }
    }
  });
  return lost;
}

function inFlight(nodes: readonly DemoNode[]): number {
  return nodes.length * REQUESTS_IN_FLIGHT_PER_NODE;
}
