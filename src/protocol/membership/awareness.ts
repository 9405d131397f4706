/**
 * Local health: how much this node trusts its own view of time. Lifeguard (Dadgar, Phillips, Currey 2018),
 * section IV.A. 0 is healthy; every sign of own slowness adds, every answered probe takes one away.
 */
export class Awareness {
  private value = 0;
  private readonly max: number;

  constructor(max: number) {
    this.max = max;
  }

  get score(): number {
    return this.value;
  }

  /** Factor on probe interval, timeout and window. */
  get multiplier(): number {
    return this.value + 1;
  }

  adjust(delta: number): void {
    this.value = Math.min(this.max, Math.max(0, this.value + delta));
  }
}
