import { type Command, Option } from 'commander';
import type { ConfigFlags } from '../config/environment.ts';
import { CONFIG_FILE_VARIABLE, type ConfigKey, type ConfigTable } from '../config/keys.ts';

type FlagKey = ConfigKey & { readonly flag: string };

/** What the help of a command with such options says of them. */
export const PRECEDENCE = '\nFlags win over environment variables, these over the file, this over defaults; ';

/** An option for each key that has a flag, and `--config`. */
export function addConfigOptions(command: Command, table: ConfigTable): void {
  command.option(
    '--config <FILE>',
    `configuration file (default: ./${table.file} if present; ${CONFIG_FILE_VARIABLE})`,
  );
  for (const key of flagKeys(table)) command.addOption(optionOf(key));
}

/** Values of the flags by configuration key. */
export function flagsOf(table: ConfigTable, options: Readonly<Record<string, unknown>>): ConfigFlags {
  const flags: Record<string, string | readonly string[] | undefined> = {};
  for (const { key, flag } of flagKeys(table)) {
    const attribute = new Option(flag).attributeName();
    flags[key] = options[attribute] as string | readonly string[] | undefined;
  }
  flags.config = options.config as string | undefined;
  return flags;
}

function flagKeys({ keys }: ConfigTable): FlagKey[] {
  return keys.filter((key): key is FlagKey => key.flag !== null);
}

function optionOf(key: FlagKey): Option {
  const fallback = key.default === '' ? '' : `default: ${key.default}; `;
  const option = new Option(`${key.flag} <${key.placeholder}>`, `${key.meaning} (${fallback}${key.variable})`);
  if (key.type === 'list' || key.type === 'map') {
    option.argParser((value: string, previous: readonly string[] | undefined) => [...(previous ?? []), value]);
  }
  return option;
}
