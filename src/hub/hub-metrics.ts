import type { UplinkView } from '../ports/hub-handle.ts';
import type { Metric } from '../ports/metrics.ts';
import type { HubCounters } from './hub-counters.ts';

export interface HubSnapshot {
  readonly version: string;
  readonly name: string;
  readonly uptimeSeconds: number;
  readonly process: { readonly residentBytes: number; readonly cpuSeconds: number };
  /** Null: the store does not answer. */
  readonly sites:
    | readonly { readonly name: string; readonly connected: boolean; readonly seenSeconds: number | null }[]
    | null;
  readonly sessions: number;
  /** Null: there is no hub above. */
  readonly uplink: UplinkView | null;
  readonly traffic: { readonly sentBytes: number; readonly receivedBytes: number };
  readonly counters: HubCounters;
}

/** Every metric that a hub exposes. */
export function hubMetrics(snapshot: HubSnapshot): Metric[] {
  const { counters, traffic, process: used } = snapshot;
  const { version, name } = snapshot;
  return [
    {
      name: 'holdfast_hub_info',
      help: 'Version and name of this hub; always 1.',
      type: 'gauge',
      values: [{ labels: { version, name }, value: 1 }],
    },
    gauge('holdfast_hub_uptime_seconds', 'Time since the start of the process.', snapshot.uptimeSeconds),
    gauge('holdfast_hub_resident_memory_bytes', 'Resident memory of the process.', used.residentBytes),
    counter('holdfast_hub_cpu_seconds_total', 'Processor time used by the process.', used.cpuSeconds),
    gauge('holdfast_hub_store_up', '1 while the store answers.', snapshot.sites === null ? 0 : 1),
    ...siteMetrics(snapshot),
    gauge('holdfast_hub_sessions', 'Sessions of sites with this process.', snapshot.sessions),
    ...uplinkMetrics(snapshot.uplink),
    {
      name: 'holdfast_hub_requests_total',
      help: 'Requests of sites by type and outcome: done, refused, busy (to be repeated), dropped (with their session).',
      type: 'counter',
      values: counters.requests().map(({ type, outcome, count }) => ({ labels: { type, outcome }, value: count })),
    },
    counter('holdfast_hub_items_received_total', 'Copies of keys that sites have sent.', counters.items),
    counter(
      'holdfast_hub_conflicts_total',
      'Writes that were found to have lost against a concurrent one.',
      counters.conflicts,
    ),
    counter('holdfast_hub_writes_total', 'Writes of clients of this hub.', counters.writes),
    {
      name: 'holdfast_hub_bytes_total',
      help: 'Bytes on the wire of all sessions.',
      type: 'counter',
      values: [
        { labels: { direction: 'sent' }, value: traffic.sentBytes },
        { labels: { direction: 'received' }, value: traffic.receivedBytes },
      ],
    },
    {
      name: 'holdfast_hub_requests_refused_total',
      help: 'Requests over HTTP that were refused, by reason.',
      type: 'counter',
      values: [...counters.refusals()].map(([reason, value]) => ({ labels: { reason }, value })),
    },
  ];
}

function siteMetrics({ sites }: HubSnapshot): Metric[] {
  const known = sites ?? [];
  return [
    {
      name: 'holdfast_hub_sites',
      help: 'Sites of the store, by whether they have a session with this process.',
      type: 'gauge',
      values: [true, false].map((connected) => ({
        labels: { connected: String(connected) },
        value: known.filter((site) => site.connected === connected).length,
      })),
    },
    {
      name: 'holdfast_hub_site_seen_seconds',
      help: 'Time since a site was last connected to any hub of the store, to within a minute; 0 while it is to this one.',
      type: 'gauge',
      values: known.flatMap(({ name, seenSeconds }) =>
        seenSeconds === null ? [] : [{ labels: { site: name }, value: seenSeconds }],
      ),
    },
  ];
}

/** As of a node: all 0 where there is no hub above. */
function uplinkMetrics(uplink: UplinkView | null): Metric[] {
  const flag = (isSo: boolean | undefined): number => (isSo === true ? 1 : 0);
  return [
    gauge(
      'holdfast_uplink_connected',
      '1 while every site has its session with the hub above.',
      flag(uplink?.connected),
    ),
    gauge('holdfast_uplink_carrying', '1 while this process has a session with it.', flag(uplink?.carrying)),
    gauge(
      'holdfast_uplink_backlog_events',
      'Writes and deletes here that the hub above is not known to count.',
      uplink?.backlog.events ?? 0,
    ),
    gauge(
      'holdfast_uplink_backlog_oldest_seconds',
      'For how long the oldest of them has been known to be missing there (RPO).',
      uplink?.backlog.oldestSeconds ?? 0,
    ),
  ];
}

function gauge(name: string, help: string, value: number): Metric {
  return { name, help, type: 'gauge', values: [{ value }] };
}

function counter(name: string, help: string, value: number): Metric {
  return { name, help, type: 'counter', values: [{ value }] };
}
