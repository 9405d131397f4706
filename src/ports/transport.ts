import type { NodeId } from '../protocol/machine.ts';

export type { NodeId } from '../protocol/machine.ts';

/** Separate streams, so that a probe never waits behind a transfer. */
export type Lane = 'control' | 'data' | 'bulk';
export const LANES: readonly Lane[] = ['control', 'data', 'bulk'];

/** Largest frame, in bytes, that a transport must carry; larger inbound ones are refused and counted. */
export const FRAME_BYTES_MAX = 4 * 1024 * 1024;

/** Largest publication, in bytes: a channel and a message of the size of a value. */
export const PUBLICATION_BYTES_MAX = 1024 * 1024 + 4096;

/**
 * `address-in-use`: another process listens there. `address-unavailable`: this machine has no such address, or may
 * not use the port. `bad-address`: not a multiaddr that can be listened on or dialled. `identity-corrupt`,
 * `identity-io`: the key file cannot be used. `too-large`: a publication over the limit. `io`: anything else.
 */
export type TransportErrorCode =
  | 'address-in-use'
  | 'address-unavailable'
  | 'bad-address'
  | 'identity-corrupt'
  | 'identity-io'
  | 'too-large'
  | 'io';

/** A transport that cannot start or carry out a request; the message names the cause and the fix. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly code: TransportErrorCode;

  constructor(code: TransportErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What a transport reports. A peer is connected only after admission: both sides hold the cluster secret. */
export interface TransportHandler {
  /** `addresses`: multiaddrs (with peer id) at which the peer can be dialled, best first; may be empty. */
  handleConnected(peer: NodeId, addresses: readonly string[]): void;
  handleDisconnected(peer: NodeId): void;
  /** `refused`: the host answered that nothing listens there; strong evidence that the process is gone. */
  handleDialFailed(peer: NodeId, reason: 'refused' | 'timeout' | 'unreachable' | 'denied'): void;
  /** One whole frame. The handler owns the bytes. */
  handleFrame(peer: NodeId, lane: Lane, frame: Uint8Array): void;
  handlePublication(topic: string, from: NodeId, data: Uint8Array): void;
}

/** Carries frames between admitted peers; loses them when a connection does, never reorders within a lane. */
export interface Transport {
  readonly self: NodeId;
  start(handler: TransportHandler): Promise<void>;
  stop(): Promise<void>;
  /** Where others can dial this node: multiaddrs with peer id. */
  addresses(): string[];
  isConnected(peer: NodeId): boolean;
  /** False when the frame was dropped: not connected, or the lane's bounded queue is full. */
  send(peer: NodeId, lane: Lane, frame: Uint8Array): boolean;
  /** Starts dialling in the background; the outcome arrives at the handler. No-op while connected or dialling. */
  dial(peer: NodeId, addresses: readonly string[]): void;
  disconnect(peer: NodeId): void;
  /** Application pub/sub (gossipsub); delivered to every subscribed peer and, if subscribed, to this node. */
  publish(topic: string, data: Uint8Array): Promise<void>;
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  /** A peer broke the wire contract (undecodable frame): counts against it, and may disconnect it. */
  reportMisbehaviour(peer: NodeId, reason: string): void;
  /** Counters for metrics: refused admissions, frames, bytes, drops by lane. */
  counters(): Readonly<Record<string, number>>;
}
