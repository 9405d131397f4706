import type { Signer } from '../ports/signer.ts';
import { authorOf, type ClaimAuthority } from '../protocol/membership/claim.ts';
import { claimBytes } from '../wire/claim.ts';

/** Membership's claims in their wire form, signed by the identities of their authors. */
export function claimAuthority(signer: Signer, clusterId: string): ClaimAuthority {
  return {
    sign: (claim) => signer.sign(claimBytes(clusterId, claim)),
    verify: (update) => signer.verify(authorOf(update), claimBytes(clusterId, update), update.signature),
  };
}
