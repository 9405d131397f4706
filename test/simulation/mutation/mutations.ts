import type { FaultEvent, Schedule } from '../schedule.ts';
import { FAIR_WEATHER } from '../weather.ts';
import { HUB } from './hub-mutations.ts';
import type { Mutation } from './mutation.ts';
import { STRONG } from './strong-mutations.ts';

/** Blocked event loops where answers are on their way for long: many a probe is open when its window passes unseen. */
const BLOCKS: Partial<Schedule> = {
  nodes: 4,
  late: [],
  weather: { ...FAIR_WEATHER, latencyMinMs: 50, latencyMaxMs: 120 },
  safetyMs: 60_000,
  events: Array.from({ length: 16 }, (_, index) => ({
    atMs: 23_000 + index * 2500,
    fault: { type: 'block', node: index % 2, forMs: 1500 },
  })),
};

/** Two halves hold each other dead, and tell so when they meet. */
const HALVES: Partial<Schedule> = {
  nodes: 4,
  late: [],
  weather: FAIR_WEATHER,
  safetyMs: 50_000,
  events: [
    {
      atMs: 10_000,
      fault: {
        type: 'partition',
        groups: [
          [0, 1],
          [2, 3],
        ],
        forMs: 30_000,
      },
    },
  ],
};

/** Who is cut off hears at once of a bucket, and that it was out of the ring since that was created. */
const BORN_WITHOUT: Partial<Schedule> = {
  nodes: 4,
  late: [],
  // Slow enough that clients read before what is missing has come.
  weather: { ...FAIR_WEATHER, latencyMinMs: 100, latencyMaxMs: 200, syncMinMs: 50, syncMaxMs: 200 },
  opIntervalMs: 6,
  safetyMs: 30_000,
  events: [
    { atMs: 8000, fault: { type: 'partition', groups: [[0, 1, 2], [3]], forMs: 12_000 } },
    { atMs: 17_500, fault: { type: 'create-bucket', node: 0, bucket: 0 } },
    { atMs: 18_000, fault: { type: 'ring-out', node: 0, member: 3 } },
    { atMs: 19_900, fault: { type: 'ring-in', node: 0, member: 3 } },
  ],
};

/** Long enough to be suspected, too short to be declared dead. */
const SHORT_CUT: Partial<Schedule> = {
  nodes: 3,
  late: [],
  weather: FAIR_WEATHER,
  safetyMs: 30_000,
  events: [{ atMs: 24_000, fault: { type: 'partition', groups: [[0, 1], [2]], forMs: 2200 } }],
};

/** A member that lies about others. */
const FORGERIES: Partial<Schedule> = {
  nodes: 4,
  late: [],
  weather: FAIR_WEATHER,
  safetyMs: 10_000,
  events: [
    { atMs: 5000, fault: { type: 'forge', node: 0, about: 1, claim: 'left' } },
    { atMs: 7000, fault: { type: 'forge', node: 0, about: 2, claim: 'alive' } },
  ],
};

/** All die again and again soon after their start, on slow disks: nobody is left who could tell what they had said. */
const HASTY_CRASHES: Partial<Schedule> = {
  nodes: 3,
  late: [],
  weather: { ...FAIR_WEATHER, syncMinMs: 200, syncMaxMs: 2000 },
  safetyMs: 12_000,
  events: [4000, 5200, 6400, 7600, 8800, 10_000].map(
    (atMs): FaultEvent => ({ atMs, fault: { type: 'mass-restart', downMs: 100, spreadMs: 0, torn: 0 } }),
  ),
};

/** Down for longer than any suspicion can last. */
const LONG_CRASH: Partial<Schedule> = {
  nodes: 3,
  late: [],
  weather: FAIR_WEATHER,
  safetyMs: 60_000,
  events: [{ atMs: 4000, fault: { type: 'crash', node: 2, downMs: 58_000, torn: 0 } }],
};

/**
 * n1 and n2 write while n3 is away; then n2 loses its disk, and is left alone with n3: together they are a quorum of the
 * owners, and know nothing of it.
 */
const WIPED_HALF: Partial<Schedule> = {
  nodes: 3,
  zones: 1,
  late: [],
  weather: FAIR_WEATHER,
  opIntervalMs: 10,
  calmMs: 2000,
  safetyMs: 14_000,
  events: [
    { atMs: 4000, fault: { type: 'partition', groups: [[0, 1], [2]], forMs: 5000 } },
    { atMs: 8900, fault: { type: 'wipe', node: 1, downMs: 200 } },
    { atMs: 9000, fault: { type: 'partition', groups: [[0], [1, 2]], forMs: 5000 } },
  ],
};

/** A disk that goes back again and again, while the others remember. */
const ROLLED_BACK: Partial<Schedule> = {
  nodes: 3,
  zones: 1,
  late: [],
  weather: FAIR_WEATHER,
  opIntervalMs: 10,
  calmMs: 4000,
  safetyMs: 40_000,
  events: [5000, 20_000, 32_000].map(
    (atMs, index): FaultEvent => ({ atMs, fault: { type: 'rollback', node: index, afterMs: 4000, downMs: 5000 } }),
  ),
};

/** n4 is out of the ring while clients write to n1 and n2; n3, which has not heard of that either, takes it in again. */
const OUT_AND_BACK: Partial<Schedule> = {
  nodes: 4,
  zones: 1,
  late: [],
  weather: FAIR_WEATHER,
  opIntervalMs: 10,
  calmMs: 2000,
  safetyMs: 30_000,
  events: [
    { atMs: 5000, fault: { type: 'ring-out', node: 0, member: 3 } },
    { atMs: 6000, fault: { type: 'partition', groups: [[0, 1], [2], [3]], forMs: 4000 } },
    {
      atMs: 9900,
      fault: {
        type: 'partition',
        groups: [
          [0, 1],
          [2, 3],
        ],
        forMs: 9000,
      },
    },
    { atMs: 11_000, fault: { type: 'ring-in', node: 2, member: 3 } },
  ],
};

/** Places move to n4, which is then left with former owners, or with nobody. */
const MOVED_AND_CUT: Partial<Schedule> = {
  nodes: 4,
  zones: 1,
  late: [3],
  weather: FAIR_WEATHER,
  opIntervalMs: 10,
  calmMs: 2000,
  safetyMs: 20_000,
  events: [
    { atMs: 6000, fault: { type: 'partition', groups: [[0, 1], [2]], forMs: 2500 } },
    { atMs: 8300, fault: { type: 'start', node: 3 } },
    {
      atMs: 8600,
      fault: {
        type: 'partition',
        groups: [
          [0, 1],
          [2, 3],
        ],
        forMs: 6000,
      },
    },
  ],
};

const YEAR_MS = 365 * 24 * 60 * 60_000;

/** n1 is a year ahead, and alone with one other: there is no majority. */
const AHEAD_IN_PAIR: Partial<Schedule> = {
  nodes: 3,
  late: [],
  weather: FAIR_WEATHER,
  opIntervalMs: 20,
  calmMs: 2000,
  safetyMs: 40_000,
  events: [
    { atMs: 6000, fault: { type: 'partition', groups: [[0, 1], [2]], forMs: 25_000 } },
    { atMs: 8000, fault: { type: 'clock-jump', node: 0, byMs: YEAR_MS, forMs: 18_000 } },
  ],
};

/** n3 is a year ahead, and alone. */
const AHEAD_ALONE: Partial<Schedule> = {
  ...AHEAD_IN_PAIR,
  events: [
    { atMs: 10_000, fault: { type: 'partition', groups: [[0, 1], [2]], forMs: 20_000 } },
    { atMs: 12_000, fault: { type: 'clock-jump', node: 2, byMs: YEAR_MS, forMs: 25_000 } },
  ],
};

const CLOCKS: readonly Mutation[] = [
  {
    name: 'far-future timestamp accepted',
    file: 'protocol/replication/replica.ts',
    find: 'if (!isAhead(stamp,',
    replace: 'if (stamp >= 0 || !isAhead(stamp,',
    caughtBy: 'stamps',
    seed: 1,
    schedule: AHEAD_IN_PAIR,
  },
  {
    name: 'a stamp far ahead is never marked',
    file: 'protocol/replication/restamper.ts',
    find: 'if (mark === null) return null;',
    replace: 'if (mark !== undefined) return null;',
    caughtBy: 'convergence',
    seed: 1,
    schedule: AHEAD_IN_PAIR,
  },
  {
    name: 'the sweep trusts a clock in doubt',
    file: 'protocol/replication/sweeper.ts',
    find: 'return hlc >= hlcAt(clockDoubtfulSinceMs) && expiresAtMs > hlcWallMs(hlc);',
    replace: 'return true;',
    caughtBy: 'lifetimes',
    seed: 1,
    schedule: AHEAD_ALONE,
  },
  {
    name: 'the clocks of the others are not looked at',
    file: 'protocol/node/cluster-clock.ts',
    find: 'this.base = Math.abs(agreed - this.ownBase) > this.maxDriftMs / 2 ? agreed : null;',
    replace: 'this.base = Math.abs(agreed - this.ownBase) > this.maxDriftMs * 1e9 ? agreed : null;',
    caughtBy: 'lifetimes',
    seed: 1,
    schedule: { ...AHEAD_ALONE, events: AHEAD_ALONE.events?.slice(1) ?? [] },
  },
];

const REPLICATION: readonly Mutation[] = [
  {
    name: 'nothing waits for the sync',
    file: 'lib/journal.ts',
    find: `    const list = this.waiting.get(id);
    if (list === undefined) this.waiting.set(id, callbacks);
    else list.push(...callbacks);`,
    replace: '    if (id > 0) for (const callback of callbacks) callback();',
    caughtBy: 'durability',
    seed: 1,
  },
  {
    name: 'a replica acknowledges before its sync',
    file: 'protocol/replication/replica.ts',
    find: `        this.core.journal.whenDurable(cell.persistId, () => {
          // Handed over`,
    replace: `        ((use: () => void) => use())(() => {
          // Handed over`,
    caughtBy: 'durability',
    seed: 1,
  },
  {
    name: 'a coordinator sends its delta before its own sync',
    file: 'protocol/replication/write-coordinator.ts',
    find: `    this.core.journal.afterTurn(() => {
      if (owner !== undefined) owner.durableCounter`,
    replace: `    ((use: () => void) => use())(() => {
      if (owner !== undefined) owner.durableCounter`,
    caughtBy: 'promises',
    seed: 1,
  },
  {
    name: 'a context tells of events that are not synced',
    file: 'protocol/replication/shard-table.ts',
    find: 'return context.highest(this.actor) <= durableCounter ? context : context.cappedAt(this.actor, durableCounter);',
    replace: 'return durableCounter >= 0 ? context : context;',
    caughtBy: 'promises',
    seed: 1,
  },
  {
    name: 'a rolled back disk counts on where it stands',
    file: 'protocol/replication/shard-table.ts',
    find: 'base = this.first.isConfirmed() ? last : last + this.first.gap;',
    replace: 'base = last;',
    caughtBy: 'dots',
    seed: 19,
    schedule: ROLLED_BACK,
  },
  {
    name: 'a delete has no dot',
    file: 'protocol/replication/write-coordinator.ts',
    find: `    const events = CausalContext.fromDots(outcome.dots);
    const context = CausalContext.fromDots([...outcome.dots, ...outcome.replaced]);`,
    replace: `    const own = outcome.added.length === 0 ? [] : outcome.dots;
    const events = CausalContext.fromDots(own);
    const context = CausalContext.fromDots([...own, ...outcome.replaced]);`,
    caughtBy: 'convergence',
    seed: 1,
  },
  {
    name: 'a delete does not remember what it replaced',
    file: 'protocol/replication/write-coordinator.ts',
    find: 'const context = CausalContext.fromDots([...outcome.dots, ...outcome.replaced]);',
    replace: `const gone = outcome.added.length === 0 ? [] : outcome.replaced;
    const context = CausalContext.fromDots([...outcome.dots, ...gone]);`,
    caughtBy: 'durability',
    seed: 1,
  },
  {
    name: 'a dropped shard keeps its context',
    file: 'protocol/replication/replication.ts',
    find: 'this.core.shards.drop(shard);',
    replace: '',
    caughtBy: 'liveness',
    seed: 2,
  },
  {
    name: 'a hint goes before it is acknowledged',
    file: 'protocol/replication/hint-handoff.ts',
    find: `    const id = this.parts.nextId();
    const { target } = round;`,
    replace: `    const id = this.parts.nextId();
    const { target } = round;
    this.parts.hints.removeTarget(cell, target);`,
    caughtBy: 'durability',
    seed: 2,
  },
  {
    name: 'a hint counts as taken by an owner that covers anything',
    file: 'protocol/replication/hint-handoff.ts',
    find: 'if (context.covers(hint.events)) {',
    replace: 'if (!context.isEmpty) {',
    caughtBy: 'durability',
    seed: 1,
  },
  {
    name: 'an incomplete replica votes in reads',
    file: 'protocol/replication/read-coordinator.ts',
    find: "else if (standing === 'partial') partial++;",
    replace: "else if (standing === 'partial') complete++;",
    caughtBy: 'reads',
    seed: 1,
    schedule: OUT_AND_BACK,
  },
  {
    name: 'the old and the new owner of a place count as two',
    file: 'protocol/replication/read-coordinator.ts',
    find: 'return complete + Math.min(partial, former);',
    replace: 'return complete + partial + former;',
    caughtBy: 'reads',
    seed: 1,
    schedule: MOVED_AND_CUT,
  },
  {
    name: 'a member that comes back into the ring goes on as if it had not been out',
    file: 'protocol/replication/shard-table.ts',
    find: `    if (!shard.complete) return;
    shard.complete = false;`,
    replace: '    if (!shard.complete) return;',
    caughtBy: 'reads',
    seed: 1,
    schedule: OUT_AND_BACK,
  },
  {
    name: 'an incomplete replica votes in writes',
    file: 'protocol/replication/replica.ts',
    find: "shard.complete ? 'stored' : 'partial';\n          this.acknowledge",
    replace: "shard.owned ? 'stored' : 'partial';\n          this.acknowledge",
    caughtBy: 'votes',
    seed: 1,
    schedule: WIPED_HALF,
  },
  {
    name: 'a read does not wait for its quorum',
    file: 'protocol/replication/read-coordinator.ts',
    find: 'if (places(read) < read.needed) return false;',
    replace: 'if (places(read) < 0) return false;',
    caughtBy: 'reads',
    seed: 2,
  },
  {
    name: 'a read does not care what its session has seen',
    file: 'protocol/replication/read-coordinator.ts',
    find: 'this.collect(opened, level, use, session);',
    replace: 'this.collect(opened, level, use, session === undefined ? session : null);',
    caughtBy: 'reads',
    seed: 1,
  },
  {
    name: 'a read answers although nobody has what its session has seen',
    file: 'protocol/replication/read-coordinator.ts',
    find: 'if (!merged.coversSession) {',
    replace: 'if (!merged.coversSession && merged.entries.length < 0) {',
    caughtBy: 'reads',
    seed: 1,
  },
  {
    name: 'a watch does not notice that nobody has told it everything',
    file: 'protocol/node/watch-relay.ts',
    find: 'if (owners.some((owner) => isSteady(coverage, now, owner))) return false;',
    replace: 'if (owners.some((owner) => coverage.has(owner) || !isSteady(coverage, now, owner))) return false;',
    caughtBy: 'watches',
    seed: 1,
  },
  {
    name: 'a snapshot forgets what was told and cannot be read now',
    file: 'protocol/node/change-memory.ts',
    find: 'if (context === undefined || known.entries.length === 0) continue;',
    replace: 'if (context === undefined || known.entries.length >= 0) continue;',
    caughtBy: 'watches',
    seed: 7260,
  },
  {
    name: 'a watch takes the state of a slower owner for news',
    file: 'protocol/node/key-state.ts',
    find: '(dot) => known.context.has(dot) || known.past?.has(dot) === true,',
    replace:
      '(dot) => known.entries.some((entry) => entry.dot.counter === dot.counter && entry.dot.actor === dot.actor),',
    caughtBy: 'watches',
    seed: 1,
  },
  {
    name: 'the context of a chunk is taken after its objects',
    file: 'protocol/replication/sync-sender.ts',
    find: 'this.sendChunk(session, context, sent);',
    replace: 'this.sendChunk(session, session.shard.context.clone(), context.isEmpty ? [] : sent);',
    caughtBy: 'convergence',
    seed: 7,
  },
  {
    name: 'the context is joined before the last object of a transfer',
    file: 'protocol/replication/sync-receiver.ts',
    find: 'this.readKeys(shard, comparison, (tree) => answer(differing(message.sums, tree.top())));',
    replace: `this.coverFloor(shard, comparison);
      answer([]);`,
    caughtBy: 'convergence',
    seed: 2,
  },
  {
    name: 'index rows go without a trace',
    file: 'protocol/replication/index-stripper.ts',
    find: 'shard.floor.addRange({ actor, from, to: last });',
    replace: '',
    caughtBy: 'index',
    seed: 1,
  },
  {
    name: 'an old copy brings a deleted value back',
    file: 'protocol/causal/join.ts',
    find: 'if (!localSeen(entry.dot)) {',
    replace: 'if (!localSeen(entry.dot) || remote.length > 0) {',
    caughtBy: 'convergence',
    seed: 1,
  },
  {
    name: 'keys that differ in their last character share a cell',
    file: 'protocol/replication/cell-table.ts',
    find: `use: (cell: Cell) => void): void {
    const id = nameId(name);`,
    replace: `use: (cell: Cell) => void): void {
    const id = name.key.slice(0, -1);`,
    caughtBy: 'values',
    seed: 5,
  },
  {
    name: 'of an event of several dots, one is told',
    file: 'protocol/replication/write-coordinator.ts',
    find: 'const events = CausalContext.fromDots(outcome.dots);',
    replace: 'const events = CausalContext.fromDots([dot]);',
    caughtBy: 'collections',
    seed: 1,
  },
  {
    name: 'an addition takes the place of the whole set',
    file: 'protocol/causal/mutate-collection.ts',
    find: 'const gone = [...collection.stale, ...keyed(collection.own, memberOf, members)];',
    replace: 'const gone = [...collection.stale, ...collection.own];',
    caughtBy: 'collections',
    seed: 1,
  },
  {
    name: 'a change of expiry adds a member anew',
    file: 'protocol/causal/mutate-collection.ts',
    find: '  return applied(before, gone, [entryOf(before, at, expiresAtMs, { kind })], at);',
    replace: `  const { payload } = collection.own.find((entry) => !isHeader(entry)) as Entry;
  return applied(before, gone, [entryOf(before, at, expiresAtMs, payload)], at);`,
    caughtBy: 'collections',
    seed: 1,
  },
  {
    name: 'finished writes are not forgotten',
    file: 'protocol/replication/write-coordinator.ts',
    find: 'this.writes.delete(write.id);',
    replace: '',
    caughtBy: 'bounds',
    seed: 1,
  },
  {
    name: 'answered requests still count as in flight',
    file: 'protocol/replication/admissions.ts',
    find: `      admitted.ended = true;
      this.inFlight--;`,
    replace: '      admitted.ended = true;',
    caughtBy: 'bounds',
    seed: 1,
  },
];

const PLACEMENTS: readonly Mutation[] = [
  {
    name: 'a bucket that is not known is stored with those of the common placement',
    file: 'protocol/ring/placement-map.ts',
    find: '    return shardOf(bucket, key, this.shards);',
    replace: `    const isKnown = this.rings.has(classOf(bucket));
    return shardOf(isKnown ? bucket : bucket.replace(/~.*/, ''), key, this.shards);`,
    caughtBy: 'durability',
    seed: 1,
    schedule: BORN_WITHOUT,
  },
];

const MEMBERSHIP: readonly Mutation[] = [
  {
    name: 'an accusation is not refuted',
    file: 'protocol/membership/view.ts',
    find: `      if (update.state === 'suspect' || update.state === 'dead') awareness.adjust(1);
      claim.bump(update.incarnation);`,
    replace: "      if (update.state === 'suspect' || update.state === 'dead') awareness.adjust(1);",
    caughtBy: 'views',
    seed: 1,
    schedule: SHORT_CUT,
  },
  {
    name: 'the incarnation is forgotten on restart',
    file: 'protocol/membership/self-claim.ts',
    find: 'this.ownIncarnation = incarnation + 1;',
    replace: 'this.ownIncarnation = 1;',
    caughtBy: 'incarnations',
    seed: 3,
  },
  {
    name: 'an incarnation is spoken before it is synced',
    file: 'protocol/membership/self-claim.ts',
    find: 'if (this.ownIncarnation > this.durable || this.current',
    replace: 'if (this.current',
    caughtBy: 'incarnations',
    seed: 1,
    schedule: HASTY_CRASHES,
  },
  {
    name: 'signatures are not checked: a "left" told by another is taken',
    file: 'protocol/membership/view.ts',
    find: 'let genuine = claims.verify(update);',
    replace: 'let genuine = claims !== undefined;',
    caughtBy: 'claims',
    seed: 1,
    schedule: FORGERIES,
  },
  {
    name: 'a stale alive is taken',
    file: 'protocol/membership/evidence.ts',
    find: `  if (incarnation > member.incarnation) return 'alive';
  if (incarnation < member.incarnation) return 'stale';
  if (member.state === 'left')`,
    replace: `  if (incarnation !== member.incarnation) return 'alive';
  if (member.state === 'left')`,
    caughtBy: 'incarnations',
    seed: 1,
  },
  {
    name: 'an alive of the same incarnation takes back a death',
    file: 'protocol/membership/evidence.ts',
    find: "return member.state === 'alive' ? 'ignored' : 'stale';",
    replace: "return member.state === 'alive' ? 'ignored' : 'alive';",
    caughtBy: 'incarnations',
    seed: 4,
  },
  {
    name: 'a death that others tell is taken at its word',
    file: 'protocol/membership/view.ts',
    find: 'if (isRipe) this.becomeDead',
    replace: 'if (verdict !== undefined) this.becomeDead',
    caughtBy: 'removals',
    seed: 1,
    schedule: HALVES,
  },
  {
    name: 'a pause of our own does not void the windows of probes',
    file: 'protocol/membership/prober.ts',
    find: 'for (const probe of this.probes.values()) this.restart(probe, nowMs);',
    replace: 'if (nowMs < 0) for (const probe of this.probes.values()) this.restart(probe, nowMs);',
    caughtBy: 'suspicions',
    seed: 1,
    schedule: BLOCKS,
  },
  {
    name: 'a suspicion never runs out',
    file: 'protocol/membership/suspicion.ts',
    find: 'return Math.max(endsMs, suspicion.heldToMs);',
    replace: 'return Math.max(endsMs, suspicion.heldToMs) + 1e9;',
    caughtBy: 'crashes',
    seed: 1,
    schedule: LONG_CRASH,
  },
  {
    name: 'the dead are not looked for',
    file: 'protocol/membership/membership.ts',
    find: 'this.retryDead(now);',
    replace: 'if (now.monoMs < 0) this.retryDead(now);',
    caughtBy: 'views',
    seed: 1,
    schedule: { ...HALVES, discovery: false, redial: false },
  },
  {
    name: 'rumours are told for ever',
    file: 'protocol/membership/outbox.ts',
    find: 'this.timing.disseminationMultiplier * Math.ceil(',
    replace: '1e9 * this.timing.disseminationMultiplier * Math.ceil(',
    caughtBy: 'traffic',
    seed: 1,
  },
];

/** All processes die again and again, and come back one by one: what they promised is on their disks only. */
const MASS_RESTARTS: Partial<Schedule> = {
  nodes: 3,
  late: [],
  weather: FAIR_WEATHER,
  safetyMs: 110_000,
  events: Array.from({ length: 10 }, (_, index) => ({
    atMs: 8000 + index * 10_000,
    fault: { type: 'mass-restart', downMs: 500, spreadMs: 6000, torn: 0 },
  })),
};

/** Everybody is cut off in turn: whoever leads is left with its lease alone. */
const CUT_OFF: Partial<Schedule> = {
  nodes: 3,
  late: [],
  weather: FAIR_WEATHER,
  safetyMs: 60_000,
  events: Array.from({ length: 5 }, (_, index) => ({
    atMs: 8000 + index * 10_000,
    fault: { type: 'partition', groups: [[index % 3], [(index + 1) % 3, (index + 2) % 3]], forMs: 5000 },
  })),
};

/** One end of the chain cannot know that the other one leads. */
const CHAINS: Partial<Schedule> = {
  nodes: 3,
  late: [],
  weather: FAIR_WEATHER,
  safetyMs: 50_000,
  events: [
    [0, 1, 2],
    [1, 0, 2],
    [0, 2, 1],
  ].map((row, index) => ({ atMs: 8000 + index * 13_000, fault: { type: 'chain', row, forMs: 12_000 } })),
};

const ELECTION: readonly Mutation[] = [
  {
    name: 'a vote is not written before it is spoken of',
    file: 'protocol/election/voter.ts',
    find: 'this.persist(vote);',
    replace: 'this.handlePersisted(vote, now);',
    caughtBy: 'leaders',
    seed: 1,
    schedule: MASS_RESTARTS,
  },
  {
    name: 'a leader relies on grants for longer than its voters keep them',
    file: 'protocol/election/grants.ts',
    find: 'Math.max(askedMs + this.reliedMs,',
    replace: 'Math.max(askedMs + this.reliedMs + 1500,',
    caughtBy: 'leaders',
    seed: 1,
    schedule: CUT_OFF,
  },
  {
    name: 'a voter grants a second lease while one lasts',
    file: 'protocol/election/voter.ts',
    find: 'if (holder !== null && holder.news.leader !== candidate) return false;',
    replace: 'if (holder !== null && holder.news.leader === "") return false;',
    caughtBy: 'leaders',
    seed: 1,
    schedule: CHAINS,
  },
];

export const MUTATIONS: readonly Mutation[] = [
  ...REPLICATION,
  ...CLOCKS,
  ...PLACEMENTS,
  ...MEMBERSHIP,
  ...ELECTION,
  ...STRONG,
  ...HUB,
];
