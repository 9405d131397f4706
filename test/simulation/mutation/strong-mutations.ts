import type { Schedule } from '../schedule.ts';
import { FAIR_WEATHER } from '../weather.ts';
import type { Mutation } from './mutation.ts';

const CROSSROADS: Partial<Schedule> = {
  strong: true,
  nodes: 3,
  zones: 1,
  late: [],
  outAfterMs: 0,
  calmMs: 2500,
  opIntervalMs: 8,
};

/** Everybody is alone in turn, and messages take long or get lost: many a change is left half made. */
const HALF_MADE: Partial<Schedule> = {
  ...CROSSROADS,
  weather: { ...FAIR_WEATHER, loss: 0.1, latencyMinMs: 1, latencyMaxMs: 60 },
  safetyMs: 10_000,
  events: Array.from({ length: 4 }, (_, index) => ({
    atMs: 4000 + index * 2000,
    fault: { type: 'partition', groups: [[index % 3], [(index + 1) % 3, (index + 2) % 3]], forMs: 1200 },
  })),
};

/** One node is alone for longer than a request takes, and back for a moment: others see what only it has accepted. */
const GLIMPSES: Partial<Schedule> = {
  ...CROSSROADS,
  opIntervalMs: 30,
  weather: FAIR_WEATHER,
  safetyMs: 20_000,
  events: Array.from({ length: 8 }, (_, index) => ({
    atMs: 5000 + index * 2150,
    fault: { type: 'partition', groups: [[0], [1, 2]], forMs: 1750 },
  })),
};

/** All die again and again while their disks are slow: what they said is all that others know of it. */
const FORGETFUL: Partial<Schedule> = {
  ...CROSSROADS,
  weather: { ...FAIR_WEATHER, syncMinMs: 20, syncMaxMs: 200 },
  safetyMs: 9000,
  events: Array.from({ length: 2 }, (_, index) => ({
    atMs: 5000 + index * 3500,
    fault: { type: 'mass-restart', downMs: 100, spreadMs: 0, torn: 0 },
  })),
};

/** A member is taken out, and put in again. */
const RING_STEPS: Partial<Schedule> = {
  ...CROSSROADS,
  nodes: 4,
  weather: FAIR_WEATHER,
  safetyMs: 8000,
  events: [
    { atMs: 6000, fault: { type: 'ring-out', node: 0, member: 1 } },
    { atMs: 8500, fault: { type: 'ring-in', node: 0, member: 1 } },
  ],
};

/** n1 misses changes; then one of those that have made them loses its disk, and is left alone with n1. */
const WIPED_WITNESS: Partial<Schedule> = {
  ...CROSSROADS,
  weather: FAIR_WEATHER,
  safetyMs: 12_000,
  events: [
    { atMs: 5000, fault: { type: 'partition', groups: [[0], [1, 2]], forMs: 4000 } },
    { atMs: 8800, fault: { type: 'wipe', node: 2, downMs: 100 } },
    { atMs: 9050, fault: { type: 'partition', groups: [[1], [0, 2]], forMs: 5000 } },
  ],
};

/** A member is back without its disk, of which nobody has heard yet, when it is to be one of two. */
const WIPED_ELECTOR: Partial<Schedule> = {
  ...CROSSROADS,
  weather: FAIR_WEATHER,
  safetyMs: 15_000,
  events: [
    { atMs: 6000, fault: { type: 'wipe', node: 1, downMs: 6000 } },
    { atMs: 11_000, fault: { type: 'ring-out', node: 0, member: 2 } },
  ],
};

export const STRONG: readonly Mutation[] = [
  {
    name: 'members count for an electorate whatever disk they run on',
    file: 'protocol/electorate/keeper.ts',
    find: 'disk === (id === own.self ? own.disk : this.peers.get(id))',
    replace: "disk !== '' && (id === own.self || this.peers.has(id))",
    caughtBy: 'strong-answers',
    seed: 320_000,
    schedule: WIPED_ELECTOR,
  },
  {
    name: 'a read tells what nobody has made sure of',
    file: 'protocol/register/round.ts',
    find: `    if (finding.isChosen) {
      if (this.phase`,
    replace: `    if (finding.isChosen || this.phase.type === 'asking') {
      if (this.phase`,
    caughtBy: 'linearizability',
    seed: 320_017,
    schedule: GLIMPSES,
  },
  {
    name: 'an acceptor answers before its word is synced',
    file: 'protocol/register/acceptor.ts',
    find: 'this.core.journal.whenDurable(id, () => this.core.send(to, message));',
    replace: 'if (id >= 0) this.core.send(to, message);',
    caughtBy: 'linearizability',
    seed: 320_000,
    schedule: FORGETFUL,
  },
  {
    name: 'half of the acceptors pass for a majority',
    file: 'protocol/register/placement.ts',
    find: 'return Math.floor(group.length / 2) + 1;',
    replace: 'return Math.max(1, Math.floor(group.length / 2));',
    caughtBy: 'linearizability',
    seed: 320_000,
    schedule: HALF_MADE,
  },
  {
    // Acceptors have no say in a group that their copy does not count for: the keys are gone, and not wrong.
    name: 'the electorate changes in one step',
    file: 'protocol/electorate/electorate.ts',
    find: 'return next(now, { electors, previous: isSameRing ? null : now.electors });',
    replace: 'return next(now, { electors, previous: isSameRing ? null : null });',
    caughtBy: 'strong-answers',
    seed: 320_000,
    schedule: RING_STEPS,
  },
  {
    name: 'a change of the electorate ends before anybody has caught up',
    file: 'protocol/electorate/keeper.ts',
    find: 'if (this.options.isEnough(ready)) return isPatient ? null : settled(electorate);',
    replace: 'if (this.options.isEnough(ready) || electors.length > 0) return settled(electorate);',
    caughtBy: 'strong-answers',
    seed: 320_003,
    schedule: RING_STEPS,
  },
  {
    name: 'a wiped disk counts as that of the elector',
    file: 'protocol/node/strong-keys.ts',
    find: 'canVote: () => !this.lacksCatalog && this.map.diskOf(self) === actor,',
    replace: 'canVote: () => this.map.diskOf(self) !== undefined || this.lacksCatalog || actor === self,',
    caughtBy: 'linearizability',
    seed: 320_000,
    schedule: WIPED_WITNESS,
  },
  {
    name: 'a wiped disk takes itself for a founder',
    file: 'protocol/register/standings.ts',
    find: 'group.includes(this.options.self)) && this.options.canVote(shard);',
    replace: 'group.includes(this.options.self));',
    caughtBy: 'linearizability',
    seed: 320_001,
    schedule: WIPED_WITNESS,
  },
  {
    name: 'an acceptor of the founding does not keep its promise',
    file: 'protocol/electorate/founding.ts',
    find: `    if (this.isRefused(term)) return;
    const record = { promised: term, accepted`,
    replace: '    const record = { promised: term, accepted',
    caughtBy: 'founding',
    seed: 9,
    // It takes two leaders within the few messages of the only founding: no schedule has that often enough.
    story: 'founding-race',
  },
];
