import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Shortage, SpaceGuard, shortageText } from '../../../src/runtime/space-guard.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const MIB = 1024 * 1024;
const HEADROOM = 64 * MIB;

async function setup(freeBytes: number) {
  const clock = new ManualClock();
  const disk = { usedBytes: 0, freeBytes, looks: 0, reclaims: 0, reclaimEnds: Promise.resolve() };
  const told: (Shortage | null)[] = [];
  const guard = new SpaceGuard({
    storage: {
      usage: async () => {
        disk.looks++;
        return { usedBytes: disk.usedBytes, freeBytes: disk.freeBytes };
      },
      reclaim: () => {
        disk.reclaims++;
        return disk.reclaimEnds;
      },
    },
    clock,
    log: new RecordingLog(),
    headroomBytes: HEADROOM,
    onShortage: (shortage) => told.push(shortage),
  });
  await guard.start();
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 50) {
      clock.advance(Math.min(50, left));
      await turn();
    }
  };
  return { guard, disk, told, pass };
}

describe('the headroom of the disk', () => {
  it('is refused to writes below it, and given back well above it', async () => {
    const { guard, disk, told, pass } = await setup(HEADROOM + 10 * MIB);
    disk.freeBytes = HEADROOM - 1;
    await pass(300);
    expect(told).toEqual(['headroom']);
    disk.freeBytes = HEADROOM * 1.2;
    await pass(5000);
    expect([guard.shortage, told]).toEqual(['headroom', ['headroom']]);
    disk.freeBytes = HEADROOM * 1.3;
    await pass(5000);
    expect([guard.shortage, told]).toEqual([null, ['headroom', null]]);
  });

  it('is looked after the more often the nearer it is', async () => {
    const far = await setup(100 * 1024 * MIB);
    await far.pass(20_000);
    expect(far.disk.looks).toBe(5);
    const near = await setup(HEADROOM + MIB);
    await near.pass(2000);
    expect(near.disk.looks).toBe(9);
  });

  it('stays refused while a commit waits, whatever the file system says', async () => {
    const { guard, told, pass } = await setup(10 * HEADROOM);
    guard.handleRefused(true);
    await pass(10_000);
    expect(told).toEqual(['refused']);
    guard.handleRefused(false);
    expect(told).toEqual(['refused', null]);
  });

  it('is not given up because a refused commit went through', async () => {
    const { guard, disk, told, pass } = await setup(HEADROOM - 1);
    guard.handleRefused(true);
    guard.handleRefused(false);
    expect([disk.freeBytes < HEADROOM, told]).toEqual([true, ['headroom']]);
    await pass(1000);
    expect(told).toEqual(['headroom']);
  });

  it('is told apart from a disk that is full', async () => {
    const { guard, disk, told, pass } = await setup(10 * HEADROOM);
    guard.handleRefused(true);
    disk.freeBytes = HEADROOM - 1;
    await pass(5000);
    expect(told).toEqual(['refused', 'headroom']);
    expect(shortageText('headroom', 'a', HEADROOM)).toBe(
      'node a takes no writes until its disk has 80MiB free, a quarter more than tuning.diskHeadroomBytes (64MiB); free space, grow the volume, or lower that key. Reads and deletes go on',
    );
    expect(shortageText('refused', 'a', HEADROOM)).toBe(
      'the disk of node a is full; free space or grow the volume. Reads and deletes go on',
    );
  });

  it('makes deleted records give their space back, one compaction after the other and not all the time', async () => {
    const { disk, pass } = await setup(HEADROOM - 1);
    expect(disk.reclaims).toBe(1);
    const { promise, resolve } = Promise.withResolvers<void>();
    disk.reclaimEnds = promise;
    await pass(2500);
    expect(disk.reclaims).toBe(2);
    await pass(10_000);
    expect(disk.reclaims).toBe(2);
    resolve();
    await pass(20_000);
    expect(disk.reclaims).toBe(2);
    await pass(20_000);
    expect(disk.reclaims).toBeGreaterThan(2);
  });

  it('leaves the store alone while there is space', async () => {
    const { disk, pass } = await setup(10 * HEADROOM);
    await pass(60_000);
    expect(disk.reclaims).toBe(0);
  });
});
