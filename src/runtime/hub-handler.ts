import type { HubLinkHandler, HubReply } from '../ports/hub-link.ts';
import type { NodeInput } from '../protocol/node/effect.ts';

/** Nobody at the hub has seen the request. */
export const NOT_SENT: HubReply = {
  type: 'hub-refused',
  code: 'busy',
  detail: 'the link to the hub takes no more now',
};

/** Tells the node what its link to the hub reports. */
export function hubHandler(post: (input: NodeInput) => void): HubLinkHandler {
  return {
    handleUp: () => post({ type: 'hub-up' }),
    handleDown: (reason, detail) => post({ type: 'hub-down', reason, detail }),
    handleReply: (id, reply) => post({ type: 'hub-reply', id, reply }),
    handleNews: ({ shards }) => post({ type: 'hub-news', shards }),
  };
}
