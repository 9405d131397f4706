import type { NodeId } from '../machine.ts';
import type { AccusationUpdate, AliveUpdate, LeftUpdate, MemberUpdate } from './message.ts';

/** A claim before its author has signed it. */
export type Claim =
  | Omit<AliveUpdate, 'signature'>
  | Omit<LeftUpdate, 'signature'>
  | Omit<AccusationUpdate, 'signature' | 'alive'>;

/**
 * Signs what this node says, and checks what others are said to have said. Deterministic, so that cores stay
 * pure: the same claim has the same signature.
 */
export interface ClaimAuthority {
  /** The own signature of a claim whose author is this node. */
  sign(claim: Claim): Uint8Array;
  /** True when the author of the claim (`authorOf`) signed exactly this; never throws. */
  verify(update: MemberUpdate): boolean;
}

/** Who alone may make this claim: the member itself, or the accuser in an accusation. */
export function authorOf(claim: Claim): NodeId {
  switch (claim.state) {
    case 'alive':
    case 'left':
      return claim.id;
    case 'suspect':
    case 'dead':
      return claim.from;
  }
}
