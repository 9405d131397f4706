const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const BACKSLASH = 0x5c;

const ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x6e, 0x0a], // n
  [0x72, 0x0d], // r
  [0x74, 0x09], // t
  [0x62, 0x08], // b
  [0x61, 0x07], // a
]);

/**
 * Splits an inline command into arguments as Redis' `sdssplitargs` does: blanks separate, "…" knows \n \r \t \b \a
 * and \xHH, '…' knows only \', a closing quote must be followed by a blank. Null when quotes are unbalanced.
 */
export function splitInline(line: Buffer): Buffer[] | null {
  const terminator = line.indexOf(0);
  const text = terminator === -1 ? line : line.subarray(0, terminator);
  const args: Buffer[] = [];
  let position = 0;
  for (;;) {
    while (position < text.length && isBlank(text[position])) position++;
    if (position === text.length) return args;
    const token = readToken(text, position);
    if (token === null) return null;
    args.push(token.value);
    position = token.end;
  }
}

interface Token {
  readonly value: Buffer;
  readonly end: number;
}

function readToken(text: Buffer, start: number): Token | null {
  const value = Buffer.allocUnsafe(text.length - start);
  let length = 0;
  let quote = 0;
  let position = start;
  while (position < text.length) {
    const byte = text[position] as number;
    position++;
    if (quote === 0) {
      if (isBlank(byte)) return { value: value.subarray(0, length), end: position };
      if (byte === QUOTE || byte === APOSTROPHE) quote = byte;
      else value[length++] = byte;
    } else if (byte === quote) {
      if (position < text.length && !isBlank(text[position])) return null;
      return { value: value.subarray(0, length), end: position };
    } else if (byte === BACKSLASH && position < text.length && quote === QUOTE) {
      const hex = text[position] === 0x78 ? hexByte(text, position + 1) : null;
      const escaped = text[position] as number;
      value[length++] = hex ?? ESCAPES.get(escaped) ?? escaped;
      position += hex === null ? 1 : 3;
    } else if (byte === BACKSLASH && quote === APOSTROPHE && text[position] === APOSTROPHE) {
      value[length++] = APOSTROPHE;
      position++;
    } else {
      value[length++] = byte;
    }
  }
  return quote === 0 ? { value: value.subarray(0, length), end: position } : null;
}

function hexByte(text: Buffer, at: number): number | null {
  const digits = text.toString('latin1', at, at + 2);
  return /^[0-9a-fA-F]{2}$/.test(digits) ? Number.parseInt(digits, 16) : null;
}

/** C's isspace(). */
function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || (byte !== undefined && byte >= 0x09 && byte <= 0x0d);
}
