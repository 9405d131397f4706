import { describe, expect, test } from 'vitest';
import { Glob } from '../../../../src/api/resp/glob.ts';

describe('Glob', () => {
  test.each([
    ['*', '', true],
    ['*', 'anything', true],
    ['a*', 'abc', true],
    ['a*', 'bac', false],
    ['*c', 'abc', true],
    ['a*c*e', 'abcde', true],
    ['a*c*e', 'abcd', false],
    ['h?llo', 'hello', true],
    ['h?llo', 'hllo', false],
    ['h[ae]llo', 'hallo', true],
    ['h[ae]llo', 'hillo', false],
    ['h[^e]llo', 'hallo', true],
    ['h[^e]llo', 'hello', false],
    ['h[a-c]llo', 'hbllo', true],
    ['h[c-a]llo', 'hbllo', true],
    ['h[a-c]llo', 'hdllo', false],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'axb', false],
    ['a\\', 'a\\', true],
    ['[a', 'a', true],
    ['[\\]]', ']', true],
    ['[]', 'a', false],
    ['é?', 'éa', true],
    ['??', 'é', true],
    ['user:*:name', 'user:7:name', true],
    ['', '', true],
    ['', 'a', false],
  ])('%j matches %j: %s', (pattern, key, expected) => {
    expect(new Glob(Buffer.from(pattern)).matches(key)).toBe(expected);
  });

  test.each([
    ['user:*', 'user:', false],
    ['user:7', 'user:7', true],
    ['a\\*b', 'a*b', true],
    ['a[b]', 'a', false],
    ['*', '', false],
  ])('%j starts with %j (literal: %s)', (pattern, prefix, isLiteral) => {
    expect(new Glob(Buffer.from(pattern))).toMatchObject({ prefix, isLiteral });
  });

  test('half a character is no beginning to list by', () => {
    const glob = new Glob(Buffer.from([0xc3, 0x3f]));
    expect(glob.prefix).toBe('');
    expect(glob.matches('é')).toBe(true);
  });

  test('many stars cost pattern times text, not more', () => {
    const glob = new Glob(Buffer.from(`${'a*'.repeat(500)}b`));
    const startedAtMs = performance.now();
    expect(glob.matches('a'.repeat(1024))).toBe(false);
    expect(performance.now() - startedAtMs).toBeLessThan(1000);
  });
});
