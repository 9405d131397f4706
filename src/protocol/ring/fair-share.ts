/** How many shard replicas each member should own: by weight, as far as zones and the replica count allow. */

export interface Placed {
  readonly zone: string;
  readonly weight: number;
}

/** One number a member, same order, summing to `shards * min(replicas, members)`. */
export function fairShares(members: readonly Placed[], shards: number, replicas: number): number[] {
  if (members.length <= replicas) return members.map(() => shards);
  const weights = members.map((member) => member.weight);
  const zones = [...new Set(members.map((member) => member.zone))];
  // Each zone holds at most one replica of a shard while there are zones enough, at least one where there are not.
  const firsts = Math.min(replicas, zones.length);
  const zoneWeights = zones.map((zone) => sum(weights.filter((_, i) => members[i]?.zone === zone)));
  const zoneShares = waterFill(
    shards * firsts,
    zoneWeights,
    zones.map(() => shards),
  );
  const shares = members.map(() => 0);
  zones.forEach((zone, z) => {
    const inside = members.flatMap((member, i) => (member.zone === zone ? [i] : []));
    const filled = waterFill(
      zoneShares[z] as number,
      inside.map((i) => weights[i] as number),
      inside.map(() => shards),
    );
    inside.forEach((i, k) => {
      shares[i] = filled[k] as number;
    });
  });
  if (firsts === replicas) return shares;
  // The remaining replicas go to anyone who does not hold the shard yet.
  const rooms = shares.map((share) => shards - share);
  const rest = waterFill(shards * (replicas - firsts), weights, rooms);
  return shares.map((share, i) => share + (rest[i] as number));
}

/** Splits `total` by weight with an upper bound for each; what exceeds a bound is split among the others. */
function waterFill(total: number, weights: readonly number[], bounds: readonly number[]): number[] {
  const shares = weights.map(() => 0);
  let open = weights.map((_, i) => i);
  let left = total;
  while (open.length > 0) {
    const unit = left / sum(open.map((i) => weights[i] as number));
    const full = open.filter((i) => (weights[i] as number) * unit >= (bounds[i] as number));
    if (full.length === 0) {
      for (const i of open) shares[i] = (weights[i] as number) * unit;
      break;
    }
    for (const i of full) {
      shares[i] = bounds[i] as number;
      left -= bounds[i] as number;
    }
    const filled = new Set(full);
    open = open.filter((i) => !filled.has(i));
  }
  return shares;
}

function sum(numbers: readonly number[]): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
