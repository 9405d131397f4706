import type { Storage, StorageWrite } from '../ports/storage.ts';
import { CausalContext } from '../protocol/causal/context.ts';
import { expiriesOf } from '../protocol/causal/value.ts';
import type { ShardRecord } from '../protocol/replication/record.ts';
import { Salvage } from '../protocol/replication/salvage.ts';
import { decodeDotRow, decodeObject, decodeObjectRow, shardRange, storageWrite } from '../wire/record.ts';
import { eachRow } from './rows.ts';

/** Writes of one batch. */
const WRITES_MAX = 1024;
const NOBODY: ReadonlySet<never> = new Set<never>();

/**
 * Rebuilds the records of shard replicas from the objects on a disk that lost records which nobody can name, also of
 * those whose own record is among them (`orphans`). What it finds replaces the entries of `shards` and `floors`, and is
 * synced. A crash in between does no harm: the next start does it again.
 */
export async function salvageShards(
  storage: Storage,
  shards: Map<number, ShardRecord>,
  floors: Map<number, CausalContext>,
  orphans: readonly number[],
): Promise<void> {
  const batch = new Batch(storage);
  for (const shard of [...shards.keys(), ...orphans]) {
    const salvage = new Salvage();
    await eachRow(storage, shardRange('object', shard), async (row) => {
      const object = decodeObject(row.value);
      const { name } = decodeObjectRow(row);
      const { counted, left } = salvage.addObject(object);
      for (const { actor, counter } of counted) {
        await batch.add(storageWrite({ table: 'dot', shard, actor, counter, value: name }));
      }
      if (left !== undefined) await batch.add(storageWrite({ table: 'object', shard, name, value: left }));
      // The schedule may have lost them; those that are left over are dropped when they are due.
      for (const atMs of expiriesOf(object.entries)) {
        await batch.add(storageWrite({ table: 'expiry', atMs, shard, name, value: true }));
      }
    });
    await eachRow(storage, shardRange('dot', shard), async (row) => {
      const { actor, counter } = decodeDotRow(row);
      if (salvage.counts({ actor, counter })) return;
      await batch.add(storageWrite({ table: 'dot', shard, actor, counter, value: null }));
    });
    const record = salvage.record(shards.get(shard)?.sources ?? NOBODY);
    const floor = new CausalContext();
    shards.set(shard, record);
    floors.set(shard, floor);
    await batch.add(storageWrite({ table: 'shard', shard, value: record }));
    await batch.add(storageWrite({ table: 'floor', shard, value: floor }));
  }
  await batch.commit();
}

/** Writes that are committed some at a time. */
class Batch {
  private readonly storage: Storage;
  private writes: StorageWrite[] = [];

  constructor(storage: Storage) {
    this.storage = storage;
  }

  async add(write: StorageWrite): Promise<void> {
    this.writes.push(write);
    if (this.writes.length >= WRITES_MAX) await this.commit();
  }

  async commit(): Promise<void> {
    const { writes } = this;
    this.writes = [];
    await this.storage.commit(writes);
  }
}
