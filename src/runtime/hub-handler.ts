import type { HubLinkHandler } from '../ports/hub-link.ts';
import type { NodeInput } from '../protocol/node/effect.ts';

/** Tells the node what its link to the hub reports. */
export function hubHandler(post: (input: NodeInput) => void): HubLinkHandler {
  return {
    handleUp: () => post({ type: 'hub-up' }),
    handleDown: (reason, detail) => post({ type: 'hub-down', reason, detail }),
    handleReply: (id, reply) => post({ type: 'hub-reply', id, reply }),
    handleNews: ({ shards }) => post({ type: 'hub-news', shards }),
  };
}
