import { hashString } from '../../src/lib/hash.ts';
import type { NodeId } from '../../src/protocol/machine.ts';
import { authorOf, type Claim, type ClaimAuthority } from '../../src/protocol/membership/claim.ts';
import type { MemberUpdate } from '../../src/protocol/membership/message.ts';

/** As long as an Ed25519 signature, so that messages have their true size. */
const SIGNATURE_BYTES = 64;
/** Updates are never altered, and simulated networks pass the same objects on. */
const tags = new WeakMap<Claim, number>();

/**
 * A cheap stand-in for signatures: a hash over author and claim. A claim made or altered by anyone else (which in
 * a test means: without this function) does not verify.
 */
export function testClaims(self: NodeId): ClaimAuthority {
  return {
    sign: (claim) => {
      if (authorOf(claim) !== self) throw new Error(`${self} signs for ${authorOf(claim)}`);
      return signatureOf(claim);
    },
    verify: (update) => update.signature.length === SIGNATURE_BYTES && readTag(update.signature) === tagOf(update),
  };
}

/** The claim with the signature of its author. */
export function signed<C extends Claim>(claim: C): C & { readonly signature: Uint8Array } {
  return { ...claim, signature: signatureOf(claim) };
}

/** A claim that its author never made. */
export function forged<C extends Claim>(claim: C): C & { readonly signature: Uint8Array } {
  return { ...claim, signature: new Uint8Array(SIGNATURE_BYTES) };
}

function signatureOf(claim: Claim): Uint8Array {
  const signature = new Uint8Array(SIGNATURE_BYTES);
  new DataView(signature.buffer).setUint32(0, tagOf(claim));
  return signature;
}

function readTag(signature: Uint8Array): number {
  return new DataView(signature.buffer, signature.byteOffset).getUint32(0);
}

function tagOf(claim: Claim | MemberUpdate): number {
  let tag = tags.get(claim);
  if (tag === undefined) {
    const profile = claim.state === 'alive' ? canonical(claim.profile) : '';
    tag = (hashString(`${authorOf(claim)} ${claim.state} ${claim.id} ${claim.incarnation} ${profile}`) | 1) >>> 0;
    tags.set(claim, tag);
  }
  return tag;
}

function canonical(value: object): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
