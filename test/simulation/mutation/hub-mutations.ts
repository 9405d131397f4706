import type { Schedule } from '../schedule.ts';
import { FAIR_WEATHER } from '../weather.ts';
import type { Mutation } from './mutation.ts';

const SITE: Partial<Schedule> = {
  nodes: 3,
  zones: 1,
  late: [],
  outAfterMs: 0,
  calmMs: 2500,
  opIntervalMs: 15,
  safetyMs: 12_000,
  weather: FAIR_WEATHER,
  events: [],
};

/** The hub's store is an older copy of itself again and again, and lines end in the middle of everything. */
const FORGETFUL_HUB: Partial<Schedule> = {
  ...SITE,
  hub: Array.from({ length: 4 }, (_, index) => [
    { atMs: 3000 + index * 2500, fault: { type: 'hub-restore', afterMs: 1500, downMs: 0 } as const },
    {
      atMs: 3500 + index * 2500,
      fault: { type: 'hub-line', cut: 0.2, repeated: 0.3, latencyMaxMs: 200, forMs: 1500 } as const,
    },
  ]).flat(),
};

/** Two islands, each of which talks to the hub, which forgets what it has heard of one of them. */
const TWO_ISLANDS: Partial<Schedule> = {
  ...SITE,
  hub: [{ atMs: 4200, fault: { type: 'hub-restore', afterMs: 6000, downMs: 0 } }],
  events: Array.from({ length: 3 }, (_, index) => ({
    atMs: 4000 + index * 3000,
    fault: { type: 'partition', groups: [[index % 3], [(index + 1) % 3, (index + 2) % 3]], forMs: 2800 },
  })),
};

/** One after the other each node is alone with the hub for a while, and loses its disk before it meets the others again. */
const LOST_ISLANDS: Partial<Schedule> = {
  ...SITE,
  hub: [],
  events: Array.from({ length: 3 }, (_, node) => [
    {
      atMs: 3000 + node * 6000,
      fault: { type: 'partition', groups: [[node], [(node + 1) % 3, (node + 2) % 3]], forMs: 3000 } as const,
    },
    { atMs: 5900 + node * 6000, fault: { type: 'wipe', node, downMs: 200 } as const },
  ]).flat(),
  safetyMs: 20_000,
};

export const HUB: readonly Mutation[] = [
  {
    name: 'the hub counts all that its site covers, sent or not',
    file: 'protocol/uplink/shard-copy.ts',
    find: 'if (floor === null && !item.more) this.cover(item.events);',
    replace: 'if (floor === null && !item.more) this.cover(context);',
    caughtBy: 'reconciliation',
    seed: 400_000,
    schedule: FORGETFUL_HUB,
  },
  {
    name: 'what a copy of the hub has replaced is not remembered',
    file: 'protocol/replication/holdings.ts',
    find: 'past: context.covers(all) ? null : all };',
    replace: 'past: null };',
    caughtBy: 'convergence',
    seed: 400_060,
    schedule: TWO_ISLANDS,
  },
  {
    name: 'the hub shows what it has, whatever the client has seen',
    file: 'hub/session-access.ts',
    find: 'return session !== null && !coversSession([copy], session);',
    replace: 'return false;',
    caughtBy: 'hub-reads',
    seed: 400_100,
    schedule: FORGETFUL_HUB,
  },
  {
    name: 'what a copy of the hub knew ahead of its time is never over',
    file: 'protocol/uplink/shard-copy.ts',
    find: 'return object.past === null ? object : stripPast(object, this.countedOf(bucket));',
    replace: 'return object;',
    caughtBy: 'hub-reads',
    seed: 400_256,
    schedule: FORGETFUL_HUB,
  },
  {
    name: 'what only the hub has is left there',
    file: 'protocol/uplink/reconciler.ts',
    find: 'return atMs !== null && atMs <= this.nowMs;',
    replace: 'return false;',
    caughtBy: 'reconciliation',
    seed: 400_300,
    schedule: LOST_ISLANDS,
  },
  {
    name: 'what the hub knows to be gone is counted and kept',
    file: 'protocol/replication/holdings.ts',
    find: 'for (const { bucket, key, entries, past, events } of late)',
    replace: 'for (const { bucket, key, entries, past, events } of late.slice(late.length))',
    caughtBy: 'reconciliation',
    seed: 400_300,
    schedule: LOST_ISLANDS,
  },
];
