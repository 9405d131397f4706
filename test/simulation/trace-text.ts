import type { NodeId } from '../../src/protocol/machine.ts';
import type { NodeEvent } from '../../src/protocol/node/effect.ts';
import type { PeerMessage } from '../../src/protocol/node/message.ts';

/** What a reader wants to see; grows with the ids of the requests that are of interest. */
export interface Interest {
  /** Keys and names of nodes. */
  readonly words: ReadonlySet<string>;
  /** Requests under way about them, as node and id: the answers name no key. */
  readonly requests: Set<string>;
}

/** One line about an event; null when it is of no interest. */
export function eventText(node: string, event: NodeEvent, { words }: Interest): string | null {
  if (event.type !== 'member-changed') return words.has(node) ? `${node} ${JSON.stringify(event)}` : null;
  const { member, previous } = event;
  const { name } = member.profile;
  if (!words.has(name) && !words.has(node)) return null;
  return `${node} sees ${name} ${member.state} at ${member.incarnation} (${previous ?? 'new'} before)`;
}

/** One line about a message; null when it is of no interest. */
export function messageText(from: string, to: NodeId, message: PeerMessage, interest: Interest): string | null {
  const text =
    'updates' in message ? newsText(message.updates, interest) : dataText(from, nameOf(to), message, interest);
  return text === null ? null : `${from} -> ${nameOf(to)} ${message.type} ${text}`;
}

type Updates = Extract<PeerMessage, { updates: unknown }>['updates'];

/** Bad news of members of interest, and what they say against it. */
function newsText(updates: Updates, { words }: Interest): string | null {
  const texts = updates
    .filter(({ id }) => words.has(nameOf(id)))
    .map(({ id, state, incarnation }) => `${nameOf(id)} ${state} at ${incarnation}`);
  return texts.length === 0 ? null : texts.join(', ');
}

function dataText(from: string, to: string, message: PeerMessage, interest: Interest): string | null {
  const { words, requests } = interest;
  // Ids begin anew with each start of a process.
  if (message.type === 'forward' || message.type === 'replicate' || message.type === 'read') {
    requests.delete(`${from}/${message.id}`);
  }
  switch (message.type) {
    case 'forward': {
      const { id, request } = message;
      if (request.type === 'list' || !words.has(request.key)) return null;
      requests.add(`${from}/${id}`);
      return `#${id} ${request.type === 'mutate' ? request.mutation.type : 'get'} ${request.key}`;
    }
    case 'replicate': {
      const { id, key, entries, events, hintFor } = message;
      if (!words.has(key)) return null;
      requests.add(`${from}/${id}`);
      const hint = hintFor.length === 0 ? '' : `, a hint for ${hintFor.map(nameOf).join(', ')}`;
      return `#${id} ${key}: ${entries.length} entries, events ${JSON.stringify(events.ranges())}${hint}`;
    }
    case 'read':
      if (!words.has(message.key)) return null;
      requests.add(`${from}/${message.id}`);
      return `#${message.id} ${message.key}`;
    case 'replicate-ack':
      return requests.has(`${to}/${message.id}`) ? `#${message.id} ${message.status}` : null;
    case 'forward-reply':
      return requests.has(`${to}/${message.id}`) ? `#${message.id} ${replyText(message.reply)}` : null;
    case 'read-reply': {
      if (!requests.has(`${to}/${message.id}`)) return null;
      return `#${message.id} ${message.status}, ${message.entries.length} entries${message.standing === 'stored' ? '' : `, ${message.standing}`}`;
    }
    case 'sync-objects': {
      const texts = message.chunks.flatMap(({ shard, items }) =>
        items
          .filter(({ key }) => words.has(key))
          .map(
            ({ key, entries, events }) =>
              `${key} of shard ${shard}: ${entries.length} entries, ${events.dotCount} events`,
          ),
      );
      return texts.length === 0 ? null : texts.join('; ');
    }
    default:
      return null;
  }
}

function replyText(reply: Extract<PeerMessage, { type: 'forward-reply' }>['reply']): string {
  switch (reply.type) {
    case 'mutate':
      return reply.applied ? `acknowledged by ${reply.acks} (${reply.quorum})` : 'not applied';
    case 'failed':
      return `failed: ${reply.failure.code}`;
    case 'get':
      return `${reply.entries.length} entries${reply.complete ? '' : ', incomplete'}`;
    case 'confirm':
      return `on ${reply.nodes} nodes`;
    case 'list':
      return `${reply.items.length} items`;
  }
}

/** The name within a simulated peer id. */
function nameOf(id: NodeId): string {
  return /\bn\d+\b/.exec(id)?.[0] ?? id;
}
