/** Waits for a condition that the outside world brings about; fails with `what` when it does not hold in time. Asks again after `pauseMs`. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
  pauseMs = 5,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${String(timeoutMs)} ms: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, pauseMs);
    });
  }
}
