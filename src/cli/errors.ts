export const EXIT_DONE = 0;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** For the help; the README has the same table. */
export const EXIT_STATUSES: readonly (readonly [status: number, meaning: string])[] = [
  [EXIT_DONE, 'done'],
  [EXIT_FAILED, 'failed: not found, no node reached, or it could not do it; with --json the error has a code'],
  [EXIT_USAGE, 'bad usage: an option, an argument or the configuration'],
];

/** Codes of the command line itself; others are those of the HTTP API. */
type OwnCode = 'failed' | 'bad-usage' | 'bad-config' | 'unreachable' | 'lock-lost' | 'internal';

/** Codes of errors in how a command was used; all others say that it failed. */
const BAD_USAGE: ReadonlySet<string> = new Set([
  'bad-usage',
  'bad-config',
  'bad-request',
  'bad-key',
  'bad-bucket',
  'bad-context',
]);

/** A failure whose message is all that a user needs: `<cause> — <fix>`. */
export class CliError extends Error {
  override readonly name = 'CliError';
  /** Stable; made for programs. */
  readonly code: string;
  /** Lines to print, each after `holdfast: `. */
  readonly lines: readonly string[];

  /** What the node said besides, for programs: `stateChanged`, `acks`, … */
  readonly data: Readonly<Record<string, unknown>>;

  constructor(lines: string | readonly string[], code: OwnCode | ApiCode = 'failed', options: CliErrorOptions = {}) {
    const list = typeof lines === 'string' ? [lines] : lines;
    super(list.join('\n'), options);
    this.lines = list;
    this.data = options.data ?? {};
    this.code = typeof code === 'string' ? code : code.fromApi;
  }

  /** The exit status. */
  get status(): number {
    return BAD_USAGE.has(this.code) ? EXIT_USAGE : EXIT_FAILED;
  }
}

interface CliErrorOptions extends ErrorOptions {
  readonly data?: Readonly<Record<string, unknown>>;
}

/** A code that the HTTP API sent; it may be newer than this program. */
export interface ApiCode {
  readonly fromApi: string;
}

/** The node's HTTP API could not be reached, or the connection broke. Following commands try again. */
export class UnreachableError extends CliError {
  constructor(line: string, options?: CliErrorOptions) {
    super(line, 'unreachable', options);
  }
}

/** A command that this program was asked to run has ended with another exit status than 0. */
export class CommandEnded extends Error {
  override readonly name = 'CommandEnded';
  readonly status: number;

  constructor(status: number) {
    super(`the command ended with status ${status}`);
    this.status = status;
  }
}

/** The reader of standard output has gone away. */
export class BrokenPipeError extends Error {
  override readonly name = 'BrokenPipeError';
}
