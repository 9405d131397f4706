import type { HubReply, HubRequest } from './message.ts';

/** What is to be done with the connection to the hub. */
export type HubLinkEffect =
  | { readonly type: 'hub-open' }
  | { readonly type: 'hub-close' }
  | { readonly type: 'hub-send'; readonly id: number; readonly request: HubRequest };

/** What has happened to it. */
export type HubLinkInput =
  | { readonly type: 'hub-up' }
  | { readonly type: 'hub-down'; readonly reason: string; readonly detail: string }
  | { readonly type: 'hub-reply'; readonly id: number; readonly reply: HubReply }
  | { readonly type: 'hub-news'; readonly shards: readonly number[] };
