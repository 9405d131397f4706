import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLevelStorage } from '../../src/adapters/level/level-storage.ts';
import type { Log } from '../../src/ports/log.ts';
import type { CorruptRecord, Storage, StorageRange, StorageRow } from '../../src/ports/storage.ts';
import { MemoryStorage } from '../support/memory-storage.ts';

interface Subject {
  storage: Storage;
  readonly corrupted: CorruptRecord[];
  /** Damages the stored bytes of a record; the storage may be reopened for it. */
  corrupt(key: Uint8Array): Promise<void>;
  reopen(): Promise<void>;
  dispose(): Promise<void>;
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

function memorySubject(): Promise<Subject> {
  const corrupted: CorruptRecord[] = [];
  const storage = new MemoryStorage({ onCorrupt: (record) => corrupted.push(record) });
  return Promise.resolve({
    storage,
    corrupted,
    corrupt: async (key) => storage.corrupt(key),
    reopen: async () => {
      await storage.close();
      storage.restart();
    },
    dispose: () => storage.close(),
  });
}

async function levelSubject(): Promise<Subject> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-storage-'));
  const corrupted: CorruptRecord[] = [];
  const open = () => openLevelStorage({ directory, log: silent, onCorrupt: (record) => corrupted.push(record) });
  const subject: Subject = {
    storage: await open(),
    corrupted,
    corrupt: async (key) => {
      await subject.storage.close();
      await flipLastByte(directory, key);
      subject.storage = await open();
    },
    reopen: async () => {
      await subject.storage.close();
      subject.storage = await open();
    },
    dispose: async () => {
      await subject.storage.close();
      await rm(directory, { recursive: true });
    },
  };
  return subject;
}

async function flipLastByte(directory: string, key: Uint8Array): Promise<void> {
  const raw = new ClassicLevel<Uint8Array, Uint8Array>(directory, { keyEncoding: 'view', valueEncoding: 'view' });
  const stored = Uint8Array.from((await raw.get(key)) as Uint8Array);
  stored[stored.length - 1] = (stored.at(-1) as number) ^ 0x01;
  await raw.put(key, stored);
  await raw.close();
}

describe.each([
  { name: 'memory', create: memorySubject },
  { name: 'level', create: levelSubject },
])('storage contract: $name', ({ create }) => {
  let subject: Subject;

  beforeEach(async () => {
    subject = await create();
  });

  afterEach(async () => {
    await subject.dispose();
  });

  it('reads what was committed, also after a restart', async () => {
    await subject.storage.commit([put('a', '1'), put('b', '')]);
    expect(text(subject.storage.read(bytes('a')))).toBe('1');
    await subject.reopen();
    expect(text(subject.storage.read(bytes('a')))).toBe('1');
    expect(text(subject.storage.read(bytes('b')))).toBe('');
    expect(subject.storage.read(bytes('c'))).toBeUndefined();
  });

  it('applies a batch in its order: the last write of a key wins', async () => {
    await subject.storage.commit([put('a', '1'), del('a'), put('b', '1'), put('b', '2'), put('c', '1'), del('c')]);
    expect(await dump(subject.storage)).toEqual(['b=2']);
  });

  it('applies commits in the order of the calls, without waiting between them', async () => {
    const commits = Array.from({ length: 100 }, (_, index) => subject.storage.commit([put('a', String(index))]));
    await Promise.all(commits);
    expect(text(subject.storage.read(bytes('a')))).toBe('99');
  });

  it('answers readMany in the order of the keys', async () => {
    await subject.storage.commit([put('a', '1'), put('c', '3')]);
    const values = await subject.storage.readMany(['c', 'b', 'a', 'c'].map(bytes));
    expect(values.map(text)).toEqual(['3', undefined, '1', '3']);
    expect(await subject.storage.readMany([])).toEqual([]);
  });

  it('returns plain copies: changing one changes nothing else', async () => {
    await subject.storage.commit([put('a', '1')]);
    const value = subject.storage.read(bytes('a')) as Uint8Array;
    expect(Buffer.isBuffer(value)).toBe(false);
    value[0] = 0x39;
    expect(text(subject.storage.read(bytes('a')))).toBe('1');
    const [row] = await subject.storage.scan(range('a', 'b'), 1, 100);
    expect(Buffer.isBuffer(row?.key) || Buffer.isBuffer(row?.value)).toBe(false);
  });

  it('scans half-open ranges in byte order', async () => {
    const keys = [[0x00], [0x00, 0x00], [0x61], [0x61, 0x00], [0x61, 0xff], [0x62], [0xc3, 0xa9], [0xfe, 0xff]];
    await subject.storage.commit(keys.toReversed().map((key) => ({ key: Uint8Array.from(key), value: bytes('v') })));
    const all = await subject.storage.scan({ from: Uint8Array.of(), to: Uint8Array.of(0xff) }, 100, 1e6);
    expect(all.map((row) => [...row.key])).toEqual(keys);
    const some = await subject.storage.scan({ from: Uint8Array.of(0x61), to: Uint8Array.of(0x62) }, 100, 1e6);
    expect(some.map((row) => [...row.key])).toEqual([[0x61], [0x61, 0x00], [0x61, 0xff]]);
    expect(await subject.storage.scan(range('b', 'a'), 100, 1e6)).toEqual([]);
  });

  it('caps a scan by rows and by bytes, and always returns at least one row', async () => {
    await subject.storage.commit(Array.from({ length: 20 }, (_, index) => put(`k${10 + index}`, 'x'.repeat(97))));
    expect(await subject.storage.scan(range('k', 'l'), 7, 1e6)).toHaveLength(7);
    expect(await subject.storage.scan(range('k', 'l'), 100, 500)).toHaveLength(5);
    expect(await subject.storage.scan(range('k', 'l'), 100, 499)).toHaveLength(4);
    expect(await subject.storage.scan(range('k', 'l'), 100, 1)).toHaveLength(1);
    await expect(subject.storage.scan(range('k', 'l'), 0, 100)).rejects.toThrow(/at least one row/);
  });

  it('scans more rows and bytes than the engine reads at once', async () => {
    const value = 'v'.repeat(1500);
    for (let batch = 0; batch < 5; batch++) {
      await subject.storage.commit(
        Array.from({ length: 500 }, (_, index) => put(`k${String(batch * 500 + index).padStart(5, '0')}`, value)),
      );
    }
    const rows = await subject.storage.scan(range('k', 'l'), 10_000, 1e9);
    expect(rows.map((row) => Number(text(row.key)?.slice(1)))).toEqual(Array.from({ length: 2500 }, (_, i) => i));
  });

  it('clears a range and nothing else', async () => {
    await subject.storage.commit([put('a', '1'), put('b', '2'), put('b1', '3'), put('c', '4')]);
    await subject.storage.clear(range('b', 'c'));
    expect(await dump(subject.storage)).toEqual(['a=1', 'c=4']);
    await subject.storage.clear(range('x', 'y'));
    await subject.storage.clear({ from: Uint8Array.of(), to: Uint8Array.of(0xff, 0xff) });
    expect(await dump(subject.storage)).toEqual([]);
  });

  it('clears what was committed before the call and keeps what is committed after it', async () => {
    await subject.storage.commit(Array.from({ length: 3000 }, (_, index) => put(`k${index}`, 'old')));
    const work = [
      subject.storage.commit([put('k-before', 'old')]),
      subject.storage.clear(range('k', 'l')),
      subject.storage.commit([put('k2999', 'new'), put('other', 'new')]),
      subject.storage.commit([put('other', 'newer')]),
    ];
    await Promise.all(work);
    expect(await dump(subject.storage)).toEqual(['k2999=new', 'other=newer']);
  });

  it('sets a corrupt record aside: absent for read, readMany and scan, reported once before that, never fatal', async () => {
    await subject.storage.commit(['a', 'b', 'c', 'd', 'e'].map((key) => put(key, `value ${key}`)));
    await subject.corrupt(bytes('b'));
    const reported = () => subject.corrupted.map((record) => text(record.key));
    expect([subject.storage.read(bytes('b')), reported()]).toEqual([undefined, ['b']]);
    expect(subject.storage.read(bytes('b'))).toBeUndefined();
    await subject.corrupt(bytes('c'));
    const values = await subject.storage.readMany(['a', 'c', 'd'].map(bytes));
    expect([values.map(text), reported()]).toEqual([
      ['value a', undefined, 'value d'],
      ['b', 'c'],
    ]);
    await subject.corrupt(bytes('d'));
    expect(await dump(subject.storage)).toEqual(['a=value a', 'e=value e']);
    expect(reported()).toEqual(['b', 'c', 'd']);
    expect(subject.corrupted[0]?.reason).toBe('checksum mismatch');
    await subject.reopen();
    expect(await dump(subject.storage)).toEqual(['a=value a', 'e=value e']);
    expect(subject.corrupted).toHaveLength(3);
  });

  it('sets a record aside that its reader rejects, and takes a new value for it', async () => {
    await subject.storage.commit([put('a', 'old'), put('b', 'old')]);
    subject.storage.reject(bytes('b'), 'not decodable');
    expect(subject.corrupted).toEqual([{ key: bytes('b'), reason: 'not decodable' }]);
    await subject.storage.commit([put('b', 'new')]);
    expect(await dump(subject.storage)).toEqual(['a=old', 'b=new']);
    expect(subject.corrupted).toHaveLength(1);
  });

  it('takes a new value for a key whose record was corrupt', async () => {
    await subject.storage.commit([put('a', 'old')]);
    await subject.corrupt(bytes('a'));
    expect(subject.storage.read(bytes('a'))).toBeUndefined();
    await subject.storage.commit([put('a', 'new')]);
    expect(text(subject.storage.read(bytes('a')))).toBe('new');
    await subject.reopen();
    expect(text(subject.storage.read(bytes('a')))).toBe('new');
  });

  it('refuses keys that belong to the adapter', () => {
    expect(() => subject.storage.commit([{ key: Uint8Array.of(0xff, 1), value: null }])).toThrow(/0xff/);
    expect(() => subject.storage.commit([{ key: Uint8Array.of(), value: null }])).toThrow(/empty/);
  });

  it('says how much it holds', async () => {
    await subject.storage.commit([put('a', 'x'.repeat(1000))]);
    const { usedBytes, freeBytes } = await subject.storage.usage();
    expect(usedBytes).toBeGreaterThanOrEqual(1000);
    expect(freeBytes).toBeGreaterThan(0);
  });

  it('finishes what waits before it closes, and refuses everything after', async () => {
    const commit = subject.storage.commit([put('a', '1')]);
    await subject.storage.close();
    await commit;
    await subject.storage.close();
    await expect(subject.storage.commit([put('b', '1')])).rejects.toMatchObject({ code: 'io' });
    expect(() => subject.storage.read(bytes('a'))).toThrow(/closed/);
    await expect(subject.storage.scan(range('a', 'b'), 1, 1)).rejects.toMatchObject({ code: 'io' });
    await subject.reopen();
    expect(text(subject.storage.read(bytes('a')))).toBe('1');
  });

  it('behaves as a sorted map under any sequence of commits, clears and restarts', async () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 2, max: 3 });
    const write = fc.record({ key, value: fc.option(fc.uint8Array({ maxLength: 3 }), { nil: null }) });
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.array(write, { maxLength: 6 }) },
      { weight: 2, arbitrary: fc.record({ from: key, to: key }) },
      { weight: 1, arbitrary: fc.constant('restart' as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.record({ from: key, to: key }), async (steps, window) => {
        await subject.storage.clear({ from: Uint8Array.of(), to: Uint8Array.of(0xff) });
        const model = new Map<string, string>();
        for (const one of steps) {
          if (one === 'restart') await subject.reopen();
          else if (Array.isArray(one)) {
            await subject.storage.commit(one);
            for (const { key, value } of one) {
              if (value === null) model.delete(hex(key));
              else model.set(hex(key), hex(value));
            }
          } else {
            await subject.storage.clear(one);
            for (const name of model.keys()) if (name >= hex(one.from) && name < hex(one.to)) model.delete(name);
          }
        }
        const rows = await subject.storage.scan(window, 1000, 1e6);
        const names = [...model.keys()].filter((name) => name >= hex(window.from) && name < hex(window.to)).toSorted();
        expect(rows.map((row) => [hex(row.key), hex(row.value)])).toEqual(names.map((name) => [name, model.get(name)]));
      }),
      { numRuns: 40 },
    );
  });
});

describe('memory storage faults', () => {
  it('drops unsynced commits and unsynced clears in a crash', async () => {
    const storage = new MemoryStorage({ manualSync: true });
    const first = storage.commit([put('a', '1'), put('b', '1')]);
    storage.sync();
    await first;
    await storage.clear(range('b', 'c'));
    void storage.commit([put('a', '2')]);
    expect(text(storage.read(bytes('a')))).toBe('1');
    storage.crash();
    expect(() => storage.read(bytes('a'))).toThrow(/closed/);
    storage.restart();
    expect(await dump(storage)).toEqual(['a=1', 'b=1']);
  });

  it('keeps a clear that a later commit has synced', async () => {
    const storage = new MemoryStorage();
    await storage.commit([put('a', '1')]);
    await storage.clear(range('a', 'b'));
    await storage.commit([put('z', '1')]);
    storage.crash();
    storage.restart();
    expect(await dump(storage)).toEqual(['z=1']);
  });

  it('refuses puts but not deletes and reads while the disk is full', async () => {
    const storage = new MemoryStorage();
    await storage.commit([put('a', '1'), put('b', '1')]);
    storage.fillDisk(true);
    await expect(storage.commit([put('c', '1'), del('b')])).rejects.toMatchObject({ code: 'disk-full' });
    await storage.commit([del('a')]);
    expect(await dump(storage)).toEqual(['b=1']);
    storage.fillDisk(false);
    await storage.commit([put('c', '1')]);
    expect(await dump(storage)).toEqual(['b=1', 'c=1']);
  });
});

describe('level storage durability', () => {
  it('holds every acknowledged commit after SIGKILL, whole or not at all', { timeout: 60_000 }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-durability-'));
    try {
      const acknowledged = new Set<number>();
      for (const round of [0, 1, 2]) {
        for (const id of await commitUntilKilled(directory, round * 1_000_000)) acknowledged.add(id);
        const reasons: string[] = [];
        const storage = await openLevelStorage({
          directory,
          log: silent,
          onCorrupt: () => reasons.push('corrupt'),
          onRecordsLost: (reason) => reasons.push(reason),
        });
        const first = await idsOf(storage, 'a/');
        const second = await idsOf(storage, 'b/');
        await storage.close();
        expect([...acknowledged].filter((id) => !first.has(id))).toEqual([]);
        expect([...first].filter((id) => !second.has(id)).concat([...second].filter((id) => !first.has(id)))).toEqual(
          [],
        );
        expect(reasons).toEqual([]);
      }
      expect(acknowledged.size).toBeGreaterThan(1000);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

/** Kills the child with SIGKILL in the middle of its work; returns the ids it had printed. */
async function commitUntilKilled(directory: string, first: number): Promise<number[]> {
  const script = new URL('../support/commit-until-killed.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, directory, String(first)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk: string) => {
    output += chunk;
    if (output.length > 8_000) child.kill('SIGKILL');
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  expect({ code, signal }).toEqual({ code: null, signal: 'SIGKILL' });
  return output.slice(0, output.lastIndexOf('\n')).split('\n').map(Number);
}

async function idsOf(storage: Storage, prefix: string): Promise<Set<number>> {
  const rows = await storage.scan(range(prefix, `${prefix}~`), 1_000_000, 1e9);
  return new Set(rows.map((row) => Number(text(row.key)?.slice(prefix.length))));
}

async function dump(storage: Storage): Promise<string[]> {
  const rows: StorageRow[] = await storage.scan({ from: Uint8Array.of(), to: Uint8Array.of(0xff) }, 10_000, 1e9);
  return rows.map((row) => `${text(row.key)}=${text(row.value)}`);
}

function put(key: string, value: string) {
  return { key: bytes(key), value: bytes(value) };
}

function del(key: string) {
  return { key: bytes(key), value: null };
}

function range(from: string, to: string): StorageRange {
  return { from: bytes(from), to: bytes(to) };
}

function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function text(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : new TextDecoder().decode(value);
}

function hex(value: Uint8Array): string {
  return Buffer.from(value).toString('hex');
}
