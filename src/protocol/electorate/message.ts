import type { Electorate, Lineage } from './electorate.ts';

/** "This is the latest that I know." Answered by `electorate-tell` or `electorate-ask` where the receiver knows another one. */
export interface ElectorateHaveMessage {
  readonly type: 'electorate-have';
  readonly lineage: Lineage;
  readonly epoch: number;
}

/** The disk that the sender runs on. What a member of that name had promised on another one, it does not know. */
export interface ElectorateDiskMessage {
  readonly type: 'electorate-disk';
  readonly disk: string;
}

export interface ElectorateAskMessage {
  readonly type: 'electorate-ask';
}

export interface ElectorateTellMessage {
  readonly type: 'electorate-tell';
  readonly electorate: Electorate;
}

/** To the leader: somebody wants a strong bucket, and nobody has founded the electorate yet. */
export interface ElectorateWantMessage {
  readonly type: 'electorate-want';
}

/** To the leader: how far the sender's registers are under this epoch. */
export interface ElectorateReadyMessage {
  readonly type: 'electorate-ready';
  readonly lineage: Lineage;
  readonly epoch: number;
  /** All shards that it is an acceptor of are copied. */
  readonly ready: boolean;
  /** It has lost records, and has no say in some shard until there is another epoch. */
  readonly mute: boolean;
}

/** Phase 1 of the founding. The term is the ballot. */
export interface FoundAskMessage {
  readonly type: 'found-ask';
  readonly term: number;
}

export interface FoundPromiseMessage {
  readonly type: 'found-promise';
  /** The term that was asked for. */
  readonly term: number;
  readonly accepted: { readonly term: number; readonly electorate: Electorate } | null;
}

/** Phase 2. */
export interface FoundAcceptMessage {
  readonly type: 'found-accept';
  readonly term: number;
  readonly electorate: Electorate;
}

export interface FoundAcceptedMessage {
  readonly type: 'found-accepted';
  readonly term: number;
}

export type FoundingMessage = FoundAskMessage | FoundPromiseMessage | FoundAcceptMessage | FoundAcceptedMessage;

export type ElectorateMessage =
  | ElectorateDiskMessage
  | ElectorateHaveMessage
  | ElectorateAskMessage
  | ElectorateTellMessage
  | ElectorateWantMessage
  | ElectorateReadyMessage
  | FoundingMessage;

export function isElectorateMessage(message: { readonly type: string }): message is ElectorateMessage {
  return message.type.startsWith('electorate-') || message.type.startsWith('found-');
}
