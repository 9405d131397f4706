import type { Failure } from '../../lib/failure.ts';
import type { BucketConfig, BucketRecord, CatalogState } from '../catalog/record.ts';
import type { RingChange } from '../catalog/ring-record.ts';
import type { Entries } from '../causal/entry.ts';
import type { ElectionEffect, ElectionEvent, ElectionInput } from '../election/effect.ts';
import type { LevelEvent } from '../island/island.ts';
import type { NodeId } from '../machine.ts';
import type { DialFailure } from '../membership/input.ts';
import type { Member, MemberProfile, MemberState } from '../membership/member.ts';
import type { RegisterEffect, RegisterInput } from '../register/effect.ts';
import type { ReplicationEffect, ReplicationEvent, ReplicationInput } from '../replication/effect.ts';
import type { HubLinkEffect, HubLinkInput } from '../uplink/link.ts';
import type { PeerMessage } from './message.ts';
import type { RefoundCommand, RefoundOutcome } from './refounding.ts';
import type { NodeReply, NodeRequest } from './request.ts';
import type { RingDifference } from './ring-difference.ts';
import type { ElectorateEvent, StrongEffect } from './strong-keys.ts';
import type { UplinkEvent } from './uplink-effect.ts';

/** What the disk says of registers. */
type RegisterDiskInput = Extract<
  RegisterInput,
  {
    readonly type:
      | 'register-persisted'
      | 'register-read-done'
      | 'register-scan-done'
      | 'register-tombstones'
      | 'register-lost';
  }
>;

/** What happened, as the node is told. */
export type NodeInput =
  | Exclude<ReplicationInput, { readonly type: 'request' | 'message' | 'peer-up' | 'peer-down' | 'clock-trust' }>
  | RegisterDiskInput
  | HubLinkInput
  | { readonly type: 'electorate-persisted'; readonly id: number }
  | { readonly type: 'request'; readonly id: number; readonly request: NodeRequest }
  | { readonly type: 'message'; readonly from: NodeId; readonly message: PeerMessage }
  | { readonly type: 'connected'; readonly peer: NodeId }
  | { readonly type: 'disconnected'; readonly peer: NodeId }
  | { readonly type: 'dial-failed'; readonly peer: NodeId; readonly reason: DialFailure }
  | Extract<ElectionInput, { readonly type: 'vote-persisted' | 'fence' }>
  | { readonly type: 'incarnation-persisted'; readonly incarnation: number }
  | { readonly type: 'put-bucket'; readonly id: number; readonly name: string; readonly config: BucketConfig }
  /** An operator's command about a member's place in the ring. `by`: who asks, for people. */
  | {
      readonly type: 'change-ring';
      readonly id: number;
      readonly member: NodeId;
      readonly change: RingChange;
      readonly by: string;
    }
  /** An operator's command: a majority of the electorate is lost for good. */
  | { readonly type: 'refound'; readonly id: number; readonly command: RefoundCommand }
  /** Clients of this node watch these buckets now: all of them, each time. */
  | { readonly type: 'watch'; readonly buckets: readonly string[] }
  | { readonly type: 'lag'; readonly lagMs: number }
  | { readonly type: 'update-profile'; readonly patch: Partial<MemberProfile> }
  | { readonly type: 'leave' };

/** What the driver is to do, in order. */
export type NodeEffect =
  | Exclude<ReplicationEffect, { readonly type: 'send' | 'reply' | 'changed' | 'notify' }>
  /** Confirmed by `electorate-persisted` once it is synced. */
  | Extract<StrongEffect, { readonly type: 'persist-electorate' }>
  | HubLinkEffect
  | Extract<RegisterEffect, { readonly type: 'register-persist' | 'register-read' | 'register-scan' }>
  | { readonly type: 'reply'; readonly id: number; readonly reply: NodeReply }
  | { readonly type: 'send'; readonly to: NodeId; readonly message: PeerMessage }
  | { readonly type: 'dial'; readonly peer: NodeId; readonly addresses: readonly string[] }
  | { readonly type: 'disconnect'; readonly peer: NodeId }
  | { readonly type: 'misbehaviour'; readonly peer: NodeId; readonly reason: string }
  | Extract<ElectionEffect, { readonly type: 'persist-vote' | 'fence-reply' }>
  | { readonly type: 'persist-incarnation'; readonly incarnation: number }
  | { readonly type: 'persist-catalog'; readonly state: CatalogState }
  | { readonly type: 'persist-member'; readonly member: Member }
  | { readonly type: 'forget-member'; readonly peer: NodeId }
  | { readonly type: 'bucket-reply'; readonly id: number; readonly outcome: BucketOutcome }
  | { readonly type: 'ring-reply'; readonly id: number; readonly outcome: RingOutcome }
  | { readonly type: 'refound-reply'; readonly id: number; readonly outcome: RefoundOutcome }
  /** A watched key changed somewhere in the cluster. */
  | { readonly type: 'changed'; readonly bucket: string; readonly key: string; readonly entries: Entries }
  /** Somebody else tells of changes now, or some of them may have been lost. */
  | { readonly type: 'watch-coverage' }
  | { readonly type: 'event'; readonly event: NodeEvent };

export type BucketOutcome =
  | { readonly ok: true; readonly bucket: BucketRecord }
  | { readonly ok: false; readonly failure: Failure };

/** `changed`: false when it was so already. */
export type RingOutcome =
  | { readonly ok: true; readonly changed: boolean; readonly epoch: number }
  | { readonly ok: false; readonly failure: Failure };

/** What an operator may want to know. */
export type NodeEvent =
  | ReplicationEvent
  | ElectionEvent
  | LevelEvent
  | ElectorateEvent
  | UplinkEvent
  | { readonly type: 'member-changed'; readonly member: Member; readonly previous: MemberState | null }
  | {
      readonly type: 'ring-changed';
      readonly epoch: number;
      /** Members that are in. */
      readonly members: number;
      readonly differences: readonly RingDifference[];
    }
  /** The disk does not say what cluster this node is a member of: until a member tells it, it serves nobody. */
  | { readonly type: 'catalog-lost' }
  | { readonly type: 'bucket-created'; readonly bucket: string }
  /** Buckets of this name were created with different placements on two sides of a partition: one goes by another name now. */
  | { readonly type: 'bucket-conflict'; readonly bucket: string }
  /** This machine's clock is off by so much: the node works with the time on which the others agree. */
  | { readonly type: 'clock-wrong'; readonly offsetMs: number }
  | { readonly type: 'clock-right' };
