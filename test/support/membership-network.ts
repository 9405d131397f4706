import type { MemberProfile } from '../../src/protocol/membership/member.ts';
import { Membership } from '../../src/protocol/membership/membership.ts';
import type { KnownMember, MembershipTiming } from '../../src/protocol/membership/options.ts';
import { CoreNetwork, type CoreStart, type NetworkOptions } from './core-network.ts';
import { testClaims } from './test-claims.ts';

interface MembershipNetworkOptions extends NetworkOptions {
  readonly timing?: Partial<MembershipTiming>;
}

export function profileOf(name: string, bootEpoch = 1): MemberProfile {
  return {
    name,
    zone: 'zone-a',
    labels: {},
    capabilities: ['data'],
    addresses: [`/ip4/10.0.0.1/tcp/7400/p2p/${name}`],
    versionMin: 1,
    versionMax: 1,
    bootEpoch,
    score: 0.5,
    coordinate: null,
    weight: 1,
  };
}

/** The membership cores of this project in a simulated network. */
export class MembershipNetwork extends CoreNetwork<Membership> {
  constructor(options: MembershipNetworkOptions) {
    super(options, (start) => createCore(start, options.timing));
  }
}

function createCore(start: CoreStart, timing: Partial<MembershipTiming> | undefined): Membership {
  const { id, life, incarnation, prng } = start;
  const known: KnownMember[] = start.known.map((other) => ({ id: other, profile: profileOf(other) }));
  return new Membership({
    self: id,
    profile: profileOf(id, life),
    incarnation,
    known,
    claims: testClaims(id),
    prng,
    ...(timing === undefined ? {} : { timing }),
  });
}
