import { Prng } from '../../src/lib/prng.ts';
import type { Fault } from './fault.ts';
import {
  type DrawnFaultType,
  FAULT_KINDS,
  type FaultContext,
  RING_FAULT_KINDS,
  type RingFaultType,
  salvage,
} from './fault-kinds.ts';
import { drawHubFaults, type HubFaultEvent } from './hub-faults.ts';
import { PLACED_BUCKETS } from './placed-buckets.ts';
import { FAIR_WEATHER, type Weather } from './weather.ts';

export { type Fault, faultText } from './fault.ts';

/** Latest end of the calm time in which a cluster forms, before clients work. */
const CALM_MAX_MS = 3000;

/** Until a member that was taken out is put in again. */
const RING_AWAY_MAX_MS = 30_000;
const RING_SEED = 0x72696e67;
const BUCKET_SEED = 0x6275636b;
const SALVAGE_SEED = 0x73616c76;
const STRONG_SEED = 0x7374726f;
const STEWARD_SEED = 0x73747764;
const HUB_SEED = 0x68756266;
/** Share of the runs with buckets that have a placement of their own. */
const BUCKET_CHANCE = 0.5;
/** Share of these that are created at several nodes at about the same time. */
const TWICE_CHANCE = 0.4;
/** Share of the runs with stores that have to be repaired. */
const SALVAGE_CHANCE = 0.15;
/** Share of the runs in which the leader takes members out that are gone. */
const STEWARD_CHANCE = 0.4;
/** Share of the runs with clients of strong buckets: in the others leaders are elected by the ring alone. */
const STRONG_CHANCE = 0.75;
/** Share of the runs in which operators change the ring. */
const RING_CHANCE = 0.4;

export interface FaultEvent {
  /** Since the start of the run. */
  readonly atMs: number;
  readonly fault: Fault;
}

/** Everything that is done to one run. Plain data: it can be printed, replayed and reduced. */
export interface Schedule {
  /** Also decides what is not written here: every latency, sync and client request. */
  readonly seed: number;
  readonly nodes: number;
  readonly zones: number;
  /** Nodes that start only by an event, or when faults stop. */
  readonly late: readonly number[];
  /** Nodes hear of each other's present address by multicast; otherwise by seeds and by membership alone. */
  readonly discovery: boolean;
  /** The transport dials lost peers again by itself; otherwise only membership does. */
  readonly redial: boolean;
  /** How long a member is gone before the leader takes it out of the ring; 0: it never does. */
  readonly outAfterMs: number;
  /** Clients use strong buckets as well. */
  readonly strong: boolean;
  /** What is done to the hub; null: there is none. */
  readonly hub: readonly HubFaultEvent[] | null;
  /** Holds through the safety phase. */
  readonly weather: Weather;
  /** Mean time between client requests. */
  readonly opIntervalMs: number;
  /** When clients begin. */
  readonly calmMs: number;
  /** Length of the phase with clients and faults. */
  readonly safetyMs: number;
  /** In order of time. */
  readonly events: readonly FaultEvent[];
}

export interface DrawOptions {
  readonly safetyMs: number;
  /** Drawn from 3 to 6 when it is not given. */
  readonly nodes?: number;
  /** Buckets with placements of their own are created; drawn when it is not given. The rest of the run is as without them. */
  readonly buckets?: boolean;
  /** Operators change the ring as well; drawn when it is not given. The rest of the run is as without them. */
  readonly ring?: boolean;
  /** Stores have to be repaired as well; drawn when it is not given. The rest of the run is as without them. */
  readonly salvage?: boolean;
  /** Clients use strong buckets; drawn when it is not given. */
  readonly strong?: boolean;
  /** There is a hub. The faults of the rest of the run are as without it. */
  readonly hub?: boolean;
}

/**
 * Draws a run in the style of swarm testing (Groce et al., ISSTA 2012): each seed has only some kinds of faults, and
 * its own share of each, because a run with everything at once hides what one kind alone would show.
 */
export function drawSchedule(seed: number, options: DrawOptions): Schedule {
  const prng = new Prng(seed);
  const drawnNodes = 3 + prng.below(4);
  const nodes = options.nodes ?? drawnNodes;
  const { safetyMs } = options;
  const late = drawLate(prng, nodes);
  const discovery = prng.chance(0.7);
  const movable = discovery ? Array.from({ length: nodes }, (_, index) => index) : [prng.below(nodes)];
  const calmMs = prng.below(CALM_MAX_MS);
  const events: FaultEvent[] = [];
  for (const node of late) {
    const atMs = calmMs + prng.below(Math.ceil(safetyMs * 1.2));
    if (atMs < calmMs + safetyMs) events.push({ atMs, fault: { type: 'start', node } });
  }
  events.push(...drawFaults({ prng, nodes, movable }, calmMs, safetyMs));
  const zones = prng.chance(0.3) ? 2 : 1;
  const weather = drawWeather(prng);
  const ringPrng = new Prng(seed ^ RING_SEED);
  const hasRingChanges = ringPrng.chance(RING_CHANCE);
  if (options.ring ?? hasRingChanges) {
    events.push(...drawRingChanges({ prng: ringPrng, nodes, movable }, calmMs, safetyMs));
  }
  const bucketPrng = new Prng(seed ^ BUCKET_SEED);
  const hasBuckets = bucketPrng.chance(BUCKET_CHANCE);
  if (options.buckets ?? hasBuckets) events.push(...drawBuckets(bucketPrng, nodes, calmMs, safetyMs));
  const salvagePrng = new Prng(seed ^ SALVAGE_SEED);
  const hasSalvage = salvagePrng.chance(SALVAGE_CHANCE);
  if (options.salvage ?? hasSalvage)
    events.push(...drawSalvages({ prng: salvagePrng, nodes, movable }, calmMs, safetyMs));
  events.sort((a, b) => a.atMs - b.atMs);
  return {
    seed,
    nodes,
    zones,
    late,
    discovery,
    weather,
    opIntervalMs: 20 + prng.below(60),
    calmMs,
    safetyMs,
    outAfterMs: drawOutAfter(new Prng(seed ^ STEWARD_SEED)),
    // What multicast finds is dialled in any case.
    redial: prng.chance(0.5) || discovery,
    events,
    hub: options.hub === true ? drawHubFaults(new Prng(seed ^ HUB_SEED), nodes, calmMs, safetyMs) : null,
    strong: options.strong ?? new Prng(seed ^ STRONG_SEED).chance(STRONG_CHANCE),
  };
}

function drawOutAfter(prng: Prng): number {
  return prng.chance(STEWARD_CHANCE) ? 2000 + prng.below(15_000) : 0;
}

interface Weighted {
  readonly type: DrawnFaultType;
  readonly weight: number;
}

function drawLate(prng: Prng, nodes: number): number[] {
  if (nodes < 3 || !prng.chance(0.4)) return [];
  const count = 1 + prng.below(2);
  return Array.from({ length: Math.min(count, nodes - 2) }, (_, index) => nodes - 1 - index);
}

function drawFaults(context: FaultContext, calmMs: number, safetyMs: number): FaultEvent[] {
  const { prng } = context;
  const share = [0.1, 0.25, 0.5][prng.below(3)] as number;
  const weighted: Weighted[] = [];
  let total = 0;
  for (const type of Object.keys(FAULT_KINDS) as DrawnFaultType[]) {
    const weight = 0.2 + prng.float();
    if (!prng.chance(share)) continue;
    weighted.push({ type, weight });
    total += weight;
  }
  const events: FaultEvent[] = [];
  const intervalMs = 500 + prng.below(5000);
  if (weighted.length === 0) return events;
  for (let atMs = calmMs; ; ) {
    atMs += Math.ceil(prng.float() * 2 * intervalMs);
    if (atMs >= calmMs + safetyMs) return events;
    events.push({ atMs, fault: FAULT_KINDS[pickWeighted(prng, weighted, total)](context) });
  }
}

/** Mostly there and back: a member that is out for good takes part in nothing any more. */
function drawRingChanges(context: FaultContext, calmMs: number, safetyMs: number): FaultEvent[] {
  const { prng } = context;
  const kinds: readonly RingFaultType[] = ['ring-out', 'ring-out', 'ring-in', 'ring-in', 'ring-weight'];
  const intervalMs = 2000 + prng.below(15_000);
  const events: FaultEvent[] = [];
  for (let atMs = calmMs; ; ) {
    atMs += Math.ceil(prng.float() * 2 * intervalMs);
    if (atMs >= calmMs + safetyMs) return events;
    const kind = prng.pick(kinds) ?? 'ring-in';
    const fault = RING_FAULT_KINDS[kind](context);
    events.push({ atMs, fault });
    if (fault.type !== 'ring-out' || !prng.chance(0.7)) continue;
    const backMs = atMs + Math.ceil(prng.float() ** 2 * RING_AWAY_MAX_MS);
    if (backMs < calmMs + safetyMs) events.push({ atMs: backMs, fault: { ...fault, type: 'ring-in' } });
  }
}

function drawSalvages(context: FaultContext, calmMs: number, safetyMs: number): FaultEvent[] {
  const { prng } = context;
  const intervalMs = 4000 + prng.below(12_000);
  const events: FaultEvent[] = [];
  for (let atMs = calmMs; ; ) {
    atMs += Math.ceil(prng.float() * 2 * intervalMs);
    if (atMs >= calmMs + safetyMs) return events;
    events.push({ atMs, fault: salvage(context) });
  }
}

function drawBuckets(prng: Prng, nodes: number, calmMs: number, safetyMs: number): FaultEvent[] {
  return PLACED_BUCKETS.flatMap((_, bucket) => {
    const atMs = Math.floor(calmMs + prng.float() ** 2 * safetyMs * 0.8);
    const times = prng.chance(TWICE_CHANCE) ? [atMs, atMs + prng.below(40), atMs + prng.below(3000)] : [atMs];
    return times.map(
      (time): FaultEvent => ({ atMs: time, fault: { type: 'create-bucket', node: prng.below(nodes), bucket } }),
    );
  });
}

function pickWeighted(prng: Prng, weighted: readonly Weighted[], total: number): DrawnFaultType {
  let left = prng.float() * total;
  for (const { type, weight } of weighted) {
    left -= weight;
    if (left < 0) return type;
  }
  return (weighted.at(-1) as Weighted).type;
}

function drawWeather(prng: Prng): Weather {
  return {
    ...FAIR_WEATHER,
    loss: prng.chance(0.3) ? prng.float() * 0.2 : 0,
    duplication: prng.chance(0.15) ? prng.float() * 0.1 : 0,
    reorder: prng.chance(0.15) ? prng.float() * 0.2 : 0,
    unknown: prng.chance(0.2) ? prng.float() * 0.5 : 0,
    ...(prng.chance(0.15) ? { latencyMaxMs: 20 + prng.below(200) } : {}),
    ...(prng.chance(0.15) ? { syncMinMs: 20, syncMaxMs: 300 } : {}),
  };
}
