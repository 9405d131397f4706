/**
 * Names of events and the sets of events a replica has seen.
 *
 * A dot is (actor, counter): one write or delete, named for ever. A causal context is the set of dots a
 * replica covers, kept per actor as inclusive counter ranges. In a healthy replica that is one range an actor.
 * References: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018); Goncalves et al.,
 * "Concise Server-Wide Causality Management for Eventually Consistent Data Stores" (2015).
 */

/** 16 lower-case hex digits (64 random bits), drawn anew when a disk is empty, wiped or rolled back. */
export type ActorId = string;

/** One event. `counter` starts at 1 and is per actor and shard. */
export interface Dot {
  readonly actor: ActorId;
  readonly counter: number;
}

export function sameDot(a: Dot, b: Dot): boolean {
  return a.counter === b.counter && a.actor === b.actor;
}

/** A total order, for stable encodings and tie-breaks: by actor, then counter. */
export function compareDots(a: Dot, b: Dot): number {
  return a.actor < b.actor ? -1 : a.actor > b.actor ? 1 : a.counter - b.counter;
}

export function dotText(dot: Dot): string {
  return `${dot.actor}-${dot.counter}`;
}
