import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import type { SiteToken } from '../../lib/site-token.ts';
import type { HubLink, HubLinkHandler, HubRequest } from '../../ports/hub-link.ts';
import { HUB_FRAME_BYTES_MAX } from '../../ports/hub-link.ts';
import type { Log } from '../../ports/log.ts';
import { DecodeError } from '../../wire/codec.ts';
import { decodeHubAnswer, encodeHubRequest, type HubAnswer } from '../../wire/hub-message.ts';
import { parseAddress, peerOf, withoutPeer } from './addresses.ts';
import { closeSoon } from './admissions.ts';
import { type Compression, compressions } from './frame-compression.ts';
import { commonCompression, HubHandshake, type HubHandshakeStep } from './hub-admission.ts';
import { HubChannel, type Traffic } from './hub-channel.ts';
import { createHubHost, HUB_PROTOCOL } from './hub-host.ts';
import { connectFailure, handshakeFailure, type LinkFailure, otherPeer } from './hub-link-failure.ts';
import type { Identity } from './identity.ts';

export interface HubLinkOptions {
  readonly identity: Identity;
  /** Of the hub: a TCP multiaddr, with or without its peer id. */
  readonly address: string;
  readonly token: SiteToken;
  /** The site of this hub that the session is of; undefined: this is a node of the site that the token is of. */
  readonly below?: string;
  readonly log: Log;
  /** Time to reach the hub and open its stream; default 15000. */
  readonly dialTimeoutMs?: number;
  /** Time to prove each other the token then; default 5000. */
  readonly handshakeTimeoutMs?: number;
  /** An idle session is pinged so often, and given up after four times as long; default 60000. */
  readonly keepAliveMs?: number;
  /** Those offered to the hub; default: all that this process knows. */
  readonly compressions?: readonly Compression[];
}

/** A radio link may take seconds for a round trip, and several are needed. */
const DIAL_TIMEOUT_MS = 15_000;
export const HUB_HANDSHAKE_TIMEOUT_MS = 5_000;
export const HUB_KEEP_ALIVE_MS = 60_000;
/** Requests are refused while more than this waits for the hub. */
const QUEUE_BYTES_MAX = 8 * 1024 * 1024;
/** Of a hub with many sites; a node has one, and for a moment two. */
const CONNECTIONS_MAX = 8192;

/**
 * A node's connection to its hub over libp2p, with a host of its own, which exists from the first `open` to `close`. Fails with
 * TransportError `bad-address`.
 */
export function createHubLink(options: HubLinkOptions): HubLink {
  return new Libp2pHubLink(options, parseAddress(options.address), new DialHost(options));
}

/** Links of a hub to the hub above, one for each of its sites, which share a host. Fails as `createHubLink`. */
export function createHubLinks(options: Omit<HubLinkOptions, 'below'>): (site: string) => HubLink {
  const address = parseAddress(options.address);
  const host = new DialHost(options);
  return (site) => new Libp2pHubLink({ ...options, below: site }, address, host);
}

/** Exists while somebody has use for it. */
class DialHost {
  private readonly options: HubLinkOptions;
  private readonly users = new Set<object>();
  private host: Promise<Libp2p> | undefined;

  constructor(options: HubLinkOptions) {
    this.options = options;
  }

  async take(user: object): Promise<Libp2p> {
    this.users.add(user);
    this.host ??= this.start();
    return await this.host;
  }

  giveBack(user: object): void {
    this.users.delete(user);
    if (this.users.size > 0) return;
    const { host } = this;
    this.host = undefined;
    host
      ?.then(async (libp2p) => libp2p.stop())
      .catch((cause: unknown) => {
        this.options.log.debug('the host of the link to the hub did not stop cleanly', { reason: String(cause) });
      });
  }

  private async start(): Promise<Libp2p> {
    const { identity, log, dialTimeoutMs } = this.options;
    try {
      const { libp2p } = await createHubHost({
        identity,
        listen: [],
        connectionsMax: CONNECTIONS_MAX,
        dialTimeoutMs: dialTimeoutMs ?? DIAL_TIMEOUT_MS,
        log,
        isClosed: () => false,
      });
      await libp2p.start();
      return libp2p;
    } catch (cause) {
      this.host = undefined;
      throw cause;
    }
  }
}

/** From `open` to the end of the session. */
interface Attempt {
  readonly handler: HubLinkHandler;
  readonly controller: AbortController;
  connection: Connection | undefined;
  channel: HubChannel | undefined;
  /** Of the handshake. */
  timer: NodeJS.Timeout | undefined;
  isUp: boolean;
}

class Libp2pHubLink implements HubLink {
  private readonly options: HubLinkOptions;
  private readonly address: Multiaddr;
  private readonly counted: Traffic = { sentBytes: 0, receivedBytes: 0 };
  private readonly host: DialHost;
  private attempt: Attempt | undefined;

  constructor(options: HubLinkOptions, address: Multiaddr, host: DialHost) {
    this.options = options;
    this.address = address;
    this.host = host;
  }

  open(handler: HubLinkHandler): void {
    if (this.attempt !== undefined) return;
    const attempt: Attempt = {
      handler,
      controller: new AbortController(),
      connection: undefined,
      channel: undefined,
      timer: undefined,
      isUp: false,
    };
    this.attempt = attempt;
    void this.connect(attempt);
  }

  close(): void {
    const { attempt } = this;
    this.attempt = undefined;
    if (attempt !== undefined) release(attempt, 'the node closes its link');
    this.host.giveBack(this);
  }

  send(id: number, request: HubRequest): number {
    const { attempt } = this;
    if (attempt?.channel === undefined || !attempt.isUp || attempt.channel.queuedBytes > QUEUE_BYTES_MAX) return 0;
    const frame = encodeHubRequest(id, request);
    if (frame.byteLength > HUB_FRAME_BYTES_MAX) return 0;
    attempt.channel.send(frame);
    return frame.byteLength;
  }

  traffic(): Traffic {
    return { ...this.counted };
  }

  private async connect(attempt: Attempt): Promise<void> {
    const timeoutMs = this.options.dialTimeoutMs ?? DIAL_TIMEOUT_MS;
    const signal = AbortSignal.any([attempt.controller.signal, AbortSignal.timeout(timeoutMs)]);
    try {
      const host = await this.host.take(this);
      // Without the peer id, so that the failure can say who answered instead; it is compared before anything is said.
      const connection = await host.dial(withoutPeer(this.address), { signal, force: true });
      attempt.connection = connection;
      const answered = connection.remotePeer.toString();
      const expected = peerOf(this.address);
      if (this.attempt !== attempt) {
        closeSoon(connection);
      } else if (expected !== undefined && answered !== expected) {
        this.end(attempt, otherPeer(this.options.address, answered));
      } else {
        const stream = await connection.newStream(HUB_PROTOCOL, { signal });
        if (this.attempt === attempt) this.shakeHands(attempt, connection, stream);
      }
    } catch (cause) {
      this.end(attempt, connectFailure(cause, this.options.address, timeoutMs));
    }
  }

  private shakeHands(attempt: Attempt, connection: Connection, stream: Stream): void {
    const { identity, token, below, handshakeTimeoutMs, keepAliveMs } = this.options;
    const timeoutMs = handshakeTimeoutMs ?? HUB_HANDSHAKE_TIMEOUT_MS;
    const own = this.options.compressions ?? compressions();
    const handshake = HubHandshake.ofSite({
      token,
      below,
      self: identity.peer,
      peer: connection.remotePeer.toString(),
      compressions: own,
    });
    const channel = new HubChannel({
      stream,
      connection,
      pings: true,
      keepAliveMs: keepAliveMs ?? HUB_KEEP_ALIVE_MS,
      total: this.counted,
      handleBody: (body) => {
        if (attempt.isUp) this.handleAnswer(attempt, body);
        else this.handleStep(attempt, channel, handshake.handleMessage(body), own);
      },
      handleClosed: (detail) => this.end(attempt, { reason: 'closed', detail: this.closedText(attempt, detail) }),
    });
    attempt.channel = channel;
    attempt.timer = setTimeout(() => this.end(attempt, lateHandshake(this.options.address, timeoutMs)), timeoutMs);
    const hello = handshake.start();
    if (hello !== undefined) channel.sendHandshake(hello);
  }

  private handleStep(attempt: Attempt, channel: HubChannel, step: HubHandshakeStep, own: readonly Compression[]): void {
    if (step.send !== undefined) channel.sendHandshake(step.send);
    const { outcome } = step;
    if (outcome === undefined) return;
    if (outcome.kind === 'refused') {
      this.end(attempt, handshakeFailure(outcome, this.options.address, this.options.token.site));
      return;
    }
    clearTimeout(attempt.timer);
    channel.begin(commonCompression(own, outcome.hello.compressions));
    attempt.isUp = true;
    attempt.handler.handleUp();
  }

  private handleAnswer(attempt: Attempt, body: Uint8Array): void {
    let answer: HubAnswer | null;
    try {
      answer = decodeHubAnswer(body);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const detail = `the hub at ${this.options.address} sent what this version cannot read (${error.message}); update the older of the two`;
      this.end(attempt, { reason: 'closed', detail });
      return;
    }
    if (answer?.type === 'hub-reply') attempt.handler.handleReply(answer.id, answer.reply);
    else if (answer !== null) attempt.handler.handleNews(answer);
  }

  private closedText(attempt: Attempt, detail: string): string {
    const when = attempt.isUp ? 'the session with' : 'the connection before a session with';
    return `${when} the hub at ${this.options.address} ended: ${detail}`;
  }

  private end(attempt: Attempt, failure: LinkFailure): void {
    if (this.attempt !== attempt) return;
    this.attempt = undefined;
    release(attempt, failure.detail);
    attempt.handler.handleDown(failure.reason, failure.detail);
  }
}

function release(attempt: Attempt, reason: string): void {
  attempt.isUp = false;
  attempt.controller.abort();
  clearTimeout(attempt.timer);
  attempt.channel?.close(reason);
  if (attempt.connection !== undefined) closeSoon(attempt.connection);
}

function lateHandshake(address: string, timeoutMs: number): LinkFailure {
  return {
    reason: 'timeout',
    detail: `the hub at ${address} has not completed its part of the handshake within ${timeoutMs} ms; check its load and the network`,
  };
}
