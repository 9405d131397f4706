import type { MemberUpdate } from '../../src/protocol/membership/message.ts';
import { forged } from '../support/test-claims.ts';
import type { SimCluster } from './cluster.ts';
import type { SimNode } from './sim-node.ts';

/** What a lying member says about another. */
export type ForgedClaim = 'left' | 'dead' | 'alive';

/** One member tells all that it is connected to what another has never said; false where it knows nothing of it. */
export function forge(cluster: SimCluster, liar: SimNode, about: SimNode, claim: ForgedClaim): boolean {
  const member = liar.running?.node.member(about.id);
  if (member === undefined || member.incarnation === 0 || liar === about) return false;
  const { id, profile } = member;
  const incarnation = member.incarnation + 1;
  const victims = cluster.nodes.filter((node) => node !== liar && node !== about);
  const update: MemberUpdate =
    claim === 'left'
      ? forged({ state: 'left', id, incarnation })
      : claim === 'alive'
        ? forged({ state: 'alive', id, incarnation, profile: { ...profile, addresses: ['/sim/nowhere/1'] } })
        : forged({ state: 'dead', id, incarnation: member.incarnation, from: victims[0]?.id ?? liar.id });
  for (const node of cluster.nodes) cluster.network.send(liar, node.id, { type: 'gossip', updates: [update] });
  cluster.network.flush();
  return true;
}
