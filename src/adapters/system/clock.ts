import type { Clock } from '../../ports/clock.ts';

/** Node's timers take at most this; a longer delay would fire at once. */
const TIMER_DELAY_MAX_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => ({ monoMs: performance.now(), wallMs: Date.now() }),

  soon: (callback) => {
    setImmediate(callback);
  },

  after(delayMs, callback) {
    const dueMs = performance.now() + delayMs;
    let timer: NodeJS.Timeout;
    const arm = () => {
      const leftMs = dueMs - performance.now();
      timer = setTimeout(fire, Math.min(TIMER_DELAY_MAX_MS, Math.max(0, Math.ceil(leftMs))));
    };
    // Timers count in whole milliseconds of the loop's own clock and may be early by one.
    const fire = () => (performance.now() >= dueMs ? callback() : arm());
    arm();
    return () => clearTimeout(timer);
  },
};
