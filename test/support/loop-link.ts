import type {
  HubLink,
  HubLinkHandler,
  HubListenerHandler,
  HubNews,
  HubReply,
  HubRequest,
  HubSession,
} from '../../src/ports/hub-link.ts';

/** A link to a hub in the same process, and the hub's end of it. */
export class LoopLink implements HubLink, HubSession {
  readonly site: string;
  readonly peer = 'peer-between';
  siteKey: Uint8Array = new Uint8Array();
  private readonly hub: () => HubListenerHandler | null;
  private handler: HubLinkHandler | null = null;
  private isUp = false;

  /** `hub`: null while it cannot be reached. */
  constructor(site: string, hub: () => HubListenerHandler | null) {
    this.site = site;
    this.hub = hub;
  }

  open(handler: HubLinkHandler): void {
    this.handler = handler;
    void this.connect();
  }

  private async connect(): Promise<void> {
    const hub = this.hub();
    const key = (await hub?.siteKey(this.site)) ?? null;
    if (hub === null) this.handler?.handleDown('refused', 'nothing listens there');
    else if (key === null) this.handler?.handleDown('bad-token', 'the hub knows no such site');
    else {
      this.isUp = true;
      this.siteKey = key;
      hub.handleOpened(this);
      this.handler?.handleUp();
    }
  }

  /** Of either end. */
  close(reason = ''): void {
    if (!this.isUp) return;
    this.isUp = false;
    queueMicrotask(() => {
      this.hub()?.handleClosed(this);
      if (reason !== '') this.handler?.handleDown('closed', reason);
    });
  }

  send(id: number, request: HubRequest): number {
    const hub = this.hub();
    if (!this.isUp || hub === null) return 0;
    queueMicrotask(() => hub.handleRequest(this, id, request));
    return 1;
  }

  reply(id: number, reply: HubReply): void {
    if (this.isUp) this.handler?.handleReply(id, reply);
  }

  tell(news: HubNews): void {
    if (this.isUp) this.handler?.handleNews(news);
  }

  traffic() {
    return { sentBytes: 0, receivedBytes: 0 };
  }
}
