import { roundedSeconds } from '../lib/seconds.ts';
import { siteWithToken } from '../lib/site-name.ts';
import type { Clock } from '../ports/clock.ts';
import type { SiteSessionView } from '../ports/hub-handle.ts';
import type { HubSession } from '../ports/hub-link.ts';
import type { SiteBucket } from '../ports/hub-store.ts';
import type { HubReportRequest } from '../protocol/uplink/message.ts';
import { SessionWork } from './session-work.ts';

/** Requests of one session that are answered at the same time. */
const RUNNING_MAX = 8;

/** Why a session ends that was let in with a token that is worth nothing any more. */
export const TOKEN_REPLACED = 'the token of the site was replaced';

/** What a site has said of itself at the beginning of a session. */
export interface Told {
  readonly shards: number;
  readonly buckets: ReadonlyMap<string, SiteBucket>;
}

/** A session with what this process knows of it. */
export interface OpenSession {
  readonly session: HubSession;
  readonly work: SessionWork;
  /** Unix ms. */
  readonly sinceMs: number;
  /** Null before its hello was taken. */
  told: Told | null;
  report: HubReportRequest | null;
  /** False once it is closed, or about to be: nothing more is answered. */
  isOpen: boolean;
}

interface Traffic {
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** The sessions of this process, by site. */
export class SiteSessions {
  private readonly clock: Clock;
  private readonly sites = new Map<string, Map<HubSession, OpenSession>>();
  /** Of sites that are hubs: how many of their sites have a session. */
  private readonly below = new Map<string, number>();
  /** Of sessions that have ended. */
  private ended: Traffic = { sentBytes: 0, receivedBytes: 0 };

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get count(): number {
    let count = 0;
    for (const sessions of this.sites.values()) count += sessions.size;
    return count;
  }

  /** Those that have a session. */
  siteNames(): string[] {
    return [...this.sites.keys()];
  }

  isConnected(site: string): boolean {
    return this.sites.has(site);
  }

  /** Whether the site has a session, or, where it is a hub, one of its sites: it has none itself. */
  isReached(site: string): boolean {
    return this.sites.has(site) || this.below.has(site);
  }

  open(session: HubSession): void {
    const sessions = this.sites.get(session.site) ?? new Map<HubSession, OpenSession>();
    if (sessions.size === 0) this.countBelow(session.site, 1);
    this.sites.set(session.site, sessions);
    sessions.set(session, {
      session,
      work: new SessionWork(RUNNING_MAX),
      sinceMs: this.clock.now().wallMs,
      told: null,
      report: null,
      isOpen: true,
    });
  }

  /** Undefined of a session that is closed. */
  find(session: HubSession): OpenSession | undefined {
    const open = this.sites.get(session.site)?.get(session);
    return open?.isOpen === true ? open : undefined;
  }

  of(site: string): OpenSession[] {
    return [...(this.sites.get(site)?.values() ?? [])];
  }

  all(): OpenSession[] {
    return this.siteNames().flatMap((site) => this.of(site));
  }

  /** Ends it; `remove` follows once the link says so. */
  close(open: OpenSession, reason: string): void {
    if (!open.isOpen) return;
    open.isOpen = false;
    open.session.close(reason);
  }

  remove(session: HubSession): void {
    const sessions = this.sites.get(session.site);
    const open = sessions?.get(session);
    if (sessions === undefined || open === undefined) return;
    open.isOpen = false;
    sessions.delete(session);
    if (sessions.size === 0) {
      this.sites.delete(session.site);
      this.countBelow(session.site, -1);
    }
    this.ended = sum(this.ended, session.traffic());
  }

  /** Bytes on the wire of all sessions since the start. */
  traffic(): Traffic {
    return this.all().reduce((total, { session }) => sum(total, session.traffic()), this.ended);
  }

  views(site: string): SiteSessionView[] {
    return this.of(site).map(({ session, sinceMs, report }) => ({
      peerId: session.peer,
      since: new Date(sinceMs).toISOString(),
      island: report === null ? null : { leader: report.leader, quorate: report.quorate, members: report.members },
      backlogEvents: report?.backlogEvents ?? null,
      oldestSeconds: report === null ? null : roundedSeconds(report.oldestMs),
      ...session.traffic(),
    }));
  }

  private countBelow(site: string, by: 1 | -1): void {
    const hub = siteWithToken(site);
    if (hub === site) return;
    const count = (this.below.get(hub) ?? 0) + by;
    if (count === 0) this.below.delete(hub);
    else this.below.set(hub, count);
  }
}

function sum(a: Traffic, b: Traffic): Traffic {
  return { sentBytes: a.sentBytes + b.sentBytes, receivedBytes: a.receivedBytes + b.receivedBytes };
}
