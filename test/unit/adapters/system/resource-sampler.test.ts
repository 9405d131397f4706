import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ResourceSampler, systemSampler } from '../../../../src/adapters/system/resource-sampler.ts';
import { MovingAverage, resourceScore } from '../../../../src/adapters/system/resource-score.ts';

/** A machine whose files the test changes between samples. */
class FakeMachine {
  readonly files = new Map<string, string>();
  atMs = 1000;
  storageFreeBytes: number | null = 40;

  readonly sampler = new ResourceSampler({
    read: async (path) => this.files.get(path) ?? null,
    list: async (directory) => [
      ...new Set(
        [...this.files.keys()]
          .filter((path) => path.startsWith(`${directory}/`))
          .map((path) => path.slice(directory.length + 1).split('/')[0] as string),
      ),
    ],
    storage: async () =>
      this.storageFreeBytes === null ? null : { totalBytes: 100, freeBytes: this.storageFreeBytes, device: '8:1' },
    nowMs: () => this.atMs,
  });

  set(files: Record<string, string>): void {
    for (const [path, content] of Object.entries(files)) this.files.set(path, content);
  }
}

function machine(): FakeMachine {
  const fake = new FakeMachine();
  fake.set({
    '/proc/stat': 'cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n',
    '/proc/meminfo': 'MemTotal: 1000 kB\nMemAvailable: 600 kB\n',
    '/proc/loadavg': '0.50 0.40 0.30 1/2 3\n',
    '/proc/net/dev': 'eth0: 1000 0 0 0 0 0 0 0 5000 0 0 0 0 0 0 0\n',
    '/proc/diskstats': '8 1 sda1 0 0 10 0 0 0 100 0 0 0 0\n',
    '/sys/class/thermal/thermal_zone0/type': 'cpu-thermal\n',
    '/sys/class/thermal/thermal_zone0/temp': '48312\n',
    '/sys/class/thermal/cooling_device0/type': 'fan\n',
    '/sys/class/hwmon/hwmon0/name': 'nvme\n',
    '/sys/class/hwmon/hwmon0/temp1_input': '51850\n',
    '/sys/class/hwmon/hwmon0/temp1_label': 'Composite\n',
    '/sys/class/hwmon/hwmon0/temp2_input': '-273150\n',
  });
  return fake;
}

describe('resource sampler', () => {
  it('knows levels at once and rates from the second sample on', async () => {
    const fake = machine();
    expect(await fake.sampler.sample()).toEqual({
      cpuCores: 2,
      cpuUsedRatio: null,
      loadAverage1m: 0.5,
      memoryTotalBytes: 1024000,
      memoryAvailableBytes: 614400,
      storageTotalBytes: 100,
      storageFreeBytes: 40,
      networkReceivedBytesPerSecond: null,
      networkSentBytesPerSecond: null,
      diskReadBytesPerSecond: null,
      diskWrittenBytesPerSecond: null,
      temperatures: [
        { sensor: 'cpu-thermal', celsius: 48.312 },
        { sensor: 'nvme Composite', celsius: 51.85 },
      ],
      temperatureCelsius: 51.85,
      score: 0.5,
    });
    fake.atMs += 2000;
    fake.set({
      '/proc/stat': 'cpu  130 0 110 860 0 0 0 0 0 0\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n',
      '/proc/net/dev': 'eth0: 3000 0 0 0 0 0 0 0 5000 0 0 0 0 0 0 0\n',
      '/proc/diskstats': '8 1 sda1 0 0 10 0 0 0 104 0 0 0 0\n',
    });
    expect(await fake.sampler.sample()).toMatchObject({
      cpuUsedRatio: 0.4,
      networkReceivedBytesPerSecond: 1000,
      networkSentBytesPerSecond: 0,
      diskReadBytesPerSecond: 0,
      diskWrittenBytesPerSecond: 1024,
    });
  });

  it('respects the limits of a container: the fuller of machine and quota counts', async () => {
    const fake = machine();
    fake.set({
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/cgroup.controllers': 'cpu memory\n',
      '/sys/fs/cgroup/cpu.max': '50000 100000\n',
      '/sys/fs/cgroup/cpu.stat': 'usage_usec 1000000\n',
      '/sys/fs/cgroup/memory.max': '512000\n',
      '/sys/fs/cgroup/memory.current': '500000\n',
    });
    await fake.sampler.sample();
    fake.atMs += 1000;
    fake.set({
      '/proc/stat': 'cpu  110 0 110 880 0 0 0 0 0 0\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n',
      '/sys/fs/cgroup/cpu.stat': 'usage_usec 1400000\n',
    });
    expect(await fake.sampler.sample()).toMatchObject({
      cpuCores: 0.5,
      cpuUsedRatio: 0.8,
      memoryTotalBytes: 512000,
      memoryAvailableBytes: 12000,
    });
  });

  it('gives no rate when a counter went back or no time has passed', async () => {
    const fake = machine();
    await fake.sampler.sample();
    fake.atMs += 1000;
    fake.set({ '/proc/net/dev': 'eth0: 10 0 0 0 0 0 0 0 6000 0 0 0 0 0 0 0\n' });
    expect(await fake.sampler.sample()).toMatchObject({
      cpuUsedRatio: null,
      networkReceivedBytesPerSecond: null,
      networkSentBytesPerSecond: 1000,
    });
    expect(await fake.sampler.sample()).toMatchObject({ networkSentBytesPerSecond: null });
  });

  it('is null where the system has no such files', async () => {
    const fake = new FakeMachine();
    fake.storageFreeBytes = null;
    const { temperatures, score, ...readings } = await fake.sampler.sample();
    expect(temperatures).toEqual([]);
    expect(score).toBe(0);
    expect(new Set(Object.values(readings))).toEqual(new Set([null]));
  });

  it('smooths the score', async () => {
    const fake = machine();
    await fake.sampler.sample();
    fake.storageFreeBytes = 0;
    fake.set({ '/proc/meminfo': 'MemTotal: 1000 kB\nMemAvailable: 0 kB\n' });
    fake.atMs += 10_000;
    expect((await fake.sampler.sample()).score).toBeCloseTo(0.25);
    fake.atMs += 10_000;
    expect((await fake.sampler.sample()).score).toBeCloseTo(0.125);
  });

  it('reads this machine', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-sampler-'));
    const sampler = systemSampler(directory);
    const sample = await sampler.sample();
    expect(sample.storageTotalBytes).toBeGreaterThan(0);
    expect(sample.score).toBeGreaterThan(0);
    expect(sample.score).toBeLessThanOrEqual(1);
    if (process.platform === 'linux') {
      expect(sample.cpuCores).toBeGreaterThan(0);
      expect(sample.memoryAvailableBytes).toBeGreaterThan(0);
      expect(sample.memoryAvailableBytes).toBeLessThanOrEqual(sample.memoryTotalBytes as number);
    }
    await rm(directory, { recursive: true });
    expect((await sampler.sample()).storageFreeBytes).toBeNull();
  });
});

describe('resource score', () => {
  const sample = {
    cpuUsedRatio: 0.25,
    memoryTotalBytes: 100,
    memoryAvailableBytes: 50,
    storageTotalBytes: 100,
    storageFreeBytes: 25,
  };

  it('is the mean of the free shares', () => {
    expect(resourceScore(sample)).toBe(0.5);
  });

  it('leaves out what is unknown and stays within 0 and 1', () => {
    expect(resourceScore({ ...sample, cpuUsedRatio: null, storageTotalBytes: null })).toBe(0.5);
    expect(resourceScore({ ...sample, memoryAvailableBytes: 500, cpuUsedRatio: -1, storageFreeBytes: 100 })).toBe(1);
    expect(resourceScore({ ...sample, cpuUsedRatio: 2, memoryAvailableBytes: 0, storageFreeBytes: 0 })).toBe(0);
  });

  it('averages over time, not over the number of samples', () => {
    const slow = new MovingAverage(1000);
    const fast = new MovingAverage(1000);
    slow.update(0, 0);
    fast.update(0, 0);
    for (let step = 0; step < 10; step++) fast.update(1, 100);
    expect(fast.update(1, 0)).toBeCloseTo(slow.update(1, 1000));
    expect(slow.update(1, 0)).toBe(0.5);
  });
});
