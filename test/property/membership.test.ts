import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/lib/prng.ts';
import { Membership } from '../../src/protocol/membership/membership.ts';
import type { MemberUpdate } from '../../src/protocol/membership/message.ts';
import { MembershipNetwork, profileOf } from '../support/membership-network.ts';
import { signed, testClaims } from '../support/test-claims.ts';

const now = { monoMs: 0, wallMs: 1_700_000_000_000 };

/** Claims of one member's life, in any order; an accusation brings along what it was based on, as in a push-pull. */
const history = fc
  .array(
    fc.record({
      state: fc.constantFrom('alive', 'alive', 'suspect', 'dead', 'left'),
      life: fc.integer({ min: 1, max: 6 }),
      from: fc.constantFrom('a', 'b', 'c'),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((claims) =>
    claims.map(({ state, life, from }): MemberUpdate => {
      if (state === 'alive') return signed({ state, id: 'x', incarnation: life, profile: profileOf('x', life) });
      if (state === 'left') return signed({ state, id: 'x', incarnation: life });
      const alive = signed({ state: 'alive', id: 'x', incarnation: life, profile: profileOf('x', life) });
      return { ...signed({ state, id: 'x', incarnation: life, from }), alive };
    }),
  );

function outcome(updates: readonly MemberUpdate[]): unknown {
  const base = { self: 'me', profile: profileOf('me'), incarnation: 0, known: [], claims: testClaims('me') };
  const core = new Membership({ ...base, prng: new Prng(1) });
  const all: MemberUpdate[] = [
    signed({ state: 'alive', id: 'x', incarnation: 1, profile: profileOf('x', 1) }),
    ...updates,
  ];
  for (const update of all) {
    core.handle({ type: 'message', from: 'a', message: { type: 'gossip', updates: [update] } }, now);
  }
  const member = core.member('x');
  // Whether an accusation has become a verdict depends on time.
  const isAccused = member?.state === 'suspect' || member?.state === 'dead';
  return [isAccused ? 'accused' : member?.state, member?.incarnation];
}

describe('membership', () => {
  it('comes to the same view of a member in whatever order, and however often, it hears the claims', () => {
    fc.assert(
      fc.property(
        history.chain((claims) =>
          fc.tuple(fc.constant(claims), fc.shuffledSubarray([...claims, ...claims], { minLength: claims.length * 2 })),
        ),
        ([claims, reordered]) => {
          expect(outcome(reordered)).toEqual(outcome(claims));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('converges after any sequence of kills, restarts, cuts, pauses and loss, once they end', {
    timeout: 120_000,
  }, () => {
    const fault = fc.record({
      kind: fc.constantFrom('kill', 'restart', 'cut', 'heal', 'pause', 'loss', 'leave'),
      victim: fc.nat({ max: 5 }),
      forMs: fc.integer({ min: 10, max: 9000 }),
    });
    fc.assert(
      fc.property(fc.integer(), fc.array(fault, { maxLength: 12 }), (seed, faults) => {
        const network = new MembershipNetwork({ seed });
        const ids = network.startCluster(6);
        network.run(3000);
        for (const { kind, victim, forMs } of faults) {
          const id = ids[victim] as string;
          const isRunning = network.running().includes(id);
          if (kind === 'kill' && isRunning) network.kill(id);
          else if (kind === 'restart' && !isRunning) network.start(id, ids);
          else if (kind === 'leave' && isRunning) network.input(id, { type: 'leave' });
          else if (kind === 'cut') network.partition(ids.slice(0, victim));
          else if (kind === 'heal') network.heal();
          else if (kind === 'pause') network.pause(id, forMs);
          else if (kind === 'loss') network.lossRate = 0.3;
          network.run(forMs);
        }
        network.heal();
        network.lossRate = 0;
        for (const id of ids) {
          if (network.running().includes(id) && network.core(id).self.state === 'left') network.kill(id);
          if (!network.running().includes(id)) network.start(id, ids);
        }
        network.run(60_000);
        expect(network.isConverged()).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});
