/** Lets a bounded number of tasks run at a time; the others wait for their turn in the order in which they came. */
export class Slots {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(count: number) {
    this.free = count;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else {
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
      });
    }
    try {
      return await task();
    } finally {
      // Handed on rather than given back: nobody who comes now is served first.
      const next = this.waiting.shift();
      if (next === undefined) this.free++;
      else next();
    }
  }
}
