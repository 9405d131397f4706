import type { CliContext } from './context.ts';
import { BrokenPipeError } from './errors.ts';

export type Colour = 'green' | 'yellow' | 'red' | 'dim' | 'bold';

const CODES: Readonly<Record<Colour, readonly [number, number]>> = {
  green: [32, 39],
  yellow: [33, 39],
  red: [31, 39],
  dim: [2, 22],
  bold: [1, 22],
};

/** Standard output and error: waits for slow readers, turns a closed pipe into `BrokenPipeError`, colours for terminals. */
export class Terminal {
  private readonly context: CliContext;
  private readonly colours: boolean;
  private readonly asJson: boolean;
  readonly unicode: boolean;

  /** `asJson`: what goes to standard error is for programs too. */
  constructor(context: CliContext, asJson: boolean) {
    const { env } = context;
    this.context = context;
    this.asJson = asJson;
    // https://no-color.org
    this.colours = context.isTTY && !env.NO_COLOR && env.TERM !== 'dumb';
    this.unicode = /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '');
  }

  get isTTY(): boolean {
    return this.context.isTTY;
  }

  colour(colour: Colour, text: string): string {
    if (!this.colours || text === '') return text;
    const [on, off] = CODES[colour];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  }

  /** Resolves when the text or the bytes have been handed to the system. */
  write(chunk: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.context.stdout.write(chunk, (error) => {
        if (!error) resolve();
        else reject(isPipeClosed(error) ? new BrokenPipeError('standard output is closed', { cause: error }) : error);
      });
    });
  }

  line(text: string): Promise<void> {
    return this.write(`${text}\n`);
  }

  /** One JSON document in one line. */
  json(value: unknown): Promise<void> {
    return this.line(JSON.stringify(value));
  }

  /** Something beside the result, on standard error. */
  note(text: string): void {
    this.context.stderr.write(this.asJson ? `${JSON.stringify({ note: text })}\n` : `holdfast: ${text}\n`);
  }
}

function isPipeClosed(error: Error): boolean {
  const code = (error as { code?: unknown }).code;
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED' || code === 'ERR_STREAM_WRITE_AFTER_END';
}
