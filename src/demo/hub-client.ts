import type { SiteBucketView, SiteDetail } from '../ports/hub-handle.ts';
import { ApiClient, BUCKET, type WriteAnswer } from './api-client.ts';

/** The name of the demo's cluster at its hub. */
const SITE = 'demo';
const SITE_PATH = `/v1/sites/${SITE}`;
const CONFLICTS_MAX = 100;

/** A write that lost against a concurrent one, as the hub keeps it. */
export interface Conflict {
  readonly key: string;
  readonly winner: ConflictingWrite;
  readonly loser: ConflictingWrite;
}

interface ConflictingWrite {
  /** The node that took it, or `hub`. */
  readonly by: string;
  /** Base64. */
  readonly value: string;
}

/** The few calls of the hub's HTTP API that the story makes. */
export class HubClient extends ApiClient {
  constructor(api: string) {
    super(api, `${SITE_PATH}/kv/${BUCKET}`);
  }

  /** The token that the nodes need. */
  async addSite(): Promise<string> {
    const response = await this.sendJson('POST', '/v1/sites', JSON.stringify({ name: SITE }));
    return (JSON.parse(await this.text(response)) as { token: string }).token;
  }

  /** The answer means synced to the hub's disk. */
  async put(key: string, value: string): Promise<WriteAnswer> {
    await this.text(await this.putKey(key, value));
    return { sloppy: false };
  }

  /** The value as the hub has it; null when there is none. */
  read(key: string): Promise<string | null> {
    return this.readKey(key);
  }

  async site(): Promise<SiteDetail> {
    return (await this.json(SITE_PATH)) as SiteDetail;
  }

  /** Whether the site has told of the bucket that the demo writes to. */
  async knowsBucket(): Promise<boolean> {
    const { buckets } = (await this.json(`${SITE_PATH}/buckets`)) as { buckets: readonly SiteBucketView[] };
    return buckets.some(({ name }) => name === BUCKET);
  }

  /** The latest first. */
  async conflicts(): Promise<readonly Conflict[]> {
    const found = await this.json(`${SITE_PATH}/conflicts?limit=${CONFLICTS_MAX}`);
    return (found as { conflicts: readonly Conflict[] }).conflicts;
  }
}
