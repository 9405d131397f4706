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
  /** Owners are taken from these zones as far as they have members; others make up for the rest. */
  readonly preferredZones?: readonly string[];
  /** Rings of other salts place the same members otherwise. */
  readonly salt?: number;
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
  readonly preferredZones: readonly string[];
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
  private readonly tiers: readonly Tier[];
  /** By row: the fair share of the shards, and how near the member is. */
  private readonly shares: readonly number[];
  private readonly rates: number[] = [];
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
    const salt = options.salt ?? 0;
    this.preferredZones = options.preferredZones ?? [];
    const placed = this.inside.map((m) => [m.id, m.weight, m.zone]);
    this.digest = hashString(JSON.stringify([this.shards, this.replicas, this.preferredZones, salt, placed]));
    this.ids = new Set(this.members.map((member) => member.id));
    this.distances = new Float64Array(this.inside.length * this.shards);
    this.tiers = this.tiersOf();
    this.shares = this.sharesOf();
    this.inside.forEach((member, row) => {
      vnodeDistances(member.id, this.rates[row] as number, this.row(row), salt);
    });
    const owners = this.placeShards();
    this.ownersByShard = owners.map((rows) => rows.map((row) => (this.inside[row] as RingMember).id));
    this.shardsByNode = invert(this.ownersByShard);
  }

  /** Members that are in. */
  get memberCount(): number {
    return this.inside.length;
  }

  /** Of buckets without a placement of their own. */
  shardOf(bucket: string, key: string): number {
    return shardOf(bucket, key, this.shards);
  }

  /** The members that hold the shard, nearest first: as many as there are replicas, or all members if fewer. */
  owners(shard: number): readonly NodeId[] {
    return this.ownersByShard[this.checked(shard)] as readonly NodeId[];
  }

  /** Every member that is in: the owners, then the fallbacks in walk order, those of preferred zones first. */
  preference(shard: number): readonly NodeId[] {
    let order = this.preferences.get(shard);
    if (order === undefined) {
      const owners = this.owners(shard);
      const walk = this.tiers
        .flatMap(({ rows }) => this.walk(rows, shard, Number.POSITIVE_INFINITY))
        .map((row) => (this.inside[row] as RingMember).id);
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
    const ratios = loads.map((load, row) => (load === 0 ? 0 : load / (this.shares[row] as number)));
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

  /** Members of preferred zones and all others; one tier where the ring prefers none. */
  private tiersOf(): Tier[] {
    const rows = this.inside.map((_, row) => row);
    const isPreferred = (row: number): boolean => this.preferredZones.includes((this.inside[row] as RingMember).zone);
    let left = Math.min(this.replicas, rows.length);
    return [rows.filter(isPreferred), rows.filter((row) => !isPreferred(row))]
      .filter((members) => members.length > 0)
      .map((members) => {
        const count = Math.min(left, members.length);
        left -= count;
        const zones = new Set(members.map((row) => (this.inside[row] as RingMember).zone)).size;
        return { rows: members, count, zones };
      });
  }

  private sharesOf(): number[] {
    const shares = this.inside.map(() => 0);
    for (const { rows, count, zones } of this.tiers) {
      const members = rows.map((row) => this.inside[row] as RingMember);
      const fair = count === 0 ? members.map(() => 0) : fairShares(members, this.shards, count);
      rows.forEach((row, i) => {
        const share = fair[i] as number;
        shares[row] = share;
        this.rates[row] = this.nearness((members[i] as RingMember).weight, share, count > 0 && zones === 1);
      });
    }
    return shares;
  }

  /**
   * How near a member is, relative to others of its tier. Owners are drawn without replacement, so that a member twice
   * as near owns less than twice as much: where nothing else but weights decides, the fair share says how near it must
   * be. Among zones of different sizes the same would balance better, but a change of one zone would move shards of all.
   */
  private nearness(weight: number, share: number, isByWeightAlone: boolean): number {
    return isByWeightAlone ? rateForShare(share / this.shards) : weight;
  }

  /** Chooses the owners of all shards, in the order of the shards, since a member may become full on the way. */
  private placeShards(): number[][] {
    const rooms = this.shares.map((share) => Math.ceil(share * (1 + LOAD_SLACK)));
    const demands = this.tiers
      .filter(({ count }) => count > 0)
      .map(({ rows, count, zones }) => {
        const total = rows.reduce((sum, row) => sum + (this.rates[row] as number), 0);
        return { rows, count, zones: Math.min(count, zones), rooms, reach: WALK_MEMBERS / total };
      });
    const owners: number[][] = [];
    for (let shard = 0; shard < this.shards; shard++) {
      const chosen = demands.flatMap((demand) => this.chooseOwners(shard, demand));
      for (const row of chosen) rooms[row] = (rooms[row] as number) - 1;
      owners.push(chosen);
    }
    return owners;
  }

  /** Looks at the nearest few members first: a walk rarely has to go further, and a fleet may be large. */
  private chooseOwners(shard: number, demand: Demand): number[] {
    for (let { reach } = demand; ; reach *= WALK_GROWTH) {
      const walk = this.walk(demand.rows, shard, reach);
      const chosen = takeOwners(walk, this.inside, demand, walk.length === demand.rows.length);
      if (chosen !== null) return chosen.sort((a, b) => walk.indexOf(a) - walk.indexOf(b));
    }
  }

  /** Of some rows those within reach of the shard's position, nearest first. */
  private walk(rows: readonly number[], shard: number, reach: number): number[] {
    // Rows are sorted by id, which decides between equal distances.
    return rows
      .filter((row) => this.distance(row, shard) <= reach)
      .sort((a, b) => this.distance(a, shard) - this.distance(b, shard) || a - b);
  }

  private distance(row: number, shard: number): number {
    return this.distances[row * this.shards + shard] as number;
  }
}

/** Members that are preferred alike. */
interface Tier {
  readonly rows: readonly number[];
  /** Owners of each shard among them. */
  readonly count: number;
  /** The number of their zones. */
  readonly zones: number;
}

interface Demand {
  readonly rows: readonly number[];
  /** How far to look at first. */
  readonly reach: number;
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
