import { CausalContext } from '../../../src/protocol/causal/context.ts';
import type { SimCluster } from '../cluster.ts';
import { type Checker, Problems } from './checker.ts';

/**
 * Every event that a replica covers can be named to those who miss it: by its row in the dot index, or it is on the
 * floor, and then all keys are compared. Nothing else is in the index.
 */
export function indexChecker(cluster: SimCluster): Checker {
  const problems = new Problems('index');
  return {
    name: 'index',
    check: () => {
      for (const { name, disk } of cluster.nodes) {
        for (const [shard, { context }] of disk.shards) {
          const floor = disk.floors.get(shard) ?? new CausalContext();
          if (!context.covers(floor)) problems.add(`shard ${shard} of ${name}: its floor is not covered`);
          const rows = CausalContext.fromDots(disk.dots.get(shard)?.values() ?? []);
          const unnamed = context.without(floor).without(rows);
          if (!unnamed.isEmpty) problems.add(`shard ${shard} of ${name} cannot name ${unnamed.dotCount} events`);
          const idle = rows.intersection(floor);
          if (!idle.isEmpty) problems.add(`shard ${shard} of ${name} keeps ${idle.dotCount} rows below its floor`);
        }
        if (disk.lost.size > 0) problems.add(`${name} still lacks ${disk.lost.size} lost keys`);
      }
      return problems.all();
    },
  };
}
