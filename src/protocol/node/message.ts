import type { CatalogState } from '../catalog/record.ts';
import type { Entries } from '../causal/entry.ts';
import type { MembershipMessage } from '../membership/message.ts';
import type { ReplicationMessage } from '../replication/message.ts';

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

/** The buckets that clients of the sender watch: all of them, each time. */
export interface WatchMessage {
  readonly type: 'watch';
  readonly buckets: readonly string[];
}

/** A key that the receiver watches has changed at the sender. */
export interface ChangeMessage {
  readonly type: 'change';
  readonly bucket: string;
  readonly key: string;
  readonly entries: Entries;
}

/** "What does your clock show?" Goes along with what is sent anyway. */
export interface ClockAskMessage {
  readonly type: 'clock-ask';
  readonly id: number;
}

/** The sender's own wall clock, right or wrong. */
export interface ClockTellMessage {
  readonly type: 'clock-tell';
  readonly id: number;
  /** Unix ms. */
  readonly wallMs: number;
}

export type ClockExchange = ClockAskMessage | ClockTellMessage;
export type CatalogExchange = CatalogDigestMessage | CatalogMessage;
export type WatchExchange = WatchMessage | ChangeMessage;

/** Everything that nodes say to each other. */
export type PeerMessage = MembershipMessage | ReplicationMessage | CatalogExchange | WatchExchange | ClockExchange;
