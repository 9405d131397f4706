import type { Storage, StorageRow } from '../ports/storage.ts';
import type { RegisterEffect } from '../protocol/register/effect.ts';
import {
  type AcceptorRow,
  afterLoss,
  type NamedRow,
  type RegisterWrite,
  type ShardRecord,
  UNKNOWN_SHARD,
} from '../protocol/register/record.ts';
import type { RestoredRegisters } from '../protocol/register/registers.ts';
import { namesAfterRange, recordOf, shardRange, storageWrite, tableRange } from '../wire/record.ts';
import { after } from '../wire/record-key.ts';
import { decodeRegister, decodeRegisterRow, decodeRegisterShardRow, registerKey } from '../wire/register-record.ts';
import { decoded, readInOrder } from './record-reader.ts';
import { eachRow } from './rows.ts';

export type RegisterRead = Extract<RegisterEffect, { type: 'register-read' }>;
export type RegisterScan = Extract<RegisterEffect, { type: 'register-scan' }>;

/** Answers reads in order: at once while they are quick, the rest in one batch. A bad row reads as absent. */
export function readRegisters(
  storage: Storage,
  reads: readonly RegisterRead[],
  answer: (id: number, row: AcceptorRow | null) => void,
  fail: (error: unknown) => void,
  nowMs: () => number,
): void {
  readInOrder(
    storage,
    reads.map(({ shard, name }) => registerKey(shard, name)),
    (index, row) => {
      const value = row === undefined ? null : decoded(storage, row, () => decodeRegister(row.value));
      answer((reads[index] as RegisterRead).id, value);
    },
    fail,
    nowMs,
  );
}

/** Executes an ordered read. Without rows there is no more. */
export async function scanRegisters(
  storage: Storage,
  scan: RegisterScan,
): Promise<{ rows: NamedRow[]; more: boolean }> {
  const { shard, limit, bytesMax } = scan;
  let range = namesAfterRange('register', shard, scan.after);
  for (;;) {
    const stored = await storage.scan(range, limit + 1, bytesMax);
    const page = stored.slice(0, limit);
    const last = page.at(-1);
    if (last === undefined) return { rows: [], more: false };
    range = { from: after(last.key), to: range.to };
    const rows = page.map((row) => decoded(storage, row, decodeRegisterRow)).filter((row) => row !== null);
    // Of a page of bad rows nobody could tell where to go on.
    if (rows.length === 0) continue;
    // Bytes may have ended the page.
    const more = stored.length > limit || (await storage.scan(range, 1, 1)).length > 0;
    return { rows, more };
  }
}

/** What this start knows of the disk. */
export interface RegisterDisk {
  /** Records that turned out bad while the disk was read, up to now. */
  readonly corrupt: readonly { readonly key: Uint8Array }[];
  /** The ring epoch of the catalog, under which this node may have answered last. */
  readonly epoch: number;
  /** Shards that it may have answered for then, where the disk has lost records that nobody can name; else none. */
  readonly suspect: Iterable<number>;
}

/**
 * Reads the standing of this acceptor in each shard. Where records of a shard are lost its say is lost with them; that is
 * synced, and the bad records are gone, before anything else happens.
 */
export async function openRegisters(storage: Storage, disk: RegisterDisk): Promise<RestoredRegisters> {
  const shards = new Map<number, ShardRecord>();
  await eachRow(storage, tableRange('register-shard'), (row) => {
    const { shard, record } = decodeRegisterShardRow(row);
    shards.set(shard, record);
  });
  const lost = new Set(disk.suspect);
  for (const { key } of disk.corrupt) {
    const bad = recordOf(key);
    if (bad.table === 'register' || bad.table === 'register-shard') lost.add(bad.shard);
  }
  const writes: RegisterWrite[] = [];
  for (const shard of lost) {
    const record = shards.get(shard);
    const generation = record === undefined ? await generationOf(storage, shard) : 0;
    const value = afterLoss(record ?? UNKNOWN_SHARD, disk.epoch, generation);
    shards.set(shard, value);
    writes.push({ table: 'register-shard', shard, value });
  }
  // With those that the search for generations has found.
  for (const { key } of disk.corrupt) {
    const bad = recordOf(key);
    if (bad.table === 'register' && lost.has(bad.shard)) writes.push({ ...bad, value: null });
  }
  if (writes.length > 0) await storage.commit(writes.map(storageWrite));
  return { shards };
}

/** The latest of all rows of a shard. */
async function generationOf(storage: Storage, shard: number): Promise<number> {
  let generation = 0;
  await eachRow(storage, shardRange('register', shard), (row: StorageRow) => {
    generation = Math.max(generation, decodeRegisterRow(row).row.generation);
  });
  return generation;
}
