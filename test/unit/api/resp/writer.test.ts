import { describe, expect, test } from 'vitest';
import {
  ErrorReply,
  MapReply,
  OK,
  PushReply,
  Replies,
  type Reply,
  SetReply,
  VerbatimReply,
} from '../../../../src/api/resp/reply.ts';
import { ReplyWriter } from '../../../../src/api/resp/writer.ts';

function encoded(reply: Reply, version: 2 | 3): string {
  const writer = new ReplyWriter();
  writer.write(reply, version);
  return Buffer.concat(writer.take()).toString('latin1');
}

describe('ReplyWriter', () => {
  test.each<[string, Reply, string, string]>([
    ['status', OK, '+OK\r\n', '+OK\r\n'],
    ['error, on one line', new ErrorReply('ERR a\r\nb'), '-ERR a  b\r\n', '-ERR a  b\r\n'],
    ['integer', -42, ':-42\r\n', ':-42\r\n'],
    ['nil', null, '$-1\r\n', '_\r\n'],
    ['text counts bytes', 'é', '$2\r\n\xc3\xa9\r\n', '$2\r\n\xc3\xa9\r\n'],
    ['bytes', Buffer.from([0, 255]), '$2\r\n\0\xff\r\n', '$2\r\n\0\xff\r\n'],
    ['array', [1, null, ['a']], '*3\r\n:1\r\n$-1\r\n*1\r\n$1\r\na\r\n', '*3\r\n:1\r\n_\r\n*1\r\n$1\r\na\r\n'],
    ['map', new MapReply([['a', 1]]), '*2\r\n$1\r\na\r\n:1\r\n', '%1\r\n$1\r\na\r\n:1\r\n'],
    ['set', new SetReply([1]), '*1\r\n:1\r\n', '~1\r\n:1\r\n'],
    ['push', new PushReply(['a', 1]), '*2\r\n$1\r\na\r\n:1\r\n', '>2\r\n$1\r\na\r\n:1\r\n'],
    ['several', new Replies([OK, 1, null]), '+OK\r\n:1\r\n$-1\r\n', '+OK\r\n:1\r\n_\r\n'],
    ['none', new Replies([]), '', ''],
    ['verbatim', new VerbatimReply('é'), '$2\r\n\xc3\xa9\r\n', '=6\r\ntxt:\xc3\xa9\r\n'],
  ])('%s', (_name, reply, two, three) => {
    expect(encoded(reply, 2)).toBe(two);
    expect(encoded(reply, 3)).toBe(three);
  });

  test('keeps the order of small and large replies, over many chunks, and writes no byte twice', () => {
    const writer = new ReplyWriter();
    const sizes = [1, 5000, 3, 4096, 4097, 100_000, 0, 2];
    const taken: Uint8Array[] = [];
    let expected = '';
    let counted = 0;
    for (let round = 0; round < 20; round++) {
      for (const size of sizes) {
        const value = String.fromCharCode(97 + (round % 26)).repeat(size);
        writer.write(Buffer.from(value), 2);
        expected += `$${String(size)}\r\n${value}\r\n`;
      }
      counted += writer.bytes;
      taken.push(...writer.take());
      expect(writer.bytes).toBe(0);
      expect(writer.isEmpty).toBe(true);
    }
    expect(Buffer.concat(taken).toString('latin1')).toBe(expected);
    expect(counted).toBe(expected.length);
  });

  test('small replies of a batch are one piece', () => {
    const writer = new ReplyWriter();
    for (let i = 0; i < 256; i++) writer.write(OK, 2);
    expect(writer.take()).toHaveLength(1);
  });
});
