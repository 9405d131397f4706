export interface Alarm {
  readonly atMs: number;
  readonly ring: () => void;
  /** Set once it rang or is wanted no longer. */
  ended: boolean;
}

/** Deadlines that lie differently far ahead, in a binary heap. One that is cancelled stays in it until its turn comes. */
export class Alarms {
  private readonly heap: Alarm[] = [];

  set(atMs: number, ring: () => void): Alarm {
    const alarm: Alarm = { atMs, ring, ended: false };
    const { heap } = this;
    let at = heap.push(alarm) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((heap[parent] as Alarm).atMs <= atMs) break;
      heap[at] = heap[parent] as Alarm;
      at = parent;
    }
    heap[at] = alarm;
    return alarm;
  }

  /** Rings all whose time has come; those that they set for now ring the next time. */
  ringDue(nowMs: number): void {
    const due: Alarm[] = [];
    for (let first = this.first(); first !== undefined && first.atMs <= nowMs; first = this.first()) {
      due.push(first);
      this.dropFirst();
    }
    for (const alarm of due) {
      if (alarm.ended) continue;
      alarm.ended = true;
      alarm.ring();
    }
  }

  next(): number | undefined {
    return this.first()?.atMs;
  }

  private first(): Alarm | undefined {
    while (this.heap[0]?.ended === true) this.dropFirst();
    return this.heap[0];
  }

  private dropFirst(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = at * 2 + 1;
      if (left >= heap.length) break;
      const right = left + 1;
      const isRightFirst = right < heap.length && (heap[right] as Alarm).atMs < (heap[left] as Alarm).atMs;
      const child = isRightFirst ? right : left;
      if (last.atMs <= (heap[child] as Alarm).atMs) break;
      heap[at] = heap[child] as Alarm;
      at = child;
    }
    heap[at] = last;
  }
}
