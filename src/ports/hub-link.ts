import type { HubNews, HubReply, HubRequest } from '../protocol/uplink/message.ts';

export type { HubNews, HubReply, HubRequest } from '../protocol/uplink/message.ts';

/** Largest encoded request or reply, in bytes, before compression. */
export const HUB_FRAME_BYTES_MAX = 4 * 1024 * 1024;

/** Nobody at the hub has seen the request. */
export const NOT_SENT: HubReply = {
  type: 'hub-refused',
  code: 'busy',
  detail: 'the link to the hub takes no more now',
};

/**
 * `bad-token`: the hub knows no such site or the token is another one's. `wrong-hub`: the hub could not prove that it issued the
 * token. `version-mismatch`. `refused`: nothing listens there. `timeout`, `unreachable`: nobody answers. `closed`: the session ended.
 */
export type HubLinkFailure =
  | 'bad-token'
  | 'wrong-hub'
  | 'version-mismatch'
  | 'refused'
  | 'timeout'
  | 'unreachable'
  | 'closed';

/** What a link reports; nothing after `close`. */
export interface HubLinkHandler {
  handleUp(): void;
  /** The link is down, or could not be made. The requests without an answer are lost. */
  handleDown(reason: HubLinkFailure, detail: string): void;
  handleReply(id: number, reply: HubReply): void;
  handleNews(news: HubNews): void;
}

/** A node's connection to its hub; at most one session at a time. */
export interface HubLink {
  /** Begins to connect; the outcome arrives at the handler. No-op while it does or is connected. */
  open(handler: HubLinkHandler): void;
  close(): void;
  /** The encoded size before compression; 0: not connected, or too large, and dropped. `id`: in the answer. */
  send(id: number, request: HubRequest): number;
  /** Bytes on the wire in this process' time, of all sessions, with framing but without the encryption's. */
  traffic(): { readonly sentBytes: number; readonly receivedBytes: number };
}

/** A session of a site at the hub. */
export interface HubSession {
  readonly site: string;
  /** The peer id of the node at the other end. */
  readonly peer: string;
  /** What it was let in with: see `HubListenerHandler.siteKey`. */
  readonly siteKey: Uint8Array;
  /** One that no frame holds arrives as `hub-refused`. */
  reply(id: number, reply: HubReply): void;
  tell(news: HubNews): void;
  close(reason: string): void;
  traffic(): { readonly sentBytes: number; readonly receivedBytes: number };
}

export interface HubListenerHandler {
  /** The key that the site's token proves; null: there is no such site. */
  siteKey(site: string): Promise<Uint8Array | null>;
  handleOpened(session: HubSession): void;
  /** Each is to be answered: a session reads no further ones while a few wait for their answers. */
  handleRequest(session: HubSession, id: number, request: HubRequest): void;
  /** However it ended; after it nothing is sent or reported any more. */
  handleClosed(session: HubSession): void;
}

/** The hub's end of all sessions. */
export interface HubListener {
  /** Multiaddrs with peer id at which sites can dial. */
  addresses(): readonly string[];
  start(handler: HubListenerHandler): Promise<void>;
  stop(): Promise<void>;
}
