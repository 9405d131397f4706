/** What a story has shown. */
export interface Outcome {
  /** By name; times in ms end in `Ms`. */
  readonly figures: Readonly<Record<string, number | string>>;
  /** How it misses its promise, a line each; empty: the promise is kept. */
  readonly problems: readonly string[];
}

/** How many lines of one kind of problem are printed. */
const LINES_MAX = 10;

/** The problems of one kind: the first of them as they are, the others counted. */
export function problemsOf(kind: string, lines: readonly string[]): string[] {
  const shown = lines.slice(0, LINES_MAX).map((line) => `${kind}: ${line}`);
  return lines.length > LINES_MAX ? [...shown, `${kind}: ${lines.length - LINES_MAX} more`] : shown;
}

/** A problem where a time exceeds what is promised. */
export function lateness(what: string, ms: number, promisedMs: number): string[] {
  return ms <= promisedMs ? [] : [`${what} ${seconds(ms)}, promised ${seconds(promisedMs)}`];
}

/** A problem where a figure is above what is promised, or is none. */
export function excess(what: string, value: number, promised: number): string[] {
  return value <= promised ? [] : [`${what} ${decimal(value)}, promised at most ${decimal(promised)}`];
}

/** A problem where a figure is below what is promised, or is none. */
export function shortfall(what: string, value: number, promised: number): string[] {
  return value >= promised ? [] : [`${what} ${decimal(value)}, promised at least ${decimal(promised)}`];
}

function decimal(value: number): string {
  return value.toLocaleString('en');
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** A figure as a line for people: `equalAfterMs` 2345 is "equal after 2.35 s". */
export function figureLine(name: string, value: number | string): string {
  const isTime = name.endsWith('Ms') && typeof value === 'number';
  const words = name.replace(/Ms$/, '').replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  const text = isTime ? seconds(value) : typeof value === 'number' ? decimal(value) : value;
  return `${words.padEnd(28)} ${text}`;
}
