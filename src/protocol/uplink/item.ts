import { CausalContext } from '../causal/context.ts';
import { type Entry, sizeOf } from '../causal/entry.ts';
import { ITEM_BYTES, type UplinkItem } from './message.ts';
import type { KeyCopy } from './source.ts';

/** A range of a context in a message. */
const RANGE_BYTES = 8;

/** What an item takes in a message, about. */
export function itemBytes({ entries, key, past, events }: UplinkItem): number {
  return sizeOf(entries) + key.length + ((past?.rangeCount ?? 0) + events.rangeCount) * RANGE_BYTES;
}

/** The copy as items, each of which fits a request; only together they mean the key. */
export function itemsOf({ name, entries, past }: KeyCopy, events: CausalContext): UplinkItem[] {
  const { bucket, key } = name;
  if (sizeOf(entries) <= ITEM_BYTES) return [{ bucket, key, entries, past, events, more: false, sent: null }];
  const groups = groupsOf(entries);
  const sent = new CausalContext();
  return groups.map((group, index): UplinkItem => {
    const isLast = index === groups.length - 1;
    const before = index === 0 ? null : sent.clone();
    for (const { dot } of group) sent.add(dot);
    const what = isLast ? { past, events } : { past: null, events: new CausalContext() };
    return { bucket, key, entries: group, ...what, more: !isLast, sent: isLast ? before : null };
  });
}

function groupsOf(entries: readonly Entry[]): Entry[][] {
  const groups: Entry[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    const size = sizeOf([entry]);
    if (bytes + size > ITEM_BYTES) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(entry);
    bytes += size;
  }
  return groups;
}
