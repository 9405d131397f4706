import { type Command, InvalidArgumentError, Option } from 'commander';

const SECONDS_MAX = 100 * 366 * 86_400;

/** For `Option.argParser`: a whole number within bounds, both included. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Use a whole number from ${min} to ${max}.`);
  };
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** For `Option.argParser`: milliseconds, from `500ms`, `30s`, `5m`, `1h` or a number of seconds; both bounds included. */
export function durationOf(minMs: number, maxMs: number): (text: string) => number {
  return (text) => {
    const [, digits, unit = 's'] = /^(\d{1,12})(ms|s|m|h)?$/.exec(text) ?? [];
    const valueMs = Number(digits) * (UNITS_MS[unit] ?? Number.NaN);
    if (valueMs >= minMs && valueMs <= maxMs) return valueMs;
    throw new InvalidArgumentError(`Use 500ms, 30s, 5m or 1h, from ${minMs / 1000}s to ${maxMs / 3_600_000}h.`);
  };
}

export function levelOption(verb: string): Option {
  return new Option('--level <level>', `replicas that must ${verb} (default: quorum)`).choices([
    'one',
    'quorum',
    'all',
  ]);
}

/** What is about replicas, or about strong buckets, does not go with it. */
export function siteOption(): Option {
  return new Option('--site <name>', 'ask a hub: of its copy of this site').conflicts(['level', 'ifMatch', 'ifAbsent']);
}

export function ttlOption(description: string): Option {
  return new Option('--ttl <seconds>', description).argParser(wholeNumber(1, SECONDS_MAX));
}

export function contextOption(meaning: string): Option {
  const description = `causal context of an earlier answer about the key (--json): ${meaning}`;
  return new Option('--context <token>', description).argParser((text) => {
    // A variable of a script that was never set.
    if (text === '') throw new InvalidArgumentError('It is empty; leave it out, or pass on what --json printed.');
    return text;
  });
}

/** For strong buckets. */
export function ifMatchOption(verb: string): Option {
  const description = `${verb} only this version (etag of get --json), * for any value (strong buckets)`;
  return new Option('--if-match <etag>', description).argParser((text) => {
    if (text === '*' || /^(?:W\/)?"[\x21\x23-\x7e]*"$/.test(text)) return text;
    // Shells take the quotes away easily.
    if (/^[\x21\x23-\x7e]+$/.test(text)) return `"${text}"`;
    throw new InvalidArgumentError('Use the etag that get --json printed, or *.');
  });
}

export function conditionHeaders(options: {
  readonly ifMatch?: string;
  readonly ifAbsent?: true;
}): Record<string, string> {
  if (options.ifMatch !== undefined) return { 'If-Match': options.ifMatch };
  return options.ifAbsent === true ? { 'If-None-Match': '*' } : {};
}

/** `holdfast bucket create`; without a command, of the program. */
export function commandPath(command?: Command | null): string {
  if (command === undefined || command === null) return 'holdfast';
  return command.parent === null ? command.name() : `${commandPath(command.parent)} ${command.name()}`;
}

/** Text for `addHelpText`: what a person would type first. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}
