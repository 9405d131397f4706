import { assert } from '../../lib/assert.ts';
import { hashString } from '../../lib/hash.ts';
import type { NodeId } from '../machine.ts';
import { fairShares } from './fair-share.ts';
import { SHARDS_DEFAULT, SHARDS_MAX, shardOf } from './shard.ts';
import { rateForShare, vnodeDistances } from './vnode.ts';

const REPLICAS_DEFAULT = 3;
const REPLICAS_MAX = 7;

/**
 * How far above its fair share a member may be loaded before the walk passes it over (Mirrokni, Thorup,
 * Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018). Less balances better, but then a change moves
 * shards between members that are not part of it. `npm run bench -- ring` has the figures: of 10 equal members the
 * fullest owns 1.08 times the mean, and when an 11th joins 0.92 to 1.10 times its fair share moves in 9 of 10 clusters.
 */
const LOAD_SLACK = 0.08;

/** Members that a walk over a large fleet looks at first, on average, and by how much it widens when they do not do. */
const WALK_MEMBERS = 32;
const WALK_GROWTH = 8;

export interface RingMember {
  readonly id: NodeId;
  readonly zone: string;
  /** Share of the shards relative to others; above 0. */
  readonly weight: number;
  /** Only members that are `in` own shards, whether they are up or down. */
  readonly in: boolean;
}

export interface RingOptions {
  readonly members: readonly RingMember[];
  /** At most SHARDS_MAX. */
  readonly shards?: number;
  /** Owners a shard, as far as there are members. At most REPLICAS_MAX. */
  readonly replicas?: number;
}

export interface RingBalance {
  /** Mean and largest number of shards owned by a member that is in. */
  readonly shardsMean: number;
  readonly shardsMax: number;
  /** The largest ratio of a member's shards to its fair share by weight and zone; 1 is perfect, 0 an empty ring. */
  readonly loadMax: number;
}

export interface OwnershipChange {
  readonly shard: number;
  readonly gained: readonly NodeId[];
  readonly lost: readonly NodeId[];
}

/**
 * Who owns which shard: a function of the ring configuration alone, whatever the order of its members.
 * Immutable; a change of the configuration makes a new ring.
 */
export class Ring {
  readonly shards: number;
  readonly replicas: number;
  /** Equal rings have equal digests; 32 bits. */
  readonly digest: number;
  /** Sorted by id; those that are out included. */
  readonly members: readonly RingMember[];
  private readonly inside: readonly RingMember[];
  private readonly ids: ReadonlySet<NodeId>;
  /** The distance of every member that is in (rows, as `inside`) in every arc (columns). */
  private readonly distances: Float64Array;
  private readonly ownersByShard: readonly (readonly NodeId[])[];
  private readonly shardsByNode: ReadonlyMap<NodeId, readonly number[]>;
  private readonly shares: readonly number[];
  private readonly preferences = new Map<number, readonly NodeId[]>();

  constructor(options: RingOptions) {
    this.shards = options.shards ?? SHARDS_DEFAULT;
    this.replicas = options.replicas ?? REPLICAS_DEFAULT;
    assert(isCount(this.shards, SHARDS_MAX), `shards must be 1 to ${SHARDS_MAX}`);
    assert(isCount(this.replicas, REPLICAS_MAX), `replicas must be 1 to ${REPLICAS_MAX}`);
    this.members = [...options.members].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
    this.members.forEach((member, i) => {
      assert(member.id !== this.members[i - 1]?.id, 'a ring member is listed once');
      assert(Number.isFinite(member.weight) && member.weight > 0, 'a ring weight is above 0');
    });
    this.inside = this.members.filter((member) => member.in);
    this.digest = hashString(
      JSON.stringify([this.shards, this.replicas, this.inside.map((m) => [m.id, m.weight, m.zone])]),
    );
    this.ids = new Set(this.members.map((member) => member.id));
    this.distances = new Float64Array(this.inside.length * this.shards);
    this.shares = fairShares(this.inside, this.shards, this.replicas);
    const rates = this.nearnesses();
    this.inside.forEach((member, row) => {
      vnodeDistances(member.id, rates[row] as number, this.row(row));
    });
    const owners = this.placeShards(rates);
    this.ownersByShard = owners.map((rows) => rows.map((row) => (this.inside[row] as RingMember).id));
    this.shardsByNode = invert(this.ownersByShard);
  }

  /** Members that are in. */
  get memberCount(): number {
    return this.inside.length;
  }

  shardOf(bucket: string, key: string): number {
    return shardOf(bucket, key, this.shards);
  }

  /** The members that hold the shard, nearest first: as many as there are replicas, or all members if fewer. */
  owners(shard: number): readonly NodeId[] {
    return this.ownersByShard[this.checked(shard)] as readonly NodeId[];
  }

  /** Every member that is in: the owners, then the fallbacks in walk order. */
  preference(shard: number): readonly NodeId[] {
    let order = this.preferences.get(shard);
    if (order === undefined) {
      const owners = this.owners(shard);
      const walk = this.walk(shard, Number.POSITIVE_INFINITY).map((row) => (this.inside[row] as RingMember).id);
      order = [...owners, ...walk.filter((id) => !owners.includes(id))];
      this.preferences.set(shard, order);
    }
    return order;
  }

  knows(node: NodeId): boolean {
    return this.ids.has(node);
  }

  isOwner(shard: number, node: NodeId): boolean {
    return this.owners(shard).includes(node);
  }

  /** Ascending. */
  shardsOf(node: NodeId): readonly number[] {
    return this.shardsByNode.get(node) ?? [];
  }

  balance(): RingBalance {
    const loads = this.inside.map((member) => this.shardsOf(member.id).length);
    const ratios = loads.map((load, row) => load / (this.shares[row] as number));
    const total = this.shards * Math.min(this.replicas, loads.length);
    return {
      shardsMean: total / Math.max(1, loads.length),
      shardsMax: loads.reduce((a, b) => Math.max(a, b), 0),
      loadMax: ratios.reduce((a, b) => Math.max(a, b), 0),
    };
  }

  private checked(shard: number): number {
    assert(Number.isInteger(shard) && shard >= 0 && shard < this.shards, 'no such shard');
    return shard;
  }

  private row(row: number): Float64Array {
    return this.distances.subarray(row * this.shards, (row + 1) * this.shards);
  }

  /**
   * How near each member is, relative to others. Owners are drawn without replacement, so that a member twice as near
   * owns less than twice as much: where nothing else but weights decides, the fair share says how near it must be.
   * Among zones of different sizes the same would balance better, but a change of one zone would move shards of all.
   */
  private nearnesses(): number[] {
    if (new Set(this.inside.map((member) => member.zone)).size > 1) return this.inside.map((member) => member.weight);
    return this.shares.map((share) => rateForShare(share / this.shards));
  }

  /** Chooses the owners of all shards, in the order of the shards, since a member may become full on the way. */
  private placeShards(rates: readonly number[]): number[][] {
    const rooms = this.shares.map((share) => Math.ceil(share * (1 + LOAD_SLACK)));
    const count = Math.min(this.replicas, this.inside.length);
    const zones = Math.min(count, new Set(this.inside.map((member) => member.zone)).size);
    const total = rates.reduce((sum, rate) => sum + rate, 0);
    const owners: number[][] = [];
    for (let shard = 0; shard < this.shards; shard++) {
      const chosen = this.chooseOwners(shard, { count, zones, rooms }, WALK_MEMBERS / total);
      for (const row of chosen) rooms[row] = (rooms[row] as number) - 1;
      owners.push(chosen);
    }
    return owners;
  }

  /** Looks at the nearest few members first: a walk rarely has to go further, and a fleet may be large. */
  private chooseOwners(shard: number, demand: Demand, startReach: number): number[] {
    for (let reach = startReach; ; reach *= WALK_GROWTH) {
      const walk = this.walk(shard, reach);
      const chosen = takeOwners(walk, this.inside, demand, walk.length === this.inside.length);
      if (chosen !== null) return chosen.sort((a, b) => walk.indexOf(a) - walk.indexOf(b));
    }
  }

  /** Rows of the members within reach of the shard's position, nearest first. */
  private walk(shard: number, reach: number): number[] {
    const rows: number[] = [];
    for (let row = 0; row < this.inside.length; row++) if (this.distance(row, shard) <= reach) rows.push(row);
    // Rows are sorted by id, which decides between equal distances.
    return rows.sort((a, b) => this.distance(a, shard) - this.distance(b, shard) || a - b);
  }

  private distance(row: number, shard: number): number {
    return this.distances[row * this.shards + shard] as number;
  }
}

interface Demand {
  /** Owners wanted, and of how many different zones. */
  readonly count: number;
  readonly zones: number;
  /** Shards that each member may still take before it is over its bound. */
  readonly rooms: readonly number[];
}

/**
 * Null when the walk has too few members that fit. Of a walk that is `whole` (holds every member) something must
 * give: the bound does, the zones never.
 */
function takeOwners(
  walk: readonly number[],
  members: readonly RingMember[],
  demand: Demand,
  whole: boolean,
): number[] | null {
  const chosen: number[] = [];
  const zones = new Set<string>();
  const zoneOf = (row: number): string => (members[row] as RingMember).zone;
  const hasRoom = (row: number): boolean => (demand.rooms[row] as number) > 0;
  const take = (limit: number, allowed: (row: number) => boolean): void => {
    for (const row of walk) {
      if (chosen.length >= limit) return;
      if (chosen.includes(row) || !allowed(row)) continue;
      chosen.push(row);
      zones.add(zoneOf(row));
    }
  };
  take(demand.zones, (row) => !zones.has(zoneOf(row)) && hasRoom(row));
  if (whole) take(demand.zones, (row) => !zones.has(zoneOf(row)));
  if (chosen.length < demand.zones) return null;
  take(demand.count, hasRoom);
  if (whole) take(demand.count, () => true);
  return chosen.length < demand.count ? null : chosen;
}

function isCount(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= max;
}

function invert(ownersByShard: readonly (readonly NodeId[])[]): Map<NodeId, number[]> {
  const shards = new Map<NodeId, number[]>();
  ownersByShard.forEach((owners, shard) => {
    for (const id of owners) {
      const list = shards.get(id);
      if (list === undefined) shards.set(id, [shard]);
      else list.push(shard);
    }
  });
  return shards;
}

/** What changes hands between two rings with the same shards, ascending by shard. */
export function diffRings(before: Ring, after: Ring): OwnershipChange[] {
  assert(before.shards === after.shards, 'the number of shards is fixed for the life of a cluster');
  const changes: OwnershipChange[] = [];
  for (let shard = 0; shard < after.shards; shard++) {
    const old = before.owners(shard);
    const now = after.owners(shard);
    const gained = now.filter((id) => !old.includes(id));
    const lost = old.filter((id) => !now.includes(id));
    if (gained.length > 0 || lost.length > 0) changes.push({ shard, gained, lost });
  }
  return changes;
}
