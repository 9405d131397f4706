const STAR = 0x2a;
const QUESTION = 0x3f;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const CARET = 0x5e;
const DASH = 0x2d;
const BACKSLASH = 0x5c;

/** A pattern of KEYS, SCAN MATCH and PSUBSCRIBE: `*`, `?`, `[abc]`, `[^a-c]`, `\` takes the next byte as it is. Works on bytes. */
export class Glob {
  private readonly pattern: Buffer;
  /** The bytes that every match starts with. */
  readonly prefix: string;
  /** The pattern has no wildcard: only `prefix` itself matches. */
  readonly isLiteral: boolean;

  constructor(pattern: Buffer) {
    this.pattern = pattern;
    const literal: number[] = [];
    let at = 0;
    while (at < pattern.length) {
      const byte = pattern[at] as number;
      if (byte === STAR || byte === QUESTION || byte === OPEN) break;
      if (byte === BACKSLASH && at + 1 < pattern.length) at++;
      literal.push(pattern[at] as number);
      at++;
    }
    const bytes = Buffer.from(literal);
    const prefix = bytes.toString();
    // A wildcard may stand for half a character; such a beginning does not narrow the listing.
    const whole = Buffer.from(prefix).equals(bytes);
    this.prefix = whole ? prefix : '';
    this.isLiteral = whole && at === pattern.length;
  }

  /** Two cursors that go back to the last star: at most pattern × text steps, however many stars there are. */
  matches(key: string | Uint8Array): boolean {
    const { pattern } = this;
    const text = typeof key === 'string' ? Buffer.from(key) : key;
    let p = 0;
    let t = 0;
    let starP = -1;
    let starT = 0;
    while (t < text.length) {
      if (pattern[p] === STAR) {
        starP = p++;
        starT = t;
        continue;
      }
      const width = p < pattern.length ? matchOne(pattern, p, text[t] as number) : 0;
      if (width > 0) {
        p += width;
        t++;
      } else if (starP !== -1) {
        p = starP + 1;
        t = ++starT;
      } else {
        return false;
      }
    }
    while (pattern[p] === STAR) p++;
    return p === pattern.length;
  }
}

/** How many pattern bytes at `p` the byte matches with; 0 when it does not. */
function matchOne(pattern: Buffer, p: number, byte: number): number {
  switch (pattern[p]) {
    case QUESTION:
      return 1;
    case OPEN:
      return matchClass(pattern, p, byte);
    case BACKSLASH:
      if (p + 1 < pattern.length) return pattern[p + 1] === byte ? 2 : 0;
      return byte === BACKSLASH ? 1 : 0;
    default:
      return pattern[p] === byte ? 1 : 0;
  }
}

/** An unclosed class ends with the pattern, as in Redis. */
function matchClass(pattern: Buffer, open: number, byte: number): number {
  let p = open + 1;
  const negated = pattern[p] === CARET;
  if (negated) p++;
  let found = false;
  while (p < pattern.length && pattern[p] !== CLOSE) {
    if (pattern[p] === BACKSLASH && p + 1 < pattern.length) {
      if (pattern[p + 1] === byte) found = true;
      p += 2;
    } else if (pattern[p + 1] === DASH && p + 2 < pattern.length) {
      const a = pattern[p] as number;
      const b = pattern[p + 2] as number;
      if (byte >= Math.min(a, b) && byte <= Math.max(a, b)) found = true;
      p += 3;
    } else {
      if (pattern[p] === byte) found = true;
      p++;
    }
  }
  const width = Math.min(p + 1, pattern.length) - open;
  return found === negated ? 0 : width;
}
