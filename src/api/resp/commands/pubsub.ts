import { CHANNEL_BYTES_MAX } from '../../../ports/pub-sub.ts';
import { parseValue } from '../arguments.ts';
import { type CommandCall, type CommandFlag, type CommandSpec, command, commandTable } from '../command.ts';
import { wrongSubcommandArity } from '../errors.ts';
import { Glob } from '../glob.ts';
import { ErrorReply, PushReply, Replies, type Reply } from '../reply.ts';
import { container, helpOf } from './container.ts';

const LOCAL: readonly CommandFlag[] = ['pubsub', 'loading', 'stale'];
const CHANGING: readonly CommandFlag[] = ['pubsub', 'noscript', 'loading', 'stale'];

const PUBSUB_SUBCOMMANDS: readonly CommandSpec[] = [
  command({
    name: 'pubsub|channels',
    arity: -2,
    flags: LOCAL,
    group: 'pubsub',
    summary: 'List active channels',
    since: '2.8.0',
    complexity: 'O(N) where N is the number of active channels',
    handler: handleChannels,
  }),
  command({
    name: 'pubsub|numsub',
    arity: -2,
    flags: LOCAL,
    group: 'pubsub',
    summary: 'Get the count of subscribers for channels',
    since: '2.8.0',
    complexity: 'O(N) where N is the number of requested channels',
    handler: handleNumsub,
  }),
  command({
    name: 'pubsub|numpat',
    arity: 2,
    flags: LOCAL,
    group: 'pubsub',
    summary: 'Get the count of unique patterns pattern subscriptions',
    since: '2.8.0',
    handler: ({ services }) => services.subscriptions.patternCount,
  }),
  command({
    name: 'pubsub|help',
    arity: 2,
    flags: ['loading', 'stale'],
    group: 'pubsub',
    summary: 'Show helpful text about the different subcommands',
    since: '6.2.0',
    handler: () => helpOf('pubsub', PUBSUB_SUBCOMMANDS),
  }),
];

/**
 * Pub/sub between the clients of all nodes. PUBLISH and PUBSUB count the clients of this node only: nobody knows
 * all the others.
 */
export const PUBSUB_COMMANDS: readonly CommandSpec[] = [
  changing('subscribe', -2, 'Listen for messages published to the given channels', (call) =>
    subscribe(call, 'subscribe'),
  ),
  changing('unsubscribe', -1, 'Stop listening for messages posted to the given channels', (call) =>
    unsubscribe(call, 'unsubscribe'),
  ),
  changing('psubscribe', -2, 'Listen for messages published to channels matching the given patterns', (call) =>
    subscribe(call, 'psubscribe'),
  ),
  changing('punsubscribe', -1, 'Stop listening for messages posted to channels matching the given patterns', (call) =>
    unsubscribe(call, 'punsubscribe'),
  ),
  command({
    name: 'publish',
    arity: 3,
    flags: [...LOCAL, 'fast'],
    group: 'pubsub',
    summary: 'Post a message to a channel',
    since: '2.0.0',
    complexity: 'O(N+M) where N is the number of clients subscribed to the channel and M is the number of patterns',
    handler: handlePublish,
  }),
  container('pubsub', 'pubsub', '2.8.0', 'A container for Pub/Sub commands', commandTable(PUBSUB_SUBCOMMANDS)),
];

function changing(name: string, arity: number, summary: string, handler: (call: CommandCall) => Reply): CommandSpec {
  return command({
    name,
    arity,
    flags: CHANGING,
    barrier: true,
    group: 'pubsub',
    summary,
    since: '2.0.0',
    complexity: 'O(N) where N is the number of channels or patterns',
    handler,
  });
}

const TOO_LONG = new ErrorReply(`ERR a channel or pattern is at most ${CHANNEL_BYTES_MAX} bytes`);
const TOO_MANY = new ErrorReply('ERR max number of subscriptions reached');

/** One confirmation each; at the first that is refused, an error instead, and the rest is left undone. */
function subscribe({ services, session, args }: CommandCall, kind: 'subscribe' | 'psubscribe'): Reply {
  const { subscriptions } = services;
  const replies: Reply[] = [];
  for (const name of args.slice(1)) {
    const refusal = name.length > CHANNEL_BYTES_MAX ? TOO_LONG : null;
    const added =
      refusal === null &&
      (kind === 'subscribe' ? subscriptions.addChannel(session, name) : subscriptions.addPattern(session, name));
    if (!added) {
      replies.push(refusal ?? TOO_MANY);
      break;
    }
    replies.push(new PushReply([kind, name, session.channels.size + session.patterns.size]));
  }
  return new Replies(replies);
}

/** Without arguments: everything of its kind, and one confirmation in any case. */
function unsubscribe({ services, session, args }: CommandCall, kind: 'unsubscribe' | 'punsubscribe'): Reply {
  const { subscriptions } = services;
  const mine = kind === 'unsubscribe' ? session.channels : session.patterns;
  const names = args.length > 1 ? args.slice(1) : [...mine].map((name) => Buffer.from(name, 'latin1'));
  const count = () => session.channels.size + session.patterns.size;
  if (names.length === 0) return new PushReply([kind, null, count()]);
  return new Replies(
    names.map((name) => {
      if (kind === 'unsubscribe') subscriptions.removeChannel(session, name);
      else subscriptions.removePattern(session, name);
      return new PushReply([kind, name, count()]);
    }),
  );
}

function handlePublish({ services, args }: CommandCall): Promise<Reply> {
  const channel = new Uint8Array(args[1] as Buffer);
  return services.node.pubSub.publish({ channel, message: parseValue(args[2] as Buffer) });
}

function handleChannels({ services, args }: CommandCall): Reply {
  if (args.length > 3) return wrongSubcommandArity('pubsub', args[1] as Buffer);
  return services.subscriptions.activeChannels(args[2] === undefined ? null : new Glob(args[2]));
}

function handleNumsub({ services, args }: CommandCall): Reply {
  return args.slice(2).flatMap((channel) => [channel, services.subscriptions.subscriberCount(channel)]);
}
