import type { Lane } from '../ports/transport.ts';
import type { HubReply, HubRequest } from '../protocol/uplink/message.ts';
import type { UplinkMessage } from '../protocol/uplink/relay.ts';
import { boolean, bytes, type Codec, DecodeError, integer, list, mapped, nullable, record } from './codec.ts';
import { decodeHubAnswer, decodeHubRequest, encodeHubReply, encodeHubRequest } from './hub-message.ts';
import { SHARDS_MAX, shardSet } from './shard-set.ts';
import { shard } from './sync-message.ts';
import { causalContext } from './value.ts';

/** The byte forms of what nodes say to each other about their way to the hub; what they pass on has the form that it has there. */

type Fields<T extends UplinkMessage['type']> = Omit<Extract<UplinkMessage, { type: T }>, 'type'>;
type Variants = { readonly [T in UplinkMessage['type']]: readonly [tag: number, codec: Codec<Fields<T>>] };

const RELAYED_BYTES_MAX = 4 * 1024 * 1024;
const relayed = bytes(RELAYED_BYTES_MAX);

const request: Codec<HubRequest> = mapped(
  relayed,
  (value: HubRequest) => encodeHubRequest(0, value),
  (frame) => {
    const decoded = decodeHubRequest(frame);
    if (decoded.request === null) throw new DecodeError(decoded.problem);
    return decoded.request;
  },
);

const reply: Codec<HubReply> = mapped(
  relayed,
  (value: HubReply) => encodeHubReply(0, value),
  (frame) => {
    const decoded = decodeHubAnswer(frame);
    if (decoded?.type !== 'hub-reply') throw new DecodeError('an answer of the hub is malformed');
    return decoded.reply;
  },
);

const backlog = record({ events: integer(), oldestMs: integer() });

/** For the union of all messages: tags from 120 to 127. */
export const uplinkMessages: Variants = {
  'uplink-state': [120, record({ session: integer() })],
  'uplink-request': [121, record({ id: integer(), urgent: boolean, request })],
  'uplink-reply': [122, record({ id: integer(), reply: nullable(reply) })],
  'uplink-news': [123, record({ shards: shardSet })],
  'uplink-carry': [124, record({})],
  'uplink-covers': [125, record({ covers: list(record({ shard, context: causalContext }), SHARDS_MAX) })],
  'uplink-backlog': [126, backlog],
  'uplink-totals': [127, backlog],
};

/** What is passed on may be long, and waits for no transfer. */
export function uplinkLane(type: UplinkMessage['type']): Lane {
  return type === 'uplink-state' || type === 'uplink-carry' ? 'control' : 'data';
}
