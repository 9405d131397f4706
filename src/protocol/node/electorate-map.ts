import {
  acceptorsAmong,
  type Elector,
  type Electorate,
  electorsOf,
  FOUNDING_EPOCH,
  registerEpochOf,
} from '../electorate/electorate.ts';
import type { NodeId } from '../machine.ts';
import { acceptorsOf, majorityOf, type RegisterPlacement, sameGroup } from '../register/placement.ts';
import { Ring } from '../ring/ring.ts';
import { SHARD_ID_MAX, shardNumberOf, shardOf } from '../ring/shard.ts';

/** The bucket of the register that holds the electorate. */
export const ELECTORATE_BUCKET = '.electorate';
/** Its shard, whose acceptors are the electors themselves; no bucket has a class of that number. */
export const ELECTORATE_SHARD = SHARD_ID_MAX;
/** Under no electorate nobody accepts anything. */
const NOBODY: RegisterPlacement = { epoch: 0, groups: [] };

/** Who accepts what of the registers, by an electorate. */
export class ElectorateMap {
  private readonly electorate: Electorate | null;
  /** The map of the electorate of which a majority was lost for good. */
  private readonly remains: ElectorateMap | null;
  private readonly rings = new Map<string, Ring>();
  /** The same, by the very electors of a stage: to name them all takes long. */
  private readonly ringsOfStages = new Map<readonly Elector[], Ring>();
  private readonly held = new Map<NodeId, readonly number[]>();
  private readonly placements = new Map<number, RegisterPlacement>();

  /** `before`: rings that stay the same are taken from it. */
  constructor(electorate: Electorate | null, before: ElectorateMap | null = null) {
    this.electorate = electorate;
    const lost = electorate?.refounding?.before;
    this.remains = lost === undefined ? null : new ElectorateMap(lost, before);
    if (electorate === null || before === null) return;
    for (const electors of this.stages(electorate)) {
      const id = this.ringId(electorate, electors);
      const ring = before.rings.get(id);
      if (ring !== undefined) this.rings.set(id, ring);
    }
  }

  shardOf(bucket: string, key: string): number {
    if (bucket === ELECTORATE_BUCKET) return ELECTORATE_SHARD;
    return shardOf(bucket, key, this.electorate?.shards ?? 1);
  }

  placement(shard: number): RegisterPlacement {
    const { electorate } = this;
    if (electorate === null) return NOBODY;
    // A peer may name any number.
    if (shard !== ELECTORATE_SHARD && shard >= electorate.shards) return { epoch: this.epoch, groups: [] };
    let placement = this.placements.get(shard);
    if (placement === undefined) {
      placement = this.newPlacement(electorate, shard);
      this.placements.set(shard, placement);
    }
    return placement;
  }

  /** All shards that anybody accepts for. */
  get shards(): readonly number[] {
    const { electorate } = this;
    if (electorate === null) return [];
    return [...Array.from({ length: electorate.shards }, (_, shard) => shard), ELECTORATE_SHARD];
  }

  heldShards(self: NodeId): readonly number[] {
    let held = this.held.get(self);
    if (held === undefined) {
      held = this.shards.filter((shard) => this.placement(shard).groups.some((group) => group.includes(self)));
      this.held.set(self, held);
    }
    return held;
  }

  /** True where a majority of the latest acceptors of every shard is among these. */
  isEnough(ready: ReadonlySet<NodeId>): boolean {
    return this.shards.every((shard) => {
      const group = this.placement(shard).groups.at(-1) ?? [];
      return group.filter((id) => ready.has(id)).length >= majorityOf(group);
    });
  }

  /** What this node's disk is called in the electorate; undefined where it is no elector. */
  diskOf(id: NodeId): string | undefined {
    return this.electorate === null
      ? undefined
      : electorsOf(this.electorate).find((elector) => elector.id === id)?.disk;
  }

  /** The epoch as registers count it. */
  get epoch(): number {
    return this.electorate === null ? NOBODY.epoch : registerEpochOf(this.electorate);
  }

  private newPlacement(electorate: Electorate, shard: number): RegisterPlacement {
    const { lineage, electors, previous, refounding, past } = electorate;
    const { epoch } = this;
    const latest = this.groupOf(electorate, shard, electors);
    const remainsOf = this.remains?.placement(shard);
    if (remainsOf !== undefined) {
      // While it was changing, nobody can say any more which of its groups was to decide.
      const left = acceptorsOf(remainsOf).filter((id) => refounding?.lost.includes(id) !== true);
      return { epoch, groups: [left, latest], remainsOf };
    }
    const before = previous === null ? latest : this.groupOf(electorate, shard, previous);
    let since = epoch;
    let founders: readonly NodeId[] = [];
    for (const stage of past) {
      if (!sameGroup(this.groupOf(electorate, shard, stage.electors), before)) break;
      since = registerEpochOf({ lineage, epoch: stage.epoch });
      if (since === FOUNDING_EPOCH) founders = before.filter((id) => hasKeptDisk(id, stage.electors, electors));
    }
    return {
      epoch,
      groups: sameGroup(latest, before) ? [latest] : [before, latest],
      since,
      ...(founders.length === 0 ? {} : { founders }),
    };
  }

  private groupOf(electorate: Electorate, shard: number, electors: readonly Elector[]): readonly NodeId[] {
    if (shard === ELECTORATE_SHARD) return acceptorsAmong(electors);
    return this.ringOf(electorate, electors).owners(shardNumberOf(shard));
  }

  private ringOf(electorate: Electorate, electors: readonly Elector[]): Ring {
    let ring = this.ringsOfStages.get(electors);
    if (ring !== undefined) return ring;
    const id = this.ringId(electorate, electors);
    ring = this.rings.get(id);
    if (ring === undefined) {
      const { shards, replicas } = electorate;
      ring = new Ring({ members: electors.map((elector) => ({ ...elector, in: true })), shards, replicas });
      this.rings.set(id, ring);
    }
    this.ringsOfStages.set(electors, ring);
    return ring;
  }

  private stages({ electors, previous, past }: Electorate): (readonly Elector[])[] {
    return [electors, ...(previous === null ? [] : [previous]), ...past.map((stage) => stage.electors)];
  }

  private ringId({ shards, replicas }: Electorate, electors: readonly Elector[]): string {
    return JSON.stringify([shards, replicas, electors.map(({ id, weight, zone }) => [id, weight, zone])]);
  }
}

function hasKeptDisk(id: NodeId, then: readonly Elector[], now: readonly Elector[]): boolean {
  const disk = then.find((elector) => elector.id === id)?.disk;
  return disk !== undefined && now.some((elector) => elector.id === id && elector.disk === disk);
}
