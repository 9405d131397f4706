export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** A failure whose message is all that a user needs: `<cause> — <fix>`. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly status: number;
  /** Lines to print, each after `holdfast: `. */
  readonly lines: readonly string[];

  constructor(lines: string | readonly string[], status: number = EXIT_FAILED, options?: ErrorOptions) {
    const list = typeof lines === 'string' ? [lines] : lines;
    super(list.join('\n'), options);
    this.lines = list;
    this.status = status;
  }
}

/** The node's HTTP API could not be reached, or the connection broke. Following commands try again. */
export class UnreachableError extends CliError {}

/** The reader of standard output has gone away. */
export class BrokenPipeError extends Error {
  override readonly name = 'BrokenPipeError';
}
