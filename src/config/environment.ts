import { HUB_KEYS } from './hub-keys.ts';
import { CONFIG_KEYS, type ConfigTable, OTHER_VARIABLES } from './keys.ts';
import type { ConfigProblem } from './problem.ts';
import type { Setting } from './source.ts';
import { suggest } from './suggestion.ts';

/** Values of flags by config key: a list for repeatable flags. `config` names the file. */
export type ConfigFlags = Readonly<Record<string, string | readonly string[] | undefined>>;

export type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = 'HOLDFAST_';

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** The settings of the environment, by key. An empty variable counts as unset. */
export function settingsOfEnvironment({ keys }: ConfigTable, env: Environment): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const { key, variable, type } of keys) {
    const text = env[variable];
    if (text === undefined || text === '') continue;
    const value = type === 'list' || type === 'map' ? splitList(text) : text;
    settings.set(key, { value, source: { kind: 'environment', variable } });
  }
  return settings;
}

/** The settings of the command line, by key. */
export function settingsOfFlags({ keys }: ConfigTable, flags: ConfigFlags): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const { key, flag } of keys) {
    const value = flags[key];
    if (flag !== null && value !== undefined) settings.set(key, { value, source: { kind: 'flag', flag } });
  }
  return settings;
}

/** Of nodes and hubs: one environment may serve both. */
const KNOWN = [...new Set([...CONFIG_KEYS, ...HUB_KEYS].map(({ variable }) => variable)), ...OTHER_VARIABLES];

/**
 * Variables that look like ours and are none. A near miss of a known one is an error; others are only
 * warned about, because container platforms inject some (HOLDFAST_SERVICE_HOST, for a service of that name).
 */
export function checkVariableNames(env: Environment): { problems: ConfigProblem[]; warnings: string[] } {
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  for (const variable of Object.keys(env).sort()) {
    if (!variable.startsWith(PREFIX) || KNOWN.includes(variable)) continue;
    const near = suggest(
      variable.slice(PREFIX.length),
      KNOWN.map((name) => name.slice(PREFIX.length)),
    );
    if (near === undefined) warnings.push(`${variable}: unknown environment variable, ignored`);
    else
      problems.push({ source: variable, cause: 'unknown environment variable', fix: `did you mean ${PREFIX}${near}?` });
  }
  return { problems, warnings };
}
