import type { Command } from 'commander';
import { describeConfig } from '../../config/describe.ts';
import { CONFIG_KEYS } from '../../config/keys.ts';
import { problemText } from '../../config/problem.ts';
import { loadConfigOf } from '../config-input.ts';
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
    .addHelpText(
      'after',
      () =>
        `\nKeys:\n${keysText()}\n${examples('holdfast config check', 'holdfast config check /etc/holdfast/holdfast.yaml')}`,
    )
    .action((file: string | undefined, _options, command: Command) => check(openSession(command, context), file));
}

async function check(session: Session, file: string | undefined): Promise<void> {
  const { context, terminal, json } = session;
  const result = loadConfigOf(context, { config: file });
  if (!result.ok) {
    if (json) await terminal.json({ valid: false, problems: result.problems });
    throw new CliError(result.problems.map(problemText), 'bad-config');
  }
  const lines = describeConfig(result.config, result.sources);
  const { warnings } = result;
  if (json) return terminal.json({ valid: true, file: result.file, config: lines, warnings });
  for (const warning of warnings) terminal.note(`warning: ${warning}`);
  const rows = lines.map(({ key, value, source }) => [key, printable(value) || '-', terminal.colour('dim', source)]);
  return terminal.line(tableText(terminal, ['KEY', 'VALUE', 'SOURCE'], rows));
}

function keysText(): string {
  return CONFIG_KEYS.map(({ key, variable, default: fallback, meaning }) => {
    return `  ${key} (${variable}${fallback === '' ? '' : `, default: ${fallback}`})\n      ${meaning}`;
  }).join('\n');
}
