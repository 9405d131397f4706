import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { COMMAND_BYTES_MAX } from '../../src/api/resp/limits.ts';
import { ProtocolFault, RequestParser } from '../../src/api/resp/parser.ts';
import { encodeCommand } from '../support/resp-client.ts';

function collect(chunks: readonly Buffer[]): string[][] {
  const parser = new RequestParser();
  const commands: string[][] = [];
  for (const chunk of chunks) {
    parser.push(chunk);
    for (let next = parser.next(); next !== null; next = parser.next()) {
      if (next instanceof ProtocolFault) return [...commands, ['fault', next.message]];
      commands.push(next.args.map((arg) => arg.toString('latin1')));
    }
    expect(parser.bufferedBytes).toBeLessThanOrEqual(COMMAND_BYTES_MAX + chunk.length);
  }
  return commands;
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length));
}

const cuts = fc.array(fc.nat(100_000), { maxLength: 40 });
const argument = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const commands = fc.array(fc.array(argument, { minLength: 1, maxLength: 6 }), { maxLength: 8 });
/** Bytes that look like the protocol, so that random input gets past the first character. */
const almost = fc
  .array(
    fc.oneof(
      fc.constantFrom('*', '$', '\r\n', '\n', '"', "'", '\\x4', '-1', '3', '1048577', '99999999999', ' ', 'PING', '\0'),
      fc.string({ maxLength: 5 }),
    ),
    { maxLength: 60 },
  )
  .map((parts) => Buffer.from(parts.join('')));

describe('RESP request parser', () => {
  test('gives the same commands however the bytes are split', () => {
    fc.assert(
      fc.property(commands, cuts, (list, places) => {
        const bytes = Buffer.concat(list.map((args) => encodeCommand(args)));
        expect(collect(split(bytes, places))).toEqual(list.map((args) => args.map((arg) => arg.toString('latin1'))));
      }),
    );
  });

  test('never throws, and its verdict on any bytes does not depend on the split', () => {
    fc.assert(
      fc.property(fc.oneof(almost, argument), cuts, (bytes, places) => {
        expect(collect(split(bytes, places))).toEqual(collect([bytes]));
      }),
      { numRuns: 2000 },
    );
  });

  test('announced lengths reserve no memory', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1024 * 1024 }), fc.nat(512 * 1024 * 1024), (count, length) => {
        const parser = new RequestParser();
        const announced = Buffer.from(`*${String(count)}\r\n$${String(length)}\r\nab`);
        const before = process.memoryUsage().arrayBuffers;
        parser.push(announced);
        parser.next();
        parser.push(Buffer.from('cd'));
        parser.next();
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024);
      }),
      { numRuns: 50 },
    );
  });
});
