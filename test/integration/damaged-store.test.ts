import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openLevelStorage } from '../../src/adapters/level/level-storage.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { storeKey, storeValue } from '../support/store-rows.ts';
import type { StoreRun } from '../support/store-run.ts';

const PROGRAM = resolve(import.meta.dirname, '../support/store-run.ts');
const RECORDS = 12_000;
const EVERY_BYTES = 50_000;

let root: string;
let sound: string;
let directory: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-damaged-'));
  sound = join(root, 'sound');
  const storage = await openLevelStorage({
    directory: sound,
    log: new RecordingLog(),
    onCorrupt: () => undefined,
    writeBufferBytes: 256 * 1024,
    headroomBytes: 1,
  });
  for (let from = 0; from < RECORDS; from += 200) {
    const keys = Array.from({ length: 200 }, (_, i) => storeKey(((from + i) * 7919) % RECORDS));
    await storage.commit(keys.map((key) => ({ key, value: Buffer.from(storeValue(key), 'latin1') })));
  }
  await storage.close();
});

afterAll(() => rm(root, { recursive: true, force: true }));

beforeEach(() => {
  directory = join(root, 'store');
  for (const name of readdirSync(root)) if (name !== 'sound') rmSync(join(root, name), { recursive: true });
  cpSync(sound, directory, { recursive: true });
});

const TABLES = /\.ldb$/;
const LOGS = /\.log$/;

function filesOf(pattern: RegExp): string[] {
  return readdirSync(directory)
    .filter((name) => pattern.test(name))
    .map((name) => join(directory, name));
}

/** Overwrites some bytes of every file, again and again. */
function overwrite(pattern: RegExp, count: number, byte: (i: number) => number): void {
  for (const path of filesOf(pattern)) {
    const bytes = readFileSync(path);
    for (let at = Math.min(20_000, bytes.length >> 1); at < bytes.length; at += EVERY_BYTES) {
      for (let i = at; i < Math.min(at + count, bytes.length); i++) bytes[i] = byte(i);
    }
    writeFileSync(path, bytes);
  }
}

const erased = (): number => 0xff;
const zero = (): number => 0;
const noise = (i: number): number => (Math.imul(i, 2_654_435_761) >>> 13) & 0xff;
const remove = (pattern: RegExp): void => {
  for (const path of filesOf(pattern)) rmSync(path);
};
const cut = (pattern: RegExp, share: number): void => {
  for (const path of filesOf(pattern)) truncateSync(path, Math.floor(readFileSync(path).length * share));
};

/** As a version did that repaired without looking: numbers that end LevelDB are in its own files afterwards. */
async function repairBlindly(): Promise<void> {
  overwrite(TABLES, 100, erased);
  overwrite(LOGS, 100, erased);
  await ClassicLevel.repair(directory);
  const source = `
    import { ClassicLevel } from ${JSON.stringify(import.meta.resolve('classic-level'))};
    const db = new ClassicLevel(${JSON.stringify(directory)});
    for (let i = 0; i < 9; i++) { await db.put('a', 'b', { sync: true }); await db.get('a'); }
    await db.close();`;
  spawnSync(process.execPath, ['--input-type=module', '-e', source]);
}

const DAMAGES: Readonly<Record<string, () => void | Promise<void>>> = {
  'runs of erased flash in its tables': () => overwrite(TABLES, 100, erased),
  'erased flash in its tables and no index of them': () => {
    overwrite(TABLES, 100, erased);
    remove(/^MANIFEST/);
  },
  'zeroed blocks in its tables': () => overwrite(TABLES, 4096, zero),
  'noise in its tables': () => overwrite(TABLES, 30, noise),
  'tables that end half way': () => cut(TABLES, 0.5),
  'empty tables': () => cut(TABLES, 0),
  'erased flash in its log, and no index': () => {
    overwrite(LOGS, 3000, erased);
    remove(/^(CURRENT|MANIFEST.*)$/);
  },
  'no CURRENT': () => remove(/^CURRENT$/),
  'no MANIFEST': () => remove(/^MANIFEST/),
  'an erased CURRENT and MANIFEST': () => overwrite(/^(CURRENT|MANIFEST.*)$/, 4096, erased),
  'all files erased': () => overwrite(/./, 50_000, erased),
  'numbers beyond the largest that LevelDB knows, of an earlier repair': repairBlindly,
};

describe('a store with', () => {
  test.each(Object.entries(DAMAGES))('%s is usable, at the latest when it is opened again', async (_damage, damage) => {
    await damage();
    const runs: (StoreRun | string)[] = [run()];
    if (typeof runs[0] === 'string') runs.push(run());
    const lost = runs.flatMap((done) => (typeof done === 'string' ? [] : done.lost));
    runs.push(run());
    const used = runs.at(-1);
    expect(used).toEqual({ rows: expect.any(Number), wrong: 0, lost: [] });
    expect(lost).not.toEqual([]);
  });
});

test.each([200, 300, 400, 500, 600])('a repair that is killed after %i ms loses nothing more', async (afterMs) => {
  remove(/^MANIFEST/);
  for (let time = 0; time < 2; time++) {
    // A kill that comes too late finds a run that writes further records, or none.
    spawnSync(process.execPath, [PROGRAM, 'run', directory], { timeout: afterMs, killSignal: 'SIGKILL' });
  }
  const done = run();
  expect(done).toMatchObject({ wrong: 0 });
  expect((done as StoreRun).rows).toBeGreaterThanOrEqual(RECORDS);
});

/** What is said on the way out where the process did not come to an end: LevelDB may abort it. */
function run(): StoreRun | string {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, 'run', directory], {
    encoding: 'utf8',
  });
  if (status === 0) return JSON.parse(stdout) as StoreRun;
  return `${signal ?? status}: ${stderr}`;
}
