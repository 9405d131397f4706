import type { NodeId } from './transport.ts';

/** The node's identity key, as far as protocols need it. Ed25519 (RFC 8032): equal input, equal signature. */
export interface Signer {
  /** 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array;
  /** True when the holder of the key of `peer` signed exactly these bytes; false, too, for a peer id without a key. */
  verify(peer: NodeId, bytes: Uint8Array, signature: Uint8Array): boolean;
}
