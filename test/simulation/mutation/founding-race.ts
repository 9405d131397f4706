import { Prng } from '../../../src/lib/prng.ts';
import { type Electorate, electorateBytes } from '../../../src/protocol/electorate/electorate.ts';
import { Founding, NO_FOUNDING } from '../../../src/protocol/electorate/founding.ts';
import type { FoundingMessage } from '../../../src/protocol/electorate/message.ts';
import { VirtualClock } from '../virtual-clock.ts';

const NODES = ['n1', 'n2', 'n3'];
const RACE_MS = 3000;
const LATENCY_MAX_MS = 400;
const LOSS = 0.1;

/** Leaders of terms that overlap found the electorate over a slow network. One is founded, whoever tells of it. */
export function foundingRace(seed: number): string[] {
  const prng = new Prng(seed);
  const clock = new VirtualClock();
  const founded = new Set<string>();
  const members = new Map<string, Founding>();
  const send = (from: string, to: string, message: FoundingMessage): void => {
    if (prng.chance(LOSS)) return;
    clock.after(prng.float() * LATENCY_MAX_MS, () => members.get(to)?.handle(from, message));
  };
  for (const self of NODES) {
    const options = {
      self,
      shards: 16,
      replicas: 3,
      send: (to: string, message: FoundingMessage) => send(self, to, message),
      persist: (_: unknown, done: () => void) => clock.after(prng.float() * 20, done),
      onFounded: (electorate: Electorate) => void founded.add(new TextDecoder().decode(electorateBytes(electorate))),
    };
    members.set(self, new Founding(options, NO_FOUNDING));
  }
  const electors = NODES.map((id) => ({ id, weight: 1, zone: '', disk: id }));
  let term = 0;
  const lead = (): void => {
    if (clock.nowMs > RACE_MS) return;
    const leader = NODES[term % NODES.length] as string;
    members.get(leader)?.lead(++term, electors, clock.nowMs);
    clock.after(prng.float() * 2 * LATENCY_MAX_MS, lead);
  };
  lead();
  clock.runUntil(2 * RACE_MS);
  return founded.size <= 1 ? [] : [`founding: ${founded.size} electorates were founded: ${[...founded].join(' and ')}`];
}
