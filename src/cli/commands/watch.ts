import type { Command } from 'commander';
import { z } from 'zod';
import { bucketPath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { followEvents } from '../follow.ts';
import { itemText } from '../item.ts';
import { examples } from '../options.ts';
import type { ServerSentEvent } from '../server-sent-events.ts';
import { openSession, type Session } from '../session.ts';
import { ITEM, readShape } from '../shapes.ts';

const RESET = z.object({ reason: z.string() });
const SYNCED = z.object({ complete: z.boolean() });

interface WatchOptions {
  readonly prefix?: string;
  readonly snapshot?: boolean;
}

export function addWatchCommand(program: Command, context: CliContext): void {
  program
    .command('watch')
    .description('print the changes of a bucket as they happen, until interrupted')
    .argument('<bucket>', 'name of the bucket')
    .option('--prefix <prefix>', 'only keys that begin with this')
    .option('--snapshot', 'begin with what is there')
    .addHelpText('after', examples('holdfast watch default', 'holdfast watch default --prefix node/ --snapshot --json'))
    .action(async (bucket: string, { prefix, snapshot }: WatchOptions, command: Command) => {
      const session = openSession(command, context);
      const { client, terminal } = session;
      const path = bucketPath('/v1/watch', bucket);
      await followEvents(
        { client, terminal, context, path, query: { prefix, snapshot: snapshot?.toString() } },
        (event) => print(session, event),
      );
    });
}

function resetText(reason: string): string {
  return reason === 'snapshot' ? 'what is there' : 'changes may have been missed — what is there now';
}

async function print({ client, terminal, json }: Session, event: ServerSentEvent): Promise<void> {
  const data = client.parse(event.data);
  // A set or map has a type of its own.
  const { type: valueType, ...rest } = Object(data) as { readonly type?: unknown };
  if (json) return terminal.json({ type: event.type, ...(valueType === undefined ? {} : { valueType }), ...rest });
  if (event.type === 'reset') return terminal.note(resetText(readShape(RESET, data).reason));
  if (event.type === 'synced') {
    const where = readShape(SYNCED, data).complete ? '' : ', as far as the cluster can be reached';
    return terminal.note(`that was all there is${where}; changes follow`);
  }
  const verb = event.type === 'delete' ? terminal.colour('red', 'del') : terminal.colour('green', 'put');
  return terminal.line(`${verb}  ${itemText(readShape(ITEM, data))}`);
}
