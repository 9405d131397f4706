import { describe, expect, it } from 'vitest';
import { CoreNetwork } from '../../support/core-network.ts';
import { measureCrash } from '../scenarios/crash-probe.ts';
import { median } from '../scenarios/scenario.ts';
import { pushPullMs, retransmitLimit, SWIM, suspicionMs } from './options.ts';
import { Swim } from './swim.ts';

function swimCluster(size: number, seed: number): { network: CoreNetwork<Swim>; ids: readonly string[] } {
  const network = new CoreNetwork<Swim>({ seed, connectionless: true }, ({ id, prng }) => new Swim(id, prng));
  const ids = network.formCluster(size);
  network.run(15_000);
  return { network, ids };
}

describe('plain SWIM as a baseline', () => {
  it('has the times of memberlist', () => {
    expect(suspicionMs(10)).toBe(5000);
    expect(suspicionMs(128)).toBeCloseTo(10_536, 0);
    expect(retransmitLimit(128)).toBe(12);
    expect([pushPullMs(32), pushPullMs(33), pushPullMs(65), pushPullMs(128)]).toEqual([30_000, 60_000, 90_000, 90_000]);
  });

  it('is quiet at rest', () => {
    const { network } = swimCluster(20, 1);
    network.run(60_000);
    expect(network.changes).toEqual([]);
    expect(network.isConverged()).toBe(true);
  });

  it('finds a silent crash among 128 members in about 12.5 s', () => {
    // The first of 127 members gets to probe it after a second on average, its probe takes one, then the suspicion.
    const expectedMs = 1000 + SWIM.probeIntervalMs + suspicionMs(128);
    const results = Array.from({ length: 7 }, (_, i) => {
      const { network, ids } = swimCluster(128, 1 + i);
      return measureCrash(network, [ids[i] as string], 'block', 60_000);
    });
    const [firstMs, allMs] = [
      median(results.map((result) => result.firstMs)),
      median(results.map((result) => result.allMs)),
    ];
    expect(Math.abs(firstMs - expectedMs)).toBeLessThan(800);
    expect(allMs - firstMs).toBeLessThan(1000);
  });

  it('asks relays, so that one broken link is no suspicion', () => {
    const { network, ids } = swimCluster(6, 2);
    const [a, b] = ids;
    network.cut((from, to) => (from === a && to === b) || (from === b && to === a));
    network.run(120_000);
    expect(network.changes).toEqual([]);
  });

  it('a member that was silent for a while refutes its death', () => {
    const { network, ids } = swimCluster(10, 3);
    const victim = ids[4] as string;
    network.silence(victim);
    const others = ids.filter((id) => id !== victim);
    expect(network.runUntil(() => network.allSee(others, [victim], 'dead'), 30_000)).toBeDefined();
    network.heal();
    expect(network.runUntil(() => network.allSee(others, [victim], 'alive'), 60_000)).toBeDefined();
  });

  it('accuses the one that it was about to probe when it was blocked', () => {
    const { network, ids } = swimCluster(10, 4);
    const blocked = ids[0] as string;
    network.block(blocked, 4000);
    network.run(4100);
    const suspects = network.changes.filter(({ node, state }) => node === blocked && state === 'suspect');
    expect(suspects).toHaveLength(1);
    network.run(30_000);
    expect(network.deaths()).toEqual([]);
  });
});
