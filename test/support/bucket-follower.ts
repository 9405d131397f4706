import { readServerSentEvents, type StreamPosition } from '../../src/cli/server-sent-events.ts';

interface Told {
  readonly key: string;
  readonly etag?: string;
}

/** A client that follows a bucket over HTTP and applies what it is told, wherever it is connected. */
export class BucketFollower {
  /** ETags by key. */
  readonly content = new Map<string, string>();
  /** Reasons of resets, in order. */
  readonly resets: string[] = [];
  /** True once it has been sent everything since the last reset. */
  synced = false;
  private readonly position: StreamPosition = { id: '', retryMs: null };
  private abort = new AbortController();
  private following: Promise<void> = Promise.resolve();

  /** Follows through the node at the URL from now on, from where it is. */
  async connect(url: string): Promise<void> {
    await this.close();
    this.abort = new AbortController();
    this.following = this.follow(url, this.abort.signal);
  }

  async close(): Promise<void> {
    this.abort.abort();
    await this.following;
  }

  private async follow(url: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const headers: Record<string, string> = this.position.id === '' ? {} : { 'last-event-id': this.position.id };
        const response = await fetch(`${url}/v1/watch/default?snapshot=true`, { headers, signal });
        if (response.body === null) throw new Error('no body');
        for await (const { type, data } of readServerSentEvents(response.body, this.position)) this.apply(type, data);
      } catch {
        if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  private apply(type: string, data: string): void {
    const told = JSON.parse(data) as Told & { readonly reason?: string };
    if (type === 'reset') {
      this.content.clear();
      this.resets.push(told.reason ?? '');
      this.synced = false;
    } else if (type === 'synced') {
      this.synced = true;
    } else if (type === 'delete') {
      this.content.delete(told.key);
    } else if (type === 'put') {
      this.content.set(told.key, told.etag ?? '');
    }
  }
}
