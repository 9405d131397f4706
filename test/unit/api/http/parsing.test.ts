import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inOrder } from '../../../../src/api/http/in-order.ts';
import { splitLines } from '../../../../src/api/http/ndjson.ts';
import {
  integerParameter,
  keyParameter,
  levelParameter,
  QueryReader,
  switchParameter,
} from '../../../../src/api/http/query.ts';
import { bucketTarget, keyTarget } from '../../../../src/api/http/target.ts';
import { HoldfastError } from '../../../../src/lib/failure.ts';

/** The code of the failure thrown; anything else that is thrown fails the test. */
function outcome<T>(action: () => T): T | string {
  try {
    return action();
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom('%', '2', 'F', 'c', '3', '/', '?', '&', '=', '+', '#', '\0', '\u{10000}', 'é', '\ud800'),
  }),
);

describe('request targets', () => {
  it('bring every key back that encodeURIComponent was given', () => {
    const key = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 200 })
      .filter((text) => Buffer.byteLength(text) <= 1024);
    fc.assert(
      fc.property(key, fc.boolean(), (text, slashes) => {
        const encoded = encodeURIComponent(text);
        const path = slashes ? encoded.replaceAll('%2F', '/') : encoded;
        expect(keyTarget(`/v1/kv/some%20bucket/${path}?w=one`)).toEqual({ bucket: 'some bucket', key: text });
        expect(keyTarget(`/v1/kv/b/${path}/increment`, '/increment')).toEqual({ bucket: 'b', key: text });
      }),
    );
  });

  it('throw nothing but failures for hostile text', () => {
    const codes = new Set(['bad-key', 'bad-bucket', 'bad-request']);
    fc.assert(
      fc.property(hostile, fc.constantFrom('', '/v1/kv/', '/v1/kv/b/', 'http://x/v1/kv/b/'), (text, prefix) => {
        const found = outcome(() => keyTarget(prefix + text));
        if (typeof found === 'string') expect(codes).toContain(found);
        else expect(Buffer.from(found.key).toString()).toBe(found.key);
        const bucket = outcome(() => bucketTarget(prefix + text));
        expect(typeof bucket).toBe('string');
      }),
      { numRuns: 2000 },
    );
  });
});

describe('queries', () => {
  const reader = new QueryReader({
    level: levelParameter(''),
    limit: integerParameter({ min: 1, max: 10, fallback: 5 }, ''),
    values: switchParameter(true, ''),
    prefix: keyParameter(''),
  });

  it('bring values back', () => {
    const prefix = fc.string({ unit: 'binary', maxLength: 100 });
    fc.assert(
      fc.property(
        fc.constantFrom('one', 'quorum', 'all'),
        fc.integer({ min: 1, max: 10 }),
        fc.boolean(),
        prefix,
        (level, limit, values, text) => {
          const query = new URLSearchParams({ level, limit: String(limit), values: String(values), prefix: text });
          expect(reader.read(`/x?${query}`)).toEqual({ level, limit, values, prefix: text });
        },
      ),
    );
    expect(reader.read('/x')).toEqual({ level: null, limit: 5, values: true, prefix: '' });
    expect(reader.read('/x?')).toEqual({ level: null, limit: 5, values: true, prefix: '' });
  });

  it('throw nothing but bad-request for hostile text, and never leave the declared values', () => {
    fc.assert(
      fc.property(hostile, fc.constantFrom('', 'level=', 'limit=', 'prefix=', '__proto__='), (text, prefix) => {
        const found = outcome(() => reader.read(`/x?${prefix}${text}`));
        if (typeof found === 'string') {
          expect(found).toBe('bad-request');
          return;
        }
        expect(Object.keys(found)).toEqual(['level', 'limit', 'values', 'prefix']);
        expect([null, 'one', 'quorum', 'all']).toContain(found.level);
        expect(found.limit >= 1 && found.limit <= 10).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('have a bounded length', () => {
    expect(outcome(() => reader.read(`/x?${'&'.repeat(8193)}`))).toBe('bad-request');
  });
});

describe('splitting lines', () => {
  async function* pieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
    let from = 0;
    for (let i = 0; from < bytes.length; i++) {
      const size = sizes[i % sizes.length] ?? 1;
      yield bytes.subarray(from, from + size);
      from += size;
    }
  }

  it('does not depend on how the bytes arrive', async () => {
    const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ''));
    const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 10 }), sizes, fc.boolean(), async (lines, chunks, ended) => {
        const text = lines.join('\n') + (ended && lines.length > 0 ? '\n' : '');
        const expected = text.split('\n');
        if (expected.at(-1) === '') expected.pop();
        expect(await collect(splitLines(pieces(Buffer.from(text), chunks), 10_000))).toEqual(expected);
      }),
    );
  });

  it('refuses a line above the limit, also before its end has come', async () => {
    const take = (text: string) => collect(splitLines(pieces(Buffer.from(text), [4]), 10));
    expect(await take('0123456789\n0123456789')).toHaveLength(2);
    await expect(take('0123456789a\nb')).rejects.toMatchObject({ code: 'batch-too-large' });
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield Buffer.from('x');
    }
    await expect(collect(splitLines(endless(), 10))).rejects.toMatchObject({ code: 'batch-too-large' });
  });
});

describe('running in order', () => {
  async function* numbers(count: number, fault?: Error): AsyncGenerator<number> {
    for (let i = 0; i < count; i++) yield i;
    if (fault !== undefined) throw fault;
  }

  it('keeps order and width whatever the tasks take', async () => {
    const delays = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(delays, fc.integer({ min: 1, max: 6 }), async (turns, width) => {
        let running = 0;
        const run = async (i: number): Promise<number> => {
          running += 1;
          expect(running).toBeLessThanOrEqual(width);
          for (let turn = 0; turn < (turns[i] as number); turn++) await Promise.resolve();
          running -= 1;
          return i;
        };
        expect(await collect(inOrder(numbers(turns.length), width, run))).toEqual(turns.map((_, i) => i));
      }),
    );
  });

  it('gives the results before a fault of the source, then the fault', async () => {
    const seen: number[] = [];
    const all = async (): Promise<void> => {
      for await (const n of inOrder(numbers(3, new Error('cut')), 8, async (i) => i)) seen.push(n);
    };
    await expect(all()).rejects.toThrow('cut');
    expect(seen).toEqual([0, 1, 2]);
  });

  it('lets the source end when the reader stops', async () => {
    let ended = false;
    async function* source(): AsyncGenerator<number> {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        ended = true;
      }
    }
    for await (const n of inOrder(source(), 2, async (i) => i)) if (n === 3) break;
    expect(ended).toBe(true);
  });
});
