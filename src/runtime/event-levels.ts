import type { LogLevel } from '../ports/log.ts';
import type { MemberState } from '../protocol/membership/member.ts';
import type { NodeEvent } from '../protocol/node/effect.ts';

/** Events of the protocol that are told in another form, or not at all. */
type Hidden = 'member-changed' | 'shard-complete' | 'shard-dropped';

export type EventName =
  | Exclude<NodeEvent['type'], Hidden>
  | `member-${MemberState}`
  | 'member-degraded'
  | 'member-healthy'
  | 'replicas-differ'
  | 'record-corrupt'
  | 'records-lost'
  | 'scrub-finished'
  | 'disk-full'
  | 'disk-writable';

/** How events are logged: what an operator has to know is a warning; an error, where data or writes are in danger. */
export const EVENT_LEVELS: Readonly<Record<EventName, LogLevel>> = {
  'member-alive': 'info',
  // Most are answered in a moment; those that are not become `member-dead`.
  'member-suspect': 'info',
  'member-dead': 'warn',
  'member-left': 'info',
  'replicas-differ': 'warn',
  'member-degraded': 'warn',
  'member-healthy': 'info',
  'leader-changed': 'info',
  'electorate-changed': 'info',
  'electorate-conflict': 'warn',
  'electorate-refounded': 'warn',
  'level-changed': 'warn',
  'uplink-up': 'info',
  'uplink-down': 'warn',
  'hub-unreachable': 'warn',
  'ring-changed': 'info',
  'catalog-lost': 'error',
  'bucket-created': 'info',
  'bucket-conflict': 'warn',
  'disk-rolled-back': 'error',
  'hint-dropped': 'warn',
  'clock-drift-refused': 'warn',
  'clock-wrong': 'warn',
  'clock-right': 'info',
  'record-corrupt': 'error',
  'records-lost': 'error',
  'scrub-finished': 'info',
  'object-lost': 'error',
  'disk-full': 'error',
  'disk-writable': 'info',
};
