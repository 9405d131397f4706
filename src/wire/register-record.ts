import type { StorageRow, StorageWrite } from '../ports/storage.ts';
import { MEMBERSHIP_LIMITS } from '../protocol/membership/message.ts';
import type { AcceptorRow, NamedRow, RegisterName, RegisterWrite, ShardRecord } from '../protocol/register/record.ts';
import { boolean, type Codec, decodeOne, encodeOne, integer, list, mapped, record, text } from './codec.ts';
import { nameIn, nameKey, shardIn, shardKey, TABLES } from './record-key.ts';
import { recurring, scoped } from './recurring.ts';
import { acceptorRow, ballot, proposers } from './register-value.ts';

/** Byte forms of what acceptors keep on disk. */

/** Groups of one record: those of a ring that changes are two. */
const GROUPS_MAX = 8;
const GROUP_NODES_MAX = 64;

const nodes = recurring(text(MEMBERSHIP_LIMITS.idLengthMax));

/** A record that a ring has never been compared with has epoch -1. */
const epoch: Codec<number> = mapped(
  integer(),
  (value: number) => value + 1,
  (value) => value - 1,
);

const row: Codec<AcceptorRow> = scoped(acceptorRow, [proposers]);
const shardRecord: Codec<ShardRecord> = scoped(
  record<ShardRecord>({
    floor: ballot,
    epoch,
    member: boolean,
    whole: list(list(nodes.codec, GROUP_NODES_MAX), GROUPS_MAX),
    generation: integer(),
  }),
  [proposers, nodes],
);

/** The key of a point read. */
export function registerKey(shard: number, name: RegisterName): Uint8Array {
  return nameKey(TABLES.register, shard, name);
}

export function registerStorageWrite(write: RegisterWrite): StorageWrite {
  if (write.table === 'register-shard') {
    return { key: shardKey(TABLES['register-shard'], write.shard), value: encodeOne(shardRecord, write.value) };
  }
  const { shard, name, value } = write;
  return { key: registerKey(shard, name), value: value === null ? null : encodeOne(row, value) };
}

/** True of a row of the table `register`, among those of all tables. */
export function isRegisterRow({ key }: StorageRow): boolean {
  return key[0] === TABLES.register;
}

export function decodeRegister(value: Uint8Array): AcceptorRow {
  return decodeOne(row, value);
}

export function decodeRegisterRow({ key, value }: StorageRow): NamedRow {
  return { name: nameIn(key), row: decodeRegister(value) };
}

export function decodeRegisterShardRow({ key, value }: StorageRow): { shard: number; record: ShardRecord } {
  return { shard: shardIn(key), record: decodeOne(shardRecord, value) };
}
