import type { Prng } from '../../lib/prng.ts';

/**
 * A node's place in a space in which distances are round-trip times, in milliseconds. `height` is the part of the way
 * that every path shares: the node's own access link.
 */
export interface Coordinate {
  readonly x: number;
  readonly y: number;
  readonly z: number;
  readonly height: number;
  /** How far off predictions from here are expected to be, relative: 1.5 knows nothing, 0.1 is good. */
  readonly error: number;
}

/** Weight of one sample on the error and on the place (ce and cc in the paper). */
const ERROR_GAIN = 0.25;
const MOVE_GAIN = 0.25;
const ERROR_MAX = 1.5;
const HEIGHT_MIN_MS = 0.01;
const RTT_MIN_MS = 0.01;
/** Places further out than any path on Earth are made up. */
const EXTENT_MAX_MS = 60_000;
/** Samples before a place means anything. */
const SAMPLES_MIN = 20;

export const ORIGIN: Coordinate = { x: 0, y: 0, z: 0, height: HEIGHT_MIN_MS, error: ERROR_MAX };

/** Predicted round-trip time between two nodes, ms. */
export function predictedRttMs(a: Coordinate, b: Coordinate): number {
  return Math.hypot(a.x - b.x, a.y - b.y, a.z - b.z) + a.height + b.height;
}

/** As it travels: hundredths of a millisecond are more than it can know. */
export function rounded({ x, y, z, height, error }: Coordinate): Coordinate {
  const round = (value: number, steps: number): number => Math.round(value * steps) / steps + 0;
  return {
    x: round(x, 100),
    y: round(y, 100),
    z: round(z, 100),
    height: round(height, 100),
    error: round(error, 1000),
  };
}

/** False for what no node can have come to honestly: it is ignored. */
export function isCoordinate({ x, y, z, height, error }: Coordinate): boolean {
  const isNear = [x, y, z, height].every((value) => Math.abs(value) <= EXTENT_MAX_MS);
  return isNear && height >= 0 && error >= 0 && error <= ERROR_MAX;
}

/**
 * The own coordinate, learnt from measured round trips: Vivaldi with heights (Dabek, Cox, Kaashoek, Morris, SIGCOMM
 * 2004, figure 3 and section 5.4).
 */
export class Vivaldi {
  private place: Coordinate = ORIGIN;
  private samples = 0;
  private readonly prng: Prng;

  constructor(prng: Prng) {
    this.prng = prng;
  }

  get coordinate(): Coordinate {
    return this.place;
  }

  /** True once predictions from here mean something. */
  get isSettled(): boolean {
    return this.samples >= SAMPLES_MIN;
  }

  /** A round trip of `rttMs` to a node that says it is at `other`. */
  observe(rttMs: number, other: Coordinate): void {
    if (!isCoordinate(other) || !(rttMs >= 0 && rttMs <= EXTENT_MAX_MS)) return;
    const measured = Math.max(RTT_MIN_MS, rttMs);
    const { place } = this;
    const predicted = predictedRttMs(place, other);
    const weight = place.error / Math.max(place.error + other.error, 1e-6);
    const sampleError = Math.abs(predicted - measured) / measured;
    const error = sampleError * ERROR_GAIN * weight + place.error * (1 - ERROR_GAIN * weight);
    const force = MOVE_GAIN * weight * (measured - predicted);
    const next = { ...this.moved(other, force), error: Math.min(ERROR_MAX, error) };
    // Pushed out of the space, by others that are at its edge or make themselves so: begin anew.
    this.place = isCoordinate(next) ? next : ORIGIN;
    this.samples = isCoordinate(next) ? this.samples + 1 : 0;
  }

  /** Pushed away from the other by `force` ms, along the line between them and in height. */
  private moved(other: Coordinate, force: number): Omit<Coordinate, 'error'> {
    const { x, y, z, height } = this.place;
    let [dx, dy, dz] = [x - other.x, y - other.y, z - other.z];
    const apart = Math.hypot(dx, dy, dz);
    let length = apart;
    while (length < 1e-6) {
      // On top of each other: any direction will do.
      [dx, dy, dz] = [this.prng.float() - 0.5, this.prng.float() - 0.5, this.prng.float() - 0.5];
      length = Math.hypot(dx, dy, dz);
    }
    const step = force / length;
    const total = apart + height + other.height;
    const lift = total > 0 ? (force * (height + other.height)) / total : 0;
    return { x: x + dx * step, y: y + dy * step, z: z + dz * step, height: Math.max(HEIGHT_MIN_MS, height + lift) };
  }
}
