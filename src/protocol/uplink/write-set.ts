import { assert } from '../../lib/assert.ts';
import { dotText } from '../causal/dot.ts';
import { nameId } from '../causal/name.ts';
import type { HubShard, HubWrite } from './transaction.ts';

type WriteOf<T extends HubWrite['type']> = Extract<HubWrite, { readonly type: T }>;

/** What a transaction writes, each row once. */
export interface WriteSet {
  readonly shards: ReadonlyMap<number, HubShard>;
  readonly objects: readonly WriteOf<'object'>[];
  readonly events: readonly WriteOf<'event'>[];
  readonly conflicts: readonly WriteOf<'conflict'>[];
}

/** Of several writes to a row the last one counts, of a conflict the first. `locked`: shards that the transaction has locked. */
export function writeSetOf(writes: readonly HubWrite[], locked: ReadonlySet<number>): WriteSet {
  const shards = new Map<number, HubShard>();
  const objects = new Map<string, WriteOf<'object'>>();
  const events = new Map<string, WriteOf<'event'>>();
  const conflicts = new Map<string, WriteOf<'conflict'>>();
  for (const write of writes) {
    const shard = write.type === 'object' || write.type === 'conflict' ? write.name.shard : write.shard;
    assert(locked.has(shard), 'a hub transaction writes only to shards that it has locked');
    switch (write.type) {
      case 'shard':
        shards.set(shard, write.value);
        break;
      case 'object':
        objects.set(`${shard}/${nameId(write.name)}`, write);
        break;
      case 'event':
        events.set(`${shard}/${dotText(write)}`, write);
        break;
      case 'conflict': {
        const id = `${shard}/${dotText(write.loser.dot)}`;
        if (!conflicts.has(id)) conflicts.set(id, write);
        break;
      }
    }
  }
  return { shards, objects: [...objects.values()], events: [...events.values()], conflicts: [...conflicts.values()] };
}
