import { type Command, Option } from 'commander';
import type { ConfigFlags } from '../../config/environment.ts';
import { CONFIG_FILE_VARIABLE, CONFIG_KEYS, type ConfigKey } from '../../config/keys.ts';
import { problemText } from '../../config/problem.ts';
import { loadConfigOf } from '../config-input.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { examples } from '../options.ts';
import { Terminal } from '../terminal.ts';

type FlagKey = ConfigKey & { readonly flag: string };

const FLAG_KEYS = CONFIG_KEYS.filter((key): key is FlagKey => key.flag !== null);

export function addStartCommand(program: Command, context: CliContext): void {
  const command = program.command('start').description('run a node in the foreground');
  command.option(
    '--config <FILE>',
    `configuration file (default: ./holdfast.yaml if present; ${CONFIG_FILE_VARIABLE})`,
  );
  for (const key of FLAG_KEYS) command.addOption(optionOf(key));
  command
    .addHelpText(
      'after',
      `\nFlags win over environment variables, these over the file, this over defaults; \`holdfast config check\` shows\nthe outcome and the keys that only the file and the environment have.\n${examples(
        'holdfast start',
        'holdfast start --secret-file secret --zone north --seed /dns4/edge-1/tcp/7400',
        'HOLDFAST_SECRET=… holdfast start --http 0.0.0.0:7480 --resp off',
      )}`,
    )
    .action(async (options: Record<string, unknown>, command: Command) => {
      const result = loadConfigOf(context, flagsOf(options));
      if (!result.ok) throw new CliError(result.problems.map(problemText), 'bad-config');
      const terminal = new Terminal(context, command.optsWithGlobals().json === true);
      for (const warning of result.warnings) terminal.note(`warning: ${warning}`);
      await context.startNode(result.config);
    });
}

function optionOf(key: FlagKey): Option {
  const fallback = key.default === '' ? '' : `default: ${key.default}; `;
  const option = new Option(`${key.flag} <${key.placeholder}>`, `${key.meaning} (${fallback}${key.variable})`);
  if (key.type === 'list' || key.type === 'map') {
    option.argParser((value: string, previous: readonly string[] | undefined) => [...(previous ?? []), value]);
  }
  return option;
}

/** Values of the flags by configuration key. */
function flagsOf(options: Readonly<Record<string, unknown>>): ConfigFlags {
  const flags: Record<string, string | readonly string[] | undefined> = {};
  for (const { key, flag } of FLAG_KEYS) {
    const attribute = new Option(flag).attributeName();
    flags[key] = options[attribute] as string | readonly string[] | undefined;
  }
  flags.config = options.config as string | undefined;
  return flags;
}
