import type { Session } from './connections.ts';

/** Longer than any transaction takes from writing a row to showing it, with what clocks of a cluster may differ. */
const SETTLED_MS = 60_000;

interface ChangedRow extends Record<string, unknown> {
  readonly shard: string;
  readonly own_revision: string;
  readonly own_changed_ms: string;
}

/**
 * Shards in which a hub has written, since the cursor was made. Rows show in another order than they were written in: so a cursor
 * looks back for a while, and names what it has seen in that time.
 */
export async function ownChanges(session: Session, site: string, cursor: string | null) {
  const { fromMs, seen } = parse(cursor);
  const [now] = await session.query<{ ms: string }>(
    `select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms`,
  );
  const nextMs = Math.max(0, Number(now?.ms ?? 0) - SETTLED_MS);
  const rows = await session.query<ChangedRow>(
    `select shard, own_revision, own_changed_ms from holdfast_shard
     where site_id = $1 and own_changed_ms >= $2 order by shard`,
    [site, cursor === null ? nextMs : fromMs],
  );
  const changed = cursor === null ? [] : rows.filter(({ shard, own_revision }) => seen.get(shard) !== own_revision);
  const recent = rows.filter(({ own_changed_ms: ms }) => Number(ms) >= nextMs);
  const named = recent.map(({ shard, own_revision }) => `${shard}:${own_revision}`);
  return { shards: changed.map(({ shard }) => Number(shard)), cursor: [nextMs, ...named].join(' ') };
}

function parse(cursor: string | null): { fromMs: number; seen: Map<string, string> } {
  const [from, ...named] = (cursor ?? '').split(' ');
  const seen = new Map(named.map((each) => each.split(':', 2) as [string, string]));
  // Of another store: all are named.
  return { fromMs: Number.isSafeInteger(Number(from)) ? Number(from) : 0, seen };
}
