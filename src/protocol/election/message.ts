import type { NodeId } from '../machine.ts';

/** A leader, as others are told of it. */
export interface LeaderNews {
  readonly leader: NodeId;
  readonly term: number;
  readonly quorate: boolean;
}

/**
 * "Grant me a lease in this term." `poll`: would you? (nothing changes by it); `vote`: in a new term; `renew`: I lead.
 */
export interface LeaseAskMessage {
  readonly type: 'lease-ask';
  readonly kind: 'poll' | 'vote' | 'renew';
  readonly term: number;
  /** Of the voters that the sender goes by (`Voters`). Who goes by later ones refuses. */
  readonly epoch: number;
  /** Numbers the sender's questions. */
  readonly round: number;
  /** The sender's lease is one of a majority of the ring's members. */
  readonly quorate: boolean;
  /** How many grants its lease rests on, and how many members its view has. */
  readonly votes: number;
  readonly view: number;
}

export interface LeaseTellMessage {
  readonly type: 'lease-tell';
  readonly round: number;
  readonly granted: boolean;
  /** The highest term that the sender knows of. */
  readonly term: number;
  /** Why not: it has granted a lease to this one, which lasts for so many ms yet. */
  readonly holder: LeaderNews | null;
  readonly remainingMs: number;
}

/** The sender leads no more: grants of this term are void. */
export interface LeaseEndMessage {
  readonly type: 'lease-end';
  readonly term: number;
  /** Who should stand first. */
  readonly successor: NodeId | null;
}

export type ElectionMessage = LeaseAskMessage | LeaseTellMessage | LeaseEndMessage;

export function isElectionMessage(message: { readonly type: string }): message is ElectionMessage {
  return message.type === 'lease-ask' || message.type === 'lease-tell' || message.type === 'lease-end';
}
