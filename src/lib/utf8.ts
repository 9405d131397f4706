/**
 * Order of the UTF-8 forms of two strings, without encoding them: by code point. (JavaScript's own order is by
 * UTF-16 unit, which puts U+FFxx after U+1xxxx.) Negative, zero or positive.
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // A surrogate belongs to a code point above every unit that is none.
    const high = (x & 0xf800) === 0xd800;
    return high === ((y & 0xf800) === 0xd800) ? x - y : high ? 1 : -1;
  }
  return a.length - b.length;
}
