import type { Command } from 'commander';
import { bucketPath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { followEvents } from '../follow.ts';
import { itemText } from '../item.ts';
import { examples } from '../options.ts';
import type { ServerSentEvent } from '../server-sent-events.ts';
import { openSession, type Session } from '../session.ts';
import { ITEM, readShape } from '../shapes.ts';

export function addWatchCommand(program: Command, context: CliContext): void {
  program
    .command('watch')
    .description('print the changes of a bucket as they happen, until interrupted')
    .argument('<bucket>', 'name of the bucket')
    .option('--prefix <prefix>', 'only keys that begin with this')
    .addHelpText('after', examples('holdfast watch default', 'holdfast watch default --prefix node/ --json'))
    .action(async (bucket: string, { prefix }: { prefix?: string }, command: Command) => {
      const session = openSession(command, context);
      const { client, terminal } = session;
      const path = bucketPath('/v1/watch', bucket);
      await followEvents({ client, terminal, context, path, query: { prefix } }, (event) => print(session, event));
    });
}

async function print({ client, terminal, json }: Session, event: ServerSentEvent): Promise<void> {
  const data = client.parse(event.data);
  if (json) return terminal.json({ type: event.type, ...Object(data) });
  if (event.type === 'reset') return terminal.note('changes were missed — list the bucket again with `holdfast scan`');
  const verb = event.type === 'delete' ? terminal.colour('red', 'del') : terminal.colour('green', 'put');
  return terminal.line(`${verb}  ${itemText(readShape(ITEM, data))}`);
}
