import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { concat } from 'uint8arrays/concat';
import { fromString } from 'uint8arrays/from-string';
import { toString as textOf } from 'uint8arrays/to-string';
import type { NodeId } from '../../ports/transport.ts';

/** Largest handshake message, in bytes. */
export const HANDSHAKE_BYTES_MAX = 8 * 1024;
const NONCE_BYTES = 32;
const REFUSAL_BYTES_MAX = 64;
const HELLO = 1;
const PROOF = 2;
const REFUSAL = 3;

export type HandshakeRole = 'initiator' | 'responder';

/** Wire versions that an end speaks, both included; the ranges of both ends must overlap. */
export interface VersionRange {
  readonly versionMin: number;
  readonly versionMax: number;
}

/** What two ends say to each other in one kind of handshake. `Hello` is what JSON can hold; a nonce is added to it. */
export interface HandshakeTerms<Hello extends object, Code extends string> {
  /** Part of every proof: one for another kind of handshake is worth nothing. */
  readonly label: string;
  /** All reasons for a refusal. */
  readonly codes: readonly (Code | 'malformed')[];
  /** What an end in that role says of a proof that is wrong. */
  readonly unproven: Readonly<Record<HandshakeRole, Code>>;
  /** Undefined unless every field has its type and stays within its limit. Unknown fields are to be ignored. */
  decodeHello(fields: Readonly<Record<string, unknown>>): Hello | undefined;
  /** Why the two cannot talk, as the first of them sees it. */
  compare(own: Hello, peer: Hello): Code | 'malformed' | undefined;
}

/** What to do after a message: send it bytes, and perhaps the handshake is over. */
export interface HandshakeStep<Hello, Code extends string> {
  readonly send?: Uint8Array;
  readonly outcome?:
    | { readonly kind: 'admitted'; readonly hello: Hello }
    | {
        readonly kind: 'refused';
        readonly code: Code | 'malformed';
        readonly by: 'self' | 'peer';
        readonly hello?: Hello;
      };
}

export interface HandshakeEnd<Hello> {
  readonly role: HandshakeRole;
  /** What both must hold. Null: it follows from what the peer says of itself; see `useKey`. */
  readonly key: Uint8Array | null;
  readonly self: NodeId;
  readonly peer: NodeId;
  readonly hello: Hello;
}

/**
 * Mutual proof that both ends hold a key, run over a channel that has already authenticated both peer ids (Noise).
 * Four messages: hello, hello, the initiator's proof, the responder's proof. A proof is HMAC-SHA-256 under the key over
 * the label, the prover's role, both peer ids and both hellos with their nonces, so that it can be neither replayed nor
 * reflected nor moved to another pair of peers. Either side may answer with a typed refusal instead. The key never
 * crosses the wire.
 *
 * Pure but for the nonce: bytes in, bytes out.
 */
export class MutualHandshake<Hello extends object, Code extends string> {
  private readonly terms: HandshakeTerms<Hello, Code>;
  private readonly end: HandshakeEnd<Hello>;
  private readonly ownHello: Uint8Array;
  private key: Uint8Array | null;
  private peerHello: { bytes: Uint8Array; hello: Hello } | undefined;
  private over = false;

  constructor(terms: HandshakeTerms<Hello, Code>, end: HandshakeEnd<Hello>) {
    this.terms = terms;
    this.end = end;
    this.key = end.key;
    this.ownHello = encodeHello(end.hello, randomBytes(NONCE_BYTES));
  }

  /** The first message, which only the initiator sends. */
  start(): Uint8Array | undefined {
    return this.end.role === 'initiator' ? this.ownHello : undefined;
  }

  /** What the peer has said of itself and may yet have to prove. */
  get claimed(): Hello | undefined {
    return this.peerHello?.hello;
  }

  /** Gives a responder its key once the peer has said who it is, before its proof is handled. */
  useKey(key: Uint8Array): void {
    this.key = key;
  }

  handleMessage(message: Uint8Array): HandshakeStep<Hello, Code> {
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

  /** Ends the handshake, even where the peer has just proved itself and has not been told. */
  refuse(code: Code | 'malformed'): HandshakeStep<Hello, Code> {
    this.over = true;
    const send = concat([Uint8Array.of(REFUSAL), fromString(code, 'latin1')]);
    return { send, outcome: this.refused(code, 'self') };
  }

  private handleHello(message: Uint8Array, body: Uint8Array): HandshakeStep<Hello, Code> {
    const { terms, end } = this;
    const fields = decodeFields(body);
    const hello = fields === undefined ? undefined : terms.decodeHello(fields);
    if (hello === undefined) return this.refuse('malformed');
    this.peerHello = { bytes: message, hello };
    const mismatch = terms.compare(end.hello, hello);
    if (mismatch !== undefined) return this.refuse(mismatch);
    return { send: end.role === 'initiator' ? this.encodeProof(this.key) : this.ownHello };
  }

  private handleProof(proof: Uint8Array): HandshakeStep<Hello, Code> {
    const { peerHello, key } = this;
    const { role } = this.end;
    if (peerHello === undefined || key === null) return this.refuse('malformed');
    const expected = this.proofOf(key, role === 'initiator' ? 'responder' : 'initiator');
    if (proof.byteLength !== expected.byteLength || !timingSafeEqual(proof, expected)) {
      return this.refuse(this.terms.unproven[role]);
    }
    this.over = true;
    const outcome = { kind: 'admitted', hello: peerHello.hello } as const;
    return role === 'responder' ? { send: this.encodeProof(key), outcome } : { outcome };
  }

  private handleRefusal(body: Uint8Array): HandshakeStep<Hello, Code> {
    this.over = true;
    const text = body.byteLength <= REFUSAL_BYTES_MAX ? textOf(body, 'latin1') : '';
    return { outcome: this.refused(this.terms.codes.find((code) => code === text) ?? 'malformed', 'peer') };
  }

  private refused(code: Code | 'malformed', by: 'self' | 'peer'): NonNullable<HandshakeStep<Hello, Code>['outcome']> {
    const hello = this.peerHello?.hello;
    return { kind: 'refused', code, by, ...(hello === undefined ? {} : { hello }) };
  }

  private encodeProof(key: Uint8Array | null): Uint8Array {
    if (key === null) throw new Error('a handshake has its key before it proves anything');
    return concat([Uint8Array.of(PROOF), this.proofOf(key, this.end.role)]);
  }

  private proofOf(key: Uint8Array, prover: HandshakeRole): Uint8Array {
    const { role, self, peer } = this.end;
    const mine = [fromString(self), this.ownHello];
    const theirs = [fromString(peer), this.peerHello?.bytes ?? new Uint8Array(0)];
    const fields = role === 'initiator' ? [...mine, ...theirs] : [...theirs, ...mine];
    const mac = createHmac('sha256', key);
    for (const field of [fromString(this.terms.label), fromString(prover), ...fields]) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.byteLength);
      mac.update(length).update(field);
    }
    return mac.digest();
  }
}

export function versionsOverlap(a: VersionRange, b: VersionRange): boolean {
  return Math.max(a.versionMin, b.versionMin) <= Math.min(a.versionMax, b.versionMax);
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function encodeHello(hello: object, nonce: Uint8Array): Uint8Array {
  const json = JSON.stringify({ nonce: textOf(nonce, 'hex'), ...hello });
  return concat([Uint8Array.of(HELLO), fromString(json)]);
}

/** The object that a hello is, with a nonce. */
function decodeFields(bytes: Uint8Array): Record<string, unknown> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(textOf(bytes));
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const fields = parsed as Record<string, unknown>;
  const nonce = fields['nonce'];
  return typeof nonce === 'string' && nonce.length === NONCE_BYTES * 2 ? fields : undefined;
}
