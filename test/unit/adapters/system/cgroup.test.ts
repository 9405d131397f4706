import { describe, expect, it } from 'vitest';
import { groupPath, parseCpuMax, readCgroup } from '../../../../src/adapters/system/cgroup.ts';

function reader(files: Record<string, string>) {
  return async (path: string) => files[path] ?? null;
}

const NONE = { cpuCoresMax: null, cpuUsedMicroseconds: null, memoryBytesMax: null, memoryUsedBytes: null };

describe('control groups', () => {
  it('reads version 2 inside a container, where the mount is the group', async () => {
    const found = await readCgroup(
      reader({
        '/proc/self/cgroup': '0::/\n',
        '/sys/fs/cgroup/cgroup.controllers': 'cpu memory',
        '/sys/fs/cgroup/cpu.max': '50000 100000\n',
        '/sys/fs/cgroup/cpu.stat': 'usage_usec 1234567\nuser_usec 1000000\n',
        '/sys/fs/cgroup/memory.max': '268435456\n',
        '/sys/fs/cgroup/memory.current': '100000000\n',
        '/sys/fs/cgroup/memory.stat': 'anon 1\ninactive_file 40000000\n',
      }),
    );
    expect(found).toEqual({
      cpuCoresMax: 0.5,
      cpuUsedMicroseconds: 1234567,
      memoryBytesMax: 268435456,
      memoryUsedBytes: 60000000,
    });
  });

  it('takes the tightest limit of a group and its parents', async () => {
    const found = await readCgroup(
      reader({
        '/proc/self/cgroup': '0::/system.slice/holdfast.service\n',
        '/sys/fs/cgroup/cgroup.controllers': 'cpu memory',
        '/sys/fs/cgroup/system.slice/holdfast.service/cpu.max': 'max 100000\n',
        '/sys/fs/cgroup/system.slice/holdfast.service/memory.max': '300000000\n',
        '/sys/fs/cgroup/system.slice/cpu.max': '150000 100000\n',
        '/sys/fs/cgroup/system.slice/cpu.stat': 'usage_usec 7\n',
        '/sys/fs/cgroup/system.slice/memory.max': '200000000\n',
        '/sys/fs/cgroup/system.slice/memory.current': '50000000\n',
      }),
    );
    expect(found).toEqual({
      cpuCoresMax: 1.5,
      cpuUsedMicroseconds: 7,
      memoryBytesMax: 200000000,
      memoryUsedBytes: 50000000,
    });
  });

  it("reads version 1 in a container that sees the host's paths", async () => {
    const found = await readCgroup(
      reader({
        '/proc/self/cgroup': '5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n',
        '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '200000\n',
        '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
        '/sys/fs/cgroup/cpuacct/cpuacct.usage': '5000000000\n',
        '/sys/fs/cgroup/memory/memory.limit_in_bytes': '134217728\n',
        '/sys/fs/cgroup/memory/memory.usage_in_bytes': '100000000\n',
        '/sys/fs/cgroup/memory/memory.stat': 'inactive_file 1\ntotal_inactive_file 10000000\n',
      }),
    );
    expect(found).toEqual({
      cpuCoresMax: 2,
      cpuUsedMicroseconds: 5000000,
      memoryBytesMax: 134217728,
      memoryUsedBytes: 90000000,
    });
  });

  it('knows no limit where there is none', async () => {
    expect(await readCgroup(reader({}))).toEqual(NONE);
    const unlimited = reader({
      '/proc/self/cgroup': '4:memory:/\n1:cpu:/\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    });
    expect(await readCgroup(unlimited)).toEqual(NONE);
    const version2 = reader({
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/cgroup.controllers': 'cpu memory',
      '/sys/fs/cgroup/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/memory.max': 'max\n',
    });
    expect(await readCgroup(version2)).toEqual(NONE);
  });

  it('parses memberships and quotas', () => {
    expect(groupPath('3:cpu,cpuacct:/a:b\n0::/c\n', 'cpuacct')).toBe('/a:b');
    expect(groupPath('3:cpu,cpuacct:/a\n0::/c\n', '')).toBe('/c');
    expect(groupPath('3:cpuset:/a\n', 'cpu')).toBeNull();
    expect(parseCpuMax('25000 100000')).toBe(0.25);
    expect(parseCpuMax('max 100000')).toBeNull();
    expect(parseCpuMax('')).toBeNull();
  });
});
