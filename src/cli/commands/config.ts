import type { Command } from 'commander';
import { describeConfig } from '../../config/describe.ts';
import { HUB_TABLE } from '../../config/hub-keys.ts';
import { type ConfigTable, NODE_TABLE } from '../../config/keys.ts';
import { problemText } from '../../config/problem.ts';
import { loadConfigOf, loadHubConfigOf } from '../config-input.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { examples } from '../options.ts';
import { openSession, type Session } from '../session.ts';
import { tableText } from '../table.ts';
import { printable } from '../text.ts';

export function addConfigCommand(program: Command, context: CliContext): void {
  const config = program.command('config').description('look at the configuration');
  config
    .command('check')
    .description('check the configuration and print every effective value with its source')
    .argument('[file]', 'configuration file (default: ./holdfast.yaml if present)')
    .option('--hub', 'the configuration of a hub (default file: ./holdfast-hub.yaml)')
    .addHelpText(
      'after',
      () =>
        `\nKeys:\n${keysText(NODE_TABLE)}\n\nKeys of a hub:\n${keysText(HUB_TABLE)}\n${examples(
          'holdfast config check',
          'holdfast config check /etc/holdfast/holdfast.yaml',
          'holdfast config check --hub',
        )}`,
    )
    .action((file: string | undefined, { hub }: { hub?: true }, command: Command) =>
      check(openSession(command, context), file, hub === true),
    );
}

async function check(session: Session, file: string | undefined, isHub: boolean): Promise<void> {
  const { context, terminal, json } = session;
  const flags = { config: file };
  const result = isHub ? loadHubConfigOf(context, flags) : loadConfigOf(context, flags);
  if (!result.ok) {
    if (json) await terminal.json({ valid: false, problems: result.problems });
    throw new CliError(result.problems.map(problemText), 'bad-config');
  }
  const lines = describeConfig(isHub ? HUB_TABLE : NODE_TABLE, result.config, result.sources);
  const { warnings } = result;
  if (json) return terminal.json({ valid: true, file: result.file, config: lines, warnings });
  for (const warning of warnings) terminal.note(`warning: ${warning}`);
  const rows = lines.map(({ key, value, source }) => [key, printable(value) || '-', terminal.colour('dim', source)]);
  return terminal.line(tableText(terminal, ['KEY', 'VALUE', 'SOURCE'], rows));
}

function keysText({ keys }: ConfigTable): string {
  return keys
    .map(({ key, variable, default: fallback, meaning }) => {
      return `  ${key} (${variable}${fallback === '' ? '' : `, default: ${fallback}`})\n      ${meaning}`;
    })
    .join('\n');
}
