import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { CorruptRecord } from '../../../src/ports/storage.ts';
import type { NodeEffect, NodeInput } from '../../../src/protocol/node/effect.ts';
import type { Node } from '../../../src/protocol/node/node.ts';
import type { AcceptorRow, RegisterName, RegisterWrite } from '../../../src/protocol/register/record.ts';
import { DiskCare } from '../../../src/runtime/disk-care.ts';
import { Driver, type DriverHooks } from '../../../src/runtime/driver.ts';
import { NEVER_SCRUBBED } from '../../../src/runtime/scrubber.ts';
import { metaKey, storageWrite } from '../../../src/wire/record.ts';
import { registerKey } from '../../../src/wire/register-record.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryStorage } from '../../support/memory-storage.ts';
import { MemoryNetwork } from '../../support/memory-transport.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const SHARD = 3;
const NOW_MS = 5000;
const COMMIT = { type: 'leave' } as const;

function rowOf(counter: number, bytes = 1): AcceptorRow {
  const ballot = { counter, proposer: 'a'.repeat(16) };
  const content = { bytes: new Uint8Array(bytes), contentType: '', expiresAtMs: null };
  return {
    promised: ballot,
    accepted: { ballot, value: { version: ballot, base: ballot, content }, copied: false },
    generation: 0,
  };
}

function nameOf(key: string): RegisterName {
  return { bucket: 'b', key };
}

function write(key: string, value: AcceptorRow | null): RegisterWrite {
  return { table: 'register', shard: SHARD, name: nameOf(key), value };
}

function persist(id: number, ...rows: RegisterWrite[]): NodeEffect {
  return { type: 'register-persist', id, rows };
}

function read(id: number, key: string): NodeEffect {
  return { type: 'register-read', id, shard: SHARD, name: nameOf(key) };
}

function scan(id: number, after: string | null, limit: number): NodeEffect {
  return {
    type: 'register-scan',
    id,
    shard: SHARD,
    after: after === null ? null : nameOf(after),
    limit,
    bytesMax: 1024,
  };
}

/** A driver, and a node that does as it is told, and notes what it hears. */
function setup(scrubBytesPerSecond = 0) {
  const found: CorruptRecord[] = [];
  let onCorrupt = (record: CorruptRecord): void => void found.push(record);
  const storage = new MemoryStorage({ manualSync: true, onCorrupt: (record) => onCorrupt(record) });
  const heard: NodeInput[] = [];
  let effects: NodeEffect[] = [];
  const node = {
    handle: (input: NodeInput): NodeEffect[] => {
      if (input.type !== 'leave') heard.push(input);
      const now = effects;
      effects = [];
      return now;
    },
    nextDeadline: () => undefined,
  };
  const fatal: unknown[] = [];
  const clock = new ManualClock();
  const log = new RecordingLog();
  const driver = new Driver({
    node: node as unknown as Node,
    storage,
    meta: [],
    transport: new MemoryNetwork().create('s'),
    hub: null,
    clock,
    log,
    hooks: { onFatal: (error: unknown) => fatal.push(error) } as unknown as DriverHooks,
  });
  const events: unknown[] = [];
  const care = new DiskCare({
    storage,
    clock,
    log,
    scrubBytesPerSecond,
    scrubIntervalHours: 1,
    scrub: NEVER_SCRUBBED,
    wallMs: () => NOW_MS,
    post: (input) => driver.post(input),
    write: (each) => driver.writeMeta(each),
    restoreMeta: (key) => driver.restoreMeta(key),
    onEvent: (type, data) => events.push({ type, ...data }),
  });
  onCorrupt = (record) => care.handleCorrupt(record);
  /** Lets what is under way come to its end, but for the disk's syncs. */
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) {
      clock.advance(1);
      await turn();
    }
  };
  const execute = async (...next: NodeEffect[]): Promise<void> => {
    effects = next;
    driver.post(COMMIT);
    await settle();
  };
  const sync = async (): Promise<void> => {
    storage.sync();
    await settle();
  };
  return { storage, driver, clock, heard, fatal, care, events, execute, settle, sync };
}

it('commits rows in one batch with all else of a turn, and confirms them once they are synced', async () => {
  const { storage, heard, execute, sync } = setup();
  await execute(
    persist(1, write('a', rowOf(1)), {
      table: 'register-shard',
      shard: SHARD,
      value: {
        floor: { counter: 0, proposer: '' },
        epoch: 1,
        member: true,
        whole: [],
        generation: 0,
      },
    }),
    { type: 'persist', id: 1, writes: [{ table: 'counter', shard: SHARD, value: 1 }] },
    persist(2, write('a', rowOf(2))),
    { type: 'persist-incarnation', incarnation: 7 },
  );
  expect(heard).toEqual([]);
  expect(storage.read(registerKey(SHARD, nameOf('a')))).toBeUndefined();
  await sync();
  expect(storage.syncs).toBe(1);
  expect(heard).toEqual([
    { type: 'persisted', id: 1 },
    { type: 'register-persisted', id: 2 },
    { type: 'incarnation-persisted', incarnation: 7 },
  ]);
  expect(storage.read(metaKey('incarnation'))).toBeDefined();
  const { key, value } = storageWrite(write('a', rowOf(2)));
  expect(storage.read(key)).toEqual(value);
});

it('confirms a commit of many turns with one input of each kind', async () => {
  const { heard, execute, sync } = setup();
  // While it is under way, the others gather.
  await execute(persist(1, write('a', rowOf(1))));
  for (let id = 2; id <= 20; id++) {
    await execute(persist(id, write('a', rowOf(id))), {
      type: 'persist',
      id,
      writes: [{ table: 'counter', shard: SHARD, value: id }],
    });
  }
  await sync();
  await sync();
  expect(heard).toEqual([
    { type: 'register-persisted', id: 1 },
    { type: 'register-persisted', id: 20 },
    { type: 'persisted', id: 20 },
  ]);
});

it.each([false, true])('answers the reads of a turn in their order (batched: %s)', async (batched) => {
  const { storage, heard, execute, sync } = setup();
  storage.prefersBatches = batched;
  await execute(persist(1, write('a', rowOf(1)), write('b', rowOf(2))));
  await sync();
  heard.length = 0;
  await execute(read(7, 'b'), read(8, 'none'), read(9, 'a'));
  expect(heard).toEqual([
    { type: 'register-read-done', id: 7, row: rowOf(2) },
    { type: 'register-read-done', id: 8, row: null },
    { type: 'register-read-done', id: 9, row: rowOf(1) },
  ]);
});

it('answers a scan with a page of rows', async () => {
  const { heard, execute, sync } = setup();
  await execute(persist(1, ...['c', 'a', 'b'].map((key) => write(key, rowOf(1)))));
  await sync();
  heard.length = 0;
  await execute(scan(4, null, 2));
  await execute(scan(5, 'b', 2));
  const named = (key: string) => ({ name: nameOf(key), row: rowOf(1) });
  expect(heard).toEqual([
    { type: 'register-scan-done', id: 4, rows: [named('a'), named('b')], more: true },
    { type: 'register-scan-done', id: 5, rows: [named('c')], more: false },
  ]);
});

it.each([scan(1, null, 1), read(1, 'a')])('cannot go on where the disk does not answer: $type', async (effect) => {
  const { storage, fatal, execute } = setup();
  await storage.close();
  await execute(effect);
  expect(fatal).toEqual([expect.objectContaining({ code: 'io' })]);
});

it.each([
  ['read', false],
  ['read', true],
  ['scan', false],
] as const)('tells of a bad row before the %s that found it is answered (batched: %s)', async (kind, batched) => {
  const { storage, heard, events, care, execute, sync } = setup();
  storage.prefersBatches = batched;
  await execute(persist(1, write('a', rowOf(1)), write('b', rowOf(2))));
  await sync();
  heard.length = 0;
  storage.corrupt(registerKey(SHARD, nameOf('a')));
  await execute(kind === 'read' ? read(2, 'a') : scan(2, null, 9));
  expect(heard).toMatchObject([
    { type: 'register-lost', record: { table: 'register', shard: SHARD, name: nameOf('a') } },
    kind === 'read' ? { type: 'register-read-done', row: null } : { rows: [{ name: nameOf('b') }] },
  ]);
  expect(events).toEqual([{ type: 'record-corrupt', table: 'register', reason: 'checksum mismatch' }]);
  expect(care.counters.corrupt).toBe(1);
});

it('tells of a bad record of a shard', () => {
  const { driver, clock, heard, care } = setup();
  const { key } = storageWrite({
    table: 'register-shard',
    shard: SHARD,
    value: { floor: { counter: 0, proposer: '' }, epoch: 1, member: true, whole: [], generation: 0 },
  });
  driver.start();
  care.handleCorrupt({ key, reason: 'checksum mismatch' });
  clock.advance(1);
  expect(heard).toEqual([{ type: 'register-lost', record: { table: 'register-shard', shard: SHARD } }]);
});

describe('the scrubber', () => {
  const deleted = ({ accepted, ...rest }: AcceptorRow): AcceptorRow => ({
    ...rest,
    accepted: accepted && { ...accepted, value: { ...accepted.value, content: null } },
  });
  const expiring = (atMs: number): AcceptorRow => {
    const row = rowOf(1);
    const { accepted } = row;
    const content = { bytes: new Uint8Array(1), contentType: '', expiresAtMs: atMs };
    return { ...row, accepted: accepted && { ...accepted, value: { ...accepted.value, content } } };
  };

  async function scrubbed(...rows: RegisterWrite[]) {
    const { heard, events, care, storage, clock, execute, sync, settle } = setup(1024 * 1024);
    const object = { table: 'object', shard: SHARD, name: nameOf('o'), value: { entries: [], past: null } } as const;
    await execute({ type: 'persist', id: 1, writes: [object] }, persist(1, ...rows));
    await sync();
    heard.length = 0;
    storage.corrupt(registerKey(SHARD, nameOf('bad')));
    care.start();
    for (let i = 0; i < 20; i++) {
      clock.advance(500);
      await settle();
    }
    care.stop();
    expect(events).toContainEqual({ type: 'record-corrupt', table: 'register', reason: 'checksum mismatch' });
    return heard.filter(({ type }) => type.startsWith('register-'));
  }

  it('tells of keys that are deleted or expired, or hold nothing, and of no others', async () => {
    const heard = await scrubbed(
      write('bad', rowOf(1)),
      write('deleted', deleted(rowOf(1))),
      write('expired', expiring(NOW_MS)),
      write('expiring', expiring(NOW_MS + 1)),
      write('kept', rowOf(1)),
      write('promised', { ...rowOf(1), accepted: null }),
    );
    expect(heard).toEqual([
      { type: 'register-lost', record: { table: 'register', shard: SHARD, name: nameOf('bad') } },
      { type: 'register-tombstones', names: ['deleted', 'expired', 'promised'].map(nameOf) },
    ]);
  });

  it('tells of some at a time', async () => {
    const keys = Array.from({ length: 150 }, (_, i) => `k${String(i).padStart(3, '0')}`);
    const heard = await scrubbed(write('bad', rowOf(1)), ...keys.map((key) => write(key, deleted(rowOf(1)))));
    const batches = heard.flatMap((input) => (input.type === 'register-tombstones' ? [input.names] : []));
    expect(batches.map((names) => names.length)).toEqual([64, 64, 22]);
    expect(batches.flat()).toEqual(keys.map(nameOf));
  });
});
