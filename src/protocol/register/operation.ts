import type { Alarm } from './alarms.ts';
import type { Ballot } from './ballot.ts';
import type { ChangeRequest, RegisterRespond } from './request.ts';

/** One client's part in an operation. */
export interface Client {
  readonly respond: RegisterRespond;
  /** When it is told that its time is up. */
  deadline: Alarm | undefined;
  ended: boolean;
}

export interface ReadOperation extends Client {
  readonly type: 'read';
}

export interface ChangeOperation extends Client {
  readonly type: 'change';
  readonly request: ChangeRequest;
  /** The ballots under which it was sent in an `accept`, ascending: each of them may be chosen yet. */
  readonly attempts: Ballot[];
}

/** To forget a key that was deleted or has expired (`collector.ts`). */
export interface CollectOperation {
  readonly type: 'collect';
  /** `isOver`: there is nothing left to forget. */
  readonly done: (isOver: boolean) => void;
}

export type Operation = ReadOperation | ChangeOperation | CollectOperation;

/** What one round is about: reads that were all asked for before it began share it. */
export type Work =
  | { readonly type: 'read'; readonly readers: readonly ReadOperation[] }
  | ChangeOperation
  | CollectOperation;
