import type { Command } from 'commander';
import type { z } from 'zod';
import type { CliContext } from '../context.ts';
import { examples } from '../options.ts';
import { openSession } from '../session.ts';
import { RING, readShape } from '../shapes.ts';
import { tableText } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { plural, printable } from '../text.ts';

type Ring = z.infer<typeof RING>;

const HEAD = ['NAME', 'ZONE', 'RING', 'WEIGHT', 'SHARDS', 'OF FAIR SHARE', ''];
const BAR_CHARACTERS = 24;

export function addRingCommand(program: Command, context: CliContext): void {
  program
    .command('ring')
    .description('show how the shards are spread over the members')
    .addHelpText('after', examples('holdfast ring', 'holdfast ring --json | jq .epoch'))
    .action(async (_options, command: Command) => {
      const { client, terminal, json } = openSession(command, context);
      const answer = await client.json('/v1/ring');
      if (json) await terminal.json(answer);
      else await terminal.line(ringText(terminal, readShape(RING, answer)));
    });
}

function ringText(terminal: Terminal, ring: Ring): string {
  const { epoch, shards, replicas, members, changing } = ring;
  const state = changing === null ? 'at rest' : terminal.colour('yellow', `${plural(changing.shards, 'shard')} moving`);
  const owned = members.reduce((sum, member) => sum + member.shards, 0);
  const weights = members.reduce((sum, member) => sum + (member.in ? member.weight : 0), 0);
  const most = Math.max(1, ...members.map((member) => member.shards));
  const rows = members
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((member) => {
      const fair = member.in && weights > 0 ? (owned * member.weight) / weights : 0;
      return [
        printable(member.name),
        printable(member.zone) || '-',
        member.in ? 'in' : terminal.colour('dim', 'out'),
        String(member.weight),
        String(member.shards),
        fair > 0 ? `${Math.round((100 * member.shards) / fair)} %` : '-',
        barText(terminal, member.shards / most),
      ];
    });
  const title = `epoch ${epoch}, ${plural(shards, 'shard')}, ${plural(replicas, 'replica')}, ${state}`;
  return `${title}\n\n${tableText(terminal, HEAD, rows, ['WEIGHT', 'SHARDS', 'OF FAIR SHARE'])}`;
}

function barText(terminal: Terminal, share: number): string {
  const block = terminal.unicode ? '█' : '#';
  return terminal.colour('green', block.repeat(Math.round(share * BAR_CHARACTERS)));
}
