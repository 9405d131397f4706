import type { Connection, Stream } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import { assert } from '../../lib/assert.ts';
import { siteWithToken } from '../../lib/site-name.ts';
import type { HubListener, HubListenerHandler } from '../../ports/hub-link.ts';
import type { Log } from '../../ports/log.ts';
import { announceable, parseAddress, withPeer } from './addresses.ts';
import { type Compression, compressions } from './frame-compression.ts';
import { listenError } from './host.ts';
import { commonCompression, HubHandshake, type HubHandshakeStep } from './hub-admission.ts';
import { HubChannel } from './hub-channel.ts';
import { createHubHost, HUB_PROTOCOL, type HubHost } from './hub-host.ts';
import { HUB_HANDSHAKE_TIMEOUT_MS, HUB_KEEP_ALIVE_MS } from './hub-link.ts';
import { RefusalLog } from './hub-refusal-log.ts';
import { SiteSession } from './hub-session.ts';
import type { Identity } from './identity.ts';

export interface HubListenerLimits {
  /** Sessions at once, of all sites; default 4096. */
  readonly sessionsMax?: number;
  /** Sessions of one site at once: one an island, and those that are not known to be dead yet; default 16. */
  readonly sessionsPerSiteMax?: number;
  /** The same of a site together with its own sites, where it is a hub; default 2048. */
  readonly sessionsPerTokenMax?: number;
  /** Connections at once that have not proved a token; further ones are closed at once; default 256. */
  readonly strangersMax?: number;
  /** Time from the connection to the proof; default 5000. */
  readonly handshakeTimeoutMs?: number;
}

export interface HubListenerOptions {
  readonly identity: Identity;
  /** Multiaddrs; port 0 takes a free one. */
  readonly listen: readonly string[];
  /** Multiaddrs to announce instead of those, where a NAT or proxy is in between. */
  readonly announce?: readonly string[];
  readonly log: Log;
  readonly limits?: HubListenerLimits;
  /** Of the sites' links: a session is given up after four times as long without a sign of life; default 60000. */
  readonly keepAliveMs?: number;
  /** Those that sites may choose from; default: all that this process knows. */
  readonly compressions?: readonly Compression[];
}

const SESSIONS_MAX = 4_096;
const SESSIONS_PER_SITE_MAX = 16;
const SESSIONS_PER_TOKEN_MAX = 2048;
const STRANGERS_MAX = 256;

/**
 * The hub's end of all sessions over libp2p. Fails with TransportError `bad-address` here, `address-in-use`,
 * `address-unavailable` or `io` in `start`. It can be started once; `stop` leaves no handles behind.
 */
export function createHubListener(options: HubListenerOptions): HubListener {
  return new Libp2pHubListener(options, options.listen.map(parseAddress), (options.announce ?? []).map(parseAddress));
}

/** A connection that has not proved a token yet. */
interface Stranger {
  readonly connection: Connection;
  readonly timer: NodeJS.Timeout;
  channel: HubChannel | undefined;
  /** The site that it names is being looked up, and it has nothing to say. */
  lookingUp: boolean;
  /** Of the site that it names; null: not looked up yet, or there is no such site. */
  siteKey: Uint8Array | null;
}

class Libp2pHubListener implements HubListener {
  private readonly options: HubListenerOptions;
  private readonly listen: readonly Multiaddr[];
  private readonly announce: readonly Multiaddr[];
  private readonly refusals: RefusalLog;
  private readonly strangers = new Map<Connection, Stranger>();
  private readonly sessions = new Map<string, Set<SiteSession>>();
  private host: HubHost | undefined;
  private handler: HubListenerHandler | undefined;
  private stopping = false;

  constructor(options: HubListenerOptions, listen: readonly Multiaddr[], announce: readonly Multiaddr[]) {
    this.options = options;
    this.listen = listen;
    this.announce = announce;
    this.refusals = new RefusalLog(options.log);
  }

  addresses(): readonly string[] {
    const { host, announce } = this;
    const bare = announce.length > 0 ? announce : announceable(host?.listening() ?? []);
    return bare.map((address) => withPeer(address, this.options.identity.peer).toString());
  }

  async start(handler: HubListenerHandler): Promise<void> {
    assert(this.handler === undefined && !this.stopping, 'a listener is started once');
    this.handler = handler;
    const { identity, log, limits } = this.options;
    this.host = await createHubHost({
      identity,
      listen: this.listen,
      connectionsMax: (limits?.sessionsMax ?? SESSIONS_MAX) + (limits?.strangersMax ?? STRANGERS_MAX),
      log,
      isClosed: () => this.stopping,
    });
    const { libp2p } = this.host;
    libp2p.addEventListener('connection:open', (event) => this.handleConnection(event.detail));
    // It would remember every peer that ever came by.
    libp2p.addEventListener('peer:disconnect', (event) => {
      libp2p.peerStore.delete(event.detail).catch(() => undefined);
    });
    await libp2p.handle(HUB_PROTOCOL, (stream, connection) => this.handleStream(stream, connection), {
      maxInboundStreams: 1,
      maxOutboundStreams: 0,
    });
    try {
      await libp2p.start();
    } catch (cause) {
      this.stopping = true;
      throw listenError(cause, this.listen);
    }
  }

  async stop(): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    for (const { timer } of this.strangers.values()) clearTimeout(timer);
    this.strangers.clear();
    for (const session of this.open()) session.close('the hub stops');
    await this.host?.libp2p.stop();
  }

  // Strangers

  private handleConnection(connection: Connection): void {
    if (this.stopping || this.strangers.size >= (this.options.limits?.strangersMax ?? STRANGERS_MAX)) {
      connection.abort(new Error('too many connections have not proved a token'));
      return;
    }
    const timeoutMs = this.options.limits?.handshakeTimeoutMs ?? HUB_HANDSHAKE_TIMEOUT_MS;
    const timer = setTimeout(() => connection.abort(new Error('no token was proved in time')), timeoutMs);
    const stranger: Stranger = { connection, timer, channel: undefined, lookingUp: false, siteKey: null };
    this.strangers.set(connection, stranger);
    connection.addEventListener('close', () => this.forget(stranger));
  }

  private forget(stranger: Stranger): void {
    clearTimeout(stranger.timer);
    this.strangers.delete(stranger.connection);
  }

  private handleStream(stream: Stream, connection: Connection): void {
    const stranger = this.strangers.get(connection);
    if (stranger === undefined || stranger.channel !== undefined) {
      stream.abort(new Error('a connection has one session'));
      return;
    }
    const { identity, keepAliveMs } = this.options;
    const peer = connection.remotePeer.toString();
    const handshake = HubHandshake.ofHub({ self: identity.peer, peer, compressions: this.compressions() });
    let session: SiteSession | undefined;
    const channel: HubChannel = new HubChannel({
      stream,
      connection,
      pings: false,
      keepAliveMs: keepAliveMs ?? HUB_KEEP_ALIVE_MS,
      handleBody: (body) => {
        if (session === undefined) session = this.handleHandshake(stranger, channel, handshake, body);
        else session.handleBody(body);
      },
      handleDrained: () => session?.handleDrained(),
      handleClosed: (detail) => session?.end(detail),
    });
    stranger.channel = channel;
  }

  /** The session, once the handshake has led to one. */
  private handleHandshake(
    stranger: Stranger,
    channel: HubChannel,
    handshake: HubHandshake,
    message: Uint8Array,
  ): SiteSession | undefined {
    if (!this.strangers.has(stranger.connection)) return undefined;
    const isHello = handshake.claimed === undefined;
    const step = stranger.lookingUp ? handshake.refuse('malformed') : handshake.handleMessage(message);
    const outcome = step.outcome;
    if (outcome === undefined) {
      if (isHello) void this.lookUp(stranger, channel, handshake, step);
      return undefined;
    }
    if (outcome.kind === 'refused') {
      this.refuse(stranger, channel, step);
      return undefined;
    }
    assert(stranger.siteKey !== null, 'nobody proves the key of a site that is not there');
    const session = this.createSession(outcome.hello.site ?? '', stranger.siteKey, stranger.connection, channel);
    if (!this.admit(session)) {
      this.refuse(stranger, channel, handshake.refuse('full'));
      return undefined;
    }
    this.forget(stranger);
    if (step.send !== undefined) channel.sendHandshake(step.send);
    channel.begin(commonCompression(this.compressions(), outcome.hello.compressions));
    this.handler?.handleOpened(session);
    return session;
  }

  /** The hub answers once it knows the key, so that an unknown site takes as long as any other. */
  private async lookUp(
    stranger: Stranger,
    channel: HubChannel,
    handshake: HubHandshake,
    step: HubHandshakeStep,
  ): Promise<void> {
    const site = handshake.claimed?.site ?? '';
    stranger.lookingUp = true;
    try {
      const key = (await this.handler?.siteKey(site)) ?? null;
      stranger.siteKey = key;
      handshake.useSiteKey(key);
      stranger.lookingUp = false;
      if (step.send !== undefined) channel.sendHandshake(step.send);
    } catch (cause) {
      this.options.log.warn('a site cannot be looked up; check the database of the hub', {
        site,
        reason: cause instanceof Error ? cause.message : String(cause),
      });
      this.refuse(stranger, channel, handshake.refuse('unavailable'));
    }
  }

  private refuse(stranger: Stranger, channel: HubChannel, step: HubHandshakeStep): void {
    if (!this.strangers.has(stranger.connection)) return;
    this.forget(stranger);
    if (step.outcome?.kind === 'refused') {
      this.refusals.note(step.outcome, stranger.siteKey !== null, {
        peer: stranger.connection.remotePeer.toString(),
        address: stranger.connection.remoteAddr.toString(),
      });
    }
    if (step.send !== undefined) channel.sendHandshake(step.send);
    channel.close('refused');
  }

  private compressions(): readonly Compression[] {
    return this.options.compressions ?? compressions();
  }

  // Sessions

  private createSession(site: string, siteKey: Uint8Array, connection: Connection, channel: HubChannel): SiteSession {
    return new SiteSession({
      site,
      siteKey,
      peer: connection.remotePeer.toString(),
      channel,
      log: this.options.log,
      handleRequest: (session, { id, request }) => this.handler?.handleRequest(session, id, request),
      handleClosed: (session, reason) => this.handleClosed(session, reason),
    });
  }

  private open(): SiteSession[] {
    return [...this.sessions.values()].flatMap((sessions) => [...sessions]);
  }

  /** False: there are too many. */
  private admit(session: SiteSession): boolean {
    const {
      sessionsMax = SESSIONS_MAX,
      sessionsPerSiteMax = SESSIONS_PER_SITE_MAX,
      sessionsPerTokenMax = SESSIONS_PER_TOKEN_MAX,
    } = this.options.limits ?? {};
    const ofSite = this.sessions.get(session.site) ?? new Set<SiteSession>();
    // The node has lost its end, or it would not have dialled again.
    for (const other of ofSite) {
      if (other.peer !== session.peer) continue;
      other.close('the same node has opened another session');
      ofSite.delete(other);
    }
    const open = this.open();
    if (ofSite.size >= sessionsPerSiteMax || open.length >= sessionsMax) return false;
    const token = siteWithToken(session.site);
    if (open.filter(({ site }) => siteWithToken(site) === token).length >= sessionsPerTokenMax) return false;
    ofSite.add(session);
    this.sessions.set(session.site, ofSite);
    this.options.log.debug('a site has opened a session', { site: session.site, peer: session.peer });
    return true;
  }

  private handleClosed(session: SiteSession, reason: string): void {
    const ofSite = this.sessions.get(session.site);
    ofSite?.delete(session);
    if (ofSite?.size === 0) this.sessions.delete(session.site);
    this.options.log.debug('the session of a site has ended', { site: session.site, peer: session.peer, reason });
    this.handler?.handleClosed(session);
  }
}
