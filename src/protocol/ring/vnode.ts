/**
 * Where a member's vnodes lie. The ring of 2^64 is cut into one arc a shard, and every member has one vnode
 * in every arc. What matters of it is its distance from the start of the arc, which is the shard's position:
 * the clockwise walk from there meets the members in the order of these distances.
 *
 * A member's distances are not drawn independently: over all arcs they run once through evenly spaced levels,
 * in an order drawn from the member's id. That keeps each member's share of the shards close to its mean, where
 * independent tokens scatter like sqrt(shards); the idea is that of Maglev's permutations (Eisenbud et al. 2016).
 * A member of weight w is w times as near, as in weighted rendezvous hashing, so that its share grows by w.
 *
 * The results are part of the data format: every node computes the same ring, so they never change. For that
 * reason only exactly specified arithmetic is used here, and no Math.log.
 */
import { hashString } from '../../lib/hash.ts';
import type { NodeId } from '../machine.ts';

/**
 * Writes the member's distance in each arc to `out`, one number a shard; smaller is nearer. Rings of different salts
 * have nothing to do with each other, so that the same members are not the fullest in all of them.
 */
export function vnodeDistances(id: NodeId, weight: number, out: Float64Array, salt = 0): void {
  const shards = out.length;
  const random = generator(id, salt);
  for (let shard = 0; shard < shards; shard++) out[shard] = shard;
  for (let i = shards - 1; i > 0; i--) {
    const j = Math.floor((random() / 0x1_0000_0000) * (i + 1));
    const level = out[i] as number;
    out[i] = out[j] as number;
    out[j] = level;
  }
  for (let shard = 0; shard < shards; shard++) {
    // Uniform in (0, 1]; its negative logarithm is exponentially distributed with the weight as its rate.
    const share = 1 - ((out[shard] as number) + random() / 0x1_0000_0000) / shards;
    out[shard] = -naturalLog(share) / weight;
  }
}

/**
 * The weight at which a member is among the nearest of a share (0 to 1) of the shards, in the unit in which weights of
 * all members at their own shares fit together (the inclusion probability of Poisson sampling).
 */
export function rateForShare(share: number): number {
  return -naturalLog(Math.max(1 - share, NOT_EVERYWHERE));
}

/** A member that owns everything would have to be infinitely near. */
const NOT_EVERYWHERE = 1e-6;

/** Pseudo-random 32-bit integers from 64 bits of the id (finaliser of MurmurHash3 over a Weyl sequence). */
function generator(id: NodeId, salt: number): () => number {
  const high = hashString(id, 0x51ed270b ^ salt);
  let state = hashString(id, 0x2545f491 ^ salt);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return mixBits(mixBits(state) ^ high);
  };
}

function mixBits(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

const LN_2 = 0.6931471805599453;

/** ln of a number in (0, 1], to about 1e-9, in additions, multiplications and divisions alone. */
function naturalLog(value: number): number {
  let x = value;
  let halvings = 0;
  while (x < 0.5) {
    x *= 2;
    halvings++;
  }
  // ln x = 2 artanh((x - 1) / (x + 1)); here |t| <= 1/3.
  const t = (x - 1) / (x + 1);
  const tt = t * t;
  let sum = 1 / 17;
  for (let n = 15; n >= 1; n -= 2) sum = sum * tt + 1 / n;
  return 2 * t * sum - halvings * LN_2;
}
