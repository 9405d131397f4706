import { scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import type { Connection, Stream, StreamMessageEvent } from '@libp2p/interface';
import type { NodeId } from '../../ports/transport.ts';
import type { ClusterHello, HandshakeStep, PeerHello, RefusalCode } from './admission-handshake.ts';
import { AdmissionHandshake } from './admission-handshake.ts';
import { encodeFrame, FrameReader } from './frame-reader.ts';
import { HANDSHAKE_BYTES_MAX } from './mutual-handshake.ts';
import { asError } from './peer-link.ts';

export const ADMISSION_PROTOCOL = '/holdfast/admit/1';
export const ADMISSION_DEADLINE_MS = 5_000;
/** Connections that may be in the middle of admission at once; further inbound ones are closed at once. */
const ADMISSIONS_PENDING_MAX = 256;
/** Time for a refusal to reach the peer before the connection is cut. */
const CLOSE_GRACE_MS = 1_000;

export type AdmissionOutcome =
  | { readonly kind: 'admitted'; readonly peer: NodeId }
  | { readonly kind: 'refused'; readonly peer: NodeId; readonly code: RefusalCode; readonly by: 'self' | 'peer' }
  /** The connection closed before the handshake was over, or was not needed after all. */
  | { readonly kind: 'closed'; readonly peer: NodeId };

interface PendingAdmission {
  readonly connection: Connection;
  readonly handshake: AdmissionHandshake;
  readonly reader: FrameReader;
  readonly timer: NodeJS.Timeout;
  stream: Stream | undefined;
}

export interface AdmissionsOptions {
  readonly self: NodeId;
  readonly key: Uint8Array;
  readonly cluster: ClusterHello;
  readonly addresses: () => readonly string[];
  readonly deadlineMs: number;
  /** Called in the same turn as the peer's proof arrives, so that no later byte of it is handled before. */
  readonly handleAdmitted: (connection: Connection, hello: PeerHello) => void;
  readonly handleRefused: (
    connection: Connection,
    refusal: { code: RefusalCode; by: 'self' | 'peer'; hello?: PeerHello },
  ) => void;
}

/**
 * Stretches the secret into the HMAC key, so that a guess at a weak one, checked against a recorded handshake, costs
 * an attacker as much as it costs us once at start (scrypt, RFC 7914, about 50 ms).
 */
export async function deriveAdmissionKey(secret: string | Uint8Array, clusterId: string): Promise<Uint8Array> {
  const derive = promisify<string | Uint8Array, string, number, Buffer>(scrypt);
  return derive(secret, `holdfast/admit/1/${clusterId}`, 32);
}

/** Runs the admission handshake on every new connection: the dialler opens the stream, the other side waits for it. */
export class Admissions {
  private readonly options: AdmissionsOptions;
  private readonly pending = new Map<Connection, PendingAdmission>();
  private readonly outcomes = new WeakMap<Connection, PromiseWithResolvers<AdmissionOutcome>>();

  constructor(options: AdmissionsOptions) {
    this.options = options;
  }

  /** Starts with a fresh connection. False: too many are pending and this one was dropped. */
  begin(connection: Connection): boolean {
    const peer = connection.remotePeer.toString();
    this.outcomes.set(connection, Promise.withResolvers());
    connection.addEventListener('close', () => this.handleClosed(connection));
    if (connection.direction === 'inbound' && this.pending.size >= ADMISSIONS_PENDING_MAX) {
      connection.abort(new Error('too many connections wait for admission'));
      return false;
    }
    const role = connection.direction === 'outbound' ? 'initiator' : 'responder';
    const { self, key, cluster } = this.options;
    const entry: PendingAdmission = {
      connection,
      handshake: new AdmissionHandshake({
        role,
        key,
        self,
        peer,
        hello: { ...cluster, addresses: this.options.addresses() },
      }),
      reader: new FrameReader(HANDSHAKE_BYTES_MAX),
      timer: setTimeout(() => this.handleDeadline(connection), this.options.deadlineMs),
      stream: undefined,
    };
    this.pending.set(connection, entry);
    if (role === 'initiator') void this.initiate(entry);
    return true;
  }

  /** Closes a connection that turned out not to be needed, before its admission is over. */
  cancel(connection: Connection): void {
    this.finish(connection, { kind: 'closed', peer: connection.remotePeer.toString() });
    closeSoon(connection);
  }

  /** How the admission of a connection ended; resolves at the latest at the deadline. */
  outcome(connection: Connection): Promise<AdmissionOutcome> {
    const known = this.outcomes.get(connection);
    return known?.promise ?? Promise.resolve({ kind: 'closed', peer: connection.remotePeer.toString() });
  }

  /** Another outbound connection to the peer whose admission is still under way. */
  pendingOutbound(peer: NodeId, other: Connection): Connection | undefined {
    for (const connection of this.pending.keys()) {
      if (connection !== other && connection.direction === 'outbound' && connection.remotePeer.toString() === peer) {
        return connection;
      }
    }
    return undefined;
  }

  /** The other side opened the admission stream. */
  handleStream(stream: Stream, connection: Connection): void {
    const entry = this.pending.get(connection);
    if (entry === undefined || entry.stream !== undefined || connection.direction !== 'inbound') {
      stream.abort(new Error('no admission is expected on this connection'));
      return;
    }
    this.attach(entry, stream);
  }

  stop(): void {
    for (const { timer } of this.pending.values()) clearTimeout(timer);
    this.pending.clear();
  }

  private async initiate(entry: PendingAdmission): Promise<void> {
    try {
      const stream = await entry.connection.newStream(ADMISSION_PROTOCOL, {
        signal: AbortSignal.timeout(this.options.deadlineMs),
      });
      if (!this.pending.has(entry.connection)) return;
      this.attach(entry, stream);
      const hello = entry.handshake.start();
      if (hello !== undefined) stream.send(encodeFrame(hello));
    } catch (cause) {
      // A peer that does not speak the protocol, or a connection that is closing; its close event ends the admission.
      entry.connection.abort(asError(cause));
    }
  }

  private attach(entry: PendingAdmission, stream: Stream): void {
    entry.stream = stream;
    stream.addEventListener('message', (event: StreamMessageEvent) => {
      const intact = entry.reader.push(event.data, (message) => this.handleMessage(entry, message));
      if (!intact && this.pending.has(entry.connection)) {
        this.handleStep(entry, { outcome: { kind: 'refused', code: 'malformed', by: 'self' } });
      }
    });
  }

  private handleMessage(entry: PendingAdmission, message: Uint8Array): void {
    if (this.pending.has(entry.connection)) this.handleStep(entry, entry.handshake.handleMessage(message));
  }

  private handleStep(entry: PendingAdmission, step: HandshakeStep): void {
    const { connection, stream } = entry;
    try {
      if (step.send !== undefined) stream?.send(encodeFrame(step.send));
    } catch (cause) {
      connection.abort(asError(cause));
      return;
    }
    const outcome = step.outcome;
    if (outcome === undefined) return;
    const peer = connection.remotePeer.toString();
    if (outcome.kind === 'admitted') {
      this.finish(connection, { kind: 'admitted', peer });
      this.options.handleAdmitted(connection, outcome.hello);
      stream?.close().catch((cause: unknown) => stream.abort(asError(cause)));
    } else {
      this.finish(connection, { kind: 'refused', peer, code: outcome.code, by: outcome.by });
      this.options.handleRefused(connection, outcome);
      closeSoon(connection);
    }
  }

  private handleDeadline(connection: Connection): void {
    if (!this.pending.has(connection)) return;
    const peer = connection.remotePeer.toString();
    this.finish(connection, { kind: 'refused', peer, code: 'timeout', by: 'self' });
    this.options.handleRefused(connection, { code: 'timeout', by: 'self' });
    connection.abort(new Error('admission took too long'));
  }

  private handleClosed(connection: Connection): void {
    this.finish(connection, { kind: 'closed', peer: connection.remotePeer.toString() });
  }

  private finish(connection: Connection, outcome: AdmissionOutcome): void {
    const entry = this.pending.get(connection);
    if (entry !== undefined) clearTimeout(entry.timer);
    this.pending.delete(connection);
    this.outcomes.get(connection)?.resolve(outcome);
  }
}

/** Lets what was sent leave, then cuts the connection whatever the peer does. */
export function closeSoon(connection: Connection): void {
  if (connection.status !== 'open') return;
  connection
    .close({ signal: AbortSignal.timeout(CLOSE_GRACE_MS) })
    .catch((cause: unknown) => connection.abort(asError(cause)));
}
