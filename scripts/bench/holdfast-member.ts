import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { readEvents } from '../../src/demo/event-stream.ts';
import { alternateBlocks, Inspector, inspectorEnvironment } from '../../test/support/inspector.ts';
import type { Command, Detector, Running } from './fleet.ts';
import { SOURCES } from './holdfast.ts';
import type { Seat } from './place.ts';
import type { SeenState } from './sightings.ts';

const CONNECT_RETRY_MS = 20;
const STATES: readonly string[] = ['alive', 'suspect', 'dead', 'left'] satisfies SeenState[];

interface Status {
  readonly members: { readonly suspect: number };
  readonly shards: { readonly owned: number; readonly complete: number; readonly transferring: number };
}

/** Nodes from the sources; what a node says of others is read from its event feed. */
export function holdfastDetector(): Detector {
  const secret = randomBytes(32).toString('hex');
  return {
    name: 'holdfast',

    command(seat: Seat, home: string, seeds: readonly Seat[]): Command {
      const { name, ip, ports } = seat;
      const args = [SOURCES, 'start', '--data-dir', home, '--name', name, '--mdns', 'off', '--resp', 'off'];
      args.push('--listen', `/ip4/${ip}/tcp/${ports[0]}`, '--http', `${ip}:${ports[1]}`, '--log-format', 'json');
      for (const seed of seeds) args.push('--seed', `/ip4/${seed.ip}/tcp/${seed.ports[0]}`);
      const env = { HOLDFAST_SECRET: secret, ...inspectorEnvironment(debugAddress(seat)) };
      return { file: process.execPath, args, env };
    },

    follow: followEvents,

    async isSettled(seat: Seat): Promise<boolean> {
      const { members, shards } = (await (await fetch(`${urlOf(seat)}/v1/status`)).json()) as Status;
      return members.suspect === 0 && shards.owned === shards.complete && shards.transferring === 0;
    },

    /** By busy loops in its event loop. */
    async block({ seat, child }: Running, durationMs: number): Promise<void> {
      child.kill('SIGUSR1');
      const inspector = await Inspector.attach(debugAddress(seat));
      try {
        await alternateBlocks(durationMs, (ms) => inspector.block(ms));
      } finally {
        inspector.close();
      }
    },
  };
}

/** Reads the feed from its first event until the process ends. */
async function followEvents({ seat, ended, tell, answers }: Running): Promise<void> {
  const feed = await openFeed(`${urlOf(seat)}/v1/events`, ended);
  if (feed === null) return;
  answers();
  try {
    for await (const { type, data } of readEvents(feed)) {
      const state = type.replace(/^member-/, '');
      if (STATES.includes(state) && typeof data.name === 'string') tell(data.name, state as SeenState);
    }
  } catch {
    // The process has ended.
  }
}

/** Null: it ended before it listened. */
async function openFeed(url: string, ended: AbortSignal): Promise<ReadableStream<Uint8Array> | null> {
  while (!ended.aborted) {
    const answer = await fetch(url, { signal: ended }).catch(() => null);
    if (answer !== null) return answer.body;
    await delay(CONNECT_RETRY_MS);
  }
  return null;
}

function urlOf({ ip, ports }: Seat): string {
  return `http://${ip}:${ports[1]}`;
}

function debugAddress({ ip, ports }: Seat): string {
  return `${ip}:${ports[2]}`;
}
