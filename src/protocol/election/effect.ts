import type { NodeId } from '../machine.ts';
import type { Contender } from './contender.ts';
import type { ElectionMessage } from './message.ts';
import type { VoteRecord, Voters } from './options.ts';

export type ElectionInput =
  | { readonly type: 'message'; readonly from: NodeId; readonly message: ElectionMessage }
  | { readonly type: 'vote-persisted'; readonly vote: VoteRecord }
  | { readonly type: 'connected'; readonly peer: NodeId }
  | { readonly type: 'disconnected'; readonly peer: NodeId }
  /** The members that are held alive, self included. */
  | { readonly type: 'view'; readonly members: readonly Contender[] }
  /** The members of the ring: a majority of them makes a lease quorate. */
  | ({ readonly type: 'voters' } & Voters)
  /** Why this node must not lead; null: nothing is wrong with it. */
  | { readonly type: 'unfit'; readonly reason: string | null }
  /** Somebody acts in the name of a leader: is its token still good here? Answered by `fence-reply`. */
  | { readonly type: 'fence'; readonly id: number; readonly token: number; readonly leader: NodeId }
  | { readonly type: 'leave' };

/** `term`: the highest that is known here. */
export interface FenceOutcome {
  readonly accepted: boolean;
  readonly term: number;
}

export type ElectionEffect =
  | { readonly type: 'send'; readonly to: NodeId; readonly message: ElectionMessage }
  /** Confirmed by `vote-persisted` once it is synced. */
  | { readonly type: 'persist-vote'; readonly vote: VoteRecord }
  | ({ readonly type: 'fence-reply'; readonly id: number } & FenceOutcome)
  | { readonly type: 'notify'; readonly event: ElectionEvent };

/** Who leads this node's view has changed, as far as it knows. */
export interface ElectionEvent {
  readonly type: 'leader-changed';
  readonly leader: NodeId | null;
  readonly term: number;
  readonly quorate: boolean;
}
