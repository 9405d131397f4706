/** Parsers of the Linux files under /proc; formats in proc(5) and Documentation/admin-guide/iostats.rst. */

export interface CpuTimes {
  /** Clock ticks since boot, over all processors. */
  readonly busyTicks: number;
  readonly totalTicks: number;
  readonly cores: number;
}

export interface ByteCounts {
  readonly inBytes: number;
  readonly outBytes: number;
}

/** /proc/diskstats counts in units of 512 bytes whatever the disk's own sector size. */
const SECTOR_BYTES = 512;

/** Virtual or layered block devices: their traffic is that of a disk below, or of none. */
const NOT_A_DISK = /^(loop|ram|zram|dm-|md|sr|fd|nbd)/;

/** Time that a hypervisor took away (steal) is busy: it is not there to be used. */
export function parseCpuTimes(stat: string): CpuTimes | null {
  const line = /^cpu +(\d+(?: \d+)*)/m.exec(stat)?.[1];
  if (line === undefined) return null;
  // user nice system idle iowait irq softirq steal; guest time, which follows, is part of user.
  const ticks = line.split(' ').slice(0, 8).map(Number);
  const totalTicks = ticks.reduce((sum, part) => sum + part, 0);
  const idleTicks = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  const cores = stat.match(/^cpu\d+ /gm)?.length ?? 1;
  return { busyTicks: totalTicks - idleTicks, totalTicks, cores };
}

export function parseMemory(meminfo: string): { totalBytes: number; availableBytes: number } | null {
  const kilobytes = (name: string) => {
    const found = new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(meminfo)?.[1];
    return found === undefined ? null : Number(found);
  };
  const total = kilobytes('MemTotal');
  // MemAvailable is missing before Linux 3.14.
  const available = kilobytes('MemAvailable') ?? kilobytes('MemFree');
  if (total === null || available === null) return null;
  return { totalBytes: total * 1024, availableBytes: available * 1024 };
}

export function parseLoadAverage(loadavg: string): number | null {
  const found = /^(\d+(?:\.\d+)?) /.exec(loadavg)?.[1];
  return found === undefined ? null : Number(found);
}

/** Sums every interface but loopback. */
export function parseNetwork(netDev: string): ByteCounts | null {
  let inBytes = 0;
  let outBytes = 0;
  let found = false;
  for (const line of netDev.split('\n')) {
    const match = /^\s*([^\s:]+):\s*(.+)$/.exec(line);
    if (match === null) continue;
    found = true;
    if (match[1] === 'lo') continue;
    const fields = (match[2] as string).split(/\s+/);
    inBytes += Number(fields[0]);
    outBytes += Number(fields[8]);
  }
  return found ? { inBytes, outBytes } : null;
}

/** The disk with the device number `device` ("major:minor"), or the sum of all physical disks. */
export function parseDisks(diskstats: string, device: string | null): ByteCounts | null {
  const rows = diskstats
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields.length >= 10)
    .map((fields) => ({
      device: fields.slice(0, 2).join(':'),
      name: fields[2] as string,
      inBytes: Number(fields[5]) * SECTOR_BYTES,
      outBytes: Number(fields[9]) * SECTOR_BYTES,
    }));
  const own = rows.find((row) => row.device === device);
  if (own !== undefined) return { inBytes: own.inBytes, outBytes: own.outBytes };
  const disks = rows.filter(({ name }) => !NOT_A_DISK.test(name) && !rows.some((disk) => isPartition(name, disk.name)));
  if (disks.length === 0) return null;
  return {
    inBytes: disks.reduce((sum, disk) => sum + disk.inBytes, 0),
    outBytes: disks.reduce((sum, disk) => sum + disk.outBytes, 0),
  };
}

/** `sda1` of `sda`, `nvme0n1p2` of `nvme0n1`, `mmcblk0p1` of `mmcblk0`. */
function isPartition(name: string, disk: string): boolean {
  if (!name.startsWith(disk)) return false;
  return (/\d$/.test(disk) ? /^p\d+$/ : /^\d+$/).test(name.slice(disk.length));
}

/** Linux's encoding of a device number as stat(2) returns it, as "major:minor". */
export function deviceNumber(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  return `${major}:${minor & 0xffffffffn}`;
}
