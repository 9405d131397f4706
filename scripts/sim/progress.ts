const WIDTH = 30;
const INTERVAL_MS = 100;

/** A bar on a terminal, nothing elsewhere. */
export class Progress {
  private readonly total: number;
  private readonly startedMs = performance.now();
  private shownMs = 0;
  private done = 0;
  private failed = 0;
  private simulatedMs = 0;

  constructor(total: number) {
    this.total = total;
  }

  add(run: { readonly simulatedMs: number; readonly failed: boolean }): void {
    this.done++;
    if (run.failed) this.failed++;
    this.simulatedMs += run.simulatedMs;
    const nowMs = performance.now();
    if (!process.stderr.isTTY || (nowMs - this.shownMs < INTERVAL_MS && this.done < this.total)) return;
    this.shownMs = nowMs;
    process.stderr.write(`\r\x1b[2K${this.line(nowMs - this.startedMs)}`);
  }

  /** Makes room for other output. */
  clear(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K');
  }

  private line(elapsedMs: number): string {
    const filled = Math.round((WIDTH * this.done) / this.total);
    const leftMs = (elapsedMs / this.done) * (this.total - this.done);
    const speed = Math.round(this.simulatedMs / elapsedMs);
    return `[${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}] ${this.done}/${this.total} seeds, ${this.failed} failed, ${speed} simulated s/s, ${duration(leftMs)} left`;
  }
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
