import type { NodeConfig } from '../config/node-config.ts';
import { classOf } from '../lib/bucket-name.ts';
import { failure, HoldfastError } from '../lib/failure.ts';
import { isPlausible } from '../lib/hlc.ts';
import { roundedSeconds } from '../lib/seconds.ts';
import type {
  BucketView,
  ComponentMemberView,
  ComponentView,
  ConflictsView,
  ElectorateView,
  HubBacklog,
  HubView,
  IslandsView,
  LeaderView,
  LocateView,
  MemberView,
  NodeStatus,
  PlacementView,
  RefoundView,
  RingMemberView,
  RingView,
  WriteView,
} from '../ports/node-handle.ts';
import type { BucketRecord } from '../protocol/catalog/record.ts';
import { electorsOf } from '../protocol/electorate/electorate.ts';
import type { Component, ComponentMember } from '../protocol/island/components.ts';
import type { Instant, NodeId } from '../protocol/machine.ts';
import type { Member } from '../protocol/membership/member.ts';
import type { ClockState } from '../protocol/node/cluster-clock.ts';
import type { Node } from '../protocol/node/node.ts';
import type { RefoundOutcome } from '../protocol/node/refounding.ts';
import { siteActors } from '../protocol/node/site-actors.ts';
import type { UplinkState } from '../protocol/node/uplink-service.ts';
import type { ConflictWrite } from '../protocol/replication/record.ts';
import type { ConflictsReply } from '../protocol/replication/request.ts';
import { shardNumberOf } from '../protocol/ring/shard.ts';
import type { Backlog } from '../protocol/uplink/reconciler.ts';

/** The cluster's parts as interfaces show them. */

/** Who wrote what a client of a hub has written. */
const BY_HUB = 'hub';

/** All members in the order of the membership. */
export function memberViews(node: Node, self: NodeId): MemberView[] {
  const zones = new Map(node.ringPlaces.map(({ id, zone }) => [id, zone]));
  return node.members().map((member) => {
    const { id, profile } = member;
    const zone = zones.get(id) ?? profile.zone;
    return memberView(member, { self: id === self, estimatedRttMs: node.estimatedRttMs(id), zone });
  });
}

interface MemberAbout {
  readonly self: boolean;
  readonly estimatedRttMs: number | null;
  /** The one that counts for placement. */
  readonly zone: string;
}

function memberView(member: Member, { self, estimatedRttMs, zone }: MemberAbout): MemberView {
  const { profile } = member;
  const rttMs = self ? null : (member.rttMs ?? estimatedRttMs);
  return {
    name: profile.name,
    peerId: member.id,
    state: member.state,
    health: member.health,
    incarnation: member.incarnation,
    zone,
    ownZone: profile.zone,
    labels: profile.labels,
    addresses: profile.addresses,
    score: Math.round(profile.score * 1000) / 1000,
    rttMs: rttMs === null ? null : Math.round(rttMs * 100) / 100,
    rttEstimated: rttMs !== null && member.rttMs === null,
    missedProbes: member.missedProbes,
    errorRate: Math.round(member.errorRate * 1000) / 1000,
    // An entry of the address book that was not heard of yet has no time, nor has what a clock that was never set has seen.
    since: isPlausible(member.sinceMs) ? new Date(member.sinceMs).toISOString() : null,
    self,
  };
}

/** `clusterReplicas`: of buckets that do not say. */
export function bucketView(record: BucketRecord, clusterReplicas: number): BucketView {
  const { name, consistency, conflict, replicas, preferredZones, sync, ttlSeconds, island } = record;
  const settings = { name, consistency, conflict, replicas: replicas ?? clusterReplicas, preferredZones, sync };
  return { ...settings, ttlSeconds, island };
}

export function clockView({ correctionMs, doubtfulSinceMs }: ClockState): NodeStatus['clock'] {
  return { offsetMs: correctionMs === 0 ? 0 : Math.round(-correctionMs), confirmed: doubtfulSinceMs === null };
}

/** A member's name; its id while nothing else is known of it. */
export function nameOf(node: Node, id: NodeId): string {
  return node.member(id)?.profile.name ?? id;
}

export function leaderView(node: Node, self: NodeId, now: Instant): LeaderView {
  const leadership = node.leadership(now);
  if (leadership === null) {
    const none = { leader: null, peerId: null, self: false, quorate: false, fencingToken: null };
    return { ...none, term: node.term, leaseRemainingMs: 0, votes: 0, view: 0 };
  }
  const { leader, term, quorate, remainingMs, votes, view } = leadership;
  return {
    leader: nameOf(node, leader),
    peerId: leader,
    self: leader === self,
    term,
    quorate,
    leaseRemainingMs: Math.floor(remainingMs),
    fencingToken: term,
    votes,
    view,
  };
}

/** The time of people at an instant of the monotonic clock; null where theirs was never set. */
export function timeAt(monoMs: number | null, now: Instant): string | null {
  if (monoMs === null) return null;
  const wallMs = now.wallMs - (now.monoMs - monoMs);
  return isPlausible(wallMs) ? new Date(wallMs).toISOString() : null;
}

/** Null where there is no hub. */
export function hubView(
  state: UplinkState | null,
  conflicts: number,
  { hub: address, hubToken }: Pick<NodeConfig, 'hub' | 'hubToken'>,
): HubView | null {
  if (state === null || address === null || hubToken === null) return null;
  const { isUp, isCarrying, own, all, syncedMs, problem } = state;
  return {
    address,
    site: hubToken.site,
    connected: isUp,
    carrying: isCarrying,
    problem,
    backlog: backlogView(own),
    islandBacklog: backlogView(all),
    lastSyncAt: syncedMs === null || !isPlausible(syncedMs) ? null : new Date(syncedMs).toISOString(),
    conflicts,
  };
}

export function conflictsView(node: Node, { rows, more, missing }: ConflictsReply): ConflictsView {
  const names = new Map(siteActors(node.catalog, node.members()).map(({ actor, name }) => [actor, name]));
  const shown = new Map(node.buckets.map(({ name }) => [node.dataName(name) ?? name, name]));
  const writeView = ({ entry, bytes, byHub }: ConflictWrite): WriteView => {
    const isLeftOut = entry.payload.kind === 'register' && entry.payload.value.length < bytes;
    const { actor } = entry.dot;
    return { entry, by: names.get(actor) ?? (byHub ? BY_HUB : actor), leftOutBytes: isLeftOut ? bytes : null };
  };
  return {
    conflicts: rows.map(({ key: loserKey, record: { name, winner, loser, atMs } }) => ({
      loserKey,
      bucket: shown.get(name.bucket) ?? name.bucket,
      key: name.key,
      winner: writeView(winner),
      loser: writeView(loser),
      atMs,
    })),
    more,
    missing: missing.map((id) => nameOf(node, id)).toSorted(),
  };
}

function backlogView({ events, oldestMs }: Backlog): HubBacklog {
  return { events, oldestSeconds: roundedSeconds(oldestMs) };
}

export function islandsView(node: Node, self: NodeId, now: Instant): IslandsView {
  const { level, sinceMs } = node.level;
  const leader = leaderView(node, self, now);
  const components = node.components().map((component) => componentView(node, component, leader, now));
  return { level, levelSince: timeAt(sinceMs, now), components };
}

function componentView(node: Node, component: Component, own: LeaderView, now: Instant): ComponentView {
  const { isOwn, sinceMs } = component;
  const members = component.members.map((member) => componentMemberView(node, member, now));
  const { leader, term, quorate } = isOwn ? own : { leader: null, term: null, quorate: null };
  return { self: isOwn, members, leader, term, quorate, since: timeAt(sinceMs, now) };
}

function componentMemberView(node: Node, { id, sinceMs }: ComponentMember, now: Instant): ComponentMemberView {
  return {
    name: nameOf(node, id),
    peerId: id,
    state: node.member(id)?.state ?? null,
    place: node.ringPlaces.find((place) => place.id === id)?.place ?? 'removed',
    since: timeAt(sinceMs, now),
  };
}

/** Throws what it was refused for. */
export function refoundView(node: Node, outcome: RefoundOutcome, dryRun: boolean): RefoundView {
  if (!outcome.ok) {
    const { failure: reason } = outcome;
    const message = node.ringPlaces.reduce(
      (text, { id }) => text.replaceAll(id, () => nameOf(node, id)),
      reason.message,
    );
    throw new HoldfastError({ ...reason, message });
  }
  const { epoch, electors, lost, shards, atRisk, emptied } = outcome.report;
  const namesOf = (ids: readonly NodeId[]): string[] => ids.map((id) => nameOf(node, id));
  return { dryRun, epoch, electors: namesOf(electors), lost: namesOf(lost), shards, atRisk, emptied };
}

function ringMemberViews(node: Node): RingMemberView[] {
  return node.ringPlaces.map(({ id, in: isIn, place, weight, zone }) => ({
    name: nameOf(node, id),
    peerId: id,
    state: node.member(id)?.state ?? null,
    in: isIn,
    place,
    weight,
    zone,
    shards: node.ring.shardsOf(id).length,
  }));
}

export function ringView(node: Node, changing: RingView['changing']): RingView {
  const { shards, replicas } = node.ring;
  const members = ringMemberViews(node);
  const electorate = electorateView(node);
  return { epoch: node.ringEpoch, shards, replicas, members, changing, electorate, placements: placementViews(node) };
}

function electorateView(node: Node): ElectorateView | null {
  const { electorate } = node.deciders;
  if (electorate === null) return null;
  const names = (electors: readonly { readonly id: NodeId }[]): string[] => electors.map(({ id }) => nameOf(node, id));
  const { epoch, electors, previous, refounding } = electorate;
  const before = refounding === null ? previous : electorsOf(refounding.before);
  return { epoch, electors: names(electors), previous: before === null ? null : names(before) };
}

/** In the order of their classes. */
function placementViews(node: Node): PlacementView[] {
  const named = node.buckets.map(({ name }) => ({ name, shardClass: classOf(node.dataName(name) ?? name) }));
  return node.placementClasses.map(({ number, replicas, preferredZones }) => ({
    replicas,
    preferredZones,
    buckets: named.filter(({ shardClass }) => shardClass === number).map(({ name }) => name),
    members: node.ringPlaces
      .filter((place) => place.in)
      .map(({ id }) => ({
        name: nameOf(node, id),
        peerId: id,
        shards: node.placements.ringOf(number)?.shardsOf(id).length ?? 0,
      })),
  }));
}

export function locateView(node: Node, bucket: string, key: string): LocateView {
  const { placements } = node;
  const names = (ids: readonly NodeId[]): string[] => ids.map((id) => nameOf(node, id));
  const acceptors = node.bucket(bucket)?.consistency === 'strong' ? node.deciders.strong.acceptorsOf(bucket, key) : [];
  const shard = placements.shardOf(node.dataName(bucket) ?? bucket, key);
  const owners = placements.owners(shard);
  const fallbacks = placements.preference(shard).slice(owners.length);
  // Strong keys have no fallbacks: who is no acceptor has no say.
  if (acceptors.length > 0) return { shard: shardNumberOf(shard), owners: names(acceptors), fallbacks: [] };
  return { shard: shardNumberOf(shard), owners: names(owners), fallbacks: names(fallbacks) };
}

/** The ring's member of this name or peer id. Throws `member-not-found`, or `bad-request` where a name is not clear. */
export function findRingMember(node: Node, nameOrId: string): RingMemberView {
  const members = ringMemberViews(node);
  const all = members.filter(({ name }) => name === nameOrId);
  // A device that lost its disk comes back under its old name, and its former self is removed.
  const present = all.filter(({ place }) => place !== 'removed');
  const named = present.length > 0 ? present : all;
  const found = members.find(({ peerId }) => peerId === nameOrId) ?? named[0];
  if (found === undefined) {
    const message = `the ring has no member ${nameOrId}; GET /v1/ring lists names and peer ids`;
    throw new HoldfastError(failure('member-not-found', message));
  }
  if (found.peerId === nameOrId || named.length === 1) return found;
  const message = `${named.length} members are named ${nameOrId}; use a peer id, which GET /v1/ring and holdfast ring --json list`;
  throw new HoldfastError(failure('bad-request', message));
}
