import { type Failure, HoldfastError } from '../lib/failure.ts';

/** Who waits for answers of the node, by the number of the request. */
export class Waiters<T> {
  private readonly waiting = new Map<number, PromiseWithResolvers<T>>();
  private lastId = 0;

  /** `post` asks the node. */
  ask(post: (id: number) => void): Promise<T> {
    const id = ++this.lastId;
    const waiter = Promise.withResolvers<T>();
    this.waiting.set(id, waiter);
    post(id);
    return waiter.promise;
  }

  /** Answers one of them; nobody where it has gone. */
  readonly settle = (id: number, value: T): void => {
    const waiter = this.waiting.get(id);
    this.waiting.delete(id);
    waiter?.resolve(value);
  };

  /** The node will answer none of them. */
  rejectAll(failure: Failure): void {
    for (const { reject } of this.waiting.values()) reject(new HoldfastError(failure));
    this.waiting.clear();
  }
}
