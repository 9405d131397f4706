import { hlcAt } from '../../src/lib/hlc.ts';
import {
  CausalContext,
  type CausalObject,
  type Entries,
  type Entry,
  type HubObjectRow,
  type HubRead,
  type HubRows,
  type HubShard,
  type HubStore,
  type HubTransaction,
  type HubWrite,
  type ObjectName,
  type ShardObjectName,
} from '../../src/ports/hub-store.ts';

/** Rows and small transactions for tests of hub stores. */

export const ACTOR = 'aaaaaaaaaaaaaaaa';
export const OTHER = 'bbbbbbbbbbbbbbbb';
export const SITE = 'berlin';
/** 2026-01-01. */
export const START_MS = 1_767_225_600_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

export function register(counter: number, value: string | Uint8Array, options: Partial<Entry> = {}): Entry {
  return {
    dot: { actor: ACTOR, counter },
    hlc: hlcAt(START_MS + counter),
    expiresAtMs: 0,
    payload: {
      kind: 'register',
      value: typeof value === 'string' ? encoder.encode(value) : value,
      contentType: 'text/plain',
    },
    ...options,
  };
}

export function objectOf(...entries: Entry[]): CausalObject {
  return { entries, past: null };
}

export function valueText(entries: Entries | undefined): string | undefined {
  const payload = entries?.[0]?.payload;
  return payload?.kind === 'register' ? decoder.decode(payload.value) : undefined;
}

/** Actor and its highest counter. */
export function contextOf(upto: Readonly<Record<string, number>>): CausalContext {
  return CausalContext.fromRanges(Object.entries(upto).map(([actor, to]) => ({ actor, from: 1, to })));
}

export function shardOf(revision: number, rest: Partial<HubShard> = {}): HubShard {
  return {
    context: contextOf({ [ACTOR]: Math.max(1, revision) }),
    own: new CausalContext(),
    stripped: new CausalContext(),
    indexed: new CausalContext(),
    skipped: new CausalContext(),
    partial: [],
    doubtful: [],
    revision: revision.toString(16).padStart(16, '0'),
    ...rest,
  };
}

/** Reads something, and writes nothing. */
export async function read<R extends HubRead>(
  store: HubStore,
  what: R,
  site = SITE,
): Promise<Extract<HubRows, { type: R['type'] }>> {
  return await store.transact(site, function* (): HubTransaction<Extract<HubRows, { type: R['type'] }>> {
    const rows = yield what;
    return { writes: [], result: rows as Extract<HubRows, { type: R['type'] }> };
  });
}

export async function readShard(store: HubStore, shard: number, site = SITE): Promise<HubShard | undefined> {
  const { shards } = await read(store, { type: 'shards', shards: [shard], lock: false }, site);
  return shards.get(shard);
}

export async function readObject(
  store: HubStore,
  name: ShardObjectName,
  site = SITE,
): Promise<CausalObject | undefined> {
  const { objects } = await read(store, { type: 'objects', names: [name] }, site);
  return [...objects.values()][0];
}

/** All objects of some buckets of a shard, page by page. */
export async function scanAll(
  store: HubStore,
  shard: number,
  buckets: readonly string[] | null,
  limit: number,
): Promise<HubObjectRow[]> {
  const found: HubObjectRow[] = [];
  let after: ObjectName | null = null;
  for (;;) {
    const page: { rows: readonly HubObjectRow[]; more: boolean } = await read(store, {
      type: 'scan',
      shard,
      buckets,
      after,
      limit,
    });
    found.push(...page.rows);
    if (!page.more) return found;
    after = page.rows.at(-1)?.name ?? null;
  }
}

/** Locks the shards of what it writes, and writes it. */
export async function write(store: HubStore, writes: readonly HubWrite[], site = SITE): Promise<void> {
  const shards = new Set(writes.map((each) => ('shard' in each ? each.shard : each.name.shard)));
  await store.transact(site, function* (): HubTransaction<null> {
    yield { type: 'shards', shards: [...shards].sort((a, b) => a - b), lock: true };
    return { writes, result: null };
  });
}

export function put(shard: number, bucket: string, key: string, ...entries: Entry[]): HubWrite {
  return { type: 'object', name: { shard, bucket, key }, value: objectOf(...entries) };
}

export async function addSite(store: HubStore, name = SITE): Promise<void> {
  await store.addSite({ name, key: new Uint8Array(32).fill(7), createdMs: START_MS });
}
