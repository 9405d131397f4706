import type { CausalContext } from '../causal/context.ts';
import type { HubReply, HubRequest } from './message.ts';

/** What nodes of one island say to each other about their way to the hub. */

/** The sender has a session with the hub, and passes on what others want to say there. */
export interface UplinkStateMessage {
  readonly type: 'uplink-state';
  /** Names the session; 0: there is none. */
  readonly session: number;
}

export interface UplinkRequestMessage {
  readonly type: 'uplink-request';
  readonly id: number;
  /** Goes before what is not. */
  readonly urgent: boolean;
  readonly request: HubRequest;
}

export interface UplinkReplyMessage {
  readonly type: 'uplink-reply';
  readonly id: number;
  /** Null: there will be none. */
  readonly reply: HubReply | null;
}

/** The hub has written in these shards. */
export interface UplinkNewsMessage {
  readonly type: 'uplink-news';
  readonly shards: readonly number[];
}

/** The leader cannot reach the hub: the receiver may try, for a while. */
export interface UplinkCarryMessage {
  readonly type: 'uplink-carry';
}

/** What the hub is known to count of shards that the receiver owns as well. */
export interface UplinkCoversMessage {
  readonly type: 'uplink-covers';
  readonly covers: readonly { readonly shard: number; readonly context: CausalContext }[];
}

/** What the hub lacks of what the sender answers for: to the leader. */
export interface UplinkBacklogMessage {
  readonly type: 'uplink-backlog';
  readonly events: number;
  readonly oldestMs: number;
}

/** The answer: what it lacks of what all members answer for, as far as they have told. */
export interface UplinkTotalsMessage {
  readonly type: 'uplink-totals';
  readonly events: number;
  readonly oldestMs: number;
}

export type UplinkMessage =
  | UplinkStateMessage
  | UplinkRequestMessage
  | UplinkReplyMessage
  | UplinkNewsMessage
  | UplinkCarryMessage
  | UplinkCoversMessage
  | UplinkBacklogMessage
  | UplinkTotalsMessage;

const TYPES: ReadonlySet<string> = new Set<UplinkMessage['type']>([
  'uplink-state',
  'uplink-request',
  'uplink-reply',
  'uplink-news',
  'uplink-carry',
  'uplink-covers',
  'uplink-backlog',
  'uplink-totals',
]);

export function isUplinkMessage(message: { readonly type: string }): message is UplinkMessage {
  return TYPES.has(message.type);
}
