import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLevelStorage } from '../../../src/adapters/level/level-storage.ts';
import type { CorruptRecord, Storage } from '../../../src/ports/storage.ts';
import { compareConflicts, conflictBytes } from '../../../src/protocol/replication/conflict-journal.ts';
import type {
  ConflictKey,
  ConflictRow,
  ConflictWrite,
  RecordScan,
  ScanResult,
} from '../../../src/protocol/replication/record.ts';
import { openNodeState } from '../../../src/runtime/node-state.ts';
import { scanRecords } from '../../../src/runtime/record-reader.ts';
import { recordOf, storageWrite } from '../../../src/wire/record.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const EXPECTED = {
  clusterId: 'c',
  shards: 16,
  drawActor: () => '00000000000000a1',
  corrupt: [],
  renewActor: false,
  hasRun: false,
};

let directory: string;
let storage: Storage;
let rejected: CorruptRecord[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-conflicts-'));
  rejected = [];
  storage = await open();
});

afterEach(async () => {
  await storage.close();
  await rm(directory, { recursive: true });
});

function open(): Promise<Storage> {
  return openLevelStorage({
    directory: join(directory, 'store'),
    log: new RecordingLog(),
    onCorrupt: (record) => rejected.push(record),
    onRecordsLost: (reason) => {
      throw new Error(reason);
    },
  });
}

function written(actor: string, counter: number, hlc: number): ConflictWrite {
  const payload = { kind: 'register', value: Uint8Array.of(counter % 256), contentType: 'text/plain' } as const;
  return { entry: { dot: { actor, counter }, hlc, expiresAtMs: 7, payload }, bytes: 100_000, byHub: counter % 2 === 0 };
}

function rowOf(bucket: string, { hlc, shard, actor, counter }: ConflictKey): ConflictRow {
  const loser = written(actor, counter, hlc);
  const winner = written('f'.repeat(16), counter, hlc + 1);
  return { key: { hlc, shard, actor, counter }, record: { name: { bucket, key: 'k/1' }, winner, loser, atMs: 12 } };
}

const A = 'a'.repeat(16);
const B = 'b'.repeat(16);
const LAST = Number.MAX_SAFE_INTEGER;
/** In the order of the journal: the latest lost write first. */
const ROWS = [
  rowOf('x', { hlc: LAST - 1, shard: 2 ** 48 - 1, actor: B, counter: LAST }),
  rowOf('y', { hlc: 70_000, shard: 1, actor: B, counter: 1 }),
  rowOf('x', { hlc: 70_000, shard: 65_536, actor: A, counter: 2 }),
  rowOf('x', { hlc: 70_000, shard: 65_536, actor: A, counter: 256 }),
  rowOf('y', { hlc: 70_000, shard: 65_536, actor: B, counter: 1 }),
  rowOf('x', { hlc: 255, shard: 0, actor: A, counter: 3 }),
  rowOf('x', { hlc: 0, shard: 0, actor: A, counter: 4 }),
];

async function fill(): Promise<void> {
  const shuffled = ROWS.toSorted((a, b) => a.key.counter - b.key.counter);
  await storage.commit(shuffled.map(({ key, record }) => storageWrite({ table: 'conflict', key, value: record })));
}

async function scan(about: Partial<Extract<RecordScan, { table: 'conflict' }>>): Promise<ScanResult> {
  return await scanRecords(storage, { table: 'conflict', bucket: null, after: null, limit: 100, ...about });
}

describe('conflicts on the disk', () => {
  it('come in the order of the journal, after one of them, of all buckets or one', async () => {
    await fill();
    expect(ROWS.toSorted((a, b) => compareConflicts(a.key, b.key))).toEqual(ROWS);
    expect(await scan({})).toEqual({ table: 'conflict', rows: ROWS, more: false });
    expect(await scan({ limit: 3 })).toEqual({ table: 'conflict', rows: ROWS.slice(0, 3), more: true });
    for (const [index, { key }] of ROWS.entries()) {
      expect(await scan({ after: key, limit: 7 })).toEqual({
        table: 'conflict',
        rows: ROWS.slice(index + 1),
        more: false,
      });
    }
    const ofX = ROWS.filter(({ record }) => record.name.bucket === 'x');
    expect(await scan({ bucket: 'x', limit: 5 })).toEqual({ table: 'conflict', rows: ofX, more: false });
    expect(await scan({ bucket: 'x', limit: 2 })).toEqual({ table: 'conflict', rows: ofX.slice(0, 2), more: true });
    expect(await scan({ bucket: 'z' })).toEqual({ table: 'conflict', rows: [], more: false });
  });

  it('are there after a restart', async () => {
    await fill();
    await storage.close();
    storage = await open();
    const { replication } = await openNodeState(storage, EXPECTED);
    const restored = ROWS.map(({ key, record }) => ({ key, atMs: 12, bytes: conflictBytes(record) }));
    expect(replication.conflicts).toEqual(restored);
    expect(await scan({})).toEqual({ table: 'conflict', rows: ROWS, more: false });
  });

  it('do without one that cannot be read, and name it', async () => {
    await fill();
    const [, bad] = ROWS as [ConflictRow, ConflictRow];
    const { key } = storageWrite({ table: 'conflict', key: bad.key, value: null });
    await storage.commit([{ key, value: Uint8Array.of(1, 2, 3) }]);
    const others = ROWS.filter((row) => row !== bad);
    expect(await scan({ limit: 6 })).toEqual({ table: 'conflict', rows: others, more: false });
    const { replication } = await openNodeState(storage, EXPECTED);
    expect(replication.conflicts.map((each) => each.key)).toEqual(others.map((each) => each.key));
    expect(rejected.map((record) => recordOf(record.key))).toEqual([{ table: 'conflict', key: bad.key }]);
  });
});
