import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/lib/prng.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { readCounter } from '../../src/protocol/causal/value.ts';
import { drawHubFaults, HubFaults, hubFaultText } from '../simulation/hub-faults.ts';
import type { VirtualHub } from '../simulation/virtual-hub.ts';
import { HubChain } from '../support/hub-chain.ts';
import { put } from '../support/sim-story.ts';

const SEEDS = Array.from({ length: 10 }, (_, index) => index + 1);
const SAFETY_MS = 30_000;
const HOT_KEYS = 8;

/** What clients at all three places have done, and what of it must be there in the end. */
class ChainClients {
  private readonly chain: HubChain;
  private readonly prng: Prng;
  private isOver = false;
  private writes = 0;
  tried = 0;
  /** Increments that the site has acknowledged: no store that is restored makes it forget them. */
  acknowledged = 0;

  constructor(chain: HubChain, prng: Prng) {
    this.chain = chain;
    this.prng = prng;
    this.next();
  }

  stop(): void {
    this.isOver = true;
  }

  private next(): void {
    this.chain.cluster.clock.after(this.prng.float() * 120, () => {
      if (this.isOver) return;
      this.step();
      this.next();
    });
  }

  private step(): void {
    const { prng } = this;
    const bucket = prng.chance(0.8) ? 'both' : 'default';
    const draw = prng.float();
    const key = `k${prng.below(HOT_KEYS)}`;
    if (draw < 0.5) this.write(bucket, key, put(`w${this.writes++}`));
    else if (draw < 0.65) this.write(bucket, key, { type: 'delete' });
    else this.write('both', 'count', { type: 'increment', by: 1 });
  }

  private write(bucket: string, key: string, mutation: Mutation): void {
    const { chain, prng } = this;
    const isCount = mutation.type === 'increment';
    if (isCount) this.tried++;
    const hub = prng.pick([null, chain.district, chain.cloud]) ?? null;
    if (hub === null || bucket !== 'both') {
      const request = { type: 'mutate', bucket, key, mutation, level: 'quorum', context: null } as const;
      const node = prng.pick(chain.cluster.nodes);
      if (node === undefined) return;
      chain.cluster.request(node, request, (reply) => {
        if (isCount && reply.type === 'mutate') this.acknowledged++;
      });
    } else if (hub.isRunning && hub.buckets.has(bucket)) {
      hub.write({ shard: chain.shardOf(bucket, key), bucket, key }, mutation);
    }
  }
}

describe('a site, its hub and the hub of that one agree after faults of the hubs and of all lines', () => {
  test.each(SEEDS)('seed %i', (seed) => {
    const chain = new HubChain(seed);
    const prng = new Prng(seed);
    const { clock } = chain.cluster;
    const faults: string[] = [];
    const begin = (hub: VirtualHub, ends: readonly object[], name: string): HubFaults => {
      const all = new HubFaults(
        hub,
        ends,
        (delayMs, run) => clock.after(delayMs, run),
        () => undefined,
      );
      for (const { atMs, fault } of drawHubFaults(prng, ends.length, 0, SAFETY_MS)) {
        clock.after(atMs, () => {
          faults.push(`${(clock.nowMs / 1000).toFixed(1)} s  ${name}: ${hubFaultText(fault)}`);
          all.inject(fault);
        });
      }
      return all;
    };
    const both = [begin(chain.district, chain.cluster.nodes, 'district'), begin(chain.cloud, [chain.uplink], 'cloud')];
    const clients = new ChainClients(chain, prng);
    chain.run(SAFETY_MS);
    clients.stop();
    for (const each of both) each.endAll();
    chain.run(150_000);
    chain.expectAgreement(faults);
    const [below, above] = [chain.district, chain.cloud].map((hub) =>
      readCounter(chain.entriesAt(hub, 'both', 'count')),
    );
    expect(above).toBe(below);
    expect(above).toBeLessThanOrEqual(clients.tried);
    expect(above).toBeGreaterThanOrEqual(clients.acknowledged);
    expect(chain.cloud.rows.objects.size).toBeGreaterThan(0);
  });
});
