import type { CausalContext } from '../../../src/protocol/causal/context.ts';
import type { ObjectName } from '../../../src/protocol/replication/record.ts';
import { shardOf } from '../../../src/protocol/ring/shard.ts';
import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import { Requests } from './requests.ts';

/**
 * Persist before send: no message speaks of an event of its sender that the sender's disk does not hold yet. A crash
 * would take it back, and its dot would be used again for another.
 */
export function promisesChecker(): Checker {
  const problems = new Problems('promises');
  const keys = new Requests<ObjectName>();

  const compare = (from: SimNode, type: string, shard: number, context: CausalContext, of?: ObjectName): void => {
    const { disk, name } = from;
    const said = context.highest(disk.actor);
    if (said === 0) return;
    const synced = Math.max(disk.shards.get(shard)?.context.highest(disk.actor) ?? 0, disk.counters.get(shard) ?? 0);
    // An event that a rolled back disk had forgotten may be back with its key before the shard covers it.
    const held = of === undefined ? synced : Math.max(synced, disk.highestOf(shard, of));
    if (said > held)
      problems.add(`${name} speaks of its event ${said} of shard ${shard} in a ${type}, synced are ${held}`);
  };

  return {
    name: 'promises',
    message: (from, to, message) => {
      if (message.type === 'read') keys.note(from.id, to, message.id, message);
      const shards = from.running?.node.ring.shards;
      if (shards === undefined) return;
      switch (message.type) {
        case 'sync-context':
          for (const { shard, context } of message.covers) compare(from, message.type, shard, context);
          break;
        case 'sync-objects':
          for (const { shard, context, covered } of message.chunks) {
            compare(from, message.type, shard, context);
            if (covered !== null) compare(from, message.type, shard, covered);
          }
          break;
        case 'sync-done':
          return compare(from, message.type, message.shard, message.context);
        case 'replicate':
          return compare(from, message.type, shardOf(message.bucket, message.key, shards), message.context);
        case 'read-reply': {
          const of = keys.find(to, from.id, message.id);
          if (of === undefined) break;
          compare(from, message.type, shardOf(of.bucket, of.key, shards), message.context, of);
          break;
        }
        default:
      }
    },
    check: () => problems.all(),
  };
}
