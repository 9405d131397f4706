import type {
  AppliedReply,
  NotAppliedReply,
  RegisterReply,
  RegisterRequest,
  StrongGetReply,
  StrongGetRequest,
} from '../register/request.ts';
import type { ClientReply, ClientRequest, ReplyOf } from '../replication/request.ts';

/** Of clients: about keys of eventual buckets, or of strong ones. */
export type NodeRequest = ClientRequest | RegisterRequest;
export type NodeReply = ClientReply | RegisterReply;

export type NodeReplyOf<R extends NodeRequest> = R extends ClientRequest
  ? ReplyOf<R>
  : R extends StrongGetRequest
    ? StrongGetReply
    : AppliedReply | NotAppliedReply;

export function isStrong(request: NodeRequest): request is RegisterRequest {
  return request.type === 'strong-get' || request.type === 'strong-put' || request.type === 'strong-delete';
}

/** Holds the locks of users: a strong bucket that no client names. */
export const LOCKS_BUCKET = '.locks';
