import { siteWithToken } from '../lib/site-name.ts';
import type { Clock } from '../ports/clock.ts';
import { type HubStore, SEEN_LAG_MS } from '../ports/hub-store.ts';
import type { SiteSessions } from './site-sessions.ts';

/** How often a site that is connected and has nothing to say counts as seen. */
const CONNECTED_MS = 60_000;

/** Writes down when sites were last seen: with a request, connected, or at the end of a session. */
export class SiteSeen {
  private readonly store: HubStore;
  private readonly clock: Clock;
  private readonly sessions: SiteSessions;
  private readonly notedMs = new Map<string, number>();
  private cancel: (() => void) | null = null;

  constructor(store: HubStore, clock: Clock, sessions: SiteSessions) {
    this.store = store;
    this.clock = clock;
    this.sessions = sessions;
  }

  start(): void {
    this.cancel = this.clock.after(CONNECTED_MS, () => {
      for (const site of this.sessions.siteNames()) this.note(site);
      for (const site of this.notedMs.keys()) if (!this.sessions.isReached(site)) this.notedMs.delete(site);
      this.start();
    });
  }

  stop(): void {
    this.cancel?.();
  }

  note(site: string): void {
    const atMs = this.clock.now().wallMs;
    const last = this.notedMs.get(site);
    // A clock that was set back is believed.
    if (last !== undefined && atMs >= last && atMs < last + SEEN_LAG_MS) return;
    this.notedMs.set(site, atMs);
    // Nothing rests upon it: the next time tries again.
    this.store.noteSeen(site, atMs).catch(() => this.notedMs.delete(site));
    // A hub is seen with its sites.
    const hub = siteWithToken(site);
    if (hub !== site) this.note(hub);
  }
}
