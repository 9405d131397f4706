import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openHubPostgresStore } from '../../src/adapters/postgres/hub-postgres-store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { hlcAt } from '../../src/lib/hlc.ts';
import type { Entry, HubStore, HubTransaction } from '../../src/ports/hub-store.ts';
import {
  ACTOR,
  addSite,
  OTHER,
  objectOf,
  put,
  readObject,
  readShard,
  register,
  SITE,
  START_MS,
  shardOf,
  valueText,
  write,
} from '../support/hub-transactions.ts';
import { PASSWORD, POSTGRES_MISSING, PostgresServer } from '../support/postgres-server.ts';
import { RecordingLog } from '../support/recording-log.ts';

if (POSTGRES_MISSING !== null) console.warn(POSTGRES_MISSING);

describe.skipIf(POSTGRES_MISSING !== null)('a hub on PostgreSQL', () => {
  let server: PostgresServer;
  let url: string;
  let log: RecordingLog;
  let store: HubStore;

  const open = (timeoutMs = 5000): Promise<HubStore> =>
    openHubPostgresStore({ url, log, clock: systemClock, timeoutMs, connectionsMax: 4 });

  beforeAll(async () => {
    server = await PostgresServer.start();
  });

  afterAll(async () => {
    await server.dispose();
  });

  beforeEach(async () => {
    url = await server.createDatabase();
    log = new RecordingLog();
    store = await open();
    await addSite(store);
  });

  afterEach(async () => {
    await store.close();
  });

  describe('shows values to SQL', () => {
    const rows = (where: string) =>
      server.query(url, `select * from holdfast_value where ${where} order by bucket, key`);

    beforeEach(async () => {
      const actors = [{ actor: ACTOR, name: 'node-a' }];
      await store.noteSite(SITE, { clusterId: 'c', shards: 256, buckets: [], actors, atMs: START_MS });
    });

    it('with its site, bucket, key, text, type, time and author', async () => {
      const json = register(2, '{"on":true}', { dot: { actor: OTHER, counter: 2 } });
      const typed = {
        kind: 'register',
        value: new TextEncoder().encode('{"on":true}'),
        contentType: 'application/json',
      };
      await write(store, [
        put(1, 'readings', 'a/b', register(1, 'grün')),
        put(2, 'settings~3f', 'light', { ...json, payload: typed as Entry['payload'] }),
      ]);
      expect(await rows('true')).toEqual([
        {
          site: SITE,
          bucket: 'readings',
          key: 'a/b',
          value: Buffer.from('grün'),
          text: 'grün',
          content_type: 'text/plain',
          written_at: new Date(START_MS + 1),
          written_by: 'node-a',
        },
        {
          site: SITE,
          bucket: 'settings',
          key: 'light',
          value: Buffer.from('{"on":true}'),
          text: '{"on":true}',
          content_type: 'application/json',
          written_at: new Date(START_MS + 2),
          written_by: OTHER,
        },
      ]);
      const [{ on } = {}] = await server.query(
        url,
        "select text::json ->> 'on' as on from holdfast_value where bucket = 'settings'",
      );
      expect(on).toBe('true');
    });

    it('as it is after every write, and not once it is deleted', async () => {
      await write(store, [put(1, 'readings', 'a', register(1, 'old')), put(1, 'readings', 'b', register(2, 'b'))]);
      await write(store, [
        put(1, 'readings', 'a', register(1, 'old'), register(3, 'new')),
        { type: 'object', name: { shard: 1, bucket: 'readings', key: 'b' }, value: null },
      ]);
      expect((await rows('true')).map(({ key, text }) => [key, text])).toEqual([['a', 'new']]);
      await write(store, [put(1, 'readings', 'a')]);
      expect(await rows('true')).toEqual([]);
    });

    it('without those that have expired, whenever that was', async () => {
      const now = Date.now();
      await write(store, [
        put(1, 'readings', 'gone', register(1, 'x', { hlc: hlcAt(now - 9000), expiresAtMs: now - 1000 })),
        put(1, 'readings', 'here', register(2, 'y', { hlc: hlcAt(now), expiresAtMs: now + 3_600_000 })),
        put(1, 'readings', 'for ever', register(3, 'z', { expiresAtMs: Number.MAX_SAFE_INTEGER })),
      ]);
      expect((await rows('true')).map(({ key }) => key)).toEqual(['for ever', 'here']);
    });

    it('with the sum of a counter, and sets and maps as JSON', async () => {
      const entry = (counter: number, payload: Entry['payload']): Entry => ({ ...register(counter, ''), payload });
      const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
      await write(store, [
        put(1, 'b', 'counter', entry(1, { kind: 'counter', total: 42, since: 1 })),
        put(1, 'b', 'set', entry(2, { kind: 'set-member', member: bytes('m') })),
        put(1, 'b', 'map', entry(3, { kind: 'map-field', field: bytes('f'), hlc: 1, value: bytes('v') })),
      ]);
      expect((await rows('true')).map(({ key, text, content_type }) => [key, text, content_type])).toEqual([
        ['counter', '42', 'text/plain'],
        ['map', '{"fields":{"f":"v"}}', 'application/json'],
        ['set', '{"members":["m"]}', 'application/json'],
      ]);
    });

    it('without text where the bytes are none, and keys with U+0000 in another form', async () => {
      const binary = (counter: number, ...bytes: number[]) => register(counter, Uint8Array.from(bytes));
      await write(store, [
        put(1, 'b', 'no UTF-8', binary(1, 0xff)),
        put(1, 'b', 'zero', binary(2, 0x61, 0x00)),
        put(1, 'b', 'x\0y', register(3, 'z')),
      ]);
      expect((await rows('true')).map(({ key, value, text }) => [key, value, text])).toEqual([
        ['no UTF-8', Buffer.of(0xff), null],
        ['x\u0001\u0001y', Buffer.from('z'), 'z'],
        ['zero', Buffer.of(0x61, 0x00), null],
      ]);
    });
  });

  describe('whose server is away', () => {
    const methods = (): Record<string, () => Promise<unknown>> => ({
      transact: () => readShard(store, 1),
      addSite: () => store.addSite({ name: 'paris', key: new Uint8Array(32), createdMs: 1 }),
      removeSite: () => store.removeSite('paris'),
      sites: () => store.sites(),
      site: () => store.site(SITE),
      noteSite: () => store.noteSite(SITE, { clusterId: 'c', shards: 256, buckets: [], actors: [], atMs: START_MS }),
      noteSeen: () => store.noteSeen(SITE, START_MS),
      buckets: () => store.buckets(SITE),
      actors: () => store.actors(SITE),
      list: () => store.list(SITE, 'b', { prefix: '', after: '', limit: 1 }),
      conflicts: () => store.conflicts(SITE, { before: null, limit: 1 }),
      totals: () => store.totals(SITE),
      changedSince: () => store.changedSince(SITE, null),
    });

    it('fails with a typed error, and goes on when it is back', async () => {
      await write(store, [put(1, 'readings', 'a', register(1, 'before'))]);
      await server.stop();
      try {
        for (const [name, method] of Object.entries(methods())) {
          await expect(method(), name).rejects.toMatchObject({ name: 'HubStoreError', code: 'unavailable' });
        }
        await expect(open()).rejects.toMatchObject({ name: 'HubStoreError', code: 'unavailable' });
      } finally {
        await server.start();
      }
      expect(valueText((await readObject(store, { shard: 1, bucket: 'readings', key: 'a' }))?.entries)).toBe('before');
      for (const method of Object.values(methods())) await method();
      await write(store, [put(1, 'readings', 'a', register(2, 'after'))]);
      expect(valueText((await readObject(store, { shard: 1, bucket: 'readings', key: 'a' }))?.entries)).toBe('after');
    });

    it('fails the transaction that was under way when its connection was lost', async () => {
      let runs = 0;
      let cutting: Promise<unknown> = Promise.resolve();
      const cut = function* (): HubTransaction<null> {
        runs++;
        yield { type: 'shards', shards: [1], lock: true };
        // Whatever its session is doing at that instant: between two reads it is idle, during one it is not.
        cutting = server.query(
          url,
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid()`,
        );
        for (;;) yield { type: 'objects', names: [{ shard: 1, bucket: 'b', key: 'k' }] };
      };
      await expect(store.transact(SITE, cut)).rejects.toMatchObject({ name: 'HubStoreError', code: 'unavailable' });
      expect(runs).toBe(1);
      await cutting;
      // Until the store has noticed it, other connections are found to be gone as well.
      await expect.poll(() => readShard(store, 1).catch(() => 'gone')).toBeUndefined();
    });

    it('fails in bounded time where something takes the connection and says nothing', async () => {
      const sockets: Socket[] = [];
      const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const address = silent.address();
      const port = typeof address === 'object' ? address?.port : 0;
      const opening = openHubPostgresStore({
        url: `postgres://u:p@127.0.0.1:${port}/d`,
        log,
        clock: systemClock,
        timeoutMs: 200,
      });
      await expect(opening).rejects.toMatchObject({ name: 'HubStoreError', code: 'unavailable' });
      for (const socket of sockets) socket.destroy();
      silent.close();
    });

    it('keeps no connection on which the login has failed', async () => {
      const closed = Promise.withResolvers<void>();
      const asking = createServer((socket) => {
        socket.once('close', () => closed.resolve());
        socket.on('error', () => undefined);
        // AuthenticationSASL, with a mechanism that no client has: from then on it waits for the client.
        const mechanisms = Buffer.from('NONE\0\0');
        const head = Buffer.alloc(9, 'R');
        head.writeInt32BE(8 + mechanisms.length, 1);
        head.writeInt32BE(10, 5);
        socket.once('data', () => socket.write(Buffer.concat([head, mechanisms])));
      }).listen(0, '127.0.0.1');
      await once(asking, 'listening');
      const address = asking.address();
      const port = typeof address === 'object' ? address?.port : 0;
      const opening = openHubPostgresStore({ url: `postgres://u:p@127.0.0.1:${port}/d`, log, clock: systemClock });
      await expect(opening).rejects.toMatchObject({ name: 'HubStoreError', code: 'io' });
      await closed.promise;
      asking.close();
    });

    it('does not wait for ever for a lock that somebody keeps', async () => {
      await store.close();
      store = await open(300);
      await write(store, [{ type: 'shard', shard: 1, value: shardOf(1) }]);
      const blocking = server.query(url, 'begin; update holdfast_shard set shard = shard; select pg_sleep(3); commit');
      await expect
        .poll(
          async () => {
            const waiting = write(store, [{ type: 'shard', shard: 1, value: shardOf(2) }]);
            return await waiting.then(
              () => 'written',
              (error: unknown) => (error as { code?: string }).code,
            );
          },
          { timeout: 2500 },
        )
        .toBe('unavailable');
      await blocking;
      await write(store, [{ type: 'shard', shard: 1, value: shardOf(3) }]);
    });
  });

  it('runs a transaction again, from its start, that was refused for the sake of another one', async () => {
    await server.query(
      url,
      `create sequence refusals;
       create function refuse() returns trigger language plpgsql as $$
       begin
         if nextval('refusals') <= 2 then raise exception 'refused' using errcode = '40001'; end if;
         return new;
       end $$;
       create trigger refusing before insert on holdfast_object for each row execute function refuse()`,
    );
    let runs = 0;
    const name = { shard: 1, bucket: 'b', key: 'k' };
    const result = await store.transact(SITE, function* (): HubTransaction<number> {
      runs++;
      yield { type: 'shards', shards: [1], lock: true };
      return { writes: [{ type: 'object', name, value: objectOf(register(runs, String(runs))) }], result: runs };
    });
    expect(result).toBe(3);
    expect(valueText((await readObject(store, name))?.entries)).toBe('3');
  });

  it('goes on with a removal that was cut short', async () => {
    await write(store, [put(1, 'b', 'k', register(1, 'x'))]);
    await server.query(
      url,
      `insert into holdfast_removal select id from holdfast_site;
       delete from holdfast_shard; delete from holdfast_site`,
    );
    await (await open()).close();
    expect(await server.query(url, 'select key from holdfast_object')).toEqual([]);
    expect(await server.query(url, 'select site_id from holdfast_removal')).toEqual([]);
  });

  it('says that a record is not what it writes', async () => {
    await write(store, [{ type: 'shard', shard: 1, value: shardOf(1) }]);
    await server.query(url, `update holdfast_shard set record = '\\xff'`);
    await expect(readShard(store, 1)).rejects.toMatchObject({ name: 'HubStoreError', code: 'unreadable' });
  });

  describe('opening', () => {
    it('goes on where a process ended in the middle of making the tables', async () => {
      await server.query(
        url,
        'drop view holdfast_value; drop table holdfast_event; delete from holdfast_migration where version > 0',
      );
      const again = await open();
      await write(again, [
        { type: 'event', shard: 1, actor: ACTOR, counter: 1, name: { bucket: 'b', key: 'k' } },
        put(1, 'b', 'k', register(1, 'x')),
      ]);
      expect(await server.query(url, 'select text from holdfast_value')).toEqual([{ text: 'x' }]);
      await again.close();
    });

    it('refuses the tables of a later version', async () => {
      await server.query(url, 'insert into holdfast_migration (version) values (99)');
      await expect(open()).rejects.toMatchObject({ name: 'HubStoreError', code: 'unreadable' });
    });

    it('refuses an encoding that cannot hold every key', async () => {
      const options = "encoding 'SQL_ASCII' locale 'C' locale_provider libc template template0";
      url = await server.createDatabase(options);
      await expect(open()).rejects.toMatchObject({ name: 'HubStoreError', code: 'unreadable' });
    });

    it('never shows a password', async () => {
      const wrong = 'not the/password';
      const database = url.slice(url.lastIndexOf('/') + 1);
      for (const [given, code] of [
        [server.url(database, wrong), 'io'],
        [server.url('absent'), 'io'],
      ] as const) {
        url = given;
        const error: Error & { code?: string } = await open().then(
          () => new Error('it was opened'),
          (reason: unknown) => reason as Error,
        );
        expect(error.code).toBe(code);
        const shown = [
          error.message,
          error.stack,
          String(error.cause),
          JSON.stringify(error),
          JSON.stringify(log.lines),
        ];
        for (const password of [wrong, PASSWORD, encodeURIComponent(wrong), encodeURIComponent(PASSWORD)]) {
          expect(shown.join('\n')).not.toContain(password);
        }
      }
    });
  });
});
