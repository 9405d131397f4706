/** Probabilities and times of what can go wrong on every message and sync. */
export interface Weather {
  /** Share of messages that never arrive. */
  readonly loss: number;
  /** Share of messages that arrive twice, the second time later and out of order. A stream does not do that. */
  readonly duplication: number;
  /** Share of messages that those after them on the same lane may overtake. A stream does not do that either. */
  readonly reorder: number;
  /** Share of frames that carry a message of a kind from a later version. */
  readonly unknown: number;
  readonly latencyMinMs: number;
  readonly latencyMaxMs: number;
  readonly syncMinMs: number;
  readonly syncMaxMs: number;
}

export const FAIR_WEATHER: Weather = {
  loss: 0,
  duplication: 0,
  reorder: 0,
  unknown: 0,
  latencyMinMs: 0.2,
  latencyMaxMs: 3,
  syncMinMs: 0.3,
  syncMaxMs: 4,
};
