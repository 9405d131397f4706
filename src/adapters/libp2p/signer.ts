import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { peerIdFromString } from '@libp2p/peer-id';
import { toString } from 'uint8arrays/to-string';
import type { Signer } from '../../ports/signer.ts';
import type { NodeId } from '../../ports/transport.ts';
import type { Identity } from './identity.ts';

const SEED_BYTES = 32;
/** Imported keys kept; importing one costs about as much as verifying a signature. */
const KEYS_MAX = 4096;

/**
 * Signs with the node's identity and verifies with the keys that peer ids contain. The keys are imported once:
 * the signing functions of `@libp2p/crypto` import theirs on every call.
 */
export function createSigner(identity: Identity): Signer {
  const { raw, publicKey } = identity.privateKey;
  const own = createPrivateKey({
    format: 'jwk',
    key: { kty: 'OKP', crv: 'Ed25519', d: base64url(raw.subarray(0, SEED_BYTES)), x: base64url(publicKey.raw) },
  });
  const keys = new Map<NodeId, KeyObject | null>();
  const keyOf = (peer: NodeId): KeyObject | null => {
    let key = keys.get(peer);
    if (key === undefined) {
      if (keys.size >= KEYS_MAX) keys.clear();
      key = importKey(peer);
      keys.set(peer, key);
    }
    return key;
  };
  return {
    sign: (bytes) => new Uint8Array(sign(null, bytes, own)),
    verify: (peer, bytes, signature) => {
      const key = keyOf(peer);
      return key !== null && signature.length === 64 && verify(null, bytes, key, signature);
    },
  };
}

function importKey(peer: NodeId): KeyObject | null {
  try {
    const id = peerIdFromString(peer);
    const key = id.publicKey;
    // One form only, or one key could be many members.
    if (key?.type !== 'Ed25519' || id.toString() !== peer) return null;
    return createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: base64url(key.raw) } });
  } catch {
    return null;
  }
}

function base64url(bytes: Uint8Array): string {
  return toString(bytes, 'base64url');
}
