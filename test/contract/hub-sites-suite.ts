import { expect, it } from 'vitest';
import { compareUtf8 } from '../../src/lib/utf8.ts';
import { type HubWrite, SEEN_LAG_MS, type SiteBucket } from '../../src/ports/hub-store.ts';
import { SITE_BUCKETS_MAX } from '../../src/protocol/uplink/message.ts';
import {
  ACTOR,
  addSite,
  contextOf,
  OTHER,
  put,
  read,
  readObject,
  readShard,
  register,
  SITE,
  START_MS,
  shardOf,
  valueText,
  write,
} from '../support/hub-transactions.ts';
import { bothTimes, type HubStoreSubject } from './hub-store-subject.ts';
import { oddKeys } from './hub-transactions-suite.ts';

const BUCKETS: readonly SiteBucket[] = [
  { name: 'readings', sync: 'both', conflict: 'lww', ttlSeconds: 3600, origin: null },
  { name: 'settings~3f', sync: 'down', conflict: 'siblings', ttlSeconds: null, origin: null },
];

const TOLD = { clusterId: 'c1', shards: 256, buckets: BUCKETS, actors: [{ actor: ACTOR, name: 'node-a' }] };

export function describeSites(subject: HubStoreSubject): void {
  it('adds sites, each name once, and tells of them in the order of their names', async () => {
    const { store } = subject;
    const key = Uint8Array.from({ length: 32 }, (_, index) => index * 8);
    expect(await store.addSite({ name: 'paris', key, createdMs: START_MS })).toBe(true);
    expect(await store.addSite({ name: 'paris', key: new Uint8Array(32), createdMs: 5 })).toBe(false);
    await addSite(store, 'Amsterdam');
    await addSite(store, 'a-1');
    const paris = { name: 'paris', key, createdMs: START_MS, clusterId: null, shards: null, seenMs: null };
    for await (const opened of bothTimes(subject)) {
      expect(await opened.site('paris')).toEqual(paris);
      expect(await opened.site('nowhere')).toBeNull();
      expect((await opened.sites()).map(({ name }) => name)).toEqual(['Amsterdam', 'a-1', SITE, 'paris']);
    }
  });

  it('adds a site once when two ask at the same time', async () => {
    const adding = () => subject.store.addSite({ name: 'paris', key: new Uint8Array(32), createdMs: START_MS });
    expect((await Promise.all([adding(), adding(), adding()])).filter(Boolean)).toHaveLength(1);
  });

  it('replaces the key of a site, and nothing else of it', async () => {
    const { store } = subject;
    await store.noteSite(SITE, { ...TOLD, atMs: START_MS });
    const before = await store.site(SITE);
    const key = new Uint8Array(32).fill(9);
    expect(await store.replaceKey(SITE, key)).toBe(true);
    expect(await store.replaceKey('nowhere', key)).toBe(false);
    // What is noted afterwards does not bring the old one back.
    const seenMs = START_MS + SEEN_LAG_MS;
    await store.noteSeen(SITE, seenMs);
    for await (const opened of bothTimes(subject)) {
      expect(await opened.site(SITE)).toEqual({ ...before, key, seenMs });
      expect(await opened.buckets(SITE)).toEqual(BUCKETS);
    }
  });

  it('keeps what a site says of itself: the buckets and the actors that any of its islands has told of', async () => {
    const { store } = subject;
    await store.noteSite(SITE, { ...TOLD, atMs: START_MS });
    await store.noteSite(SITE, {
      clusterId: 'c2',
      shards: 512,
      buckets: [{ ...(BUCKETS[1] as SiteBucket), ttlSeconds: 99, origin: null }],
      actors: [
        { actor: OTHER, name: 'node-b' },
        { actor: ACTOR, name: 'renamed' },
      ],
      atMs: START_MS + 1,
    });
    for await (const opened of bothTimes(subject)) {
      expect(await opened.site(SITE)).toMatchObject({ clusterId: 'c2', shards: 512, seenMs: START_MS + 1 });
      expect(await opened.buckets(SITE)).toEqual([BUCKETS[0], { ...BUCKETS[1], ttlSeconds: 99, origin: null }]);
      expect(await opened.actors(SITE)).toEqual(
        new Map([
          [ACTOR, 'renamed'],
          [OTHER, 'node-b'],
        ]),
      );
    }
  });

  it('keeps no more buckets than it can read again, those first that it knows', async () => {
    const bucketsOf = (letter: string): SiteBucket[] =>
      Array.from({ length: SITE_BUCKETS_MAX - 1 }, (_, index) => ({
        name: `${letter}${index}`,
        sync: 'both',
        conflict: 'lww',
        ttlSeconds: null,
        origin: null,
      }));
    for (const letter of ['b', 'a'])
      await subject.store.noteSite(SITE, { ...TOLD, buckets: bucketsOf(letter), atMs: START_MS });
    for await (const opened of bothTimes(subject)) {
      const names = (await opened.buckets(SITE)).map(({ name }) => name);
      expect(names).toHaveLength(SITE_BUCKETS_MAX);
      expect(names.filter((name) => name.startsWith('b'))).toHaveLength(SITE_BUCKETS_MAX - 1);
    }
  });

  it('keeps when a site was seen, about', async () => {
    await subject.store.noteSeen(SITE, START_MS);
    expect((await subject.store.site(SITE))?.seenMs).toBe(START_MS);
    await subject.store.noteSeen(SITE, START_MS + 10 * SEEN_LAG_MS);
    await subject.store.noteSeen(SITE, START_MS + 10 * SEEN_LAG_MS + 1);
    const seenMs = (await subject.store.site(SITE))?.seenMs ?? 0;
    expect(seenMs - START_MS).toBeGreaterThanOrEqual(10 * SEEN_LAG_MS);
    expect(seenMs - START_MS).toBeLessThanOrEqual(10 * SEEN_LAG_MS + 1);
    await subject.store.noteSeen(SITE, START_MS);
    expect((await subject.store.site(SITE))?.seenMs).toBe(seenMs);
  });

  it('keeps which buckets sites are given from others, one giver of each', async () => {
    const { store } = subject;
    for (const site of ['paris', 'oslo']) await addSite(store, site);
    const share = { to: SITE, bucket: 'prices', from: 'paris', createdMs: START_MS };
    expect(await store.addShare(share)).toBe(true);
    expect(await store.addShare({ ...share, from: 'oslo', createdMs: 5 })).toBe(false);
    expect(await store.addShare({ ...share, bucket: 'menus', from: 'oslo' })).toBe(true);
    expect(await store.addShare({ ...share, to: 'oslo' })).toBe(true);
    for (const wrong of [{ to: 'nowhere' }, { from: 'nowhere' }]) {
      const adding = store.addShare({ ...share, bucket: 'wrong', ...wrong });
      await expect(adding).rejects.toMatchObject({ name: 'HubStoreError', code: 'no-site' });
    }
    const all = [{ ...share, bucket: 'menus', from: 'oslo' }, share, { ...share, to: 'oslo' }];
    for await (const opened of bothTimes(subject)) {
      expect(await opened.shares()).toEqual(all.toSorted((a, b) => compareUtf8(a.to, b.to)));
    }
    expect(await subject.store.removeShare({ to: SITE, bucket: 'menus' })).toBe(true);
    expect(await subject.store.removeShare({ to: SITE, bucket: 'menus' })).toBe(false);
    expect(await subject.store.removeShare({ to: 'nowhere', bucket: 'prices' })).toBe(false);
  });

  it('removes with a site what it gives and is given', async () => {
    const { store } = subject;
    for (const site of ['paris', 'oslo']) await addSite(store, site);
    for (const [from, to] of [
      ['paris', SITE],
      ['paris', 'oslo'],
      [SITE, 'paris'],
    ] as const) {
      expect(await store.addShare({ to, bucket: 'prices', from, createdMs: START_MS })).toBe(true);
    }
    await store.removeSite('paris');
    await addSite(store, 'paris');
    for await (const opened of bothTimes(subject)) expect(await opened.shares()).toEqual([]);
  });

  it('removes a site with all that it has, and nothing else', async () => {
    const { store } = subject;
    await addSite(store, 'paris');
    for (const site of [SITE, 'paris']) {
      await store.noteSite(site, { ...TOLD, atMs: START_MS });
      await write(
        store,
        [
          { type: 'shard', shard: 3, value: shardOf(1, { own: contextOf({ [OTHER]: 1 }) }) },
          put(3, 'readings', 'a', register(1, 'x')),
          { type: 'event', shard: 3, actor: OTHER, counter: 1, name: { bucket: 'readings', key: 'a' } },
          conflict('a', 1, 2),
        ],
        site,
      );
    }
    expect(await store.removeSite(SITE)).toBe(true);
    expect(await store.removeSite(SITE)).toBe(false);
    for (const asking of [
      () => store.noteSite(SITE, { ...TOLD, atMs: START_MS }),
      () => store.noteSeen(SITE, START_MS + 3 * SEEN_LAG_MS),
      () => store.buckets(SITE),
      () => store.actors(SITE),
      () => store.list(SITE, 'readings', { prefix: '', after: '', limit: 1 }),
      () => store.conflicts(SITE, { before: null, limit: 1 }),
      () => store.totals(SITE),
      () => store.changedSince(SITE, null),
      () => readShard(store, 3),
    ]) {
      await expect(asking()).rejects.toMatchObject({ name: 'HubStoreError', code: 'no-site' });
    }
    expect(await store.site(SITE)).toBeNull();
    // A new one of the same name begins with nothing.
    await addSite(store);
    for await (const opened of bothTimes(subject)) {
      expect(await readShard(opened, 3)).toBeUndefined();
      expect(await readObject(opened, { shard: 3, bucket: 'readings', key: 'a' })).toBeUndefined();
      expect((await read(opened, { type: 'events', shard: 3, dots: [{ actor: OTHER, counter: 1 }] })).events).toEqual(
        [],
      );
      expect(await opened.totals(SITE)).toEqual({ keys: 0, conflicts: 0 });
      expect(await opened.conflicts(SITE, { before: null, limit: 9 })).toEqual([]);
      expect(await opened.buckets(SITE)).toEqual([]);
      expect((await opened.actors(SITE)).size).toBe(0);
      expect(valueText((await readObject(opened, { shard: 3, bucket: 'readings', key: 'a' }, 'paris'))?.entries)).toBe(
        'x',
      );
      expect(await opened.totals('paris')).toEqual({ keys: 1, conflicts: 1 });
    }
  });

  it('shows no site half removed to who reads meanwhile', async () => {
    const { store } = subject;
    const name = { shard: 3, bucket: 'readings', key: 'a' };
    await write(store, [put(3, 'readings', 'a', register(1, 'x'))]);
    const reading = Array.from({ length: 40 }, async () => {
      for (;;) expect(valueText((await readObject(store, name))?.entries)).toBe('x');
    });
    const ended = Promise.allSettled(reading);
    await readShard(store, 3);
    expect(await store.removeSite(SITE)).toBe(true);
    for (const end of await ended) expect(end).toMatchObject({ status: 'rejected', reason: { code: 'no-site' } });
  });

  it('lists the keys of a bucket in the order of their bytes, by prefix, after a key, and by the page', async () => {
    const keys = oddKeys();
    await write(
      subject.store,
      keys.map((key, index) => put(index % 5, 'readings', key, register(index + 1, key))),
    );
    await write(subject.store, [put(1, 'readings~1', 'a', register(1, 'x')), put(1, 'reading', 'a', register(2, 'x'))]);
    const list = async (prefix: string, after: string, limit: number): Promise<string[]> => {
      const values = await subject.store.list(SITE, 'readings', { prefix, after, limit });
      for (const { key, entries } of values) expect(valueText(entries)).toBe(key);
      return values.map(({ key }) => key);
    };
    const sorted = keys.toSorted(compareUtf8);
    expect(await list('', '', 1000)).toEqual(sorted);
    for (const limit of [1, 4]) {
      const paged: string[] = [];
      for (let page = await list('', '', limit); page.length > 0; page = await list('', page.at(-1) ?? '', limit)) {
        paged.push(...page);
      }
      expect(paged).toEqual(sorted);
    }
    for (const prefix of [
      'a',
      'a\0',
      'a\u0001',
      '\0',
      '\u0001',
      'é',
      '\u{10ffff}',
      '%',
      '_',
      '\\',
      'zz',
      'x'.repeat(1024),
    ]) {
      expect(await list(prefix, '', 1000)).toEqual(sorted.filter((key) => key.startsWith(prefix)));
      const after = `${prefix}a`;
      const rest = sorted.filter((key) => key.startsWith(prefix) && compareUtf8(key, after) > 0);
      expect(await list(prefix, after, 1000)).toEqual(rest);
    }
    expect(await list('a', 'b', 10)).toEqual([]);
    expect(await list('b', 'a', 10)).toEqual(['b']);
    expect(await list('', '', 0)).toEqual([]);
  });

  it('lists and counts what has a value, also when it has expired', async () => {
    const expired = register(1, 'x', { expiresAtMs: START_MS });
    const header = register(2, '', { payload: { kind: 'set' } });
    await write(subject.store, [put(1, 'b', 'expired', expired), put(2, 'b', 'header', header)]);
    const keys = async () =>
      (await subject.store.list(SITE, 'b', { prefix: '', after: '', limit: 9 })).map(({ key }) => key);
    expect(await keys()).toEqual(['expired']);
    expect((await subject.store.totals(SITE)).keys).toBe(1);
    const member = register(3, '', { payload: { kind: 'set-member', member: Uint8Array.of(1) } });
    await write(subject.store, [put(2, 'b', 'header', header, member), put(1, 'b', 'expired', { ...expired, hlc: 1 })]);
    expect(await keys()).toEqual(['expired', 'header']);
    expect((await subject.store.totals(SITE)).keys).toBe(2);
    await write(subject.store, [
      put(2, 'b', 'header', header),
      { type: 'object', name: { shard: 1, bucket: 'b', key: 'expired' }, value: null },
    ]);
    expect(await keys()).toEqual([]);
    expect((await subject.store.totals(SITE)).keys).toBe(0);
  });

  it('keeps each conflict once, the latest first, with the names of the nodes', async () => {
    const { store } = subject;
    await store.noteSite(SITE, { ...TOLD, atMs: START_MS });
    await write(store, [conflict('a', 1, 2), conflict('b\0', 3, 4)]);
    await write(store, [conflict('other key', 9, 2), conflict('c', 5, 6), conflict('d', 7, 6)]);
    await write(store, [conflict('e', 1, 2, 4)]);
    for await (const opened of bothTimes(subject)) {
      const all = await opened.conflicts(SITE, { before: null, limit: 10 });
      expect(all.map(({ key }) => key)).toEqual(['e', 'c', 'b\0', 'a']);
      expect(all[3]).toMatchObject({ bucket: 'readings', wonBy: 'node-a', lostBy: OTHER });
      expect(all[3]?.winner).toEqual(register(1, 'won'));
      expect(all[3]?.loser).toEqual(register(2, 'lost', { dot: { actor: OTHER, counter: 2 } }));
      expect(all.every(({ atMs }) => Number.isSafeInteger(atMs) && atMs > 0)).toBe(true);
      const paged: string[] = [];
      for (let before: number | null = null; ; ) {
        const [row] = await opened.conflicts(SITE, { before, limit: 1 });
        if (row === undefined) break;
        paged.push(row.key);
        before = row.position;
      }
      expect(paged).toEqual(['e', 'c', 'b\0', 'a']);
      expect((await opened.totals(SITE)).conflicts).toBe(4);
    }
    await write(subject.store, [conflict('f', 1, 8)]);
    expect((await subject.store.conflicts(SITE, { before: null, limit: 1 })).map(({ key }) => key)).toEqual(['f']);
  });

  it('keeps the latest conflicts of each site, so many of them', async () => {
    const { store } = subject;
    await addSite(store, 'paris');
    await write(store, [conflict('a', 1, 2)], 'paris');
    for (let i = 1; i <= 4; i++) await write(store, [conflict(`k${i}`, 1, i, i % 2)]);
    await write(
      store,
      [5, 6, 7, 8].map((i) => conflict(`k${i}`, 1, i)),
    );
    const keysAt = async (site: string): Promise<string[]> =>
      (await subject.store.conflicts(site, { before: null, limit: 20 })).map(({ key }) => key);
    for await (const opened of bothTimes(subject)) {
      expect(await keysAt(SITE)).toEqual(['k8', 'k7', 'k6', 'k5', 'k4', 'k3']);
      expect(await keysAt('paris')).toEqual(['a']);
      expect((await opened.totals(SITE)).conflicts).toBe(6);
    }
    // One that is kept is not new; one that is not any more would be.
    await write(subject.store, [conflict('k3', 1, 3, 1), conflict('k1', 1, 1, 1)]);
    expect(await keysAt(SITE)).toEqual(['k1', 'k8', 'k7', 'k6', 'k5', 'k4']);
    expect((await subject.store.totals(SITE)).conflicts).toBe(6);
  });

  it('names the shards in which the hub itself has written since', async () => {
    const own = (counter: number) => ({ own: contextOf({ [OTHER]: counter }) });
    const shard = (number: number, revision: number, rest = {}): HubWrite => ({
      type: 'shard',
      shard: number,
      value: shardOf(revision, rest),
    });
    await write(subject.store, [shard(1, 1, own(1)), shard(2, 1)]);
    const first = await subject.store.changedSince(SITE, null);
    expect(first.shards).toEqual([]);
    await write(subject.store, [shard(2, 2), shard(1, 2, { ...own(1), stripped: contextOf({ [OTHER]: 1 }) })]);
    expect((await subject.store.changedSince(SITE, first.cursor)).shards).toEqual([]);
    await write(subject.store, [shard(7, 1, own(1)), shard(2, 3, own(2))]);
    await write(subject.store, [shard(2, 4, own(2))]);
    const second = await subject.store.changedSince(SITE, first.cursor);
    expect(second.shards).toEqual([2, 7]);
    expect((await subject.store.changedSince(SITE, second.cursor)).shards).toEqual([]);
    await write(subject.store, [shard(2, 5, own(3))]);
    const reopened = await subject.reopen();
    const third = await reopened.changedSince(SITE, second.cursor);
    expect(third.shards).toContain(2);
    expect((await reopened.changedSince(SITE, third.cursor)).shards).toEqual([]);
  });

  it('fails with a typed error once it is closed', async () => {
    await subject.store.close();
    await expect(subject.store.sites()).rejects.toMatchObject({ name: 'HubStoreError' });
    await expect(readShard(subject.store, 1)).rejects.toMatchObject({ name: 'HubStoreError' });
    await subject.store.close();
  });
}

/** Between writes of two nodes. */
function conflict(key: string, won: number, lost: number, shard = 3): HubWrite {
  return {
    type: 'conflict',
    name: { shard, bucket: 'readings', key },
    winner: register(won, 'won'),
    loser: register(lost, 'lost', { dot: { actor: OTHER, counter: lost } }),
  };
}
