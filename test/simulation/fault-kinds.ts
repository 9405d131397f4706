import type { Prng } from '../../src/lib/prng.ts';
import type { Fault, FaultType } from './fault.ts';
import type { ForgedClaim } from './forgery.ts';
import { WALL_START_MS } from './node-clock.ts';

/** What a fault is drawn for. */
export interface FaultContext {
  readonly prng: Prng;
  readonly nodes: number;
  /** Nodes that may change their address: all where discovery finds them again. */
  readonly movable: readonly number[];
}

/** Commands of operators, which a run has only where it is asked for them. */
export type RingFaultType = 'ring-out' | 'ring-in' | 'ring-weight';
/** All others but `start`, which belongs to nodes that join late. */
export type DrawnFaultType = Exclude<FaultType, 'start' | 'create-bucket' | 'salvage' | RingFaultType>;

const FORGED_CLAIMS: readonly ForgedClaim[] = ['left', 'dead', 'alive'];
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;
/** To the start of 1970, where a clock without a battery begins. */
const TO_1970_MS = -WALL_START_MS;
const JUMPS_MS = [
  TO_1970_MS,
  -DAY_MS,
  -HOUR_MS,
  -3 * MINUTE_MS,
  -20_000,
  20_000,
  50_000,
  5 * MINUTE_MS,
  DAY_MS,
  YEAR_MS,
];

/** How a fault of each kind is drawn. */
export const FAULT_KINDS: Readonly<Record<DrawnFaultType, (context: FaultContext) => Fault>> = {
  crash: (context) => ({ type: 'crash', node: node(context), downMs: span(context, 15_000), torn: part(context) }),
  restart: (context) => ({ type: 'restart', node: node(context), downMs: span(context, 8000) }),
  'mass-restart': (context) => ({
    type: 'mass-restart',
    downMs: span(context, 2000),
    spreadMs: span(context, 6000),
    torn: part(context),
  }),
  wipe: (context) => ({ type: 'wipe', node: node(context), downMs: span(context, 10_000) }),
  rollback: (context) => ({
    type: 'rollback',
    node: node(context),
    afterMs: span(context, 15_000),
    // Restoring a disk takes longer than a message stays under way.
    downMs: 5000 + span(context, 5000),
  }),
  corrupt: (context) => ({
    type: 'corrupt',
    node: node(context),
    pick: part(context),
    found: context.prng.chance(0.5) ? 'at-once' : 'on-read',
  }),
  'disk-full': (context) => ({
    type: 'disk-full',
    node: node(context),
    kind: context.prng.chance(0.5) ? 'headroom' : 'refused',
    forMs: span(context, 12_000),
  }),
  'slow-disk': (context) => ({
    type: 'slow-disk',
    node: node(context),
    syncMaxMs: span(context, 4000),
    forMs: span(context, 20_000),
  }),
  pause: (context) => ({ type: 'pause', node: node(context), forMs: span(context, 12_000) }),
  block: (context) => ({ type: 'block', node: node(context), forMs: span(context, 4000) }),
  'clock-jump': (context) => ({
    type: 'clock-jump',
    node: node(context),
    byMs: context.prng.pick(JUMPS_MS) ?? 0,
    forMs: span(context, 20_000),
  }),
  'clock-drift': (context) => ({
    type: 'clock-drift',
    node: node(context),
    rate: Math.round(900 + context.prng.below(201)) / 1000,
    forMs: span(context, 30_000),
  }),
  partition: (context) => ({ type: 'partition', groups: groups(context), forMs: span(context, 20_000) }),
  cut: (context) => ({ type: 'cut', pairs: pairs(context), forMs: span(context, 20_000) }),
  chain: (context) => ({ type: 'chain', row: row(context), forMs: span(context, 20_000) }),
  'one-way': (context) => {
    const [from, ...others] = row(context) as [number, ...number[]];
    return { type: 'one-way', from, to: some(context, others), forMs: span(context, 20_000) };
  },
  flap: (context) => {
    const [first, ...others] = row(context) as [number, ...number[]];
    const peers = some(context, others);
    return { type: 'flap', node: first, peers, periodMs: span(context, 4000), forMs: span(context, 20_000) };
  },
  storm: (context) => ({
    type: 'storm',
    node: context.prng.chance(0.5) ? null : node(context),
    loss: context.prng.chance(0.7) ? Math.round(part(context) * 40) / 100 : 0,
    latencyMaxMs: span(context, 800),
    forMs: span(context, 15_000),
  }),
  'new-address': (context) => ({
    type: 'new-address',
    node: context.prng.pick(context.movable) ?? 0,
    downMs: span(context, 5000),
  }),
  'other-version': (context) => ({
    type: 'other-version',
    node: node(context),
    downMs: span(context, 2000),
    forMs: span(context, 15_000),
  }),
  forge: (context) => {
    const [liar, about] = row(context) as [number, number, ...number[]];
    return { type: 'forge', node: liar, about, claim: context.prng.pick(FORGED_CLAIMS) ?? 'left' };
  },
};

export function salvage(context: FaultContext): Fault {
  return {
    type: 'salvage',
    node: node(context),
    afterMs: span(context, 15_000),
    downMs: span(context, 10_000),
    draws: context.prng.uint32(),
  };
}

const WEIGHTS = [0.25, 0.5, 2, 4, null];

export const RING_FAULT_KINDS: Readonly<Record<RingFaultType, (context: FaultContext) => Fault>> = {
  'ring-out': (context) => ({ type: 'ring-out', node: node(context), member: node(context) }),
  'ring-in': (context) => ({ type: 'ring-in', node: node(context), member: node(context) }),
  'ring-weight': (context) => ({
    type: 'ring-weight',
    node: node(context),
    member: node(context),
    weight: context.prng.pick(WEIGHTS) ?? null,
  }),
};

function node({ prng, nodes }: FaultContext): number {
  return prng.below(nodes);
}

function part({ prng }: FaultContext): number {
  return Math.round(prng.float() * 1000) / 1000;
}

/** A time up to `maxMs`, short ones as likely as long ones: the square spreads it over the orders of magnitude. */
function span({ prng }: FaultContext, maxMs: number): number {
  return Math.ceil(prng.float() ** 2 * maxMs) + 1;
}

function row({ prng, nodes }: FaultContext): number[] {
  return prng.shuffle(Array.from({ length: nodes }, (_, index) => index));
}

/** At least one of them. */
function some({ prng }: FaultContext, items: readonly number[]): number[] {
  return items.slice(0, 1 + prng.below(items.length));
}

function groups(context: FaultContext): number[][] {
  const shuffled = row(context);
  const at = 1 + context.prng.below(shuffled.length - 1);
  const [left, right] = [shuffled.slice(0, at), shuffled.slice(at)];
  if (right.length < 2 || context.prng.chance(0.7)) return [left, right];
  return [left, right.slice(0, 1), right.slice(1)];
}

function pairs(context: FaultContext): [number, number][] {
  const all: [number, number][] = [];
  for (let a = 0; a < context.nodes; a++) for (let b = a + 1; b < context.nodes; b++) all.push([a, b]);
  context.prng.shuffle(all);
  return all.slice(0, 1 + context.prng.below(all.length));
}
