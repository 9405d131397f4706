/**
 * How evenly the ring spreads data, and how little moves when it changes, over many clusters with random ids: a single
 * one says nothing, because where its members lie is chance. Computed, not measured: the figures are the same on every
 * machine.
 */
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { Prng } from '../../src/lib/prng.ts';
import { fairShares } from '../../src/protocol/ring/fair-share.ts';
import { diffRings, Ring, type RingMember } from '../../src/protocol/ring/ring.ts';
import { SHARDS_DEFAULT } from '../../src/protocol/ring/shard.ts';
import { percentile, whole } from './figures.ts';
import { numberOption } from './usage.ts';

const REPLICAS = 3;
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
/** The bound on what moves, about what the change cannot do without. */
const TOLERANCE = 0.1;

interface Options {
  readonly members: number;
  readonly clusters: number;
  readonly shards: number;
  readonly keys: number;
}

interface Case {
  readonly name: string;
  readonly zone: (index: number) => string;
  readonly weight: (index: number) => number;
}

const noZone = (): string => '';
const equalWeight = (): number => 1;
const everyThirdTwice = (index: number): number => (index % 3 === 0 ? 2 : 1);
const CASES: readonly Case[] = [
  { name: 'equal members', zone: noZone, weight: equalWeight },
  { name: '2 zones', zone: (index) => `zone-${index % 2}`, weight: equalWeight },
  { name: '3 zones', zone: (index) => `zone-${index % 3}`, weight: equalWeight },
  { name: '4 zones', zone: (index) => `zone-${index % 4}`, weight: equalWeight },
  { name: 'every third of weight 2', zone: noZone, weight: everyThirdTwice },
  { name: '3 zones, weights', zone: (index) => `zone-${index % 3}`, weight: (index) => (index < 5 ? 2 : 1) },
];

interface Spread {
  readonly least: number;
  readonly p5: number;
  readonly median: number;
  readonly p95: number;
  readonly most: number;
}

interface Movement {
  /** Copies of keys that change hands, by what the change cannot do without. */
  readonly moved: Spread;
  /** Clusters in which that is within 10 % of 1. */
  readonly within: number;
  /** Of what moves, between members that are not part of the change; in the same unit. */
  readonly elsewhere: Spread;
}

interface Figures {
  readonly name: string;
  /** The fullest member by its fair share, over the clusters: of shards, and of keys. */
  readonly loadOfShards: Spread;
  readonly loadOfKeys: Spread;
  readonly join: Movement;
  readonly leave: Movement;
  /** One member's weight is doubled. */
  readonly reweight: Movement;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false },
      members: { type: 'string', default: '10' },
      clusters: { type: 'string', default: '1000' },
      shards: { type: 'string', default: String(SHARDS_DEFAULT) },
      keys: { type: 'string', default: '100000' },
    },
  });
  const options: Options = {
    members: Math.floor(numberOption('members', values.members, 4, 1000)),
    clusters: Math.floor(numberOption('clusters', values.clusters, 20, 100_000)),
    shards: Math.floor(numberOption('shards', values.shards, 16, 65_536)),
    keys: Math.floor(numberOption('keys', values.keys, 1000, 100_000_000)),
  };
  const figures = CASES.map((each) => measure(each, options));
  process.stdout.write(values.json ? `${JSON.stringify({ ...options, cases: figures })}\n` : report(figures, options));
}

function measure(each: Case, options: Options): Figures {
  const prng = new Prng(1);
  const { members, clusters, shards, keys } = options;
  const loads = { shards: [] as number[], keys: [] as number[] };
  const join = new Movements();
  const leave = new Movements();
  const reweight = new Movements();
  const ring = (list: readonly RingMember[]): Ring => new Ring({ members: list, shards, replicas: REPLICAS });
  const sizes = shardSizes(ring([]), keys);
  for (let cluster = 0; cluster < clusters; cluster++) {
    const all = Array.from({ length: members + 1 }, (_, index) => ({
      id: drawId(prng),
      zone: each.zone(index),
      weight: each.weight(index),
      in: true,
    }));
    const newcomer = all[members] as RingMember;
    const before = ring(all.slice(0, members));
    const after = ring(all);
    loads.shards.push(before.balance().loadMax);
    loads.keys.push(keyLoad(before, sizes));
    join.add(before, after, newcomer.id, sizes);
    leave.add(after, before, newcomer.id, sizes);
    const changed = { ...newcomer, weight: newcomer.weight * 2 };
    reweight.add(after, ring([...all.slice(0, members), changed]), newcomer.id, sizes);
  }
  return {
    name: each.name,
    loadOfShards: spreadOf(loads.shards),
    loadOfKeys: spreadOf(loads.keys),
    join: join.result(),
    leave: leave.result(),
    reweight: reweight.result(),
  };
}

/** What changes of one kind moved, over the clusters. */
class Movements {
  private readonly moved: number[] = [];
  private readonly elsewhere: number[] = [];

  /** `id`: the member that the change is about. */
  add(before: Ring, after: Ring, id: string, sizes: Float64Array): void {
    const keys = sizes.reduce((sum, size) => sum + size, 0);
    const needed = (Math.abs(shareOf(after, id) - shareOf(before, id)) / after.shards) * keys;
    let moved = 0;
    let elsewhere = 0;
    for (const { shard, gained, lost } of diffRings(before, after)) {
      moved += gained.length * (sizes[shard] as number);
      const own = gained.includes(id) || lost.includes(id) ? 1 : 0;
      elsewhere += (gained.length - own) * (sizes[shard] as number);
    }
    this.moved.push(moved / needed);
    this.elsewhere.push(elsewhere / needed);
  }

  result(): Movement {
    const within = this.moved.filter((value) => Math.abs(value - 1) <= TOLERANCE).length / this.moved.length;
    return { moved: spreadOf(this.moved), within, elsewhere: spreadOf(this.elsewhere) };
  }
}

/** Shards that a member should own; 0 where it is not in. */
function shareOf(ring: Ring, id: string): number {
  const inside = ring.members.filter((member) => member.in);
  const row = inside.findIndex((member) => member.id === id);
  return fairShares(inside, ring.shards, REPLICAS)[row] ?? 0;
}

function keyLoad(ring: Ring, sizes: Float64Array): number {
  const keys = sizes.reduce((sum, size) => sum + size, 0);
  const ratios = ring.members.map(({ id }) => {
    const held = ring.shardsOf(id).reduce((sum, shard) => sum + (sizes[shard] as number), 0);
    return held / ((shareOf(ring, id) / ring.shards) * keys);
  });
  return Math.max(...ratios);
}

/** Keys in each shard. */
function shardSizes(ring: Ring, keys: number): Float64Array {
  const sizes = new Float64Array(ring.shards);
  for (let i = 0; i < keys; i++) {
    const shard = ring.shardOf('default', `sensor/${i}/temperature`);
    sizes[shard] = (sizes[shard] as number) + 1;
  }
  return sizes;
}

/** As a libp2p peer id of an Ed25519 key looks. */
function drawId(prng: Prng): string {
  const random = Array.from({ length: 44 }, () => BASE58[prng.below(BASE58.length)] as string);
  return `12D3KooW${random.join('')}`;
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    least: sorted[0] as number,
    p5: percentile(sorted, 0.05),
    median: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    most: sorted.at(-1) as number,
  };
}

function report(figures: readonly Figures[], { members, clusters, shards, keys }: Options): string {
  const balance = new Table({
    head: ['fullest member / fair share', 'median', '95 %', 'worst', 'in keys: median', '95 %', 'worst'],
    style: { head: [], border: [] },
  });
  for (const { name, loadOfShards: a, loadOfKeys: b } of figures) {
    balance.push([name, ...[a.median, a.p95, a.most, b.median, b.p95, b.most].map(ratio)]);
  }
  const moves = new Table({
    head: ['keys moved / needed', 'change', 'least', '5 %', 'median', '95 %', 'most', 'within 10 %', 'elsewhere 95 %'],
    style: { head: [], border: [] },
  });
  for (const { name, join, leave, reweight } of figures) {
    for (const [change, { moved, within, elsewhere }] of Object.entries({ join, leave, reweight })) {
      const spread = [moved.least, moved.p5, moved.median, moved.p95, moved.most].map(ratio);
      moves.push([name, CHANGES[change] ?? change, ...spread, `${(within * 100).toFixed(1)} %`, ratio(elsewhere.p95)]);
    }
  }
  const title = `${whole(clusters)} clusters of ${members} members, ${whole(shards)} shards, ${REPLICAS} replicas, ${whole(keys)} keys`;
  return `${title}\n${balance.toString()}\n${moves.toString()}\n`;
}

const CHANGES: Readonly<Record<string, string>> = {
  join: 'one joins',
  leave: 'it leaves',
  reweight: 'its weight doubles',
};

function ratio(value: number): string {
  return value.toFixed(3);
}
