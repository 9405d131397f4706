/** A short status such as OK. */
export class SimpleReply {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** An error: an upper-case code, a blank and a sentence. Text is bytes in latin1, as clients may have sent them. */
export class ErrorReply {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Pairs: a map in RESP3, a flat array in RESP2. */
export class MapReply {
  readonly pairs: readonly (readonly [Reply, Reply])[];

  constructor(pairs: readonly (readonly [Reply, Reply])[]) {
    this.pairs = pairs;
  }
}

/** A set in RESP3, an array in RESP2. */
export class SetReply {
  readonly items: readonly Reply[];

  constructor(items: readonly Reply[]) {
    this.items = items;
  }
}

/** Text for people: a verbatim string in RESP3, a bulk string in RESP2. */
export class VerbatimReply {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Something the client did not ask for just now: a push in RESP3, an array in RESP2. */
export class PushReply {
  readonly items: readonly Reply[];

  constructor(items: readonly Reply[]) {
    this.items = items;
  }
}

/** An array that is not there: an array of its own kind in RESP2, null in RESP3. */
export class NullArrayReply {}

/** Several replies to one command, one after the other. */
export class Replies {
  readonly list: readonly Reply[];

  constructor(list: readonly Reply[]) {
    this.list = list;
  }
}

/** Numbers are integers, strings and bytes are bulk strings, null is nil. */
export type Reply =
  | number
  | string
  | null
  | Uint8Array
  | readonly Reply[]
  | SimpleReply
  | ErrorReply
  | MapReply
  | SetReply
  | VerbatimReply
  | PushReply
  | NullArrayReply
  | Replies;

export type RespVersion = 2 | 3;

export const OK = new SimpleReply('OK');

/** Roughly; only what can be large is counted. */
export function replyBytes(reply: Reply): number {
  if (reply instanceof Uint8Array) return reply.length;
  let bytes = 0;
  for (const item of itemsOf(reply)) bytes += replyBytes(item);
  return bytes;
}

function itemsOf(reply: Reply): readonly Reply[] {
  if (reply instanceof Replies) return reply.list;
  if (reply instanceof SetReply) return reply.items;
  if (reply instanceof MapReply) return reply.pairs.flat();
  return Array.isArray(reply) ? (reply as readonly Reply[]) : NO_ITEMS;
}

const NO_ITEMS: readonly Reply[] = [];
