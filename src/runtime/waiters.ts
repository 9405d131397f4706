import { type Failure, HoldfastError } from '../lib/failure.ts';

/** Who waits for an answer of the node. */
export interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Answers one of them; nobody where it has gone. */
export function settle<T>(waiters: Map<number, Waiter<T>>, id: number, value: T): void {
  const waiter = waiters.get(id);
  waiters.delete(id);
  waiter?.resolve(value);
}

/** The node will answer none of them. */
export function rejectAll(waiters: Map<number, Pick<Waiter<unknown>, 'reject'>>, failure: Failure): void {
  for (const { reject } of waiters.values()) reject(new HoldfastError(failure));
  waiters.clear();
}
