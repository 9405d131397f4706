import { type Failure, failure } from '../../lib/failure.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { type Elector, type Electorate, electorsOf, refounded } from '../electorate/electorate.ts';
import type { NodeId } from '../machine.ts';
import { acceptorsOf, isQuorum } from '../register/placement.ts';
import type { ElectorateMap } from './electorate-map.ts';

/** What an operator asks for. */
export interface RefoundCommand {
  /** Members that never come back. */
  readonly lost: readonly NodeId[];
  /** Who asks, and where, for people. */
  readonly by: string;
  /** Only tell what it would mean. */
  readonly dryRun: boolean;
}

/** What a refounding means, before it is done or after. */
export interface RefoundReport {
  readonly epoch: number;
  readonly electors: readonly NodeId[];
  readonly lost: readonly NodeId[];
  /** Shards of strong buckets. */
  readonly shards: number;
  /** Of these, those of which a majority of the acceptors is lost: the latest values may be lost with them. */
  readonly atRisk: number;
  /** Of these, those of which no acceptor is left: all their values are lost. */
  readonly emptied: number;
}

export type RefoundOutcome =
  | { readonly ok: true; readonly report: RefoundReport }
  | { readonly ok: false; readonly failure: Failure };

export type RefoundPlan =
  | { readonly ok: true; readonly next: Electorate; readonly report: RefoundReport }
  | { readonly ok: false; readonly failure: Failure };

/** How things stand at the node that is asked. */
export interface RefoundSituation {
  readonly electorate: Electorate | null;
  readonly map: ElectorateMap;
  readonly catalog: Catalog;
  /** Names the electorate that would begin. */
  readonly founder: string;
  /** Answers now; this node itself does. */
  readonly isUp: (id: NodeId) => boolean;
}

type Reason =
  | 'not-founded'
  | 'nobody-left'
  | 'member-reachable'
  | 'majority-reachable'
  | 'member-unreachable'
  | 'repeated';

/**
 * Whether an operator may decide instead of a majority, and what becomes of it. Only where no majority can, and only with all
 * that are not given up: each of them holds a part of what is left, and knows of later epochs what this node may not.
 */
export function refoundPlan(command: RefoundCommand, situation: RefoundSituation): RefoundPlan {
  const { electorate, map, catalog, founder } = situation;
  const lost = [...new Set(command.lost)].sort();
  const early = namesProblem(lost, situation);
  if (early !== null) return { ok: false, failure: early };
  if (electorate === null) {
    return refused('not-founded', 'no strong bucket has been used yet: there is no majority to replace');
  }
  const isLost = (id: NodeId): boolean => lost.includes(id);
  const left = electorsOf(electorate).filter(({ id }) => !isLost(id));
  const late = needProblem(left, lost, electorate, situation);
  if (late !== null) return { ok: false, failure: late };
  // Of a disk that was replaced since, nothing is left but the node.
  const electors = left.map((elector) => ({
    ...elector,
    disk: catalog.ringRecord(elector.id)?.own.actor ?? elector.disk,
  }));
  const next = refounded(electorate, { founder, left: electors, lost, by: command.by });
  if (next === null) {
    return refused('repeated', 'members were given up several times, each time before it was done: wait until it is');
  }
  const remains = map.shards.map((shard) => {
    const placement = map.placement(shard);
    const isSafe = isQuorum(placement, (id) => !isLost(id));
    return { isSafe, isEmpty: acceptorsOf(placement).every(isLost) };
  });
  const report: RefoundReport = {
    epoch: next.epoch,
    electors: electors.map(({ id }) => id),
    lost,
    shards: electorate.shards,
    atRisk: remains.filter(({ isSafe }, shard) => !isSafe && shard < electorate.shards).length,
    emptied: remains.filter(({ isEmpty }, shard) => isEmpty && shard < electorate.shards).length,
  };
  return { ok: true, next, report };
}

/**
 * Takes the lost out of the ring for good, or the leader would make them electors again. Those that are left own data again,
 * where a leader that is lost has put them aside.
 */
export function giveUp(catalog: Catalog, { electors, lost }: RefoundReport, by: string): void {
  for (const id of electors) {
    if (catalog.ringRecord(id)?.place.value === 'missing') catalog.changeMember(id, { place: 'in' }, by);
  }
  for (const id of lost) catalog.changeMember(id, { place: 'removed' }, by);
}

function namesProblem(lost: readonly NodeId[], { catalog, electorate, isUp }: RefoundSituation): Failure | null {
  if (lost.length === 0) return failure('bad-request', 'name the members that are lost');
  const electors = electorate === null ? [] : electorsOf(electorate);
  const unknown = lost.find((id) => catalog.ringRecord(id) === undefined && !electors.some((one) => one.id === id));
  if (unknown !== undefined)
    return failure('member-not-found', `the ring knows no member ${unknown}; see GET /v1/ring`);
  const here = lost.find(isUp);
  if (here !== undefined) {
    return refusal(
      'member-reachable',
      `${here} can be reached from here: it is not lost; to give it up all the same, stop it first`,
    );
  }
  return null;
}

function needProblem(
  left: readonly Elector[],
  lost: readonly NodeId[],
  { refounding }: Electorate,
  { map, catalog, isUp }: RefoundSituation,
): Failure | null {
  if (left.length === 0) {
    return refusal('nobody-left', 'that is all who decide about strong buckets: one of them has to be left');
  }
  // A refounding that is not complete has no way back, and waits for each of those that are left.
  const isNeeded = refounding !== null || !map.shards.every((shard) => isQuorum(map.placement(shard), isUp));
  if (!isNeeded) {
    const message =
      'a majority of every shard can be reached from here and decides as ever; take the lost members out with `holdfast ring remove`';
    return refusal('majority-reachable', message);
  }
  const away = left.find(({ id }) => !isUp(id));
  if (away !== undefined) {
    const message = `${away.id} cannot be reached from here, and holds a part of what is left; start it, or name it as lost as well`;
    return refusal('member-unreachable', message);
  }
  const isOwner = left.some(({ id }) => ['in', 'missing'].includes(catalog.ringRecord(id)?.place.value ?? 'removed'));
  const isOtherIn = catalog.ringMembers.some(({ id, place }) => place === 'in' && !lost.includes(id));
  if (isOwner || isOtherIn) return null;
  return failure('last-member', 'nobody would be left in the ring; put one of the others in first');
}

function refused(reason: Reason, message: string): { readonly ok: false; readonly failure: Failure } {
  return { ok: false, failure: refusal(reason, message) };
}

function refusal(reason: Reason, message: string): Failure {
  return failure('refound-refused', message, { data: { reason } });
}
