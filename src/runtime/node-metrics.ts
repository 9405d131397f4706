import type { Metric } from '../ports/metrics.ts';
import type { LeaderView, NodeStatus } from '../ports/node-handle.ts';
import type { Component } from '../protocol/island/components.ts';
import { isDegraded, type Member } from '../protocol/membership/member.ts';
import type { MembershipStats } from '../protocol/membership/membership.ts';
import type { ClockState } from '../protocol/node/cluster-clock.ts';
import type { UplinkState } from '../protocol/node/uplink-service.ts';
import { zeroCounters } from '../protocol/register/counters.ts';
import type { RegisterStats } from '../protocol/register/registers.ts';
import type { ReplicationStats } from '../protocol/replication/replication.ts';
import type { DiskCareCounters } from './disk-care.ts';
import type { DriverCounters } from './driver.ts';
import type { FrameBatcher } from './frame-batcher.ts';
import type { PubSubCounters } from './gossip-pub-sub.ts';

export interface MetricsSnapshot {
  readonly version: string;
  readonly name: string;
  readonly uptimeSeconds: number;
  readonly members: readonly Member[];
  readonly membership: MembershipStats;
  readonly ringEpoch: number;
  readonly leader: LeaderView;
  readonly level: NodeStatus['level'];
  readonly components: readonly Component[];
  readonly clock: ClockState;
  readonly replication: ReplicationStats;
  /** Null: there is no hub. */
  readonly uplink: UplinkState | null;
  /** Null: this node has no part in strong buckets. */
  readonly registers: RegisterStats | null;
  readonly disk: { readonly usedBytes: number; readonly freeBytes: number; readonly readOnly: boolean };
  readonly driver: Readonly<DriverCounters>;
  readonly sent: FrameBatcher['sent'];
  readonly transport: Readonly<Record<string, number>>;
  readonly refusals: ReadonlyMap<string, number>;
  readonly care: DiskCareCounters;
  readonly pubSub: Readonly<PubSubCounters>;
  readonly process: { readonly residentBytes: number; readonly cpuSeconds: number };
}

/** Every metric that a node exposes. */
export function nodeMetrics(snapshot: MetricsSnapshot): Metric[] {
  const { disk, driver, care } = snapshot;
  return [
    {
      name: 'holdfast_info',
      help: 'Version and name of this node; always 1.',
      type: 'gauge',
      values: [{ labels: { version: snapshot.version, name: snapshot.name }, value: 1 }],
    },
    gauge('holdfast_uptime_seconds', 'Time since the start of the process.', snapshot.uptimeSeconds),
    gauge('holdfast_resident_memory_bytes', 'Resident memory of the process.', snapshot.process.residentBytes),
    counter('holdfast_cpu_seconds_total', 'Processor time used by the process.', snapshot.process.cpuSeconds),
    ...membershipMetrics(snapshot),
    gauge('holdfast_ring_epoch', 'Number of ring changes.', snapshot.ringEpoch),
    ...leaderMetrics(snapshot),
    ...replicationMetrics(snapshot.replication),
    ...uplinkMetrics(snapshot.uplink),
    ...registerMetrics(snapshot.registers),
    ...clockMetrics(snapshot),
    gauge('holdfast_cache_bytes', 'Memory of cached objects.', snapshot.replication.cache.bytes),
    gauge('holdfast_disk_used_bytes', 'Size of the data directory.', disk.usedBytes),
    gauge('holdfast_disk_free_bytes', 'Free space of its file system.', disk.freeBytes),
    gauge('holdfast_disk_read_only', '1 while writes are refused for lack of space.', disk.readOnly ? 1 : 0),
    counter('holdfast_corrupt_records_total', 'Records that failed their checksum and were set aside.', care.corrupt),
    counter('holdfast_scrub_records_total', 'Records that the scrubber has read.', care.records),
    counter('holdfast_scrub_bytes_total', 'Their size.', care.bytes),
    counter('holdfast_scrub_passes_total', 'Passes over all records that it has ended.', care.passes),
    gauge(
      'holdfast_scrub_last_pass_timestamp_seconds',
      'When it last ended one; 0: never yet.',
      Math.round(care.lastEndedMs / 1000),
    ),
    {
      name: 'holdfast_publications_total',
      help: 'Messages of pub/sub: sent to and received from other nodes, dropped on the way out, refused.',
      type: 'counter',
      values: Object.entries(snapshot.pubSub).map(([what, value]) => ({ labels: { what }, value })),
    },
    counter('holdfast_turns_total', 'Turns of the node.', driver.turns),
    counter('holdfast_inputs_total', 'Inputs processed.', driver.inputs),
    counter(
      'holdfast_messages_oversized_total',
      'Messages to peers dropped because no frame can hold them.',
      driver.messagesOversized,
    ),
    {
      name: 'holdfast_messages_sent_total',
      help: 'Messages sent to other nodes, by type.',
      type: 'counter',
      values: [...snapshot.sent].map(([message, { messages }]) => ({ labels: { message }, value: messages })),
    },
    {
      name: 'holdfast_message_bytes_sent_total',
      help: 'Their size, before framing and encryption.',
      type: 'counter',
      values: [...snapshot.sent].map(([message, { bytes }]) => ({ labels: { message }, value: bytes })),
    },
    counter('holdfast_frames_refused_total', 'Frames of peers that could not be decoded.', driver.framesRefused),
    {
      name: 'holdfast_requests_refused_total',
      help: 'Requests refused, by listener and reason.',
      type: 'counter',
      values: [...snapshot.refusals].map(([key, value]) => {
        const [listener = '', reason = ''] = key.split(' ');
        return { labels: { listener, reason }, value };
      }),
    },
    {
      name: 'holdfast_transport_total',
      help: 'Counters of the transport: frames, bytes, drops, refusals.',
      type: 'counter',
      values: Object.entries(snapshot.transport).map(([what, value]) => ({ labels: { what }, value })),
    },
  ];
}

/** All 0 where there is no hub. */
function uplinkMetrics(uplink: UplinkState | null): Metric[] {
  const flag = (isSo: boolean | undefined): number => (isSo === true ? 1 : 0);
  return [
    gauge(
      'holdfast_uplink_connected',
      '1 while a member of this island has a session with the hub.',
      flag(uplink?.isUp),
    ),
    gauge('holdfast_uplink_carrying', '1 while this node has it.', flag(uplink?.isCarrying)),
    gauge(
      'holdfast_uplink_backlog_events',
      'Writes and deletes of the shards that this node answers for, which the hub is not known to count.',
      uplink?.own.events ?? 0,
    ),
    gauge(
      'holdfast_uplink_backlog_oldest_seconds',
      'For how long the oldest of them has been known to be missing at the hub (RPO).',
      (uplink?.own.oldestMs ?? 0) / 1000,
    ),
  ];
}

function leaderMetrics({ leader, level, components }: MetricsSnapshot): Metric[] {
  return [
    gauge('holdfast_leader', '1 while this node leads.', leader.self ? 1 : 0),
    gauge('holdfast_leader_known', '1 while this node knows of a leader.', leader.leader === null ? 0 : 1),
    gauge('holdfast_leader_quorate', '1 while that leader has a majority of the ring.', leader.quorate ? 1 : 0),
    gauge('holdfast_leader_term', 'Term of the present leader or the last one.', leader.term),
    gauge('holdfast_leader_lease_seconds', 'For how long its lease lasts yet.', leader.leaseRemainingMs / 1000),
    {
      name: 'holdfast_service_level',
      help: '1 for the level of service that this node is at.',
      type: 'gauge',
      values: (['connected', 'degraded', 'island'] as const).map((each) => ({
        labels: { level: each },
        value: each === level ? 1 : 0,
      })),
    },
    gauge(
      'holdfast_components',
      'Parts of the ring as this node sees them: its own, and each set of members that it lost together.',
      components.length,
    ),
    gauge(
      'holdfast_component_members',
      "Members of this node's own part, itself included.",
      components[0]?.members.length ?? 0,
    ),
  ];
}

function replicationMetrics({ shards, hints, counters, inFlight }: ReplicationStats): Metric[] {
  return [
    gauge('holdfast_shards_owned', 'Shards of which this node is an owner.', shards.owned),
    gauge('holdfast_shards_complete', 'Owned shards whose replica here is complete.', shards.complete),
    gauge('holdfast_shards_transferring', 'Shards on their way in or out.', shards.transferring),
    gauge('holdfast_shards_behind', 'Owned shards of which another owner has, or may have, more.', shards.behind),
    gauge('holdfast_hint_records', 'Writes kept here for owners that are away.', hints.records),
    gauge('holdfast_hint_bytes', 'Size of those writes.', hints.bytes),
    counter('holdfast_hints_dropped_total', 'Hints that did not fit; anti-entropy covers them.', hints.dropped),
    counter('holdfast_hints_delivered_total', 'Hints confirmed by their owners.', counters.hintsDelivered),
    counter('holdfast_writes_total', 'Writes coordinated here.', counters.writes),
    counter(
      'holdfast_writes_sloppy_total',
      'Of those, acknowledged with the help of fallbacks.',
      counters.writesSloppy,
    ),
    counter('holdfast_writes_failed_total', 'Of those, short of their level.', counters.writesFailed),
    counter('holdfast_reads_total', 'Reads coordinated here.', counters.reads),
    counter('holdfast_reads_incomplete_total', 'Of those, answered by too few owners.', counters.readsIncomplete),
    counter('holdfast_read_repairs_total', 'Reads that found replicas differ and repaired them.', counters.readRepairs),
    counter('holdfast_forwards_total', 'Requests handed to an owner of the key.', counters.forwards),
    gauge('holdfast_requests_in_flight', 'Requests being served.', inFlight),
    counter('holdfast_sync_rounds_total', 'Anti-entropy rounds begun.', counters.syncRounds),
    counter(
      'holdfast_sync_comparisons_total',
      'Shards compared key by key with another replica.',
      counters.comparisons,
    ),
    counter(
      'holdfast_index_rows_stripped_total',
      'Rows of the dot index deleted because every owner covers their events.',
      counters.indexRowsStripped,
    ),
    counter('holdfast_sync_objects_sent_total', 'Objects sent by anti-entropy.', counters.syncObjectsSent),
    counter('holdfast_sync_objects_received_total', 'Objects received by anti-entropy.', counters.syncObjectsReceived),
    counter('holdfast_expired_total', 'Expired values removed for good.', counters.expired),
    counter(
      'holdfast_conflicts_total',
      'Writes that lost against concurrent ones, as replicas here have noticed.',
      counters.conflicts,
    ),
  ];
}

/** Of strong keys. */
export function registerMetrics(stats: RegisterStats | null): Metric[] {
  const counters: RegisterStats['counters'] = stats?.counters ?? zeroCounters();
  return [
    gauge('holdfast_register_requests_in_flight', 'Requests about strong keys being served.', stats?.inFlight ?? 0),
    gauge('holdfast_register_keys_busy', 'Strong keys of which this node runs a read or a change.', stats?.keys ?? 0),
    gauge(
      'holdfast_register_keys_led',
      'Strong keys whose next change takes this node one round trip.',
      stats?.leads ?? 0,
    ),
    gauge('holdfast_register_cache_bytes', 'Memory of cached rows of strong keys.', stats?.cache.bytes ?? 0),
    gauge(
      'holdfast_register_takeovers_pending',
      'Shards of strong keys that this node has yet to copy from the acceptors before it.',
      stats?.takeovers ?? 0,
    ),
    gauge(
      'holdfast_register_deletes_pending',
      'Deleted strong keys that wait to be forgotten.',
      stats?.collectable ?? 0,
    ),
    counter('holdfast_register_fast_rounds_total', 'Changes that took one round trip.', counters.fastRounds),
    counter(
      'holdfast_register_full_rounds_total',
      'Changes and reads that needed prepare and accept.',
      counters.fullRounds,
    ),
    counter('holdfast_register_fast_reads_total', 'Reads answered in one round trip.', counters.fastReads),
    counter(
      'holdfast_register_contentions_total',
      'Rounds begun anew because another node had the same key in hand.',
      counters.contentions,
    ),
    counter('holdfast_register_forwards_total', 'Requests handed to an acceptor of the key.', counters.forwards),
    counter(
      'holdfast_register_unknown_outcomes_total',
      'Changes that may have taken effect or not when they were given up.',
      counters.unknownOutcomes,
    ),
    counter('holdfast_register_erased_total', 'Deleted keys forgotten here.', counters.erased),
    counter('holdfast_register_copied_rows_total', 'Rows taken over from other acceptors.', counters.copiedRows),
    counter(
      'holdfast_register_messages_dropped_total',
      'Messages about strong keys dropped because too much was waiting.',
      counters.dropped,
    ),
  ];
}

function clockMetrics({ clock, replication: { counters } }: MetricsSnapshot): Metric[] {
  return [
    counter('holdfast_clock_drift_refused_total', 'Writes refused for a clock too far ahead.', counters.driftRefused),
    counter(
      'holdfast_restamped_total',
      'Keys whose stamps were marked because a wrong clock had made them.',
      counters.restamped,
    ),
    gauge(
      'holdfast_clock_offset_seconds',
      "The cluster's time minus this machine's, where a majority says that its clock is wrong; else 0.",
      clock.correctionMs / 1000,
    ),
    gauge(
      'holdfast_clock_confirmed',
      '1 where enough other nodes agree on the time that this node works with.',
      clock.doubtfulSinceMs === null ? 1 : 0,
    ),
  ];
}

function membershipMetrics({ members, membership }: MetricsSnapshot): Metric[] {
  const states = { alive: 0, suspect: 0, dead: 0, left: 0 };
  for (const member of members) states[member.state]++;
  return [
    {
      name: 'holdfast_members',
      help: "Members by state, in this node's view.",
      type: 'gauge',
      values: Object.entries(states).map(([state, value]) => ({ labels: { state }, value })),
    },
    gauge(
      'holdfast_members_degraded',
      'Living members that answer late, with losses or with errors.',
      members.filter(isDegraded).length,
    ),
    gauge(
      'holdfast_local_health',
      'How far this node distrusts its own view of time: 0 is well, 8 is worst.',
      membership.localHealth,
    ),
    counter(
      'holdfast_claims_refused_total',
      'Claims about members that their author had not signed.',
      membership.forgedClaims,
    ),
  ];
}

function gauge(name: string, help: string, value: number): Metric {
  return { name, help, type: 'gauge', values: [{ value }] };
}

function counter(name: string, help: string, value: number): Metric {
  return { name, help, type: 'counter', values: [{ value }] };
}
