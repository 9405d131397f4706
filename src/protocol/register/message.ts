import type { Ballot } from './ballot.ts';
import type { Accepted, NamedRow, RegisterName } from './record.ts';
import type { RegisterReply, RegisterRequest } from './request.ts';
import type { RegisterValue } from './value.ts';

/** Of one round on one key. Acceptors answer only where they have the same ring epoch. */
interface RoundMessage {
  readonly shard: number;
  readonly name: RegisterName;
  readonly epoch: number;
  /** Names the round; answers repeat it. A query has one as well, though nothing is promised to it. */
  readonly ballot: Ballot;
}

/** "What have you accepted?" Answered by `register-current`. */
export interface QueryMessage extends RoundMessage {
  readonly type: 'register-query';
}

/** Phase 1. Answered by `register-promise` or `register-refused`. */
export interface PrepareMessage extends RoundMessage {
  readonly type: 'register-prepare';
}

/** Phase 2. Answered by `register-accepted` or `register-refused`. */
export interface AcceptMessage extends RoundMessage {
  readonly type: 'register-accept';
  readonly value: RegisterValue;
  /** The sender's next ballot, to be promised along with it; null: none. */
  readonly next: Ballot | null;
}

/** Every acceptor has accepted a tombstone under this ballot: forget the key. Answered by `register-erased`. */
export interface EraseMessage extends RoundMessage {
  readonly type: 'register-erase';
}

/** What an acceptor knows of a key. */
export interface Report {
  readonly accepted: Accepted | null;
  /** The floor of the shard there. */
  readonly floor: Ballot;
}

interface AnswerMessage {
  readonly name: RegisterName;
  readonly ballot: Ballot;
}

export interface CurrentMessage extends AnswerMessage, Report {
  readonly type: 'register-current';
}

export interface PromiseMessage extends AnswerMessage, Report {
  readonly type: 'register-promise';
}

export interface AcceptedMessage extends AnswerMessage {
  readonly type: 'register-accepted';
}

export interface ErasedMessage extends AnswerMessage {
  readonly type: 'register-erased';
}

export type Refusal =
  /** A higher ballot was promised. */
  | { readonly reason: 'promised'; readonly promised: Ballot }
  /** The proposer's ring is older than the acceptor's, whose epoch this is. */
  | { readonly reason: 'stale-epoch'; readonly epoch: number }
  /** The proposer's ring is newer. */
  | { readonly reason: 'unknown-epoch'; readonly epoch: number }
  /** No acceptor of this shard, or not yet. */
  | { readonly reason: 'not-ready' };

export interface RefusedMessage extends AnswerMessage {
  readonly type: 'register-refused';
  readonly refusal: Refusal;
}

/** A client's request for an acceptor of the key to run. */
export interface RegisterForwardMessage {
  readonly type: 'register-forward';
  /** Unique within `origin`. */
  readonly id: number;
  /** The proposer id of the sender's run. */
  readonly origin: string;
  /** The proposer id of the receiver's run as the sender knows it, '' where it does not: another run refuses. */
  readonly run: string;
  /** What is left of the request's time. */
  readonly budgetMs: number;
  readonly request: RegisterRequest;
}

export interface RegisterForwardReplyMessage {
  readonly type: 'register-forward-reply';
  readonly id: number;
  readonly origin: string;
  readonly reply: RegisterReply;
}

/** It is being run, and takes longer than usual. */
export interface ForwardWorkingMessage {
  readonly type: 'register-forward-working';
  readonly id: number;
  readonly origin: string;
}

/** It was meant for another run of the process (`refused`), and not run by this one. */
export interface ForwardRefusedMessage {
  readonly type: 'register-forward-refused';
  readonly id: number;
  readonly origin: string;
  readonly refused: string;
  readonly run: string;
}

/** Asks an acceptor of the group that is to be replaced for its rows, in the order of names. */
export interface RowsAskMessage {
  readonly type: 'register-rows-ask';
  readonly shard: number;
  readonly epoch: number;
  /** The last name of the page before; null: from the start. */
  readonly after: RegisterName | null;
}

export interface RowsMessage {
  readonly type: 'register-rows';
  readonly shard: number;
  readonly epoch: number;
  readonly after: RegisterName | null;
  /** At most `ROWS_PAGE_MAX`. */
  readonly rows: readonly NamedRow[];
  /** The last name that was looked at, where there is more. */
  readonly last: RegisterName | null;
  readonly floor: Ballot;
}

export type RoundRequestMessage = QueryMessage | PrepareMessage | AcceptMessage | EraseMessage;
export type RoundAnswerMessage = CurrentMessage | PromiseMessage | AcceptedMessage | ErasedMessage | RefusedMessage;

export type RegisterMessage =
  | RoundRequestMessage
  | RoundAnswerMessage
  | RegisterForwardMessage
  | RegisterForwardReplyMessage
  | ForwardWorkingMessage
  | ForwardRefusedMessage
  | RowsAskMessage
  | RowsMessage;

export function isRegisterMessage(message: { readonly type: string }): message is RegisterMessage {
  return message.type.startsWith('register-');
}

/** Rows of one page of a takeover. */
export const ROWS_PAGE_MAX = 64;
/** A page ends with the row that brings it above this many bytes of values. */
export const ROWS_PAGE_BYTES_MAX = 256 * 1024;
