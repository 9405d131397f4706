import { readFile, statfs } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';

/** `tmpfs` in statfs(2): a sync there costs nothing. */
const TMPFS_MAGIC = 0x01021994;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The value below which `share` of an ascending list lies. */
export function percentile(ascending: ArrayLike<number>, share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? Number.NaN;
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

/** What a reader must know of the machine to judge the figures. */
export function machineLine(): string {
  const loads = loadavg().map((value) => value.toFixed(2));
  return `${availableParallelism()} processors, load average ${loads.join(' ')}`;
}

/** A warning where the directory is in memory, else null. */
export async function diskWarning(directory: string): Promise<string | null> {
  const { type } = await statfs(directory);
  return type === TMPFS_MAGIC ? `${directory} is in memory: syncs are free there; name a disk with --directory` : null;
}

export interface ProcessCost {
  readonly cpuMs: number;
  readonly residentBytes: number;
}

/** Processor time and memory of a process; null where the system does not tell. */
export async function processCost(pid: number): Promise<ProcessCost | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    const status = await readFile(`/proc/${pid}/status`, 'latin1');
    // After the name in parentheses, which may hold spaces: utime and stime are the 12th and 13th field.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? '0';
    return {
      cpuMs: (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS,
      residentBytes: Number(resident) * 1024,
    };
  } catch {
    return null;
  }
}

/** Bytes that processes have sent to their disks, all together; null where the system does not tell. */
export async function bytesWrittenBy(pids: readonly number[]): Promise<number | null> {
  let sum = 0;
  for (const pid of pids) {
    const text = await readFile(`/proc/${pid}/io`, 'latin1').catch(() => '');
    const found = /^write_bytes: (\d+)$/m.exec(text)?.[1];
    if (found === undefined) return null;
    sum += Number(found);
  }
  return sum;
}

/** USER_HZ, which Linux has fixed at 100 towards programs. */
const CLOCK_TICK_MS = 10;

/** Processor time of all of them together; null where the system does not tell. */
export async function cpuMsOf(pids: readonly number[]): Promise<number | null> {
  let sum = 0;
  for (const pid of pids) {
    const cost = await processCost(pid);
    if (cost === null) return null;
    sum += cost.cpuMs;
  }
  return sum;
}
