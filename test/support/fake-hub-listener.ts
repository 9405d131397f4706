import type {
  HubListener,
  HubListenerHandler,
  HubNews,
  HubReply,
  HubRequest,
  HubSession,
} from '../../src/ports/hub-link.ts';

/** Of the first token of every site of a fixture. */
export const FIRST_KEY: Uint8Array = new Uint8Array(32).fill(7);

/** A session of a test, which plays the site's node. */
export class FakeHubSession implements HubSession {
  readonly site: string;
  readonly peer: string;
  readonly siteKey: Uint8Array;
  private readonly listener: FakeHubListener;
  private readonly waiting = new Map<number, (reply: HubReply) => void>();
  private lastId = 0;
  /** The order in which requests were answered, by their ids. */
  readonly answered: number[] = [];
  readonly news: HubNews[] = [];
  /** Null while it is open. */
  closedFor: string | null = null;

  constructor(listener: FakeHubListener, site: string, peer: string, siteKey: Uint8Array) {
    this.listener = listener;
    this.site = site;
    this.peer = peer;
    this.siteKey = siteKey;
  }

  /** Resolves with the answer; never, where the session ends before it. */
  request(request: HubRequest): Promise<HubReply> {
    const id = ++this.lastId;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.listener.handler.handleRequest(this, id, request);
    });
  }

  reply(id: number, reply: HubReply): void {
    const resolve = this.waiting.get(id);
    if (resolve === undefined) throw new Error(`request ${id} was answered twice, or never made`);
    this.waiting.delete(id);
    this.answered.push(id);
    resolve(reply);
  }

  tell(news: HubNews): void {
    this.news.push(news);
  }

  close(reason: string): void {
    if (this.closedFor !== null) return;
    this.closedFor = reason;
    queueMicrotask(() => this.listener.handler.handleClosed(this));
  }

  traffic() {
    return { sentBytes: 1000, receivedBytes: 200 };
  }
}

/** A listener to which tests connect sessions. */
export class FakeHubListener implements HubListener {
  private taken: HubListenerHandler | null = null;
  private readonly sessions: FakeHubSession[] = [];
  isStopped = false;

  get handler(): HubListenerHandler {
    if (this.taken === null) throw new Error('the listener was not started');
    return this.taken;
  }

  addresses(): readonly string[] {
    return ['/ip4/127.0.0.1/tcp/7500/p2p/12D3KooWHub'];
  }

  async start(handler: HubListenerHandler): Promise<void> {
    this.taken = handler;
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    for (const session of this.sessions) session.close('the listener stops');
  }

  /** As after a proof of the site's token. */
  connect(site: string, peer = 'peer-1', siteKey: Uint8Array = FIRST_KEY): FakeHubSession {
    const session = new FakeHubSession(this, site, peer, siteKey);
    this.sessions.push(session);
    this.handler.handleOpened(session);
    return session;
  }
}
