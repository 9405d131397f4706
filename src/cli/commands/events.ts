import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { followEvents } from '../follow.ts';
import { examples } from '../options.ts';
import type { ServerSentEvent } from '../server-sent-events.ts';
import { openSession, type Session } from '../session.ts';
import { CLUSTER_EVENT, readShape } from '../shapes.ts';
import { agoText, printable } from '../text.ts';

const PATH = '/v1/events';

export function addEventsCommand(program: Command, context: CliContext): void {
  program
    .command('events')
    .description('print what happened in the cluster: members, ring, synchronisation')
    .option('-f, --follow', 'go on with new events until interrupted')
    .addHelpText('after', examples('holdfast events', 'holdfast events --follow --json'))
    .action(async (options: { follow?: boolean }, command: Command) => {
      const session = openSession(command, context);
      const { client, terminal } = session;
      if (options.follow) {
        return followEvents({ client, terminal, context, path: PATH, query: {} }, (event) => print(session, event));
      }
      const stream = await client.events(PATH, { query: { follow: 'false' } }, { id: '', retryMs: null });
      for await (const event of stream) await print(session, event);
    });
}

async function print(session: Session, event: ServerSentEvent): Promise<void> {
  const { client, context, terminal, json } = session;
  const data = client.parse(event.data);
  if (event.type === 'reset') {
    return json
      ? terminal.json({ type: 'reset', data })
      : terminal.note('some events were missed: the node restarted or forgot them');
  }
  if (json) return terminal.json(data);
  const { time, type, data: details } = readShape(CLUSTER_EVENT, data);
  const fields = Object.entries(details).map(([name, value]) => `${printable(name)}=${printable(String(value))}`);
  // Beside each other when printed at once, a clock time where they keep coming.
  const when = terminal.isTTY ? agoText(time, context.now()).padEnd(12) : time;
  return terminal.line([terminal.colour('dim', when), printable(type).padEnd(18), ...fields].join('  ').trimEnd());
}
