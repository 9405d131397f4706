/** Events of a simulation in order of time; those of one instant in the order they were added. */
export class EventQueue<E> {
  private readonly heap: { readonly atMs: number; readonly order: number; readonly event: E }[] = [];
  private order = 0;

  get nextMs(): number | undefined {
    return this.heap[0]?.atMs;
  }

  push(atMs: number, event: E): void {
    const item = { atMs, order: this.order++, event };
    let i = this.heap.push(item) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = this.at(parent);
      if (!isBefore(item, above)) break;
      this.heap[i] = above;
      i = parent;
    }
    this.heap[i] = item;
  }

  pop(): E | undefined {
    const top = this.heap[0];
    const last = this.heap.pop();
    if (top === undefined || last === undefined) return undefined;
    if (this.heap.length > 0) this.sink(last);
    return top.event;
  }

  private sink(item: { readonly atMs: number; readonly order: number; readonly event: E }): void {
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= this.heap.length) break;
      if (child + 1 < this.heap.length && isBefore(this.at(child + 1), this.at(child))) child += 1;
      const below = this.at(child);
      if (!isBefore(below, item)) break;
      this.heap[i] = below;
      i = child;
    }
    this.heap[i] = item;
  }

  private at(index: number): { readonly atMs: number; readonly order: number; readonly event: E } {
    return this.heap[index] as { readonly atMs: number; readonly order: number; readonly event: E };
  }
}

function isBefore(
  a: { readonly atMs: number; readonly order: number },
  b: { readonly atMs: number; readonly order: number },
): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
