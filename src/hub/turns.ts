/** Lets those who name the same thing have it one after the other, in the order in which they came. */
export class Turns {
  private readonly last = new Map<string, Promise<unknown>>();

  /** Runs `work` after all that was asked of this name before, whether or not that has failed. */
  async take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.last.get(name);
    const turn = before === undefined ? work() : before.then(work);
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    this.last.set(name, settled);
    try {
      return await turn;
    } finally {
      if (this.last.get(name) === settled) this.last.delete(name);
    }
  }
}
