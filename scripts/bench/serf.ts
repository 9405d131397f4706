import { spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { alternateBlocks } from '../../test/support/inspector.ts';
import type { Command, Detector, Running } from './fleet.ts';
import type { Seat } from './place.ts';
import type { SeenState } from './sightings.ts';

const PROGRAM = 'serf';

/** Serf's words for what members tell of others. */
const STATES: Readonly<Record<string, SeenState>> = { Join: 'alive', Failed: 'dead', Leave: 'left' };

/** The installed version, such as `0.9.4`; null where there is none. */
export function serfVersion(): string | null {
  const { error, stdout } = spawnSync(PROGRAM, ['version'], { encoding: 'utf8' });
  return error === undefined ? (/\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? 'of unknown version') : null;
}

/**
 * Agents of Serf with its profile for LANs, which is its default. What an agent says of others is read from its log,
 * where it appears at once; the events of its RPC interface are gathered for seconds first.
 */
export const SERF: Detector = {
  name: 'serf',

  command({ name, ip, ports }: Seat, _home: string, seeds: readonly Seat[]): Command {
    const [peers, clients] = ports;
    const args = ['agent', `-node=${name}`, `-bind=${ip}:${peers}`, `-rpc-addr=${ip}:${clients}`, '-profile=lan'];
    args.push(...seeds.map((seed) => `-join=${seed.ip}:${seed.ports[0]}`));
    return { file: PROGRAM, args, env: {} };
  },

  async follow({ child, tell, answers }: Running): Promise<void> {
    if (child.stdout === null) return;
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.includes('agent: Serf agent starting')) answers();
      const [, kind = '', subject] = /serf: EventMember(Join|Failed|Leave): (\S+)/.exec(line) ?? [];
      const state = STATES[kind];
      if (subject !== undefined && state !== undefined) tell(subject, state);
    }
  },

  isSettled: () => Promise.resolve(true),

  /** By SIGSTOP and SIGCONT: a Go program has no event loop that one could block. */
  async block({ child }: Running, durationMs: number): Promise<void> {
    await alternateBlocks(durationMs, async (ms) => {
      child.kill('SIGSTOP');
      await delay(ms);
      child.kill('SIGCONT');
    });
  },
};
