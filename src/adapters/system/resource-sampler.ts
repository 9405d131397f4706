import { readdir, readFile, stat, statfs } from 'node:fs/promises';
import type { SystemSample, SystemSampler } from '../../ports/system.ts';
import { type CgroupReadings, readCgroup } from './cgroup.ts';
import {
  type ByteCounts,
  type CpuTimes,
  deviceNumber,
  parseCpuTimes,
  parseDisks,
  parseLoadAverage,
  parseMemory,
  parseNetwork,
} from './proc.ts';
import { MovingAverage, resourceScore } from './resource-score.ts';
import { findSensors, readTemperatures } from './temperature.ts';

const SCORE_HALF_LIFE_MS = 10_000;

/** Everything the sampler reads from; replaced in tests. Null and empty lists: not there. */
export interface SystemFiles {
  read(path: string): Promise<string | null>;
  list(directory: string): Promise<readonly string[]>;
  /** Size of the data directory's file system, and the device ("major:minor") it is on. */
  storage(): Promise<{ totalBytes: number; freeBytes: number; device: string } | null>;
  nowMs(): number;
}

interface Counters {
  readonly atMs: number;
  readonly cpu: CpuTimes | null;
  readonly cgroupCpuMicroseconds: number | null;
  readonly network: ByteCounts | null;
  readonly disk: ByteCounts | null;
}

/** Reads the machine's state from /proc and /sys; on other systems only the storage is known. */
export function systemSampler(dataDirectory: string): SystemSampler {
  return new ResourceSampler({
    read: (path) => readFile(path, 'utf8').catch(() => null),
    list: (directory) => readdir(directory).catch(() => []),
    storage: () => storageOf(dataDirectory).catch(() => null),
    nowMs: () => performance.now(),
  });
}

export class ResourceSampler implements SystemSampler {
  readonly #files: SystemFiles;
  readonly #score = new MovingAverage(SCORE_HALF_LIFE_MS);
  #sensors: ReturnType<typeof findSensors> | undefined;
  #previous: Counters | undefined;

  constructor(files: SystemFiles) {
    this.#files = files;
  }

  async sample(): Promise<SystemSample> {
    const read = (path: string) => this.#files.read(path);
    this.#sensors ??= findSensors(read, (directory) => this.#files.list(directory));
    const [stat, meminfo, loadavg, netDev, diskstats, storage, cgroup, temperatures] = await Promise.all([
      read('/proc/stat'),
      read('/proc/meminfo'),
      read('/proc/loadavg'),
      read('/proc/net/dev'),
      read('/proc/diskstats'),
      this.#files.storage(),
      readCgroup(read),
      this.#sensors.then((sensors) => readTemperatures(sensors, read)),
    ]);
    const counters: Counters = {
      atMs: this.#files.nowMs(),
      cpu: parseCpuTimes(stat ?? ''),
      cgroupCpuMicroseconds: cgroup.cpuUsedMicroseconds,
      network: parseNetwork(netDev ?? ''),
      disk: parseDisks(diskstats ?? '', storage?.device ?? null),
    };
    const previous = this.#previous;
    this.#previous = counters;
    const readings = {
      ...cpuReadings(previous, counters, cgroup),
      loadAverage1m: parseLoadAverage(loadavg ?? ''),
      ...memoryReadings(parseMemory(meminfo ?? ''), cgroup),
      storageTotalBytes: storage?.totalBytes ?? null,
      storageFreeBytes: storage?.freeBytes ?? null,
      networkReceivedBytesPerSecond: rate(previous, counters, ({ network }) => network?.inBytes),
      networkSentBytesPerSecond: rate(previous, counters, ({ network }) => network?.outBytes),
      diskReadBytesPerSecond: rate(previous, counters, ({ disk }) => disk?.inBytes),
      diskWrittenBytesPerSecond: rate(previous, counters, ({ disk }) => disk?.outBytes),
      temperatures,
      temperatureCelsius: temperatures.length === 0 ? null : Math.max(...temperatures.map(({ celsius }) => celsius)),
    };
    const elapsedMs = previous === undefined ? 0 : counters.atMs - previous.atMs;
    return { ...readings, score: this.#score.update(resourceScore(readings), elapsedMs) };
  }
}

/** Both the machine and the container's quota limit what is free: the fuller one counts. */
function cpuReadings(previous: Counters | undefined, now: Counters, cgroup: CgroupReadings) {
  const hostCores = now.cpu?.cores ?? null;
  const limit = cgroup.cpuCoresMax;
  const cpuCores = hostCores === null ? limit : Math.min(hostCores, limit ?? hostCores);
  const used: number[] = [];
  if (previous?.cpu && now.cpu && now.cpu.totalTicks > previous.cpu.totalTicks) {
    const busyTicks = now.cpu.busyTicks - previous.cpu.busyTicks;
    used.push(busyTicks / (now.cpu.totalTicks - previous.cpu.totalTicks));
  }
  const cgroupMicroseconds = rate(previous, now, (counters) => counters.cgroupCpuMicroseconds);
  if (cgroupMicroseconds !== null && limit !== null) used.push(cgroupMicroseconds / 1e6 / limit);
  return { cpuCores, cpuUsedRatio: used.length === 0 ? null : Math.min(1, Math.max(0, ...used)) };
}

function memoryReadings(host: ReturnType<typeof parseMemory>, cgroup: CgroupReadings) {
  if (host === null) return { memoryTotalBytes: null, memoryAvailableBytes: null };
  const { memoryBytesMax, memoryUsedBytes } = cgroup;
  if (memoryBytesMax === null || memoryBytesMax >= host.totalBytes) {
    return { memoryTotalBytes: host.totalBytes, memoryAvailableBytes: host.availableBytes };
  }
  const left = Math.max(0, memoryBytesMax - (memoryUsedBytes ?? 0));
  return { memoryTotalBytes: memoryBytesMax, memoryAvailableBytes: Math.min(host.availableBytes, left) };
}

/** Per second since the previous sample; null when unknown, or when the counter went back (a device was removed). */
function rate(
  previous: Counters | undefined,
  now: Counters,
  counterOf: (counters: Counters) => number | null | undefined,
): number | null {
  if (previous === undefined || now.atMs <= previous.atMs) return null;
  const before = counterOf(previous) ?? null;
  const after = counterOf(now) ?? null;
  if (before === null || after === null || after < before) return null;
  return ((after - before) * 1000) / (now.atMs - previous.atMs);
}

async function storageOf(directory: string): Promise<{ totalBytes: number; freeBytes: number; device: string }> {
  const [{ blocks, bavail, bsize }, { dev }] = await Promise.all([
    statfs(directory),
    stat(directory, { bigint: true }),
  ]);
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize, device: deviceNumber(dev) };
}
