import type { Command } from 'commander';
import { NODE_TABLE } from '../../config/keys.ts';
import { problemText } from '../../config/problem.ts';
import { loadConfigOf } from '../config-input.ts';
import { addConfigOptions, flagsOf, PRECEDENCE } from '../config-options.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { examples } from '../options.ts';
import { Terminal } from '../terminal.ts';

export function addStartCommand(program: Command, context: CliContext): void {
  const command = program.command('start').description('run a node in the foreground');
  addConfigOptions(command, NODE_TABLE);
  command
    .addHelpText(
      'after',
      `${PRECEDENCE}\`holdfast config check\` shows\nthe outcome and the keys that only the file and the environment have.\n${examples(
        'holdfast start',
        'holdfast start --secret-file secret --zone north --seed /dns4/edge-1/tcp/7400',
        'HOLDFAST_SECRET=… holdfast start --http 0.0.0.0:7480 --resp off',
        'holdfast start --secret-file secret --hub /dns4/hub.example.com/tcp/7500 --hub-token-file token',
      )}`,
    )
    .action(async (options: Record<string, unknown>, command: Command) => {
      const result = loadConfigOf(context, flagsOf(NODE_TABLE, options));
      if (!result.ok) throw new CliError(result.problems.map(problemText), 'bad-config');
      const terminal = new Terminal(context, command.optsWithGlobals().json === true);
      for (const warning of result.warnings) terminal.note(`warning: ${warning}`);
      await context.startNode(result.config);
    });
}
