import { describe, expect, test } from 'vitest';
import {
  ARGUMENTS_MAX,
  COMMAND_BYTES_MAX,
  LINE_BYTES_MAX,
  MULTIBULK_COUNT_MAX,
} from '../../../../src/api/resp/limits.ts';
import { ProtocolFault, RequestParser } from '../../../../src/api/resp/parser.ts';
import { encodeCommand } from '../../../support/resp-client.ts';

/** Commands as latin1 text; a fault as its message; `[too large] name` for what was read past. */
function parse(chunks: readonly (string | Buffer)[]): unknown[] {
  const parser = new RequestParser();
  const found: unknown[] = [];
  for (const chunk of chunks) {
    parser.push(Buffer.from(chunk as Buffer));
    for (let next = parser.next(); next !== null; next = parser.next()) {
      if (next instanceof ProtocolFault) return [...found, next.message];
      const args = next.args.map((arg) => arg.toString('latin1'));
      found.push(next.tooLarge ? `[too large] ${String(args[0])}` : args);
    }
  }
  return found;
}

function bytewise(text: string): string[] {
  return text.split('');
}

describe('arrays of bulk strings', () => {
  test.each([
    ['one command', '*2\r\n$3\r\nGET\r\n$1\r\na\r\n', [['GET', 'a']]],
    ['several in one chunk', '*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n', [['PING'], ['ECHO', 'hi']]],
    ['empty and binary arguments', '*2\r\n$0\r\n\r\n$4\r\n\r\n\0\xff\r\n', [['', '\r\n\0\xff']]],
    ['empty and null arrays are skipped', '*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n', [['PING']]],
  ])('%s, whole and byte by byte', (_name, text, commands) => {
    expect(parse([Buffer.from(text, 'latin1')])).toEqual(commands);
    expect(parse(bytewise(text).map((byte) => Buffer.from(byte, 'latin1')))).toEqual(commands);
  });

  test.each([
    ['*abc\r\n', 'invalid multibulk length'],
    ['*01\r\n', 'invalid multibulk length'],
    ['*\r\n', 'invalid multibulk length'],
    ['*+1\r\n', 'invalid multibulk length'],
    [`*${String(MULTIBULK_COUNT_MAX + 1)}\r\n`, 'invalid multibulk length'],
    ['*99999999999999999999999\r\n', 'invalid multibulk length'],
    [`*${'1'.repeat(LINE_BYTES_MAX + 1)}`, 'too big mbulk count string'],
    ['*1\r\n:3\r\n', "expected '$', got ':'"],
    ['*1\r\n$-1\r\n', 'invalid bulk length'],
    ['*1\r\n$x\r\n', 'invalid bulk length'],
    ['*1\r\n$536870913\r\n', 'invalid bulk length'],
    [`*1\r\n$${'1'.repeat(LINE_BYTES_MAX + 1)}`, 'too big bulk count string'],
    ['PING "abc\r\n', 'unbalanced quotes in request'],
    ['x'.repeat(LINE_BYTES_MAX + 1), 'too big inline request'],
  ])('%.20j is a protocol error', (text, message) => {
    expect(parse([text])).toEqual([message]);
  });

  test('a fault stays', () => {
    const parser = new RequestParser();
    parser.push(Buffer.from('*x\r\n*1\r\n$4\r\nPING\r\n'));
    const fault = parser.next();
    parser.push(encodeCommand(['PING']));
    expect(parser.next()).toBe(fault);
    expect(parser.bufferedBytes).toBeLessThan(64);
  });

  test('a large argument arrives in pieces', () => {
    const value = 'v'.repeat(1024 * 1024);
    const bytes = encodeCommand(['SET', 'k', value]);
    const chunks: Buffer[] = [];
    for (let i = 0; i < bytes.length; i += 10_000) chunks.push(bytes.subarray(i, i + 10_000));
    expect(parse(chunks)).toEqual([['SET', 'k', value]]);
  });

  test('a command over the limit is read past without being stored', () => {
    const parser = new RequestParser();
    const size = COMMAND_BYTES_MAX * 20;
    parser.push(Buffer.from(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${String(size)}\r\n`));
    for (let sent = 0; sent < size; sent += 64 * 1024) {
      expect(parser.next()).toBeNull();
      parser.push(Buffer.alloc(Math.min(64 * 1024, size - sent)));
    }
    expect(parser.next()).toBeNull();
    expect(parser.bufferedBytes).toBe(0);
    parser.push(Buffer.from('\r\n*1\r\n$4\r\nPING\r\n'));
    expect(parser.next()).toMatchObject({ tooLarge: true, args: [Buffer.from('SET')] });
    expect(parser.next()).toMatchObject({ tooLarge: false, args: [Buffer.from('PING')] });
  });

  test('many medium arguments count together, and so does their number', () => {
    const value = 'v'.repeat(1024 * 1024);
    const many = Array.from({ length: ARGUMENTS_MAX }, () => '');
    expect(parse([encodeCommand(['MSET', 'a', value, 'b', value, 'c', value]), encodeCommand(['PING'])])).toEqual([
      '[too large] MSET',
      ['PING'],
    ]);
    expect(parse([encodeCommand(['DEL', ...many]), encodeCommand(['PING'])])).toEqual(['[too large] DEL', ['PING']]);
    expect(parse([encodeCommand([value.repeat(3), 'x'])])).toEqual(['[too large] ']);
  });
});

describe('inline commands', () => {
  test.each([
    ['PING\r\n', [['PING']]],
    ['PING\n', [['PING']]],
    ['\r\n \n  PING  \r\n', [['PING']]],
    ['SET  k\t"a b"\r\n', [['SET', 'k', 'a b']]],
    ['ECHO "\\x41\\n\\r\\t\\b\\a\\q\\\\\\""\r\n', [['ECHO', 'A\n\r\t\b\x07q\\"']]],
    ["ECHO 'a\\'b\\n'\r\n", [['ECHO', "a'b\\n"]]],
    ['ECHO ""\r\n', [['ECHO', '']]],
    ['ECHO foo"bar"\r\n', [['ECHO', 'foobar']]],
    ['ECHO "\\xZZ"\r\n', [['ECHO', 'xZZ']]],
    ['PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n', [['PING'], ['PING'], ['PING']]],
  ])('%j', (text, commands) => {
    expect(parse([text])).toEqual(commands);
    expect(parse(bytewise(text))).toEqual(commands);
  });

  test.each(['"a"b\r\n', "'a'b\r\n", "'a\r\n", '"a\\\r\n'])('%j has unbalanced quotes', (text) => {
    expect(parse([`ECHO ${text}`])).toEqual(['unbalanced quotes in request']);
  });
});
