import type { Entries } from '../protocol/causal/entry.ts';
import type { Mutation } from '../protocol/causal/mutation.ts';
import type { SessionContext } from '../protocol/replication/request.ts';
import type { ConflictRecord, Share, SiteBucket } from './hub-store.ts';
import type { HubView, RefusalReason } from './node-handle.ts';

export type { ConflictRecord } from './hub-store.ts';
export type { HubBacklog } from './node-handle.ts';

/** How the sites are exchanged with the hub above. What lost in conflicts is told of each site. */
export type UplinkView = Omit<HubView, 'conflicts'>;

export interface HubStatus {
  readonly name: string;
  readonly peerId: string;
  readonly version: string;
  readonly uptimeSeconds: number;
  readonly store: 'embedded' | 'postgres';
  /** Multiaddrs with peer id at which sites can dial. */
  readonly addresses: readonly string[];
  readonly sites: number;
  /** Of this process. */
  readonly sessions: number;
  /** Null: there is no hub above. */
  readonly hub: UplinkView | null;
}

export interface SiteView {
  readonly name: string;
  /** ISO 8601. */
  readonly createdAt: string;
  /** Null until its first session, and of a hub. */
  readonly clusterId: string | null;
  /** It has a session with this process; a hub: one of its sites has. */
  readonly connected: boolean;
  /** When it was last connected to any process of the store, ISO 8601; null: it has never been. */
  readonly lastSeenAt: string | null;
}

export interface SiteDetail extends SiteView {
  readonly sessions: readonly SiteSessionView[];
  readonly keys: number;
  readonly conflicts: number;
}

/** A session with this process. */
export interface SiteSessionView {
  /** Of the node at the other end. */
  readonly peerId: string;
  /** ISO 8601. */
  readonly since: string;
  /** Those that the node speaks for; null until it has told. */
  readonly island: {
    readonly leader: string | null;
    readonly quorate: boolean;
    readonly members: readonly string[];
  } | null;
  /** Events that the hub is not known to count yet, and the age of the oldest of them; null until the node has told. */
  readonly backlogEvents: number | null;
  readonly oldestSeconds: number | null;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** `name`: as the site shows it. */
export type SiteBucketView = Omit<SiteBucket, 'origin'>;

export interface SiteKey {
  readonly site: string;
  /** As the site shows it. */
  readonly bucket: string;
  readonly key: string;
}

export interface SiteRead extends SessionContext {
  readonly bucket: SiteBucketView;
  /** Live ones; empty when the key is absent. */
  readonly entries: Entries;
  /** The hub may lack some of what the site has sent of the bucket: a damaged disk. */
  readonly isPartial: boolean;
}

export interface SiteWritten extends SessionContext {
  /** Text of the event's name; null when nothing was written. */
  readonly etag: string | null;
  /** Live entries afterwards. */
  readonly entries: Entries;
}

export interface SiteRange {
  readonly site: string;
  readonly bucket: string;
  readonly prefix: string;
  /** Only keys after this one, in the byte order of UTF-8. */
  readonly after: string;
  readonly limit: number;
}

export interface SitePage {
  readonly bucket: SiteBucketView;
  /** In the byte order of UTF-8; live entries only. */
  readonly items: readonly { readonly key: string; readonly entries: Entries }[];
  /** What to go on after; null: there is no more. */
  readonly next: string | null;
}

/** As far as this process knows. */
export interface ShareView extends Share {
  /** Unix ms of when all keys were last found alike, or made so; null: not yet. */
  readonly checkedMs: number | null;
  /** Why nothing is copied; null: it is. */
  readonly problem: string | null;
}

/** `bucket`: as the site shows it. */
export interface ConflictView extends ConflictRecord {
  readonly position: number;
}

/**
 * What the HTTP API may ask of a hub. Failures are thrown as HoldfastError: of every method with a site `site-not-found`,
 * of all `store-unavailable`, `disk-full`.
 */
export interface HubHandle {
  /** The hub listens, and its store answers. */
  isReady(): Promise<boolean>;
  status(): Promise<HubStatus>;
  /**
   * How the sites are exchanged with the hub above, all together; null: there is none. `connected`: each site has its session
   * there. `islandBacklog`: with what the sites have told that this hub lacks itself.
   */
  uplink(): UplinkView | null;
  /** Sorted by name. */
  sites(): Promise<readonly SiteView[]>;
  /** The token is shown this once. Failures: `bad-request` (the name), `site-exists`. */
  addSite(name: string): Promise<{ readonly name: string; readonly token: string }>;
  site(name: string): Promise<SiteDetail>;
  /**
   * As `addSite`, for a site that is there: the token that it had is worth nothing from then on, and its sessions end. Failures:
   * `bad-request` (a site of a site, which has no token).
   */
  replaceToken(name: string): Promise<{ readonly name: string; readonly token: string }>;
  /** With all that is kept of it. */
  removeSite(name: string): Promise<void>;
  /** Sorted by name. */
  buckets(site: string): Promise<readonly SiteBucketView[]>;
  /** Failures: `bucket-not-found`, `session-unavailable`. `session`: what the client has seen; null: nothing. */
  read(key: SiteKey, session: SessionContext | null): Promise<SiteRead>;
  /**
   * Writes what `mutation` says of the key's bucket. Failures: those of `read`, `not-synced-down`, `too-many-requests`, and
   * of the mutation.
   */
  mutate(
    key: SiteKey,
    mutation: (bucket: SiteBucketView) => Mutation,
    session: SessionContext | null,
  ): Promise<SiteWritten>;
  /** Page by page; what fails fails at the next page. Failures: `bucket-not-found`. */
  list(range: SiteRange): AsyncGenerator<SitePage, void>;
  /** Writes that lost against concurrent ones, the latest first; `before`: a `position`. */
  conflicts(
    site: string,
    page: { readonly before: number | null; readonly limit: number },
  ): Promise<readonly ConflictView[]>;
  /** What the site gives to others and is given. */
  sharesOf(site: string): Promise<readonly ShareView[]>;
  /** Copies the bucket of the one site into that of the other from now on. Failures: `bucket-not-found`, `share-exists`, `bad-request`. */
  addShare(share: Omit<Share, 'createdMs'>): Promise<void>;
  /** What it was given the site keeps. Failures: `share-not-found`. */
  removeShare(share: Pick<Share, 'to' | 'bucket'>): Promise<void>;
  /** Prometheus text format. */
  metrics(): Promise<string>;
  /** Unix ms, for expiries. */
  wallMs(): number;
  /** Counts a refused or malformed request, for metrics. */
  countRefusal(reason: RefusalReason): void;
}
