import type { CatalogState } from '../catalog/record.ts';
import type { CausalContext } from '../causal/context.ts';
import type { Entries } from '../causal/entry.ts';
import type { ElectionMessage } from '../election/message.ts';
import type { ElectorateMessage } from '../electorate/message.ts';
import type { MembershipMessage } from '../membership/message.ts';
import type { RegisterMessage } from '../register/message.ts';
import type { ReplicationMessage } from '../replication/message.ts';
import type { UplinkMessage } from '../uplink/relay.ts';

/** "My catalog has this digest": a peer with another one answers with its catalog. */
export interface CatalogDigestMessage {
  readonly type: 'catalog-digest';
  readonly digest: number;
}

/** The sender's whole catalog; with `reply` the receiver answers with what it knows better. */
export interface CatalogMessage {
  readonly type: 'catalog';
  readonly state: CatalogState;
  readonly reply: boolean;
}

/** The buckets that clients of the sender watch: all of them, each time. Answered by `watching` with the same number. */
export interface WatchMessage {
  readonly type: 'watch';
  readonly id: number;
  readonly buckets: readonly string[];
}

/** All that the sender had applied when it was asked is synced; of what it applies from then on, it tells. */
export interface WatchingMessage {
  readonly type: 'watching';
  readonly id: number;
  /** Names the run of the sender's process. */
  readonly run: number;
  /** How often in this run it has noticed that its disk was an older copy. */
  readonly rollbacks: number;
  /** The number of its last announcement. */
  readonly seq: number;
}

/** A key that the receiver watches has changed at the sender. */
export interface ChangeMessage {
  readonly type: 'change';
  /** Counts the sender's announcements to the receiver. */
  readonly seq: number;
  readonly bucket: string;
  readonly key: string;
  readonly entries: Entries;
  /** The events whose effects the entries show. */
  readonly context: CausalContext;
  /** Further dots of the key that are known to be superseded; null: none. */
  readonly past: CausalContext | null;
}

/** "What does your clock show?" Goes along with what is sent anyway. */
export interface ClockAskMessage {
  readonly type: 'clock-ask';
  readonly id: number;
}

/** The sender's own wall clock, where it goes by that. */
export interface ClockTellMessage {
  readonly type: 'clock-tell';
  readonly id: number;
  /** Unix ms; null where the sender itself does not go by its clock, or has yet to find out. */
  readonly wallMs: number | null;
}

export type ClockExchange = ClockAskMessage | ClockTellMessage;
export type CatalogExchange = CatalogDigestMessage | CatalogMessage;
export type WatchExchange = WatchMessage | WatchingMessage | ChangeMessage;

/** Everything that nodes say to each other. */
export type PeerMessage =
  | MembershipMessage
  | ElectionMessage
  | ReplicationMessage
  | RegisterMessage
  | ElectorateMessage
  | UplinkMessage
  | CatalogExchange
  | WatchExchange
  | ClockExchange;
