import { splitInline } from './inline.ts';
import { ARGUMENTS_MAX, BULK_BYTES_MAX, COMMAND_BYTES_MAX, LINE_BYTES_MAX, MULTIBULK_COUNT_MAX } from './limits.ts';

const STAR = 0x2a;
const DOLLAR = 0x24;
const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;

/** Digits that are certainly a safe integer. */
const DIGITS_MAX = 15;
const NOTHING = Buffer.alloc(0);

/** One command. `tooLarge`: it went over a limit and was read past; only its name is left of it. */
export interface Request {
  readonly args: readonly Buffer[];
  readonly tooLarge: boolean;
  /** Bytes on the wire. */
  readonly bytes: number;
}

/** The stream can no longer be understood; the connection ends after the message. */
export class ProtocolFault {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

/** What a length line says; `INCOMPLETE` when it has not arrived whole. */
const INCOMPLETE = -2;
const INVALID = -3;
const TOO_LONG = -4;

/**
 * An incremental parser of Redis requests: arrays of bulk strings, and inline commands. Chunks go in, commands come
 * out; how the bytes were split makes no difference. Arguments are views of the chunk that brought them where
 * possible. It holds at most `COMMAND_BYTES_MAX` and one chunk.
 */
export class RequestParser {
  private buffer: Buffer = NOTHING;
  private position = 0;
  private end = 0;
  /** The buffer is ours and has room after `end`. */
  private owned = false;

  /** Arguments of the current command that are still to come; 0 between commands. */
  private remaining = 0;
  /** Length of the argument being read, -1 before its header. */
  private bulkLength = -1;
  /** Bytes of an argument that is read past. */
  private skipping = 0;
  private args: Buffer[] = [];
  private bytes = 0;
  private tooLarge = false;
  private fault: ProtocolFault | null = null;

  push(chunk: Buffer): void {
    const left = this.end - this.position;
    if (left === 0) {
      this.buffer = chunk;
      this.position = 0;
      this.end = chunk.length;
      this.owned = false;
      return;
    }
    const needed = left + chunk.length;
    if (!this.owned || this.end + chunk.length > this.buffer.length) {
      // Doubling keeps the copying linear; arguments handed out keep the old buffer.
      const grown = Buffer.allocUnsafeSlow(needed * 2);
      this.buffer.copy(grown, 0, this.position, this.end);
      this.buffer = grown;
      this.position = 0;
      this.end = left;
      this.owned = true;
    }
    chunk.copy(this.buffer, this.end);
    this.end += chunk.length;
  }

  /** The next whole command, null until more bytes arrive. After a fault, always that fault. */
  next(): Request | ProtocolFault | null {
    if (this.fault !== null) return this.fault;
    while (this.remaining === 0) {
      if (this.position === this.end) return this.release();
      const request = this.buffer[this.position] === STAR ? this.readHeader() : this.readInline();
      if (request !== undefined) return request;
    }
    while (this.remaining > 0) {
      const outcome = this.readArgument();
      if (outcome !== undefined) return outcome;
    }
    const request = { args: this.args, tooLarge: this.tooLarge, bytes: this.bytes };
    this.args = [];
    return request;
  }

  /** Bytes held and not yet handed out; for limits and tests. */
  get bufferedBytes(): number {
    return this.end - this.position;
  }

  private release(): null {
    this.buffer = NOTHING;
    this.position = 0;
    this.end = 0;
    this.owned = false;
    return null;
  }

  private fail(message: string): ProtocolFault {
    this.fault = new ProtocolFault(message);
    this.release();
    return this.fault;
  }

  /** `*<count>\r\n`. Undefined: go on. */
  private readHeader(): ProtocolFault | null | undefined {
    const start = this.position;
    const count = this.readLength();
    if (count === INCOMPLETE) return null;
    if (count === TOO_LONG) return this.fail('too big mbulk count string');
    if (count === INVALID || count > MULTIBULK_COUNT_MAX) return this.fail('invalid multibulk length');
    if (count <= 0) return undefined;
    this.remaining = count;
    this.bytes = this.position - start;
    this.tooLarge = count > ARGUMENTS_MAX;
    this.bulkLength = -1;
    return undefined;
  }

  private readInline(): Request | ProtocolFault | null | undefined {
    const found = this.buffer.indexOf(LF, this.position);
    const complete = found !== -1 && found < this.end;
    const lineEnd = complete ? found : this.end;
    if (lineEnd - this.position > LINE_BYTES_MAX) return this.fail('too big inline request');
    if (!complete) return null;
    const trimmed = lineEnd > this.position && this.buffer[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd;
    const args = splitInline(this.buffer.subarray(this.position, trimmed));
    if (args === null) return this.fail('unbalanced quotes in request');
    const bytes = lineEnd + 1 - this.position;
    this.position = lineEnd + 1;
    return args.length === 0 ? undefined : { args, tooLarge: false, bytes };
  }

  /** One argument, or a part of it that is read past. Undefined: go on. */
  private readArgument(): ProtocolFault | null | undefined {
    if (this.skipping > 0) return this.skip();
    if (this.bulkLength === -1) {
      const outcome = this.readBulkHeader();
      if (outcome !== undefined) return outcome;
      if (this.tooLarge && this.args.length > 0) {
        this.skipping = this.bulkLength + 2;
        return this.skip();
      }
    }
    const next = this.position + this.bulkLength + 2;
    if (next > this.end) return null;
    this.args.push(this.buffer.subarray(this.position, next - 2));
    this.position = next;
    this.bulkLength = -1;
    this.remaining--;
    return undefined;
  }

  private readBulkHeader(): ProtocolFault | null | undefined {
    if (this.position === this.end) return this.release();
    const first = this.buffer[this.position] as number;
    if (first !== DOLLAR) return this.fail(`expected '$', got '${String.fromCharCode(first)}'`);
    const start = this.position;
    const length = this.readLength();
    if (length === INCOMPLETE) return null;
    if (length === TOO_LONG) return this.fail('too big bulk count string');
    if (length < 0 || length > BULK_BYTES_MAX) return this.fail('invalid bulk length');
    this.bulkLength = length;
    this.bytes += this.position - start + length + 2;
    if (this.bytes > COMMAND_BYTES_MAX) this.becomeTooLarge();
    return undefined;
  }

  /** Lets go of the arguments but the name (an empty one where the name itself was too long). */
  private becomeTooLarge(): void {
    this.tooLarge = true;
    this.args = [this.args[0] ?? NOTHING];
  }

  private skip(): null | undefined {
    const step = Math.min(this.skipping, this.end - this.position);
    this.position += step;
    this.skipping -= step;
    if (this.skipping > 0) return this.release();
    this.bulkLength = -1;
    this.remaining--;
    return undefined;
  }

  /** The integer between the type byte and CR LF, moved past; or why there is none. */
  private readLength(): number {
    const { buffer, end } = this;
    const start = this.position + 1;
    let at = start;
    let value = 0;
    while (at < end) {
      const digit = (buffer[at] as number) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      at++;
    }
    const digits = at - start;
    const plain = digits === 1 || (digits > 1 && digits <= DIGITS_MAX && buffer[start] !== ZERO);
    if (plain && at + 1 < end && buffer[at] === CR) {
      this.position = at + 2;
      return value;
    }
    return this.readUnusualLength(start);
  }

  private readUnusualLength(start: number): number {
    const { buffer, end } = this;
    const found = buffer.indexOf(CR, start);
    const lineEnd = found === -1 || found >= end ? end : found;
    if (lineEnd - start > LINE_BYTES_MAX) return TOO_LONG;
    if (lineEnd + 1 >= end) return INCOMPLETE;
    const text = buffer.toString('latin1', start, Math.min(lineEnd, start + 24));
    if (!/^-[1-9][0-9]{0,18}$/.test(text)) return INVALID;
    this.position = lineEnd + 2;
    return -1;
  }
}
