/**
 * Keys as a database can hold them: its text knows no U+0000. That is written U+0001 U+0001, and U+0001 is written U+0001 U+0002:
 * every other key stays as it is, and the order of the bytes is the same as before.
 */
export function keyToText(key: string): string {
  return key.replaceAll(/[\0\u0001]/g, (char) => (char === '\0' ? '\u0001\u0001' : '\u0001\u0002'));
}

export function keyFromText(text: string): string {
  return text.replaceAll(/\u0001[\u0001\u0002]/g, (pair) => (pair === '\u0001\u0001' ? '\0' : '\u0001'));
}

const LAST_CODE_POINT = 0x10ffff;
const SURROGATES_FROM = 0xd800;
const SURROGATES_TO = 0xdfff;

/** The least text, in the order of UTF-8 bytes, above all that begin with `prefix`; null: there is none. */
export function endOfPrefix(prefix: string): string | null {
  const points = Array.from(prefix, (char) => char.codePointAt(0) as number);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === LAST_CODE_POINT) continue;
    const next = last + 1 >= SURROGATES_FROM && last + 1 <= SURROGATES_TO ? SURROGATES_TO + 1 : last + 1;
    return String.fromCodePoint(...points, next);
  }
  return null;
}
