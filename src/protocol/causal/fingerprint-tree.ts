import { hashString } from '../../lib/hash.ts';
import type { CausalObject } from './object.ts';

/** Children of the root, and of each of them: leaves are their product. */
export const FANOUT = 64;
export const LEAVES = FANOUT * FANOUT;

/** Another seed makes the second half of a fingerprint independent of the first. */
const SECOND_SEED = 0x5bd1e995;

/** The leaf of a key, 0 to LEAVES - 1; the shard takes the high bits of the same hash. */
export function leafOf(id: string): number {
  return hashString(id) % LEAVES;
}

/**
 * Fingerprints of a set of keys in the order of their hashes, for range-based set reconciliation (Meyer,
 * "Range-Based Set Reconciliation", SRDS 2023): two sides compare the sums of 64 ranges, then of the 64 ranges in each
 * that differs. A sum is two 32-bit words, each the sum of the hashes of the keys with their dots; equal sets have
 * equal sums, whatever the order in which they were added. Takes 32 kB, however many keys there are.
 */
export class FingerprintTree {
  private readonly sums = new Uint32Array(LEAVES * 2);

  /**
   * Counts a key in; one without entries or a past counts like one that is absent. `id` is the text form of its name.
   * What is known to be superseded counts too: who does not hear of it takes it for news when its event arrives.
   */
  add(id: string, { entries, past }: CausalObject): void {
    if (entries.length === 0 && past === null) return;
    const hash = hashString(id);
    let first = hash;
    let second = hashString(id, SECOND_SEED);
    for (const { dot } of entries) {
      // The entries of a key are sorted, so the order is part of the fingerprint.
      first = mixed(first, dot.actor, dot.counter, 0x85ebca6b);
      second = mixed(second, dot.actor, dot.counter, 0xc2b2ae35);
    }
    for (const { actor, from, to } of past?.ranges() ?? []) {
      first = mixed(mixed(first, actor, from, 0x85ebca6b), actor, to, 0x85ebca6b);
      second = mixed(mixed(second, actor, from, 0xc2b2ae35), actor, to, 0xc2b2ae35);
    }
    const at = (hash % LEAVES) * 2;
    this.sums[at] = (this.sums[at] as number) + first;
    this.sums[at + 1] = (this.sums[at + 1] as number) + second;
  }

  /** The sums of the root's children, two words each. */
  top(): number[] {
    const top = new Uint32Array(FANOUT * 2);
    for (let i = 0; i < this.sums.length; i++) {
      const at = Math.floor(i / (FANOUT * 2)) * 2 + (i & 1);
      top[at] = (top[at] as number) + (this.sums[i] as number);
    }
    return [...top];
  }

  /** The sums of the leaves below the named children of the root, two words each, one child after the other. */
  below(children: readonly number[]): number[] {
    return children.flatMap((child) => [...this.sums.subarray(child * FANOUT * 2, (child + 1) * FANOUT * 2)]);
  }
}

/** Positions at which two lists of sums differ; a missing one counts as zero. */
export function differing(ours: readonly number[], theirs: readonly number[]): number[] {
  const found: number[] = [];
  for (let i = 0; i * 2 < Math.max(ours.length, theirs.length); i++) {
    const isSame = (ours[i * 2] ?? 0) === (theirs[i * 2] ?? 0) && (ours[i * 2 + 1] ?? 0) === (theirs[i * 2 + 1] ?? 0);
    if (!isSame) found.push(i);
  }
  return found;
}

/** The leaf at a position of `below(children)`. */
export function leafBelow(children: readonly number[], position: number): number {
  return (children[Math.floor(position / FANOUT)] as number) * FANOUT + (position % FANOUT);
}

function mixed(hash: number, actor: string, counter: number, factor: number): number {
  let h = Math.imul(hash ^ hashString(actor), factor);
  h = Math.imul(h ^ (h >>> 15) ^ (counter >>> 0), 0x27d4eb2f);
  h = Math.imul(h ^ (h >>> 13) ^ Math.floor(counter / 0x1_0000_0000), 0x9e3779b1);
  return h ^ (h >>> 16);
}
