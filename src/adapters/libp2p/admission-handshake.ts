import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { concat } from 'uint8arrays/concat';
import { fromString } from 'uint8arrays/from-string';
import { toString as textOf } from 'uint8arrays/to-string';
import type { NodeId } from '../../ports/transport.ts';
import { ADDRESS_LENGTH_MAX, PEER_ADDRESSES_MAX } from './addresses.ts';

/** What two nodes must agree on before they may talk. */
export interface ClusterHello {
  readonly clusterId: string;
  /** Lowest and highest wire version spoken; the ranges of both must overlap. */
  readonly versionMin: number;
  readonly versionMax: number;
  /** Number of shards that the key space is cut into. */
  readonly shards: number;
}

/** Why a peer was not admitted. */
export type RefusalCode =
  | 'cluster-mismatch'
  | 'version-mismatch'
  | 'shards-mismatch'
  | 'secret-mismatch'
  | 'malformed'
  | 'timeout';

const REFUSAL_CODES: ReadonlySet<string> = new Set<RefusalCode>([
  'cluster-mismatch',
  'version-mismatch',
  'shards-mismatch',
  'secret-mismatch',
  'malformed',
  'timeout',
]);

/** What the peer said of itself. */
export interface PeerHello extends ClusterHello {
  readonly addresses: readonly string[];
}

/** What to do after a message: send it bytes, and perhaps the handshake is over. */
export interface HandshakeStep {
  readonly send?: Uint8Array;
  readonly outcome?:
    | { readonly kind: 'admitted'; readonly hello: PeerHello }
    | {
        readonly kind: 'refused';
        readonly code: RefusalCode;
        readonly by: 'self' | 'peer';
        readonly hello?: PeerHello;
      };
}

/** Largest handshake message, in bytes. */
export const HANDSHAKE_BYTES_MAX = 8 * 1024;
const LABEL = 'holdfast/admit/1';
const NONCE_BYTES = 32;
const CLUSTER_ID_LENGTH_MAX = 256;
const HELLO = 1;
const PROOF = 2;
const REFUSAL = 3;

export type HandshakeRole = 'initiator' | 'responder';

/**
 * Mutual proof that both ends hold the cluster secret, run over a channel that has already authenticated both peer
 * ids (Noise). Four messages: hello, hello, the initiator's proof, the responder's proof. A proof is
 * HMAC-SHA-256 under a key derived from the secret over the label, the prover's role, both peer ids and both hellos
 * with their nonces, so that it can be neither replayed nor reflected nor moved to another pair of peers. Either
 * side may answer with a typed refusal instead. The secret never crosses the wire.
 *
 * Pure but for the nonce: bytes in, bytes out.
 */
export class AdmissionHandshake {
  private readonly role: HandshakeRole;
  private readonly key: Uint8Array;
  private readonly self: NodeId;
  private readonly peer: NodeId;
  private readonly own: PeerHello;
  private readonly ownHello: Uint8Array;
  private peerHello: { bytes: Uint8Array; hello: PeerHello } | undefined;
  private over = false;

  constructor(options: { role: HandshakeRole; key: Uint8Array; self: NodeId; peer: NodeId; hello: PeerHello }) {
    this.role = options.role;
    this.key = options.key;
    this.self = options.self;
    this.peer = options.peer;
    this.own = options.hello;
    this.ownHello = encodeHello(options.hello, randomBytes(NONCE_BYTES));
  }

  /** The first message, which only the initiator sends. */
  start(): Uint8Array | undefined {
    return this.role === 'initiator' ? this.ownHello : undefined;
  }

  handleMessage(message: Uint8Array): HandshakeStep {
    if (this.over) return {};
    const body = message.subarray(1);
    switch (message[0]) {
      case HELLO:
        return this.peerHello === undefined ? this.handleHello(message, body) : this.refuse('malformed');
      case PROOF:
        return this.handleProof(body);
      case REFUSAL:
        return this.handleRefusal(body);
      default:
        return this.refuse('malformed');
    }
  }

  private handleHello(message: Uint8Array, body: Uint8Array): HandshakeStep {
    const hello = decodeHello(body);
    if (hello === undefined) return this.refuse('malformed');
    this.peerHello = { bytes: message, hello };
    const mismatch = compare(this.own, hello);
    if (mismatch !== undefined) return this.refuse(mismatch);
    return { send: this.role === 'initiator' ? this.encodeProof() : this.ownHello };
  }

  private handleProof(proof: Uint8Array): HandshakeStep {
    const peerHello = this.peerHello;
    if (peerHello === undefined) return this.refuse('malformed');
    const expected = this.proofOf(this.role === 'initiator' ? 'responder' : 'initiator');
    if (proof.byteLength !== expected.byteLength || !timingSafeEqual(proof, expected)) {
      return this.refuse('secret-mismatch');
    }
    this.over = true;
    const outcome = { kind: 'admitted', hello: peerHello.hello } as const;
    return this.role === 'responder' ? { send: this.encodeProof(), outcome } : { outcome };
  }

  private handleRefusal(body: Uint8Array): HandshakeStep {
    this.over = true;
    const text = body.byteLength <= 64 ? textOf(body, 'latin1') : '';
    const code = REFUSAL_CODES.has(text) ? (text as RefusalCode) : 'malformed';
    return { outcome: this.refused(code, 'peer') };
  }

  private refuse(code: RefusalCode): HandshakeStep {
    this.over = true;
    const send = concat([Uint8Array.of(REFUSAL), fromString(code, 'latin1')]);
    return { send, outcome: this.refused(code, 'self') };
  }

  private refused(code: RefusalCode, by: 'self' | 'peer'): NonNullable<HandshakeStep['outcome']> {
    const hello = this.peerHello?.hello;
    return { kind: 'refused', code, by, ...(hello === undefined ? {} : { hello }) };
  }

  private encodeProof(): Uint8Array {
    return concat([Uint8Array.of(PROOF), this.proofOf(this.role)]);
  }

  private proofOf(prover: HandshakeRole): Uint8Array {
    const peerHello = this.peerHello?.bytes ?? new Uint8Array(0);
    const mine = [fromString(this.self), this.ownHello];
    const theirs = [fromString(this.peer), peerHello];
    const fields = this.role === 'initiator' ? [...mine, ...theirs] : [...theirs, ...mine];
    const mac = createHmac('sha256', this.key);
    for (const field of [fromString(LABEL), fromString(prover), ...fields]) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.byteLength);
      mac.update(length).update(field);
    }
    return mac.digest();
  }
}

function compare(own: ClusterHello, peer: ClusterHello): RefusalCode | undefined {
  if (own.clusterId !== peer.clusterId) return 'cluster-mismatch';
  if (Math.max(own.versionMin, peer.versionMin) > Math.min(own.versionMax, peer.versionMax)) return 'version-mismatch';
  if (own.shards !== peer.shards) return 'shards-mismatch';
  return undefined;
}

function encodeHello(hello: PeerHello, nonce: Uint8Array): Uint8Array {
  const json = JSON.stringify({
    nonce: textOf(nonce, 'hex'),
    clusterId: hello.clusterId,
    versionMin: hello.versionMin,
    versionMax: hello.versionMax,
    shards: hello.shards,
    addresses: hello.addresses.slice(0, PEER_ADDRESSES_MAX),
  });
  return concat([Uint8Array.of(HELLO), fromString(json)]);
}

/** Undefined unless every field has its type and stays within its limit. Unknown fields are ignored. */
function decodeHello(bytes: Uint8Array): PeerHello | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(textOf(bytes));
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const fields = parsed as Record<string, unknown>;
  const { nonce, clusterId, versionMin, versionMax, shards, addresses } = fields;
  if (typeof nonce !== 'string' || nonce.length !== NONCE_BYTES * 2) return undefined;
  if (typeof clusterId !== 'string' || clusterId.length > CLUSTER_ID_LENGTH_MAX) return undefined;
  if (!isCount(versionMin) || !isCount(versionMax) || !isCount(shards)) return undefined;
  if (!Array.isArray(addresses) || addresses.length > PEER_ADDRESSES_MAX) return undefined;
  const texts = addresses.filter(
    (item): item is string => typeof item === 'string' && item.length <= ADDRESS_LENGTH_MAX,
  );
  if (texts.length !== addresses.length) return undefined;
  return { clusterId, versionMin, versionMax, shards, addresses: texts };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
