export const WEIGHT_MIN = 0.001;
export const WEIGHT_MAX = 1000;

/** A member's share of the ring relative to others. Takes unchecked data. */
export function isWeight(value: unknown): boolean {
  // Written so that NaN fails.
  return typeof value === 'number' && value >= WEIGHT_MIN && value <= WEIGHT_MAX;
}
