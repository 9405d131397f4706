import type { Command } from 'commander';
import { HUB_TABLE } from '../../config/hub-keys.ts';
import { problemText } from '../../config/problem.ts';
import { loadHubConfigOf } from '../config-input.ts';
import { addConfigOptions, flagsOf, PRECEDENCE } from '../config-options.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { examples } from '../options.ts';
import { Terminal } from '../terminal.ts';

const WHAT = `
Sites are clusters that exchange buckets with the hub, as the buckets' sync says. Add one with \`holdfast site add\`, and
start its nodes with --hub and the token that it prints. A hub may be the site of another hub: it takes --hub and a token too.`;

export function addHubCommand(program: Command, context: CliContext): void {
  const command = program.command('hub').description('run a hub in the foreground: the cloud side of sites');
  addConfigOptions(command, HUB_TABLE);
  command
    .addHelpText('after', WHAT)
    .addHelpText('after', `${PRECEDENCE}\`holdfast config check --hub\`\nshows the outcome.`)
    .addHelpText(
      'after',
      examples(
        'holdfast hub',
        'HOLDFAST_DATABASE=postgres://hub:…@db/fleet holdfast hub --http 0.0.0.0:7580',
        '(umask 077; holdfast site add hall-2 > token)',
        'holdfast start --secret-file secret --hub /dns4/hub.example.com/tcp/7500 --hub-token-file token',
      ),
    )
    .action(async (options: Record<string, unknown>, command: Command) => {
      const result = loadHubConfigOf(context, flagsOf(HUB_TABLE, options));
      if (!result.ok) throw new CliError(result.problems.map(problemText), 'bad-config');
      const terminal = new Terminal(context, command.optsWithGlobals().json === true);
      for (const warning of result.warnings) terminal.note(`warning: ${warning}`);
      await context.startHub(result.config);
    });
}
