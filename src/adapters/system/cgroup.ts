/** Limits of control groups, versions 2 and 1; Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. */

/** What the limits of one group and its parents come to; null: no limit, or no such file. */
export interface CgroupReadings {
  readonly cpuCoresMax: number | null;
  /** Processor time that the group has used. */
  readonly cpuUsedMicroseconds: number | null;
  readonly memoryBytesMax: number | null;
  /** In use, without what the kernel can drop at once. */
  readonly memoryUsedBytes: number | null;
}

export type ReadText = (path: string) => Promise<string | null>;

const ROOT = '/sys/fs/cgroup';
/** Depth of nested groups that is looked at. */
const LEVELS_MAX = 16;
/** Version 1 says "no limit" with a huge number. */
const MEMORY_UNLIMITED_BYTES = 2 ** 60;

/** Reads the group this process is in. A limit of any parent binds too. */
export async function readCgroup(read: ReadText): Promise<CgroupReadings> {
  const membership = (await read('/proc/self/cgroup')) ?? '';
  const unified = groupPath(membership, '');
  const isVersion2 = (await read(`${ROOT}/cgroup.controllers`)) !== null;
  if (isVersion2) return await readVersion2(read, unified ?? '/');
  return await readVersion1(read, groupPath(membership, 'cpu') ?? '/', groupPath(membership, 'memory') ?? '/');
}

async function readVersion2(read: ReadText, path: string): Promise<CgroupReadings> {
  let cpu: { cores: number; directory: string } | null = null;
  let memory: { bytes: number; directory: string } | null = null;
  for (const directory of ancestors(ROOT, path)) {
    const cores = parseCpuMax((await read(`${directory}/cpu.max`)) ?? '');
    if (cores !== null && (cpu === null || cores < cpu.cores)) cpu = { cores, directory };
    const bytes = parseBytes((await read(`${directory}/memory.max`)) ?? '');
    if (bytes !== null && (memory === null || bytes < memory.bytes)) memory = { bytes, directory };
  }
  const cpuStat = cpu === null ? null : await read(`${cpu.directory}/cpu.stat`);
  const current = memory === null ? null : await read(`${memory.directory}/memory.current`);
  const memoryStat = memory === null ? null : await read(`${memory.directory}/memory.stat`);
  return {
    cpuCoresMax: cpu?.cores ?? null,
    cpuUsedMicroseconds: cpuStat === null ? null : parseField(cpuStat, 'usage_usec'),
    memoryBytesMax: memory?.bytes ?? null,
    memoryUsedBytes: memoryInUse(current, memoryStat, 'inactive_file'),
  };
}

async function readVersion1(read: ReadText, cpuPath: string, memoryPath: string): Promise<CgroupReadings> {
  let cpu: { cores: number; path: string } | null = null;
  for (const directory of ancestors(`${ROOT}/cpu`, cpuPath)) {
    const quota = await read(`${directory}/cpu.cfs_quota_us`);
    const period = await read(`${directory}/cpu.cfs_period_us`);
    const cores = parseQuota(quota, period);
    const path = directory.slice(`${ROOT}/cpu`.length);
    if (cores !== null && (cpu === null || cores < cpu.cores)) cpu = { cores, path };
  }
  let memory: { bytes: number; directory: string } | null = null;
  for (const directory of ancestors(`${ROOT}/memory`, memoryPath)) {
    const bytes = parseBytes((await read(`${directory}/memory.limit_in_bytes`)) ?? '');
    if (bytes !== null && (memory === null || bytes < memory.bytes)) memory = { bytes, directory };
  }
  const usage = cpu === null ? null : await read(`${ROOT}/cpuacct${cpu.path}/cpuacct.usage`);
  const current = memory === null ? null : await read(`${memory.directory}/memory.usage_in_bytes`);
  const memoryStat = memory === null ? null : await read(`${memory.directory}/memory.stat`);
  return {
    cpuCoresMax: cpu?.cores ?? null,
    cpuUsedMicroseconds: usage === null ? null : Number(usage) / 1000,
    memoryBytesMax: memory?.bytes ?? null,
    memoryUsedBytes: memoryInUse(current, memoryStat, 'total_inactive_file'),
  };
}

/** The path of a controller's group; `''` is version 2's line `0::/path`. Null: not in one. */
export function groupPath(membership: string, controller: string): string | null {
  for (const line of membership.split('\n')) {
    const [, controllers, ...path] = line.split(':');
    if (path.length === 0) continue;
    if (controllers === controller || controllers?.split(',').includes(controller)) return path.join(':');
  }
  return null;
}

/** From the group up to the mount. In a container the path is often the host's and only its end, the mount, exists. */
function ancestors(mount: string, path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '..');
  const directories: string[] = [];
  for (let depth = names.length; depth >= 0 && directories.length < LEVELS_MAX; depth--) {
    directories.push([mount, ...names.slice(0, depth)].join('/'));
  }
  return directories;
}

/** `max 100000`, or `50000 100000` for half a processor. */
export function parseCpuMax(text: string): number | null {
  const [quota, period] = text.trim().split(' ');
  return parseQuota(quota ?? null, period ?? null);
}

function parseQuota(quota: string | null, period: string | null): number | null {
  const cores = Number(quota ?? Number.NaN) / Number(period ?? Number.NaN);
  return Number.isFinite(cores) && cores > 0 ? cores : null;
}

function parseBytes(text: string): number | null {
  const bytes = text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(bytes) && bytes > 0 && bytes < MEMORY_UNLIMITED_BYTES ? bytes : null;
}

function parseField(text: string, name: string): number | null {
  const found = new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1];
  return found === undefined ? null : Number(found);
}

function memoryInUse(current: string | null, stat: string | null, droppable: string): number | null {
  if (current === null) return null;
  return Math.max(0, Number(current) - (parseField(stat ?? '', droppable) ?? 0));
}
