import type { ConflictView } from '../ports/hub-handle.ts';
import type { HubStore } from '../ports/hub-store.ts';
import { type Dot, dotText } from '../protocol/causal/dot.ts';
import { shardOf } from '../protocol/ring/shard.ts';
import { outcome, readShards } from '../protocol/uplink/hub-replica.ts';
import type { HubTransaction } from '../protocol/uplink/transaction.ts';
import { namedBuckets } from './site-buckets.ts';

/** Who wrote what a client of any hub of the store has written. */
const BY_HUB = 'hub';

interface ShardDot extends Dot {
  readonly shard: number;
}

/** A page of a site's conflicts as clients see them. Throws a HubStoreError. */
export async function conflictViews(
  store: HubStore,
  site: string,
  page: { readonly before: number | null; readonly limit: number },
): Promise<ConflictView[]> {
  const found = await store.conflicts(site, page);
  if (found.length === 0) return [];
  const shards = (await store.site(site))?.shards ?? 1;
  const shown = new Map(
    namedBuckets(await store.buckets(site)).map(({ bucket, shown: { name } }) => [bucket.name, name]),
  );
  const inShard = found.map((conflict) => ({ conflict, shard: shardOf(conflict.bucket, conflict.key, shards) }));
  const dots = inShard.flatMap(({ conflict: { winner, loser }, shard }) => [
    { ...winner.dot, shard },
    { ...loser.dot, shard },
  ]);
  const own = await store.transact(site, () => ownAmong(dots));
  return inShard.map(({ conflict, shard }) => {
    const by = ({ dot }: { readonly dot: Dot }, node: string): string =>
      own.has(idOf({ ...dot, shard })) ? BY_HUB : node;
    const { winner, loser } = conflict;
    return {
      ...conflict,
      bucket: shown.get(conflict.bucket) ?? conflict.bucket,
      wonBy: by(winner, conflict.wonBy),
      lostBy: by(loser, conflict.lostBy),
    };
  });
}

/** Those of them that were written at a hub. */
function* ownAmong(dots: readonly ShardDot[]): HubTransaction<ReadonlySet<string>> {
  const copies = yield* readShards(
    dots.map(({ shard }) => shard),
    false,
  );
  return outcome(new Set(dots.filter((dot) => copies.get(dot.shard)?.own.has(dot) === true).map(idOf)));
}

function idOf({ shard, actor, counter }: ShardDot): string {
  return `${shard}/${dotText({ actor, counter })}`;
}
