import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openLevelStorage } from '../../../../src/adapters/level/level-storage.ts';
import type { Storage } from '../../../../src/ports/storage.ts';
import { RecordingLog } from '../../../support/recording-log.ts';

const TRIAL = [process.execPath, resolve(import.meta.dirname, '../../../support/store-run.ts'), 'trial'];
const KEY = Buffer.from('k');

let root: string;
let directory: string;
let lost: string[];
let log: RecordingLog;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-died-'));
  directory = join(root, 'store');
  lost = [];
  log = new RecordingLog();
  const storage = await openStore();
  await storage.commit([{ key: KEY, value: Buffer.from('v') }]);
  await storage.close();
});

afterEach(() => rm(root, { recursive: true, force: true }));

function openStore(trialCommand: readonly string[] = TRIAL): Promise<Storage> {
  return openLevelStorage({
    directory,
    log,
    onCorrupt: () => undefined,
    onRecordsLost: (reason) => lost.push(reason),
    headroomBytes: 1,
    trialCommand,
  });
}

/** A process that takes the place of the one in which a store is tried. */
function processThat(script: string): string[] {
  return [process.execPath, '--input-type=module', '-e', script];
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function leaveMarker(phase: string): Promise<void> {
  await writeFile(join(directory, 'RUNNING'), phase);
}

function errors(): string[] {
  return log.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
}

describe('after a run that died', () => {
  it.each(['opening\n', 'young\n', 'settled\n', ''])('a sound store is as it was (%j)', async (phase) => {
    await leaveMarker(phase);
    const storage = await openStore();
    expect(Buffer.from(storage.read(KEY) ?? []).toString()).toBe('v');
    await storage.close();
    expect(lost).toEqual([]);
    expect(errors()).toEqual([]);
  });

  it('nothing is left to see once the store has been closed', async () => {
    const storage = await openStore();
    expect(await readFile(join(directory, 'RUNNING'), 'utf8')).toBe('young\n');
    await storage.close();
    expect(await readdir(directory)).not.toContain('RUNNING');
  });

  it('a store that ends every process is set aside, and the node goes on with an empty one', async () => {
    await leaveMarker('opening');
    const storage = await openStore(processThat('process.abort()'));
    expect(storage.read(KEY)).toBeUndefined();
    await storage.commit([{ key: KEY, value: Buffer.from('new') }]);
    await storage.close();
    expect((await readdir(root)).sort()).toEqual(['store', 'store.damaged-1']);
    expect(await readdir(join(root, 'store.damaged-1'))).toContain('CURRENT');
    expect(lost.at(-1)).toMatch(/SIGABRT.* was set aside; this node began an empty one$/);
    expect(errors().at(-1)).toMatch(/set aside.*which the other owners fill; delete the old one/);

    log = new RecordingLog();
    await leaveMarker('opening');
    await (await openStore(processThat('process.abort()'))).close();
    expect(log.lines[0]).toMatchObject({ level: 'warn', message: expect.stringMatching(/delete them/) });
    expect((await readdir(root)).sort()).toEqual(['store', 'store.damaged-1', 'store.damaged-2']);
  });

  it.each([
    ['a full disk', `console.log('[{"code":null,"message":"No space left on device"}]'); process.exit(1)`, 'disk-full'],
    ['the end of the process from outside', `process.kill(process.pid, 'SIGKILL'); setTimeout(() => {}, 9e9)`, 'io'],
  ])('%s is not taken for damage', async (_what, script, code) => {
    await leaveMarker('opening');
    await expect(openStore(processThat(script))).rejects.toMatchObject({ code });
    expect(await readdir(root)).toEqual(['store']);
    expect(await readFile(join(directory, 'RUNNING'), 'utf8')).toBe('opening\n');
    expect(lost).toEqual([]);
  });

  it('a program that cannot be started is not taken for damage', async () => {
    await leaveMarker('opening');
    await expect(openStore([join(root, 'no such program')])).rejects.toThrow(/no process to try it/);
    expect(await readdir(root)).toEqual(['store']);
  });

  it('a repair that was cut off begins anew, and is remembered until it has come to its end', async () => {
    await leaveMarker('mending\n');
    const fails = `console.log('[{"code":null,"message":"No space left on device"}]'); process.exit(1)`;
    await expect(openStore(processThat(fails))).rejects.toMatchObject({ code: 'disk-full' });
    expect(await readFile(join(directory, 'RUNNING'), 'utf8')).toBe('mending\n');
    const storage = await openStore();
    expect(Buffer.from(storage.read(KEY) ?? []).toString()).toBe('v');
    expect(lost.at(-1)).toMatch(/an earlier repair was cut off/);
    expect(await readFile(join(directory, 'RUNNING'), 'utf8')).toBe('young\n');
    await storage.close();
  });

  it('what tries the store does not outlive the one that asked for it', async () => {
    await leaveMarker('opening');
    const pidFile = join(root, 'pid');
    const trial = processThat(`
      import { writeFileSync } from 'node:fs';
      import { runTrialTask } from ${JSON.stringify(import.meta.resolve('../../../../src/adapters/level/trial.ts'))};
      setInterval(() => undefined, 1000);
      void runTrialTask('repair', ${JSON.stringify(join(root, 'none'))});
      writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));`);
    const opens = processThat(`
      import { tryElsewhere } from ${JSON.stringify(import.meta.resolve('../../../../src/adapters/level/trial.ts'))};
      await tryElsewhere(${JSON.stringify(trial)}, 'open', ${JSON.stringify(directory)});`);
    const parent = spawn(opens[0] as string, opens.slice(1), { stdio: 'ignore' });
    const pid = await vi.waitFor(async () => Number(await readFile(pidFile, 'utf8')) || expect.fail(), {
      timeout: 9000,
    });
    expect(isRunning(pid)).toBe(true);
    parent.kill('SIGKILL');
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false), { timeout: 5000 });
  });

  it('a store that another process has open is left to it', async () => {
    const storage = await openStore();
    await leaveMarker('opening');
    const { stderr } = spawnSync(process.execPath, [TRIAL[1] as string, 'run', directory], { encoding: 'utf8' });
    expect(stderr).toContain('is in use by another process');
    expect(Buffer.from(storage.read(KEY) ?? []).toString()).toBe('v');
    await storage.close();
    expect(await readdir(root)).toEqual(['store']);
  });
});
