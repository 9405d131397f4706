import type { Command } from 'commander';
import type { z } from 'zod';
import type { CliContext } from '../context.ts';
import { examples } from '../options.ts';
import { openSession } from '../session.ts';
import { HUB, readShape } from '../shapes.ts';
import { fieldsText } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { durationText, plural, printable } from '../text.ts';

const ABOUT = `
The leader of an island keeps the session with the hub for all its members; where it cannot reach the hub, another member
does. What the hub has not got yet waits on the disks of its owners, however long that takes.`;

export function addHubStatusCommand(program: Command, context: CliContext): void {
  program
    .command('hub-status')
    .description('show whether the hub is reached, and what it has not got yet')
    .addHelpText('after', ABOUT)
    .addHelpText('after', examples('holdfast hub-status', 'holdfast hub-status --json | jq .islandBacklog.events'))
    .action(async (_options, command: Command) => {
      const { client, terminal, json } = openSession(command, context);
      const answer = await client.json('/v1/hub');
      if (json) await terminal.json(answer);
      else await terminal.line(hubText(terminal, readShape(HUB.nullable(), answer)));
    });
}

function hubText(terminal: Terminal, hub: z.infer<typeof HUB> | null): string {
  if (hub === null) return 'no hub is configured; see `holdfast start --help` for --hub and --hub-token-file';
  const { address, site, connected, carrying, problem, backlog, islandBacklog, lastSyncAt } = hub;
  const by = carrying ? ', by this node' : '';
  return fieldsText(terminal, [
    ['hub', printable(address)],
    ['site', printable(site)],
    ['connected', connected ? `yes${by}` : terminal.colour('yellow', 'no')],
    ['waiting here', backlogText(backlog)],
    ['in the island', backlogText(islandBacklog)],
    ['last in step', lastSyncAt === null ? '-' : printable(lastSyncAt)],
    ...(problem === null || connected
      ? []
      : [['problem', terminal.colour('yellow', printable(problem))] as [string, string]]),
  ]);
}

function backlogText({ events, oldestSeconds }: z.infer<typeof HUB>['backlog']): string {
  return events === 0 ? 'nothing' : `${plural(events, 'event')}, the oldest for ${durationText(oldestSeconds)}`;
}
