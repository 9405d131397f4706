import type { DemoNode } from '../cluster.ts';
import { counted } from '../figures.ts';
import { narrate, type Story } from '../story.ts';
import { pause } from '../wait.ts';
import { CONTESTED_KEY } from './cut.ts';

const RETRY_MS = 200;

/** Compares the hub with the site, key by key and write by write; what differs is given `timeoutMs` to arrive. */
export async function compareWithHub(story: Story, timeoutMs: number): Promise<void> {
  narrate(story, 'every key of the site is compared with the hub, and the other way round');
  const deadlineMs = performance.now() + timeoutMs;
  let differing = await compare(story);
  while (differing > 0 && performance.now() < deadlineMs) {
    story.state.narration = `${counted(differing)} keys are not the same on both sides yet; reconciliation brings them`;
    await pause(RETRY_MS, story.signal);
    differing = await compare(story);
  }
  story.figures.contestWonBy = await winnerOf(story);
}

/** How many keys are not as they should be. */
async function compare({ cluster, hub, ledger, figures }: Story): Promise<number> {
  const node = cluster.nodes[0] as DemoNode;
  const [atSite, atHub] = await Promise.all([node.client.list(), hub.client.list()]);
  const keys = [...new Set([...atSite.keys(), ...atHub.keys()])];
  const lacking = ledger.writes.filter(({ key, value }) => atHub.get(key)?.value !== value);
  figures.keysCompared = keys.length;
  figures.keysDiffering = keys.filter((key) => atSite.get(key)?.etag !== atHub.get(key)?.etag);
  figures.missingAtHub = lacking.map(({ key }) => key);
  return new Set([...figures.keysDiffering, ...figures.missingAtHub]).size;
}

/** Whose write of the contested key every node and the hub show; null where they do not, or the other one was not kept. */
async function winnerOf({ cluster, hub }: Story): Promise<string | null> {
  const conflict = (await hub.client.conflicts()).find(({ key }) => key === CONTESTED_KEY);
  if (conflict === undefined) return null;
  const value = Buffer.from(conflict.winner.value, 'base64').toString();
  const shown = [
    hub.client.read(CONTESTED_KEY),
    ...cluster.nodes.map(({ client }) => client.read(CONTESTED_KEY, 'quorum')),
  ];
  return (await Promise.all(shown)).every((one) => one === value) ? conflict.winner.by : null;
}
