import { CausalContext } from '../causal/context.ts';
import { type Entries, type Entry, sizeOf } from '../causal/entry.ts';
import type { NodeId } from '../machine.ts';
import { type SyncItem, WHOLE } from './message.ts';
import { nameId } from './record.ts';

/** Entries of one part; a single entry may exceed it. */
const PART_BYTES = 1024 * 1024;
/** Events of one part; receivers refuse more in one item. */
const PART_EVENTS = 32_768;
/** Memory for items that are not whole yet. Whoever is behind with one that exceeds it stays behind. */
const GATHERED_BYTES_MAX = 64 * 1024 * 1024;
/** Of a range of events in memory. */
const RANGE_BYTES = 16;

/** The items as one message each can carry them: those that fit together, and each further part on its own. */
export function messagesOf(items: readonly SyncItem[]): readonly (readonly SyncItem[])[] {
  const messages: SyncItem[][] = [[]];
  for (const item of items) {
    const [first, ...others] = partsOf(item);
    (messages.at(-1) as SyncItem[]).push(first as SyncItem);
    for (const part of others) messages.push([part]);
  }
  return messages;
}

function partsOf(item: SyncItem): readonly SyncItem[] {
  const entries = entryGroups(item.entries);
  const events = eventGroups(item.events, PART_EVENTS);
  const count = Math.max(entries.length, events.length, 1);
  if (count === 1) return [item];
  return Array.from({ length: count }, (_, index) => ({
    bucket: item.bucket,
    key: item.key,
    entries: entries[index] ?? [],
    past: index === 0 ? item.past : null,
    events: events[index] ?? new CausalContext(),
    part: { index, more: index < count - 1 },
  }));
}

function entryGroups(entries: Entries): readonly Entries[] {
  if (sizeOf(entries) <= PART_BYTES) return [entries];
  const groups: Entry[][] = [[]];
  let bytes = 0;
  for (const entry of entries) {
    const size = sizeOf([entry]);
    if (bytes > 0 && bytes + size > PART_BYTES) {
      groups.push([]);
      bytes = 0;
    }
    bytes += size;
    (groups.at(-1) as Entry[]).push(entry);
  }
  return groups;
}

/** The events in groups of at most so many. */
export function eventGroups(events: CausalContext, eventsMax: number): readonly CausalContext[] {
  if (events.dotCount <= eventsMax) return [events];
  const groups = [new CausalContext()];
  let room = eventsMax;
  for (const { actor, from, to } of events.ranges()) {
    for (let next = from; next <= to; ) {
      if (room === 0) {
        groups.push(new CausalContext());
        room = eventsMax;
      }
      const last = Math.min(to, next + room - 1);
      (groups.at(-1) as CausalContext).addRange({ actor, from: next, to: last });
      room -= last - next + 1;
      next = last + 1;
    }
  }
  return groups;
}

interface Gathered {
  readonly id: string;
  readonly entries: Entry[];
  readonly events: CausalContext;
  readonly past: CausalContext | null;
  parts: number;
  bytes: number;
}

/** Puts items together whose parts arrive one after the other: one at a time from each peer, shard and kind of message. */
export class PartGatherer {
  private readonly gathered = new Map<string, Gathered>();
  private bytes = 0;

  handlePeerDown(peer: NodeId): void {
    for (const source of this.gathered.keys()) if (source.startsWith(`${peer}/`)) this.drop(source);
  }

  /**
   * The whole item with its last part; `more` until then; `lost` where a part before this one is not here any more, so
   * that the item has to be sent again.
   */
  add(peer: NodeId, kind: 'objects' | 'copies' | 'fetched', shard: number, item: SyncItem): SyncItem | 'more' | 'lost' {
    const source = `${peer}/${kind}/${shard}`;
    const { index, more } = item.part;
    if (index === 0) {
      this.drop(source);
      if (!more) return item;
    }
    const before = this.gathered.get(source) ?? newGathered(item);
    this.drop(source);
    if (before.parts !== index || before.id !== nameId(item)) return 'lost';
    for (const entry of item.entries) before.entries.push(entry);
    before.events.union(item.events);
    before.parts++;
    before.bytes += sizeOf(item.entries) + item.events.rangeCount * RANGE_BYTES;
    if (more) return this.keep(source, before) ? 'more' : 'lost';
    const { entries, events, past } = before;
    return { bucket: item.bucket, key: item.key, entries, events, past, part: WHOLE };
  }

  /** False for one that exceeds the bound on its own; others make room for it, the oldest first. */
  private keep(source: string, item: Gathered): boolean {
    if (item.bytes > GATHERED_BYTES_MAX) return false;
    for (const other of this.gathered.keys()) {
      if (this.bytes + item.bytes <= GATHERED_BYTES_MAX) break;
      this.drop(other);
    }
    this.gathered.set(source, item);
    this.bytes += item.bytes;
    return true;
  }

  private drop(source: string): void {
    this.bytes -= this.gathered.get(source)?.bytes ?? 0;
    this.gathered.delete(source);
  }
}

function newGathered(item: SyncItem): Gathered {
  return { id: nameId(item), entries: [], events: new CausalContext(), past: item.past, parts: 0, bytes: 0 };
}
