import { SseClient } from './sse-client.ts';

export interface MemberNews {
  /** Name of the node whose feed told it. */
  readonly observer: string;
  /** One of `STATE_NEWS`. */
  readonly type: string;
  readonly name: string;
  readonly bootEpoch: number;
}

/** A node may also call a member unwell (`member-degraded`) while it tells nothing new of its state. */
const STATE_NEWS = new Set(['member-alive', 'member-suspect', 'member-dead', 'member-left']);

interface Feed {
  readonly observer: string;
  readonly client: SseClient;
}

/** The event feeds of several nodes, followed from their first event. */
export class EventFeeds {
  private readonly feeds: Feed[] = [];

  /** Follows one more node, or one that has started again; `base` is the URL of its HTTP API. */
  async follow(observer: string, base: string): Promise<void> {
    const feed = { observer, client: await SseClient.open(`${base}/v1/events`) };
    const known = this.feeds.findIndex((other) => other.observer === observer);
    if (known < 0) this.feeds.push(feed);
    else this.feeds.splice(known, 1, feed)[0]?.client.close();
  }

  /** What was told of members' states so far, of each node in its order. */
  news(): MemberNews[] {
    return this.feeds.flatMap((feed) => newsOf(feed, 0));
  }

  /** Returns a function that gives the news from this moment on. */
  fromNow(): () => MemberNews[] {
    const marks = this.feeds.map((feed) => ({ feed, skipped: newsOf(feed, 0).length }));
    return () => marks.flatMap(({ feed, skipped }) => newsOf(feed, skipped));
  }

  /** The last that each other node told of a member, such as `n2 member-dead`. */
  lastOf(name: string): string[] {
    const last = new Map<string, string>();
    for (const { observer, ...news } of this.news()) {
      if (news.name === name && observer !== name) last.set(observer, news.type);
    }
    return [...last].map(([observer, type]) => `${observer} ${type}`);
  }

  close(): void {
    for (const { client } of this.feeds) client.close();
  }
}

function newsOf({ observer, client }: Feed, skipped: number): MemberNews[] {
  const news = client.events.filter(({ event }) => STATE_NEWS.has(event)).slice(skipped);
  return news.map(({ event, data }) => {
    const { name, bootEpoch } = (JSON.parse(data) as { data: { name: string; bootEpoch: number } }).data;
    return { observer, type: event, name, bootEpoch };
  });
}
