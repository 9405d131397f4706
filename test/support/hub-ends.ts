import { createSiteToken, siteKeyOf } from '../../src/adapters/libp2p/hub-admission.ts';
import { createHubLink, type HubLinkOptions } from '../../src/adapters/libp2p/hub-link.ts';
import { createHubListener, type HubListenerOptions } from '../../src/adapters/libp2p/hub-listener.ts';
import { createIdentity } from '../../src/adapters/libp2p/identity.ts';
import type { SiteToken } from '../../src/lib/site-token.ts';
import type {
  HubLink,
  HubLinkFailure,
  HubLinkHandler,
  HubListener,
  HubListenerHandler,
  HubNews,
  HubReply,
  HubRequest,
  HubSession,
} from '../../src/ports/hub-link.ts';
import { RecordingLog } from './recording-log.ts';
import { until } from './until.ts';

/** What a link has reported, in order. */
export class LinkRecorder implements HubLinkHandler {
  ups = 0;
  readonly downs: { readonly reason: HubLinkFailure; readonly detail: string }[] = [];
  readonly replies: { readonly id: number; readonly reply: HubReply }[] = [];
  readonly news: HubNews[] = [];

  handleUp(): void {
    this.ups++;
  }

  handleDown(reason: HubLinkFailure, detail: string): void {
    this.downs.push({ reason, detail });
  }

  handleReply(id: number, reply: HubReply): void {
    this.replies.push({ id, reply });
  }

  handleNews(news: HubNews): void {
    this.news.push(news);
  }
}

/** Keeps sites in memory, and answers requests as it is told: by itself with `hub-noted`. */
export class HubRecorder implements HubListenerHandler {
  readonly keys = new Map<string, Uint8Array>();
  readonly opened: HubSession[] = [];
  readonly closed: HubSession[] = [];
  readonly requests: { readonly site: string; readonly id: number; readonly request: HubRequest }[] = [];
  answer: ((session: HubSession, id: number, request: HubRequest) => void) | undefined;
  lookUp: ((site: string) => Promise<Uint8Array | null>) | undefined;

  get open(): HubSession[] {
    return this.opened.filter((session) => !this.closed.includes(session));
  }

  async siteKey(site: string): Promise<Uint8Array | null> {
    return this.lookUp === undefined ? (this.keys.get(site) ?? null) : this.lookUp(site);
  }

  handleOpened(session: HubSession): void {
    this.opened.push(session);
  }

  handleRequest(session: HubSession, id: number, request: HubRequest): void {
    this.requests.push({ site: session.site, id, request });
    if (this.answer === undefined) session.reply(id, { type: 'hub-noted' });
    else this.answer(session, id, request);
  }

  handleClosed(session: HubSession): void {
    this.closed.push(session);
  }
}

export interface TestHub {
  readonly listener: HubListener;
  readonly seen: HubRecorder;
  readonly log: RecordingLog;
  readonly address: string;
}

export interface TestLink {
  readonly link: HubLink;
  readonly seen: LinkRecorder;
}

/** Starts hubs and links on loopback and stops them all together. */
export class HubEnds {
  private readonly hubs: TestHub[] = [];
  private readonly links: TestLink[] = [];

  async hub(options: Partial<HubListenerOptions> = {}): Promise<TestHub> {
    const log = new RecordingLog();
    const seen = new HubRecorder();
    const listener = createHubListener({
      identity: options.identity ?? (await createIdentity()),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      log,
      ...options,
    });
    await listener.start(seen);
    const hub = { listener, seen, log, address: listener.addresses()[0] ?? '' };
    this.hubs.push(hub);
    return hub;
  }

  /** Opens a link and waits until it is up or down. */
  async link(
    to: { readonly address: string },
    token: SiteToken,
    options: Partial<HubLinkOptions> = {},
  ): Promise<TestLink> {
    const link = createHubLink({
      identity: options.identity ?? (await createIdentity()),
      address: to.address,
      token,
      log: new RecordingLog(),
      ...options,
    });
    const ends = { link, seen: new LinkRecorder() };
    this.links.push(ends);
    await reopen(ends);
    return ends;
  }

  async stop(): Promise<void> {
    for (const { link } of this.links.splice(0)) link.close();
    await Promise.all(this.hubs.splice(0).map(({ listener }) => listener.stop()));
  }
}

/** Makes another attempt, and waits until it has succeeded or failed. */
export async function reopen({ link, seen }: TestLink): Promise<void> {
  const outcomes = seen.ups + seen.downs.length;
  link.open(seen);
  await until('the attempt has an outcome', () => seen.ups + seen.downs.length > outcomes);
}

/** Has the hub know a site, and returns its token. */
export function addSite(hub: TestHub, site = 'farm'): SiteToken {
  const token = createSiteToken(site);
  hub.seen.keys.set(site, siteKeyOf(token));
  return token;
}

/** The address without the peer id. */
export function bare(address: string): string {
  return address.replace(/\/p2p\/.*$/, '');
}
