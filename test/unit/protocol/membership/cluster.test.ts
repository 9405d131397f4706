import { describe, expect, it } from 'vitest';
import { MembershipNetwork } from '../../../support/membership-network.ts';
import { signed } from '../../../support/test-claims.ts';

const HOUR_MS = 3_600_000;
const SEEDS = Array.from({ length: 20 }, (_, i) => i + 1);

function settled(size: number, seed: number): { network: MembershipNetwork; ids: string[] } {
  const network = new MembershipNetwork({ seed });
  const ids = network.startCluster(size);
  network.run(15_000 + 97 * seed);
  return { network, ids };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

describe('formation', () => {
  it('ten nodes that know one seed see each other within two seconds', () => {
    for (const seed of SEEDS) {
      const network = new MembershipNetwork({ seed });
      network.startCluster(10);
      expect(
        network.runUntil(() => network.isConverged(), 2000),
        `seed ${seed}`,
      ).toBeDefined();
    }
  });

  it('a late node sees a running cluster, and is seen, within a second', () => {
    const { network } = settled(10, 1);
    network.start('late');
    network.dial('late', 'n03');
    expect(network.runUntil(() => network.isConverged(), 1000)).toBeDefined();
  });

  it('two clusters that never met become one over a single connection', () => {
    const network = new MembershipNetwork({ seed: 4 });
    for (const id of ['a0', 'a1', 'a2', 'b0', 'b1', 'b2']) network.start(id);
    for (const side of ['a', 'b']) for (const i of [1, 2]) network.dial(`${side}${i}`, `${side}0`);
    network.run(20_000);
    expect(network.isConverged()).toBe(false);
    network.dial('a1', 'b2');
    expect(network.runUntil(() => network.isConverged(), 5000)).toBeDefined();
  });

  it('is the same run for the same seed, and another for another', () => {
    const fingerprint = (seed: number): number => {
      const { network, ids } = settled(10, seed);
      network.lossRate = 0.2;
      network.kill(ids[3] as string);
      network.run(30_000);
      return network.fingerprint;
    };
    expect(fingerprint(7)).toBe(fingerprint(7));
    expect(fingerprint(7)).not.toBe(fingerprint(8));
  });
});

describe('crash detection with ten nodes', () => {
  it('a killed process is known dead everywhere in less than a second', () => {
    for (const seed of SEEDS) {
      const { network, ids } = settled(10, seed);
      const victim = ids[seed % 10] as string;
      network.kill(victim);
      const others = network.running();
      const tookMs = network.runUntil(() => network.allSee(others, [victim], 'dead'), 1000);
      expect(tookMs, `seed ${seed}`).toBeDefined();
    }
  });

  it('a silent node is known dead everywhere in 4.5 seconds', () => {
    const times = SEEDS.map((seed) => {
      const { network, ids } = settled(10, seed);
      const victim = ids[seed % 10] as string;
      network.silence(victim);
      const others = ids.filter((id) => id !== victim);
      const tookMs = network.runUntil(() => network.allSee(others, [victim], 'dead'), 4500);
      expect(tookMs, `seed ${seed}`).toBeDefined();
      expect(network.deaths().every((death) => death.id === victim || death.node === victim)).toBe(true);
      return tookMs ?? Number.NaN;
    });
    expect(median(times)).toBeLessThan(3500);
  });

  it('several at once are all found', () => {
    const { network, ids } = settled(10, 3);
    const victims = [ids[1], ids[4], ids[7]] as string[];
    network.cut((a, b) => victims.includes(a) || victims.includes(b));
    const others = ids.filter((id) => !victims.includes(id));
    expect(network.runUntil(() => network.allSee(others, victims, 'dead'), 8000)).toBeDefined();
  });
});

describe('small clusters', () => {
  it('a pair waits for the longest suspicion, because nobody can confirm', () => {
    for (const seed of SEEDS.slice(0, 5)) {
      const { network, ids } = settled(2, seed);
      network.silence(ids[1] as string);
      const tookMs = network.runUntil(() => network.allSee(['n00'], ['n01'], 'dead'), 20_000) ?? 0;
      expect(tookMs).toBeGreaterThan(9000);
    }
  });

  it('in a trio a broken link between two members kills nobody', () => {
    const { network } = settled(3, 2);
    network.cut((a, b) => (a === 'n00' && b === 'n01') || (a === 'n01' && b === 'n00'));
    network.run(HOUR_MS / 4);
    expect(network.deaths()).toEqual([]);
    expect(network.isConverged()).toBe(true);
  });
});

describe('false accusations', () => {
  it('a suspected member refutes and stays', () => {
    const { network, ids } = settled(10, 5);
    const { incarnation } = network.core('n04').self;
    const accusation = signed({ state: 'suspect', id: 'n04', incarnation, from: 'n01' });
    network.input('n02', { type: 'message', from: 'n01', message: { type: 'gossip', updates: [accusation] } });
    expect(network.member('n02', 'n04')?.state).toBe('suspect');
    expect(network.runUntil(() => network.allSee(ids, ['n04'], 'alive'), 1000)).toBeDefined();
    network.run(20_000);
    expect(network.deaths()).toEqual([]);
    expect(network.member('n09', 'n04')?.incarnation).toBeGreaterThan(incarnation);
  });

  it('a living member that somebody declares dead refutes before anybody believes it', () => {
    const { network, ids } = settled(10, 6);
    const { incarnation } = network.core('n04').self;
    const verdict = signed({ state: 'dead', id: 'n04', incarnation, from: 'n01' });
    network.input('n02', { type: 'message', from: 'n01', message: { type: 'gossip', updates: [verdict] } });
    expect(network.member('n02', 'n04')?.state).toBe('suspect');
    expect(network.runUntil(() => network.allSee(ids, ['n04'], 'alive'), 2000)).toBeDefined();
    network.run(20_000);
    expect(network.deaths()).toEqual([]);
    expect(network.isConverged()).toBe(true);
  });

  it('members that come back from a partition do not talk the others into deaths that they believe in', () => {
    const { network, ids } = settled(6, 65);
    network.partition(['n00', 'n01']);
    network.run(60_000);
    const before = network.deaths().length;
    network.heal();
    expect(network.runUntil(() => network.isConverged(), 30_000)).toBeDefined();
    network.run(10_000);
    const others = ids.slice(2);
    const talkedInto = network.deaths().slice(before);
    expect(talkedInto.filter(({ node, id }) => others.includes(node) && others.includes(id))).toEqual([]);
    expect(network.isConverged()).toBe(true);
  });

  it('an hour at 20 % loss without retransmission: nobody is ever declared dead', { timeout: 120_000 }, () => {
    const network = new MembershipNetwork({ seed: 11 });
    network.startCluster(10);
    network.run(5000);
    network.lossRate = 0.2;
    network.run(HOUR_MS);
    expect(network.changes.filter((change) => change.state === 'suspect').length).toBeGreaterThan(100);
    expect(network.deaths()).toEqual([]);
    network.lossRate = 0;
    network.run(5000);
    expect(network.isConverged()).toBe(true);
  });

  it('members that pause for a second again and again are not declared dead', { timeout: 60_000 }, () => {
    const { network, ids } = settled(10, 12);
    for (let i = 0; i < 300; i++) {
      network.pause(ids[i % 3] as string, 1000);
      network.run(2000);
    }
    expect(network.deaths()).toEqual([]);
  });

  it('a node that wakes from a long pause accuses nobody, and is alive again at once', () => {
    for (const seed of SEEDS.slice(0, 10)) {
      const { network, ids } = settled(10, seed);
      network.pause('n05', 30_000);
      network.run(29_999);
      expect(network.member('n00', 'n05')?.state).toBe('dead');
      expect(
        network.runUntil(() => network.isConverged(), 3000),
        `seed ${seed}`,
      ).toBeDefined();
      network.run(20_000);
      expect(network.changes.filter((change) => change.state !== 'alive' && change.id !== 'n05')).toEqual([]);
      expect(network.allSee(ids, ids, 'alive')).toBe(true);
    }
  });

  it('a connection that breaks between living members does no harm', () => {
    const { network, ids } = settled(10, 8);
    for (const id of ids.slice(1)) network.close('n00', id);
    network.run(10_000);
    expect(network.changes.filter((change) => change.state !== 'alive')).toEqual([]);
  });
});

describe('partition and heal', () => {
  it.each([1, 2, 3, 4, 5])('both sides go on, and merge within seconds when the link returns (seed %i)', (seed) => {
    const { network, ids } = settled(5, seed);
    const left = ids.slice(0, 2);
    const right = ids.slice(2);
    network.partition(left);
    const isSplit = (): boolean => network.allSee(left, right, 'dead') && network.allSee(right, left, 'dead');
    expect(network.runUntil(isSplit, 12_000)).toBeDefined();
    expect(network.core('n00').alive()).toHaveLength(2);
    network.run(10 * 60_000);
    network.heal();
    expect(network.runUntil(() => network.isConverged(), 8000)).toBeDefined();
    network.run(30_000);
    expect(network.isConverged()).toBe(true);
  });

  it('after a simulated day too', { timeout: 60_000 }, () => {
    const { network, ids } = settled(3, 9);
    network.silence('n02');
    network.run(24 * HOUR_MS);
    expect(network.allSee(['n00', 'n01'], ['n02'], 'dead')).toBe(true);
    network.heal();
    expect(network.runUntil(() => network.isConverged(), 8000)).toBeDefined();
    expect(network.allSee(ids, ids, 'alive')).toBe(true);
  });

  it('one-way loss of a link is bridged by the others', () => {
    const { network } = settled(5, 3);
    network.cut((from, to) => from === 'n01' && to === 'n02');
    network.run(10 * 60_000);
    expect(network.deaths()).toEqual([]);
  });
});

describe('coming and going', () => {
  it('a leave is known at once, is not taken for a crash, and is not undone by stale gossip', () => {
    const { network, ids } = settled(10, 1);
    const { incarnation, profile } = network.core('n06').self;
    network.input('n06', { type: 'leave' });
    network.run(50);
    network.kill('n06');
    const others = ids.filter((id) => id !== 'n06');
    expect(network.runUntil(() => network.allSee(others, ['n06'], 'left'), 500)).toBeDefined();
    const stale = signed({ state: 'alive', id: 'n06', incarnation, profile });
    const accused = signed({ state: 'dead', id: 'n06', incarnation, from: 'n03' });
    network.input('n01', { type: 'message', from: 'n02', message: { type: 'gossip', updates: [stale, accused] } });
    network.run(120_000);
    expect(network.allSee(others, ['n06'], 'left')).toBe(true);
    expect(network.changes.filter((change) => change.state === 'suspect' || change.state === 'dead')).toEqual([]);
  });

  it('a member that left comes back when it starts again', () => {
    const { network, ids } = settled(5, 1);
    network.input('n02', { type: 'leave' });
    network.run(50);
    network.kill('n02');
    network.run(60_000);
    network.start('n02', ['n00']);
    expect(network.runUntil(() => network.isConverged(), 2000)).toBeDefined();
    expect(network.allSee(ids, ids, 'alive')).toBe(true);
  });

  it('a restart goes on above its persisted incarnation, whether or not its death was noticed', () => {
    for (const downMs of [0, 50, 300, 60_000]) {
      const { network, ids } = settled(5, 2);
      const before = network.core('n02').self.incarnation;
      network.kill('n02');
      network.run(downMs);
      network.start('n02', ids);
      expect(
        network.runUntil(() => network.isConverged(), 3000),
        `down ${downMs} ms`,
      ).toBeDefined();
      network.run(20_000);
      expect(network.isConverged()).toBe(true);
      expect(network.core('n02').self.incarnation).toBeGreaterThan(before);
      expect(network.member('n00', 'n02')?.profile.bootEpoch).toBe(2);
    }
  });

  it('a cluster that was killed as a whole finds itself again by its address books', () => {
    const { network, ids } = settled(5, 3);
    for (const id of ids) network.kill(id);
    network.run(1000);
    for (const id of ids) network.start(id, ids);
    expect(network.runUntil(() => network.isConverged(), 3000)).toBeDefined();
  });

  it('stale gossip does not resurrect the dead', () => {
    const { network, ids } = settled(5, 4);
    const { incarnation, profile } = network.core('n02').self;
    network.kill('n02');
    network.run(5000);
    const others = ids.filter((id) => id !== 'n02');
    const stale = signed({ state: 'alive', id: 'n02', incarnation, profile });
    for (const id of others) {
      network.input(id, { type: 'message', from: 'n00', message: { type: 'gossip', updates: [stale] } });
      expect(network.member(id, 'n02')?.state).toBe('dead');
    }
  });
});

describe('cost at rest', () => {
  it('stays far below 2 kB a second and does not grow with the cluster', { timeout: 60_000 }, () => {
    const rates = [3, 10, 100].map((size) => {
      const network = new MembershipNetwork({ seed: 5 });
      const ids = network.startCluster(size);
      network.run(120_000);
      network.resetTraffic();
      network.run(300_000);
      return Math.max(...ids.map((id) => network.traffic(id).bytes)) / 300;
    });
    for (const rate of rates) expect(rate).toBeLessThan(1500);
    expect(Math.max(...rates) / Math.min(...rates)).toBeLessThan(1.25);
  });
});
