/** Milliseconds as seconds to one decimal, as people are told of ages. */
export function roundedSeconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}
