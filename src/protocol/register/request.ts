import type { Failure } from '../../lib/failure.ts';
import type { Ballot } from './ballot.ts';
import type { Condition, RegisterContent, Shown } from './value.ts';

export interface StrongGetRequest {
  readonly type: 'strong-get';
  readonly bucket: string;
  readonly key: string;
}

export interface StrongPutRequest {
  readonly type: 'strong-put';
  readonly bucket: string;
  readonly key: string;
  readonly content: RegisterContent;
  readonly condition: Condition;
}

export interface StrongDeleteRequest {
  readonly type: 'strong-delete';
  readonly bucket: string;
  readonly key: string;
  readonly condition: Condition;
}

export type ChangeRequest = StrongPutRequest | StrongDeleteRequest;
export type RegisterRequest = StrongGetRequest | ChangeRequest;

/** Linearizable: the latest value at some time between request and reply. */
export interface StrongGetReply extends Shown {
  readonly type: 'strong-get';
}

export interface AppliedReply {
  readonly type: 'strong-change';
  readonly applied: true;
  /** The ETag of what was written; null where a delete had nothing to delete. */
  readonly version: Ballot | null;
}

/** The condition did not hold; nothing was written. */
export interface NotAppliedReply extends Shown {
  readonly type: 'strong-change';
  readonly applied: false;
}

export interface RegisterFailedReply {
  readonly type: 'failed';
  readonly failure: Failure;
}

export type RegisterReply = StrongGetReply | AppliedReply | NotAppliedReply | RegisterFailedReply;

/** Takes the reply of a request; called once. */
export type RegisterRespond = (reply: RegisterReply) => void;

/** Requests in flight on one node, its own clients' and those that peers have handed over; more are refused. */
export const REGISTER_REQUESTS_MAX = 20_000;
/** Requests that wait for their turn on one key. */
export const KEY_QUEUE_MAX = 64;
