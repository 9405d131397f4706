import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { examples } from '../options.ts';
import { openSession } from '../session.ts';
import { HUB, readShape, type Uplink } from '../shapes.ts';
import { fieldsText } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { printable } from '../text.ts';
import { backlogText } from '../uplink-text.ts';

const ABOUT = `
The leader of an island keeps the session with the hub for all its members; where it cannot reach the hub, another member
does. What the hub has not got yet waits on the disks of its owners, however long that takes. A hub has a session for each
of its sites with the hub above it. Fields:
  site           what the hub calls it
  waiting here   what the hub has not got yet, of what this node answers for; of a hub, of all that it has
  in the island  that of all members that are up; of a hub "in all", with what its sites have not sent to it yet
  last in step   when nothing was missing at the hub, as far as was known here`;

export function addHubStatusCommand(program: Command, context: CliContext): void {
  program
    .command('hub-status')
    .description('show whether the hub is reached, and what it has not got yet; of a hub, that of the hub above it')
    .addHelpText('after', ABOUT)
    .addHelpText(
      'after',
      examples(
        'holdfast hub-status',
        'holdfast hub-status --json | jq .islandBacklog.events',
        'holdfast hub-status --api http://127.0.0.1:7580',
      ),
    )
    .action(async (_options, command: Command) => {
      const { client, terminal, json } = openSession(command, context);
      const answer = await client.json('/v1/hub');
      if (json) await terminal.json(answer);
      else await terminal.line(hubText(terminal, readShape(HUB.nullable(), answer)));
    });
}

function hubText(terminal: Terminal, uplink: Uplink | null): string {
  if (uplink === null)
    return 'no hub is configured; a node, or a hub below another one, is started with --hub and --hub-token-file';
  const { address, site, connected, carrying, problem, backlog, islandBacklog, lastSyncAt, conflicts } = uplink;
  const isHub = conflicts === undefined;
  const by = carrying ? `, by this ${isHub ? 'process' : 'node'}` : '';
  return fieldsText(terminal, [
    [isHub ? 'hub above' : 'hub', printable(address)],
    ['site', printable(site)],
    ['connected', connected ? `yes${by}` : terminal.colour('yellow', 'no')],
    ['waiting here', backlogText(backlog)],
    [isHub ? 'in all' : 'in the island', backlogText(islandBacklog)],
    ['last in step', lastSyncAt === null ? '-' : printable(lastSyncAt)],
    ...(problem === null || connected
      ? []
      : [['problem', terminal.colour('yellow', printable(problem))] as [string, string]]),
  ]);
}
