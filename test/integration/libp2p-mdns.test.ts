import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { serviceTag } from '../../src/adapters/libp2p/discovery.ts';
import { spawnJson } from '../support/json-child.ts';
import { until } from '../support/until.ts';

const CHILD = new URL('../support/libp2p-child.ts', import.meta.url).pathname;
const TIMING = { warmUpMs: 5_000, warmUpIntervalMs: 500, intervalMs: 5_000 };

/** mDNS multicasts: it is only ever let loose in a network namespace of its own. */
const probe = spawnSync('unshare', ['-n', 'sh', '-c', 'ip link set lo up'], { encoding: 'utf8' });
const skipReason =
  probe.status === 0 ? undefined : `no network namespaces here: ${probe.error?.message ?? probe.stderr.trim()}`;
if (skipReason !== undefined) console.log(`libp2p mDNS tests skipped: ${skipReason}`);

describe.skipIf(skipReason !== undefined)('libp2p mDNS in a namespace with nothing but loopback', () => {
  it('joins the nodes of a cluster, and not those of another', async () => {
    const start = (clusterId: string): string => `"$0" "$1" '${JSON.stringify({ mdns: TIMING, clusterId })}' &`;
    const script = ['ip link set lo up', start('one'), start('one'), start('one'), start('two'), 'wait'].join('\n');
    const nodes = spawnJson('unshare', ['-n', 'sh', '-c', script, process.execPath, CHILD]);
    try {
      const of = (event: string): Record<string, unknown>[] => nodes.events.filter((entry) => entry['event'] === event);
      await until('three nodes know each other', () => of('ready').length === 4 && of('connected').length >= 6, 20_000);
      const lastReady = Math.max(...of('ready').map(({ atMs }) => Number(atMs)));
      const lastConnected = Math.max(...of('connected').map(({ atMs }) => Number(atMs)));
      console.log(`mDNS: all connected ${lastConnected - lastReady} ms after the last start`);
      expect(of('connected').length).toBe(6);
      expect(new Set(of('connected').map(({ peer }) => peer)).size).toBe(3);
      for (const { addresses } of of('connected'))
        expect(String(addresses)).toMatch(/\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\//);
    } finally {
      // The namespace's own processes, children of the shell that is being killed.
      spawnSync('pkill', ['-KILL', '-P', String(nodes.process.pid)]);
      await nodes.kill();
    }
  });
});

describe('serviceTag', () => {
  it('is a short valid label of its own for every cluster', () => {
    expect(serviceTag('a')).toMatch(/^_hf[0-9a-f]{12}\._udp\.local$/);
    expect(serviceTag('a')).not.toBe(serviceTag('b'));
  });
});
