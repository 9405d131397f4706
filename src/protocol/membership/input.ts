import type { NodeId } from '../machine.ts';
import type { MemberProfile } from './member.ts';
import type { MembershipMessage } from './message.ts';

/** What happened, as membership is told. */
export type MembershipInput =
  /** An admitted connection to `peer` exists, whoever dialled. */
  | { readonly type: 'connected'; readonly peer: NodeId }
  /** The last connection to `peer` has closed. */
  | { readonly type: 'disconnected'; readonly peer: NodeId }
  /** `refused`: the host answered that nothing listens there. */
  | { readonly type: 'dial-failed'; readonly peer: NodeId; readonly reason: DialFailure }
  /** `from` is the authenticated peer. */
  | { readonly type: 'message'; readonly from: NodeId; readonly message: MembershipMessage }
  /** The event loop of this process ran late by `lagMs`. */
  | { readonly type: 'lag'; readonly lagMs: number }
  /** Changes what this node says of itself; rare by intent, because each change is told to everyone. */
  | { readonly type: 'update-profile'; readonly patch: Partial<MemberProfile> }
  /** How peers served requests for data since the last such input. */
  | { readonly type: 'requests'; readonly outcomes: readonly RequestOutcomes[] }
  /** `incarnation` of an earlier `persist-incarnation` is on disk. */
  | { readonly type: 'incarnation-persisted'; readonly incarnation: number }
  /** Says goodbye; final. Sent by the time `member-changed` reports self as `left`. */
  | { readonly type: 'leave' };

/** Requests to one peer. */
export interface RequestOutcomes {
  readonly peer: NodeId;
  readonly answered: number;
  /** Refused or late. */
  readonly failed: number;
}

export type DialFailure = 'refused' | 'timeout' | 'unreachable' | 'denied';
