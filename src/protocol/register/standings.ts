import type { Journal } from '../../lib/journal.ts';
import type { NodeId } from '../machine.ts';
import { type Ballot, compareBallots, laterBallot } from './ballot.ts';
import { type RegisterPlacement, sameGroup, sinceOf } from './placement.ts';
import { afterLoss, type RegisterWrite, type ShardRecord, UNKNOWN_SHARD } from './record.ts';

interface StandingOptions {
  readonly self: NodeId;
  readonly foundingEpoch: number;
  readonly placement: (shard: number) => RegisterPlacement;
  readonly canVote: (shard: number) => boolean;
  readonly journal: Journal<RegisterWrite>;
  /** Rows in memory count no more. */
  readonly dropRows: (shard: number) => void;
}

/**
 * What this acceptor's copy of each shard is worth under the present ring.
 *
 * Why an acceptor may have no say at first: majorities of one group meet, those of two groups need not. What group A chose
 * is seen by a majority of B only once each acceptor in it has copied what a majority of A held when that had stopped
 * accepting under the old epoch (`takeover.ts`). Until then B has no say without A, which is what the joint epoch is for.
 */
export class Standings {
  private readonly options: StandingOptions;
  private readonly records: Map<number, ShardRecord>;
  /** The batch that last changed each record. */
  private readonly persistIds = new Map<number, number>();

  constructor(options: StandingOptions, restored: ReadonlyMap<number, ShardRecord>) {
    this.options = options;
    this.records = new Map(restored);
  }

  /** Takes note of the present placement of the shard; to be called when it may have changed. */
  refresh(shard: number): void {
    this.follow(shard, this.options.placement(shard));
  }

  private follow(shard: number, placement: RegisterPlacement): void {
    const { epoch, groups, remainsOf } = placement;
    if (epoch <= this.recordOf(shard).epoch) return;
    // Whether this copy was up to date with the others is for the placement to say under which they were lost.
    if (remainsOf !== undefined) this.follow(shard, remainsOf);
    const before = this.recordOf(shard);
    // While another disk than this one is the acceptor, that one's word may be part of a majority yet: what is copied now is
    // worth no more than after a loss (`afterLoss`).
    const member = groups.some((group) => group.includes(this.options.self)) && this.options.canVote(shard);
    // A peer may ask about any shard; only those that concern this node take memory.
    if (!member && before === UNKNOWN_SHARD) return;
    const [first = []] = groups;
    const isNext = before.epoch + 1 === epoch;
    // Epochs that this node has not seen are no gap where the first group was an acceptor group all the while.
    const isSpanned = before.epoch + 1 >= sinceOf(placement) && first.includes(this.options.self);
    const isLeft = remainsOf !== undefined && before.epoch >= remainsOf.epoch && first.includes(this.options.self);
    const isContinued = before.member && (isNext || isSpanned || isLeft);
    const isFounder = member && before === UNKNOWN_SHARD && this.wasFounder(placement);
    const whole = isFounder
      ? [first]
      : isContinued && remainsOf === undefined
        ? (isNext ? groups : [first]).filter((group) => before.whole.some((other) => sameGroup(group, other)))
        : [];
    // A key is erased only once every acceptor of its group has accepted the tombstone. Who was no acceptor for a while,
    // or cannot tell, may have rows of keys that were erased meanwhile: none of them may be seen again.
    const isStale = member && !isContinued && before !== UNKNOWN_SHARD;
    const generation = before.generation + (isStale ? 1 : 0);
    this.set(shard, { ...before, epoch, member, whole, generation });
    if (isStale) this.options.dropRows(shard);
  }

  /** It has been an acceptor from the start, whenever it hears of that. */
  private wasFounder({ epoch, groups, founders = [] }: RegisterPlacement): boolean {
    const { self, foundingEpoch } = this.options;
    return (groups.length === 1 && epoch === foundingEpoch) || founders.includes(self);
  }

  refreshAll(shards: Iterable<number>): void {
    for (const shard of shards) this.refresh(shard);
    for (const shard of this.records.keys()) this.refresh(shard);
  }

  /** True where rounds may count this acceptor's word. */
  isVoter(shard: number): boolean {
    const { self } = this.options;
    const placement = this.options.placement(shard);
    const record = this.records.get(shard);
    if (record === undefined || !record.member || record.epoch !== placement.epoch) return false;
    if (!this.options.canVote(shard)) return false;
    const [first = []] = placement.groups;
    // In the new group only: the majority of the old one, which is asked as well, knows all that this acceptor may not.
    if (!first.includes(self)) return placement.groups.length > 1;
    if (placement.remainsOf !== undefined) return true;
    return record.whole.some((group) => sameGroup(group, first));
  }

  /** True where its rows may be counted as those of one acceptor of the group that is being replaced. */
  isSource(shard: number): boolean {
    const [first = []] = this.options.placement(shard).groups;
    return first.includes(this.options.self) && this.isVoter(shard);
  }

  /** True where every group that this node belongs to may rely on its copy. */
  isWhole(shard: number): boolean {
    const { epoch, groups, remainsOf } = this.options.placement(shard);
    const record = this.records.get(shard);
    if (record === undefined || record.epoch !== epoch) return false;
    // Of those that are left of a group nothing more is asked than what they have.
    const later = remainsOf === undefined ? groups : groups.slice(1);
    const groupsOfOwn = later.filter((group) => group.includes(this.options.self));
    if (groupsOfOwn.length > 0 && !record.member) return false;
    return groupsOfOwn.every((group) => record.whole.some((other) => sameGroup(group, other)));
  }

  /** True where the shard is to be copied under the present placement. */
  isToCopy(shard: number): boolean {
    const record = this.recordOf(shard);
    return record.member && record.epoch === this.options.placement(shard).epoch && !this.isWhole(shard);
  }

  /** True where this node is to be an acceptor, and will have no say until there is another epoch (`afterLoss`). */
  isMute(shard: number): boolean {
    const { epoch, groups } = this.options.placement(shard);
    const record = this.recordOf(shard);
    return record.epoch >= epoch && !record.member && groups.some((group) => group.includes(this.options.self));
  }

  /** A record of the shard has gone bad. */
  handleLoss(shard: number): void {
    this.set(shard, afterLoss(this.recordOf(shard), this.options.placement(shard).epoch));
  }

  /** The shard has been copied under the present placement. */
  becomeWhole(shard: number): void {
    const { groups } = this.options.placement(shard);
    this.set(shard, { ...this.recordOf(shard), whole: groups });
  }

  floorOf(shard: number): Ballot {
    return this.recordOf(shard).floor;
  }

  raiseFloor(shard: number, ballot: Ballot): void {
    const record = this.recordOf(shard);
    if (compareBallots(record.floor, ballot) >= 0) return;
    this.set(shard, { ...record, floor: laterBallot(record.floor, ballot) });
  }

  /** The batch that its record of the shard is in. */
  persistIdOf(shard: number): number {
    return this.persistIds.get(shard) ?? 0;
  }

  generationOf(shard: number): number {
    return this.recordOf(shard).generation;
  }

  private recordOf(shard: number): ShardRecord {
    return this.records.get(shard) ?? UNKNOWN_SHARD;
  }

  private set(shard: number, record: ShardRecord): void {
    this.records.set(shard, record);
    const id = this.options.journal.write({ table: 'register-shard', shard, value: record });
    this.persistIds.set(shard, id);
  }
}
