import { type Elector, type Electorate, FOUNDING_EPOCH } from '../../src/protocol/electorate/electorate.ts';
import { ELECTORATE_SHARD, ElectorateMap } from '../../src/protocol/node/electorate-map.ts';
import { majorityOf, sameGroup } from '../../src/protocol/register/placement.ts';
import type { SimNode } from './sim-node.ts';
import { STRONG_BUCKET } from './strong-history.ts';
import type { VirtualDisk } from './virtual-disk.ts';

/**
 * What strong keys may legitimately have lost with disks. Of a disk that is gone, or was repaired, the node knows: it is
 * another disk, which has no say before it has copied what a majority of the others hold; nothing may ever go back by that.
 * But where the others are no majority, there is nothing left to copy, and the keys are gone for good.
 * A disk that is an older copy of itself has forgotten what it said since, and does not know it yet.
 */
export class StrongLosses {
  private readonly nodes: readonly SimNode[];
  /** By an acceptor that may have spoken otherwise before: all keys, those of a shard, and single ones. */
  private readonly forgotten = new Set<string>();
  /** Shards that have no majority left. */
  private readonly gone = new Set<number>();
  /** Disks lost before there was an electorate that anybody knew of: their acceptance of the first one may be on its way. */
  private readonly lostUnfounded = new Set<string>();
  private isDeciderForgetful = false;
  /** The epoch under which a node was given an older copy of its disk: once it notices, it has no say before the next. */
  private readonly older = new Map<SimNode, number>();

  constructor(nodes: readonly SimNode[]) {
    this.nodes = nodes;
  }

  /** The node has another disk than this one now. */
  note(node: SimNode, lost: VirtualDisk): void {
    const electorate = this.latest(lost);
    if (node.disk.actor === lost.actor) {
      this.noteForgotten(node.disk, lost);
      this.older.set(node, electorate?.epoch ?? 0);
    }
    if (electorate === null) {
      this.lostUnfounded.add(lost.actor);
      return;
    }
    const map = new ElectorateMap(electorate);
    for (const shard of map.shards) {
      const { groups } = map.placement(shard);
      if (!groups.every((group) => this.hasMajority(electorate, shard, group))) this.gone.add(shard);
    }
  }

  /** What an older disk has forgotten of the electorate makes any answer possible. */
  get isElectorateForgotten(): boolean {
    return this.isDeciderForgetful;
  }

  /** The electors that are left are no majority. */
  get isElectorateGone(): boolean {
    return this.gone.has(ELECTORATE_SHARD) || this.isStillborn(ELECTORATE_SHARD);
  }

  isForgotten(key: string): boolean {
    const shard = this.shardOf(key);
    return this.isDeciderForgetful || this.forgotten.has(`${shard}`) || this.forgotten.has(`${shard}/${key}`);
  }

  /** Without a majority of the electors nobody else is made an acceptor either. */
  isGone(key: string): boolean {
    const shard = this.shardOf(key);
    return this.isElectorateGone || (shard !== null && (this.gone.has(shard) || this.isStillborn(shard)));
  }

  /** False while the node is an acceptor of something that its disk does not hold yet. */
  isWhole(node: SimNode): boolean {
    const electorate = this.latest();
    if (electorate === null) return true;
    const map = new ElectorateMap(electorate);
    return map.heldShards(node.id).every((shard) => {
      const groups = map.placement(shard).groups.filter((group) => group.includes(node.id));
      return groups.every((group) => isAcceptor(electorate, shard, group, node));
    });
  }

  /** Founded upon the word of disks that were lost at that moment, of which too many are among its acceptors. */
  private isStillborn(shard: number): boolean {
    const electorate = this.latest();
    if (electorate?.epoch !== FOUNDING_EPOCH || this.lostUnfounded.size === 0) return false;
    const left = electorate.electors.filter(({ disk }) => !this.lostUnfounded.has(disk)).map(({ id }) => id);
    const { groups } = new ElectorateMap(electorate).placement(shard);
    return groups.some((group) => group.filter((id) => left.includes(id)).length < majorityOf(group));
  }

  private noteForgotten(disk: VirtualDisk, lost: VirtualDisk): void {
    this.isDeciderForgetful ||= textOf(disk.electorate) !== textOf(lost.electorate);
    const shards = new Set([...disk.registers.shardIds(), ...lost.registers.shardIds()]);
    for (const shard of shards) {
      if (textOf(disk.registers.shards.get(shard)) !== textOf(lost.registers.shards.get(shard)))
        this.forget(shard, `${shard}`);
      const rows = disk.registers.rows.get(shard) ?? new Map();
      const others = lost.registers.rows.get(shard) ?? new Map();
      for (const id of new Set([...rows.keys(), ...others.keys()])) {
        const [bucket, key] = id.split('\0');
        // Rows are never changed, only replaced.
        if (rows.get(id)?.row === others.get(id)?.row) continue;
        this.forget(shard, bucket === STRONG_BUCKET ? `${shard}/${key}` : `${shard}`);
      }
    }
  }

  private forget(shard: number, what: string): void {
    this.forgotten.add(what);
    this.isDeciderForgetful ||= shard === ELECTORATE_SHARD;
  }

  private hasMajority(electorate: Electorate, shard: number, group: readonly string[]): boolean {
    const acceptors = this.nodes.filter(
      (node) =>
        group.includes(node.id) &&
        isAcceptor(electorate, shard, group, node) &&
        (this.older.get(node) ?? -1) < electorate.epoch,
    );
    return acceptors.length >= majorityOf(group);
  }

  private shardOf(key: string): number | null {
    const electorate = this.latest();
    return electorate === null ? null : new ElectorateMap(electorate).shardOf(STRONG_BUCKET, key);
  }

  private latest(lost?: VirtualDisk): Electorate | null {
    const known = [
      lost?.electorate.current ?? null,
      ...this.nodes.map(({ disk, running }) => running?.node.deciders.electorate ?? disk.electorate.current),
    ];
    return known.reduce((best, each) => ((each?.epoch ?? 0) > (best?.epoch ?? 0) ? each : best), null);
  }
}

/** It is the elector by that disk, and its copy of the shard counts for the group. */
function isAcceptor(electorate: Electorate, shard: number, group: readonly string[], { id, disk }: SimNode): boolean {
  const { electors, previous } = electorate;
  const isNamed = (elector: Elector): boolean => elector.id === id && elector.disk === disk.actor;
  if (![...electors, ...(previous ?? [])].some(isNamed)) return false;
  const record = disk.registers.shards.get(shard);
  return record?.member === true && record.whole.some((other) => sameGroup(other, group));
}

function textOf(value: unknown): string {
  return JSON.stringify(value) ?? '';
}
