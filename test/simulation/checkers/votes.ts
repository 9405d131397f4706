import type { Node } from '../../../src/protocol/node/node.ts';
import type { ObjectName } from '../../../src/protocol/replication/record.ts';
import { shardOf } from '../../../src/protocol/ring/shard.ts';
import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import { Requests } from './requests.ts';

/**
 * Only a complete replica votes: whoever says that it has stored a write as an owner, or that its copy counts for a read,
 * has synced the shard with those who held it before.
 */
export function votesChecker(): Checker {
  const problems = new Problems('votes');
  const keys = new Requests<ObjectName>();

  const compare = (from: SimNode, { bucket, key }: ObjectName, what: string): void => {
    const { disk, name, running } = from;
    if (running === null) return;
    const shard = shardOf(bucket, key, running.node.ring.shards);
    // The disk may be behind when it has just become complete, and memory ahead when it is no longer.
    const isComplete = disk.shards.get(shard)?.complete === true || isCompleteInMemory(running.node, shard);
    if (!isComplete) problems.add(`${name} ${what} ${bucket}/${key}, incomplete in shard ${shard}`);
  };

  return {
    name: 'votes',
    message: (from, to, message) => {
      switch (message.type) {
        case 'replicate':
        case 'read':
          keys.note(from.id, to, message.id, message);
          return;
        case 'replicate-ack': {
          const key = message.status === 'stored' ? keys.find(to, from.id, message.id) : undefined;
          if (key !== undefined) compare(from, key, 'has stored');
          return;
        }
        case 'read-reply': {
          const key = message.standing === 'stored' ? keys.find(to, from.id, message.id) : undefined;
          if (key !== undefined) compare(from, key, 'counts for a read of');
          break;
        }
        default:
      }
    },
    check: () => problems.all(),
  };
}

/** The part of a node's private state that knows. */
interface Inside {
  readonly replication: {
    readonly core: { readonly shards: { find(id: number): { readonly complete: boolean } | undefined } };
  };
}

function isCompleteInMemory(node: Node, shard: number): boolean {
  return (node as unknown as Inside).replication.core.shards.find(shard)?.complete === true;
}
