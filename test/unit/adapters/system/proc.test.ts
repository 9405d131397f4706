import { describe, expect, it } from 'vitest';
import {
  deviceNumber,
  parseCpuTimes,
  parseDisks,
  parseLoadAverage,
  parseMemory,
  parseNetwork,
} from '../../../../src/adapters/system/proc.ts';

const STAT = `cpu  1000 20 300 8000 400 5 15 60 100 0
cpu0 500 10 150 4000 200 2 8 30 50 0
cpu1 500 10 150 4000 200 3 7 30 50 0
intr 123456 0 9
ctxt 789
`;

const MEMINFO = `MemTotal:        3884360 kB
MemFree:          123456 kB
MemAvailable:    2000000 kB
Buffers:            5588 kB
`;

const NET_DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    9999      29    0    0    0     0          0         0     9999      29    0    0    0     0       0          0
  eth0: 375216183   10979    0    0    0     0          0         0  1046129    7455    0    0    0     0       0          0
wlan0:1000 7 0 0 0 0 0 0 2000 9 0 0 0 0 0 0
`;

const DISKSTATS = `   7       0 loop0 5 0 40 0 5 0 40 0 0 0 0
 179       0 mmcblk0 100 0 1000 5 50 0 600 9 0 3 14
 179       1 mmcblk0p1 10 0 100 5 5 0 60 9 0 3 14
 179       2 mmcblk0p2 90 0 900 5 45 0 540 9 0 3 14
   8       0 sda 1 0 2 0 1 0 4 0 0 0 0
   8       1 sda1 1 0 2 0 1 0 4 0 0 0 0
 253       0 zram0 9 0 999 0 9 0 999 0 0 0 0
 252       0 dm-0 9 0 999 0 9 0 999 0 0 0 0
`;

describe('/proc/stat', () => {
  it('counts everything but idle and iowait as busy, guest time once', () => {
    expect(parseCpuTimes(STAT)).toEqual({ busyTicks: 1400, totalTicks: 9800, cores: 2 });
  });

  it('reads the short form of old kernels, and nothing from nothing', () => {
    expect(parseCpuTimes('cpu  10 0 10 80\n')).toEqual({ busyTicks: 20, totalTicks: 100, cores: 1 });
    expect(parseCpuTimes('')).toBeNull();
  });
});

it('reads /proc/meminfo, also where MemAvailable is missing', () => {
  expect(parseMemory(MEMINFO)).toEqual({ totalBytes: 3884360 * 1024, availableBytes: 2000000 * 1024 });
  expect(parseMemory(MEMINFO.replace(/MemAvailable.*\n/, ''))?.availableBytes).toBe(123456 * 1024);
  expect(parseMemory('')).toBeNull();
});

it('reads /proc/loadavg', () => {
  expect(parseLoadAverage('0.42 1.00 2.00 1/234 5678\n')).toBe(0.42);
  expect(parseLoadAverage('')).toBeNull();
});

it('sums the interfaces of /proc/net/dev but not loopback', () => {
  expect(parseNetwork(NET_DEV)).toEqual({ inBytes: 375217183, outBytes: 1048129 });
  expect(parseNetwork('')).toBeNull();
});

describe('/proc/diskstats', () => {
  it('takes the device of the data directory where it is listed', () => {
    expect(parseDisks(DISKSTATS, '179:2')).toEqual({ inBytes: 900 * 512, outBytes: 540 * 512 });
  });

  it('else sums whole physical disks', () => {
    const sum = { inBytes: 1002 * 512, outBytes: 604 * 512 };
    expect(parseDisks(DISKSTATS, '0:51')).toEqual(sum);
    expect(parseDisks(DISKSTATS, null)).toEqual(sum);
    expect(parseDisks('', null)).toBeNull();
  });

  it('decodes device numbers', () => {
    expect(deviceNumber(0xb302n)).toBe('179:2');
    expect(deviceNumber(0xfe00n)).toBe('254:0');
    expect(deviceNumber((259n << 8n) | 3n)).toBe('259:3');
    expect(deviceNumber(0x1000_0805n)).toBe('8:65541');
  });
});
