import type { Command } from 'commander';
import type { z } from 'zod';
import type { CliContext } from '../context.ts';
import { examples } from '../options.ts';
import { openSession } from '../session.ts';
import { LEADER, readShape } from '../shapes.ts';
import { fieldsText } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { printable } from '../text.ts';

const ABOUT = `
The members that reach each other have one leader. It is quorate while a majority of the ring's members has granted its
lease; of such leaders there is never more than one. The leader of an island that has no majority is not quorate.`;

export function addLeaderCommand(program: Command, context: CliContext): void {
  program
    .command('leader')
    .description('show who leads the members that this node reaches')
    .addHelpText('after', ABOUT)
    .addHelpText('after', examples('holdfast leader', 'holdfast leader --json | jq .fencingToken'))
    .action(async (_options, command: Command) => {
      const { client, terminal, json } = openSession(command, context);
      const answer = await client.json('/v1/leader');
      if (json) await terminal.json(answer);
      else await terminal.line(leaderText(terminal, readShape(LEADER, answer)));
    });
}

function leaderText(terminal: Terminal, view: z.infer<typeof LEADER>): string {
  const { leader, peerId, self, term, quorate, leaseRemainingMs, fencingToken, votes } = view;
  if (leader === null) {
    return fieldsText(terminal, [
      ['leader', terminal.colour('yellow', 'none that this node knows of')],
      ['term', String(term)],
    ]);
  }
  const isHere = self ? ', this node' : '';
  return fieldsText(terminal, [
    ['leader', `${printable(leader)} (${printable(peerId ?? '')}${isHere})`],
    ['term', String(term)],
    ['quorate', quorate ? 'yes' : terminal.colour('yellow', 'no: without a majority of the ring')],
    ['lease', `${(leaseRemainingMs / 1000).toFixed(1)} s left`],
    // A leader that is known from others only: they do not tell its votes.
    ['votes', votes === 0 ? '-' : `${votes} of ${view.view} members that it reaches`],
    ['token', String(fencingToken)],
  ]);
}
