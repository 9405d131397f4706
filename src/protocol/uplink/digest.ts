import { hashString } from '../../lib/hash.ts';
import type { CausalContext } from '../causal/context.ts';

/** One 32-bit number for what is covered of these shards; one that nothing is covered of counts as absent. */
export function combinedDigest(covered: Iterable<readonly [shard: number, context: CausalContext]>): number {
  const parts: string[] = [];
  for (const [shard, context] of covered) if (!context.isEmpty) parts.push(`${shard}:${context.digest()}`);
  return hashString(parts.toSorted().join());
}
