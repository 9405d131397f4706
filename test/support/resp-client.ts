import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A decoded reply: errors as `Error`, maps as `Map`, everything else as its nearest JavaScript value. */
export type RespValue = string | number | null | Error | RespValue[] | Map<string, RespValue>;

type Argument = string | Buffer;

/** The bytes of one command as an array of bulk strings. */
export function encodeCommand(args: readonly Argument[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${String(args.length)}\r\n`)];
  for (const arg of args) {
    const bytes = Buffer.from(arg);
    parts.push(Buffer.from(`$${String(bytes.length)}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

/** A bare RESP client over a socket: sends bytes as they are, hands out replies raw (latin1) or decoded. */
export class RespClient {
  readonly socket: Socket;
  /** Resolves with everything received once the server has closed the connection. */
  readonly closed: Promise<string>;
  private readonly received: Buffer[] = [];
  private unread = Buffer.alloc(0);
  private wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received.push(chunk);
      this.unread = Buffer.concat([this.unread, chunk]);
      this.wake();
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.wake();
        resolve(Buffer.concat(this.received).toString('latin1'));
      });
    });
  }

  static async open(port: number): Promise<RespClient> {
    const socket = connect({ host: '127.0.0.1', port });
    const client = new RespClient(socket);
    await once(socket, 'connect');
    return client;
  }

  send(bytes: Argument): void {
    this.socket.write(bytes);
  }

  /** The next `count` replies, as they came over the wire. Rejects when the connection ends before. */
  async replies(count: number): Promise<string[]> {
    const found: string[] = [];
    while (found.length < count) {
      const end = replyEnd(this.unread, 0);
      if (end !== -1) {
        found.push(this.unread.toString('latin1', 0, end));
        this.unread = this.unread.subarray(end);
        continue;
      }
      if (this.socket.destroyed) throw new Error(`closed after ${String(found.length)} of ${String(count)} replies`);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    return found;
  }

  /** Sends commands in one write and returns the raw replies. */
  pipeline(commands: readonly (readonly Argument[])[]): Promise<string[]> {
    this.send(Buffer.concat(commands.map(encodeCommand)));
    return this.replies(commands.length);
  }

  async call(...args: Argument[]): Promise<RespValue> {
    const [reply] = await this.pipeline([args]);
    return decodeReply(Buffer.from(reply as string, 'latin1'));
  }

  /** Everything received and not yet taken. */
  get pending(): string {
    return this.unread.toString('latin1');
  }

  close(): void {
    this.socket.destroy();
  }
}

export function decodeReply(bytes: Buffer): RespValue {
  return decodeAt(bytes, 0).value;
}

/** Where the reply that starts at `at` ends; -1 when it is not whole. */
function replyEnd(bytes: Buffer, at: number): number {
  const lineEnd = bytes.indexOf('\r\n', at);
  if (lineEnd === -1) return -1;
  const type = String.fromCharCode(bytes[at] as number);
  const count = Number(bytes.toString('latin1', at + 1, lineEnd));
  let end = lineEnd + 2;
  if ((type === '$' || type === '=') && count >= 0) end += count + 2;
  if (type === '*' || type === '~' || type === '>' || type === '%') {
    const items = type === '%' ? count * 2 : count;
    for (let i = 0; i < items && end !== -1; i++) end = replyEnd(bytes, end);
  }
  return end <= bytes.length ? end : -1;
}

function decodeAt(bytes: Buffer, at: number): { value: RespValue; end: number } {
  const lineEnd = bytes.indexOf('\r\n', at);
  const type = String.fromCharCode(bytes[at] as number);
  const line = bytes.toString('utf8', at + 1, lineEnd);
  const end = lineEnd + 2;
  const count = Number(line);
  if (type === '+') return { value: line, end };
  if (type === '-') return { value: new Error(line), end };
  if (type === ':') return { value: count, end };
  if (type === '_' || count === -1) return { value: null, end };
  if (type === '$') return { value: bytes.toString('utf8', end, end + count), end: end + count + 2 };
  if (type === '=') return { value: bytes.toString('utf8', end + 4, end + count), end: end + count + 2 };
  return decodeItems(bytes, end, type, count);
}

function decodeItems(bytes: Buffer, start: number, type: string, count: number): { value: RespValue; end: number } {
  const items: RespValue[] = [];
  let end = start;
  for (let i = 0; i < (type === '%' ? count * 2 : count); i++) {
    const item = decodeAt(bytes, end);
    items.push(item.value);
    end = item.end;
  }
  if (type !== '%') return { value: items, end };
  const map = new Map<string, RespValue>();
  for (let i = 0; i < items.length; i += 2) map.set(items[i] as string, items[i + 1] as RespValue);
  return { value: map, end };
}
