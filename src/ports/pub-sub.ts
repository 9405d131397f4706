/** Largest name of a channel, in bytes. */
export const CHANNEL_BYTES_MAX = 1024;

/** One message of application pub/sub. Both are bytes; neither is stored. */
export interface Publication {
  readonly channel: Uint8Array;
  readonly message: Uint8Array;
}

/** Passes a publication on, and returns how many receivers that was. */
export type PublicationListener = (publication: Publication) => number;

/**
 * Messages to whoever listens at the moment: at most once, nothing is kept. Subscribers of this node get them at once,
 * also while it is alone; those of other nodes by gossip, in the order of their publisher as long as links hold.
 */
export interface PubSub {
  /**
   * Resolves with the number of receivers at this node, once the message is on its way to the others.
   * Throws `bad-channel` or `value-too-large`.
   */
  publish(publication: Publication): Promise<number>;
  /** Every publication of one channel, or of all (null). Returns a function that ends it. */
  subscribe(channel: Uint8Array | null, listener: PublicationListener): () => void;
}
