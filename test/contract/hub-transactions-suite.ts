import { expect, it } from 'vitest';
import { compareNames, type HubStore, type HubTransaction, type ObjectName } from '../../src/ports/hub-store.ts';
import {
  ACTOR,
  addSite,
  contextOf,
  OTHER,
  objectOf,
  put,
  read,
  readObject,
  readShard,
  register,
  SITE,
  scanAll,
  shardOf,
  valueText,
  write,
} from '../support/hub-transactions.ts';
import { bothTimes, type HubStoreSubject } from './hub-store-subject.ts';

const NAME = { shard: 3, bucket: 'readings', key: 'a' };
/** Class and number of a shard of a placement of its own. */
const LARGEST_SHARD = 2 ** 48 - 1;

/** Adds one to the number in an object, as often as it is called. */
function* increment(shard: number): HubTransaction<number> {
  yield { type: 'shards', shards: [shard], lock: true };
  const name = { ...NAME, shard };
  const rows = yield { type: 'objects', names: [name] };
  const object = rows.type === 'objects' ? [...rows.objects.values()][0] : undefined;
  const next = Number(valueText(object?.entries) ?? '0') + 1;
  return {
    writes: [
      { type: 'shard', shard, value: shardOf(next) },
      { type: 'object', name, value: objectOf(register(next, String(next))) },
    ],
    result: next,
  };
}

export function describeTransactions(subject: HubStoreSubject): void {
  it('keeps shards and objects as they were written, also over a restart', async () => {
    const store = subject.store;
    const shard = shardOf(5, {
      context: contextOf({ [ACTOR]: 5, [OTHER]: 2 ** 40 }),
      own: contextOf({ [OTHER]: 3 }),
      stripped: contextOf({ [OTHER]: 2 }),
      indexed: contextOf({ [ACTOR]: 4 }),
      skipped: contextOf({ [OTHER]: 2 ** 33 }),
      partial: ['readings', 'settings~3f'],
      doubtful: ['readings'],
    });
    const object = { entries: [register(1, 'x'), register(2, 'y')], past: contextOf({ [OTHER]: 9 }) };
    await write(store, [
      { type: 'shard', shard: LARGEST_SHARD, value: shard },
      { type: 'object', name: { ...NAME, shard: LARGEST_SHARD }, value: object },
    ]);
    for await (const opened of bothTimes(subject)) {
      expect(await readShard(opened, LARGEST_SHARD)).toEqual(shard);
      expect(await readObject(opened, { ...NAME, shard: LARGEST_SHARD })).toEqual(object);
      expect(await readShard(opened, 3)).toBeUndefined();
      expect(await readObject(opened, { ...NAME, key: 'b', shard: LARGEST_SHARD })).toBeUndefined();
    }
  });

  it('deletes an object, and one without entries and past', async () => {
    await write(subject.store, [put(3, 'readings', 'a', register(1, 'x')), put(3, 'readings', 'b', register(2, 'y'))]);
    await write(subject.store, [{ type: 'object', name: NAME, value: null }, put(3, 'readings', 'b')]);
    expect(await scanAll(subject.store, 3, ['readings'], 10)).toEqual([]);
    await write(subject.store, [
      { type: 'object', name: NAME, value: { entries: [], past: contextOf({ [OTHER]: 4 }) } },
    ]);
    expect(await readObject(subject.store, NAME)).toEqual({ entries: [], past: contextOf({ [OTHER]: 4 }) });
    expect((await subject.store.totals(SITE)).keys).toBe(0);
  });

  it('applies the last of several writes to one row', async () => {
    await write(subject.store, [
      put(3, 'readings', 'a', register(1, 'first')),
      { type: 'object', name: { ...NAME, key: 'b' }, value: null },
      put(3, 'readings', 'b', register(3, 'back')),
      put(3, 'readings', 'a', register(2, 'second')),
      { type: 'shard', shard: 3, value: shardOf(1) },
      { type: 'shard', shard: 3, value: shardOf(2) },
    ]);
    expect(valueText((await readObject(subject.store, NAME))?.entries)).toBe('second');
    expect(valueText((await readObject(subject.store, { ...NAME, key: 'b' }))?.entries)).toBe('back');
    expect((await readShard(subject.store, 3))?.revision).toBe(shardOf(2).revision);
  });

  it('writes nothing of a transaction that throws, and rejects with what it threw', async () => {
    const failing = function* (): HubTransaction<null> {
      yield { type: 'shards', shards: [3], lock: true };
      throw new RangeError('enough');
    };
    await expect(subject.store.transact(SITE, failing)).rejects.toThrow(RangeError);
    // The lock is free again.
    expect(await subject.store.transact(SITE, () => increment(3))).toBe(1);
  });

  it('refuses writes to a shard that is not locked', async () => {
    const writing = function* (): HubTransaction<null> {
      yield { type: 'shards', shards: [3], lock: false };
      return { writes: [put(3, 'readings', 'a', register(1, 'x'))], result: null };
    };
    await expect(subject.store.transact(SITE, writing)).rejects.toThrow(/locked/);
    expect(await readObject(subject.store, NAME)).toBeUndefined();
  });

  it('refuses a site that is not there', async () => {
    await expect(read(subject.store, { type: 'shards', shards: [1], lock: false }, 'nowhere')).rejects.toMatchObject({
      code: 'no-site',
    });
    await expect(subject.store.transact('nowhere', () => increment(1))).rejects.toMatchObject({ code: 'no-site' });
  });

  it('loses no update of transactions that run at the same time', async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, () => subject.store.transact(SITE, () => increment(3))),
    );
    expect(results.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });

  it('runs transactions that lock each other out in turn, in whatever order they ask', async () => {
    const both = function* (first: number, second: number): HubTransaction<null> {
      yield { type: 'shards', shards: [first], lock: true };
      yield { type: 'shards', shards: [second], lock: true };
      const rows = yield {
        type: 'objects',
        names: [first, second].map((shard) => ({ ...NAME, shard, key: `n${shard}` })),
      };
      const counts = rows.type === 'objects' ? [...rows.objects.values()] : [];
      const next = Math.max(0, ...counts.map(({ entries }) => Number(valueText(entries)))) + 1;
      const writes = [first, second].map((shard) => put(shard, 'readings', `n${shard}`, register(next, String(next))));
      return { writes, result: null };
    };
    await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        subject.store.transact(SITE, () => (index % 2 === 0 ? both(1, 2) : both(2, 1))),
      ),
    );
    for (const shard of [1, 2]) {
      const object = await readObject(subject.store, { ...NAME, shard, key: `n${shard}` });
      expect(valueText(object?.entries)).toBe('10');
    }
  });

  it('reads a state that was there at one time', async () => {
    const writing = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) await subject.store.transact(SITE, () => increment(3));
    };
    const reading = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        const seen = await subject.store.transact(SITE, function* (): HubTransaction<(string | undefined)[]> {
          const shards = yield { type: 'shards', shards: [3], lock: false };
          const objects = yield { type: 'objects', names: [NAME] };
          const revision = shards.type === 'shards' ? shards.shards.get(3)?.revision : undefined;
          const object = objects.type === 'objects' ? [...objects.objects.values()][0] : undefined;
          const value = valueText(object?.entries);
          return { writes: [], result: [revision, value === undefined ? undefined : shardOf(Number(value)).revision] };
        });
        expect(seen[0]).toBe(seen[1]);
      }
    };
    await Promise.all([writing(), reading(), reading()]);
  });

  it('finds the events that are there, in the order of the question', async () => {
    const event = (counter: number, key: string | null) =>
      ({ type: 'event', shard: 3, actor: ACTOR, counter, name: key === null ? null : { ...NAME, key } }) as const;
    await write(subject.store, [
      event(1, 'a'),
      event(2, 'b'),
      event(2 ** 45, 'ü\0'),
      { ...event(1, 'z'), actor: OTHER },
    ]);
    await write(subject.store, [event(2, null), event(1, 'changed')]);
    const dots = [2 ** 45, 2, 7, 1].map((counter) => ({ actor: ACTOR, counter }));
    const { events } = await read(subject.store, {
      type: 'events',
      shard: 3,
      dots: [...dots, { actor: OTHER, counter: 1 }],
    });
    expect(events).toEqual([
      { dot: dots[0], name: { bucket: 'readings', key: 'ü\0' } },
      { dot: dots[3], name: { bucket: 'readings', key: 'changed' } },
      { dot: { actor: OTHER, counter: 1 }, name: { bucket: 'readings', key: 'z' } },
    ]);
    expect((await read(subject.store, { type: 'events', shard: 4, dots })).events).toEqual([]);
    expect((await read(subject.store, { type: 'events', shard: 3, dots: [] })).events).toEqual([]);
  });

  it('scans in the order of the names, page by page', async () => {
    const names = oddNames();
    await write(
      subject.store,
      names.map(({ bucket, key }, index) => put(3, bucket, key, register(index + 1, key))),
    );
    await write(subject.store, [put(4, 'a', 'elsewhere', register(1, 'x')), put(3, 'other', 'k', register(1, 'x'))]);
    const buckets = ['readings~1', 'readings', 'a-b', 'a', 'a.b', 'absent'];
    const expected = names.toSorted(compareNames);
    for (const limit of [1, 7, names.length - 1, names.length, 1000]) {
      const rows = await scanAll(subject.store, 3, buckets, limit);
      expect(rows.map(({ name }) => name)).toEqual(expected);
      expect(rows.map(({ entries }) => valueText(entries))).toEqual(expected.map(({ key }) => key));
      const all = await scanAll(subject.store, 3, null, limit);
      const everything = [...expected, { bucket: 'other', key: 'k' }].toSorted(compareNames);
      expect(all.map(({ name }) => name)).toEqual(everything);
    }
    const some = await scanAll(subject.store, 3, ['a.b', 'a'], 1000);
    expect(some.map(({ name }) => name)).toEqual(expected.filter(({ bucket }) => bucket === 'a' || bucket === 'a.b'));
    expect(await scanAll(subject.store, 3, [], 10)).toEqual([]);
  });

  it('scans after a name that is not there', async () => {
    await write(subject.store, [put(3, 'b', 'k', register(1, 'x')), put(3, 'd', 'k', register(2, 'y'))]);
    const scan = async (after: ObjectName) => {
      const { rows } = await read(subject.store, { type: 'scan', shard: 3, buckets: ['b', 'd'], after, limit: 5 });
      return rows.map(({ name }) => name.bucket);
    };
    expect(await scan({ bucket: 'a', key: 'z' })).toEqual(['b', 'd']);
    expect(await scan({ bucket: 'b', key: 'j' })).toEqual(['b', 'd']);
    expect(await scan({ bucket: 'b', key: 'k' })).toEqual(['d']);
    expect(await scan({ bucket: 'c', key: '' })).toEqual(['d']);
    expect(await scan({ bucket: 'd', key: 'kk' })).toEqual([]);
    const anywhere = { type: 'scan', shard: 3, buckets: null, after: { bucket: 'c', key: 'z' }, limit: 5 } as const;
    expect((await read(subject.store, anywhere)).rows.map(({ name }) => name.bucket)).toEqual(['d']);
  });

  it('keeps values of 1 MiB, and scans them in pages', async () => {
    const large = (byte: number): Uint8Array => new Uint8Array(1024 * 1024).fill(byte);
    const keys = Array.from({ length: 20 }, (_, index) => `k${10 + index}`);
    for (const [index, key] of keys.entries()) {
      await write(subject.store, [put(3, 'readings', key, register(index + 1, large(index)))]);
    }
    const rows = await scanAll(subject.store, 3, ['readings'], 100);
    expect(rows.map(({ name }) => name.key)).toEqual(keys);
    for (const [index, { entries }] of rows.entries()) {
      const payload = entries[0]?.payload;
      expect(payload?.kind === 'register' && Buffer.compare(payload.value, large(index)) === 0).toBe(true);
    }
  });

  it('keeps the objects of two sites apart', async () => {
    await addSite(subject.store, 'paris');
    await write(subject.store, [put(3, 'readings', 'a', register(1, 'of Berlin'))]);
    await write(subject.store, [put(3, 'readings', 'a', register(1, 'of Paris'))], 'paris');
    expect(valueText((await readObject(subject.store, NAME))?.entries)).toBe('of Berlin');
    expect(valueText((await readObject(subject.store, NAME, 'paris'))?.entries)).toBe('of Paris');
    expect(await readShard(subject.store, 3, 'paris')).toBeUndefined();
  });
}

/** Names whose order is easily got wrong: punctuation, case, what is beyond the first plane, U+0000 and its neighbours. */
export function oddKeys(): string[] {
  const odd = [
    'a',
    'A',
    'b',
    'a-b',
    'a_b',
    'ab',
    'a b',
    ' ',
    "it's",
    '"',
    '\\',
    '%',
    '_',
    '{}',
    'NULL',
    ',',
    '~',
    '\t\n',
  ];
  const controls = [
    '\0',
    '\0\0',
    '\u0001',
    '\u0001\u0001',
    '\u0002',
    'a\0',
    'a\0b',
    'a\u0001',
    'a\u0001b',
    'a\u0002',
    '\0a',
  ];
  const beyond = ['é', 'e\u0301', 'ß', '\uffff', '\ue000', '\u{1f600}', '\u{10ffff}', '\ufeff', '日本'];
  return [...odd, ...controls, ...beyond, 'x'.repeat(1024), 'é'.repeat(512), '\0'.repeat(1024)];
}

function oddNames(): ObjectName[] {
  const inOne = oddKeys().map((key) => ({ bucket: 'readings', key }));
  const others = ['a', 'a-b', 'a.b', 'readings~1'].map((bucket) => ({ bucket, key: 'k' }));
  return [...inOne, ...others];
}

export async function concurrentIncrements(stores: readonly HubStore[], times: number): Promise<number[]> {
  const runs = stores.flatMap((store) => Array.from({ length: times }, () => store.transact(SITE, () => increment(3))));
  return (await Promise.all(runs)).sort((a, b) => a - b);
}
