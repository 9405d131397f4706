import { sameBytes } from '../lib/byte-map.ts';
import { siteWithToken } from '../lib/site-name.ts';
import type { Clock } from '../ports/clock.ts';
import type { HubStore, SiteRecord } from '../ports/hub-store.ts';
import type { Log } from '../ports/log.ts';
import { type SiteSessions, TOKEN_REPLACED } from './site-sessions.ts';

/** How often a store is asked what other processes have written. */
const POLL_MS = 1000;

export interface SiteNewsParts {
  readonly store: HubStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly sessions: SiteSessions;
  /** A hub has written in these shards of a site. */
  readonly onWritten: (site: string, shards: readonly number[]) => void;
}

/**
 * Tells the sessions of a site in which shards the hub has written: what this process writes at once, what others write as the
 * store says so. Along the way it notices sites that another process has removed, and tokens that it has replaced.
 */
export class SiteNews {
  private readonly parts: SiteNewsParts;
  private readonly cursors = new Map<string, string>();
  /** When each of the sites with sessions was made, Unix ms. */
  private readonly createdMs = new Map<string, number>();
  private cancel: (() => void) | null = null;
  private isStopped = false;
  private isStoreAway = false;

  constructor(parts: SiteNewsParts) {
    this.parts = parts;
  }

  /** From here on nothing is missed that concerns the site: to be called before a session is told that it has begun. */
  async begin(site: string): Promise<void> {
    const { store } = this.parts;
    if (!store.isShared || this.isStopped) return;
    if (!this.cursors.has(site)) this.cursors.set(site, (await store.changedSince(site, null)).cursor);
    if (this.cancel === null) this.schedule();
  }

  stop(): void {
    this.isStopped = true;
    this.cancel?.();
  }

  tell(site: string, shards: readonly number[]): void {
    this.parts.onWritten(site, shards);
    for (const { session, told, isOpen } of this.parts.sessions.of(site)) {
      if (isOpen && told !== null) session.tell({ type: 'hub-news', shards });
    }
  }

  private schedule(): void {
    this.cancel = this.parts.clock.after(POLL_MS, () => void this.poll());
  }

  private async poll(): Promise<void> {
    const { store, sessions, log } = this.parts;
    for (const name of this.cursors.keys()) if (!sessions.isConnected(name)) this.forget(name);
    try {
      const sites = new Map((await store.sites()).map((site) => [site.name, site]));
      for (const name of sessions.siteNames()) {
        if (this.isStopped) return;
        await this.ask(name, sites.get(name), sites.get(siteWithToken(name))?.key);
      }
      if (this.isStoreAway) log.info('the store answers again');
      this.isStoreAway = false;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (!this.isStoreAway) log.warn('writes at other hubs are not seen while the store is away', { error: text });
      this.isStoreAway = true;
    }
    if (this.isStopped) return;
    if (sessions.count > 0) this.schedule();
    else this.cancel = null;
  }

  private async ask(name: string, site: SiteRecord | undefined, key: Uint8Array | undefined): Promise<void> {
    const { store, sessions } = this.parts;
    const before = this.createdMs.get(name);
    if (site === undefined || (before !== undefined && before !== site.createdMs)) {
      for (const open of sessions.of(name)) sessions.close(open, 'the site was removed');
      this.forget(name);
      return;
    }
    this.createdMs.set(name, site.createdMs);
    for (const open of sessions.of(name)) {
      if (key === undefined || !sameBytes(key, open.session.siteKey)) sessions.close(open, TOKEN_REPLACED);
    }
    const since = this.cursors.get(name);
    // No session of it has begun yet.
    if (since === undefined) return;
    const { shards, cursor } = await store.changedSince(name, since);
    this.cursors.set(name, cursor);
    if (shards.length > 0) this.tell(name, shards);
  }

  private forget(name: string): void {
    this.cursors.delete(name);
    this.createdMs.delete(name);
  }
}
