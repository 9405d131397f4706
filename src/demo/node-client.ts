import type { LocateView, MemberView, NodeStatus, RingView } from '../ports/node-handle.ts';
import { ApiClient, BUCKET, type WriteAnswer } from './api-client.ts';
import { type EventView, readEvents } from './event-stream.ts';

/** The few calls of one node's HTTP API that the story makes. */
export class NodeClient extends ApiClient {
  constructor(api: string) {
    super(api, `/v1/kv/${BUCKET}`);
  }

  /** Creates the bucket that the demo writes to: what is written goes up to the hub, and comes down from it. */
  async createBucket(): Promise<void> {
    await this.text(await this.sendJson('PUT', `/v1/buckets/${BUCKET}`, '{"sync":"both"}'));
  }

  /** Whether this node has heard of that bucket. */
  async knowsBucket(): Promise<boolean> {
    const { buckets } = (await this.json('/v1/buckets')) as { buckets: readonly { readonly name: string }[] };
    return buckets.some(({ name }) => name === BUCKET);
  }

  /** Writes at W = quorum: the answer means synced to disk on a majority of the replicas. */
  async put(key: string, value: string): Promise<WriteAnswer> {
    const response = await this.putKey(key, value, '?w=quorum');
    await response.arrayBuffer();
    return { sloppy: response.headers.get('holdfast-quorum') === 'sloppy' };
  }

  /** The value; null when the node says that there is none. */
  read(key: string, level: 'one' | 'quorum'): Promise<string | null> {
    return this.readKey(key, `?r=${level}`);
  }

  async members(): Promise<readonly MemberView[]> {
    return ((await this.json('/v1/members')) as { members: readonly MemberView[] }).members;
  }

  async status(): Promise<NodeStatus> {
    return (await this.json('/v1/status')) as NodeStatus;
  }

  async ring(): Promise<RingView> {
    return (await this.json('/v1/ring')) as RingView;
  }

  async locate(key: string): Promise<LocateView> {
    return (await this.json(`/v1/ring/locate?bucket=${BUCKET}&key=${encodeURIComponent(key)}`)) as LocateView;
  }

  /** The node's events, the retained ones first, until the signal is aborted or the node goes away. */
  async *events(signal: AbortSignal): AsyncGenerator<EventView> {
    try {
      const response = await fetch(`${this.api}/v1/events`, { signal });
      if (response.ok && response.body !== null) yield* readEvents(response.body);
    } catch {
      // The node was killed or the demo ends: the stream has an end, nothing more.
    }
  }
}
