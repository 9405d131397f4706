export const EXIT_DONE = 0;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_NOT_FOUND = 3;
const EXIT_UNREACHABLE = 4;

/** For the help; the README has the same table. */
export const EXIT_STATUSES: readonly (readonly [status: number, meaning: string])[] = [
  [EXIT_DONE, 'done'],
  [EXIT_FAILED, 'failed: the node, the cluster or this machine could not do it'],
  [EXIT_USAGE, 'bad usage: an option, an argument or the configuration'],
  [EXIT_NOT_FOUND, 'not found: no such key, bucket or member'],
  [EXIT_UNREACHABLE, 'unreachable: no Holdfast node answers at the address of --api'],
];

/** Codes of the command line itself; others are those of the HTTP API. */
type OwnCode = 'failed' | 'bad-usage' | 'bad-config' | 'unreachable' | 'internal';

/** By the code of the error; what is not listed has failed. */
const STATUS_OF: ReadonlyMap<string, number> = new Map([
  ['bad-usage', EXIT_USAGE],
  ['bad-config', EXIT_USAGE],
  ['bad-request', EXIT_USAGE],
  ['bad-key', EXIT_USAGE],
  ['bad-bucket', EXIT_USAGE],
  ['bad-context', EXIT_USAGE],
  ['not-found', EXIT_NOT_FOUND],
  ['bucket-not-found', EXIT_NOT_FOUND],
  ['member-not-found', EXIT_NOT_FOUND],
  ['unreachable', EXIT_UNREACHABLE],
]);

/** A failure whose message is all that a user needs: `<cause> — <fix>`. */
export class CliError extends Error {
  override readonly name = 'CliError';
  /** Stable; made for programs. */
  readonly code: string;
  /** Lines to print, each after `holdfast: `. */
  readonly lines: readonly string[];

  constructor(lines: string | readonly string[], code: OwnCode | ApiCode = 'failed', options?: ErrorOptions) {
    const list = typeof lines === 'string' ? [lines] : lines;
    super(list.join('\n'), options);
    this.lines = list;
    this.code = typeof code === 'string' ? code : code.fromApi;
  }

  /** The exit status. */
  get status(): number {
    return STATUS_OF.get(this.code) ?? EXIT_FAILED;
  }
}

/** A code that the HTTP API sent; it may be newer than this program. */
export interface ApiCode {
  readonly fromApi: string;
}

/** The node's HTTP API could not be reached, or the connection broke. Following commands try again. */
export class UnreachableError extends CliError {
  constructor(line: string, options?: ErrorOptions) {
    super(line, 'unreachable', options);
  }
}

/** The reader of standard output has gone away. */
export class BrokenPipeError extends Error {
  override readonly name = 'BrokenPipeError';
}
