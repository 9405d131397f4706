import type { CausalContext } from '../protocol/causal/context.ts';
import { sizeOf } from '../protocol/causal/entry.ts';
import { SHARD_ID_MAX, shardNumberOf } from '../protocol/ring/shard.ts';
import type { HubRequest, UplinkItem } from '../protocol/uplink/message.ts';

/** Of an object without content, about. */
const OBJECT_BYTES = 128;
const RANGE_BYTES = 32;
const NUMBER_BYTES = 8;

/** Memory that a request holds, about. */
export function requestBytes(request: HubRequest): number {
  switch (request.type) {
    case 'hub-hello':
      return OBJECT_BYTES * (1 + request.buckets.length + request.actors.length);
    case 'hub-ask':
    case 'hub-know':
      return OBJECT_BYTES + NUMBER_BYTES * request.shards.length;
    case 'hub-push':
      return request.pushes.reduce(
        (sum, { context, items, later, skipped }) =>
          sum + contextBytes(context) + contextBytes(later) + contextBytes(skipped) + itemsBytes(items),
        OBJECT_BYTES,
      );
    case 'hub-pull':
      return contextBytes(request.context) + contextBytes(request.settled);
    case 'hub-compare':
      return OBJECT_BYTES + NUMBER_BYTES * request.sums.length;
    case 'hub-copies':
      return contextBytes(request.context) + contextBytes(request.floor) + itemsBytes(request.items);
    case 'hub-done':
      return contextBytes(request.floor);
    case 'hub-fetch':
      return OBJECT_BYTES + NUMBER_BYTES * request.leaves.length;
    case 'hub-report':
      return OBJECT_BYTES * (1 + request.members.length);
  }
}

/** Copies of keys that it brings. */
export function itemsIn(request: HubRequest): readonly UplinkItem[] {
  if (request.type === 'hub-copies') return request.items;
  return request.type === 'hub-push' ? request.pushes.flatMap(({ items }) => items) : [];
}

/** The shards that it is about; `all`: it must not run beside others. */
export function shardsOf(request: HubRequest): readonly number[] | 'all' {
  switch (request.type) {
    case 'hub-hello':
      return 'all';
    case 'hub-report':
      return [];
    case 'hub-ask':
    case 'hub-know':
      return request.shards;
    case 'hub-push':
      return request.pushes.map(({ shard }) => shard);
    case 'hub-pull':
    case 'hub-compare':
    case 'hub-copies':
    case 'hub-done':
    case 'hub-fetch':
      return [request.shard];
  }
}

/** Whether a site with so many shards of each class can have this one. */
export function isShard(shard: number, shards: number): boolean {
  return Number.isInteger(shard) && shard >= 0 && shard <= SHARD_ID_MAX && shardNumberOf(shard) < shards;
}

function itemsBytes(items: readonly UplinkItem[]): number {
  let bytes = 0;
  for (const { key, entries, past, events, sent } of items) {
    bytes += OBJECT_BYTES + key.length + sizeOf(entries) + contextBytes(events);
    bytes += (past === null ? 0 : contextBytes(past)) + (sent === null ? 0 : contextBytes(sent));
  }
  return bytes;
}

function contextBytes(context: CausalContext): number {
  return OBJECT_BYTES + RANGE_BYTES * context.rangeCount;
}
