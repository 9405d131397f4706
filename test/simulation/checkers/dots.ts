import { isDeepStrictEqual } from 'node:util';
import type { CausalContext } from '../../../src/protocol/causal/context.ts';
import { dotText } from '../../../src/protocol/causal/dot.ts';
import type { Entry } from '../../../src/protocol/causal/entry.ts';
import type { PeerMessage } from '../../../src/protocol/node/message.ts';
import type { ObjectName } from '../../../src/protocol/replication/record.ts';
import { shardOf } from '../../../src/protocol/ring/shard.ts';
import type { SimCluster } from '../cluster.ts';
import { type Checker, Problems } from './checker.ts';

/** What a dot was first seen to stand for; `entry` is null while only its event was seen. */
interface Meaning {
  readonly key: string;
  entry: Entry | null;
}

/** A dot names one event for ever: it never stands for two keys or two entries, on the wire or on any disk. */
export function dotsChecker(cluster: Pick<SimCluster, 'nodes'>): Checker {
  const meanings = new Meanings();
  return {
    name: 'dots',
    message: (from, _to, message) => {
      meanings.shards ??= from.running?.node.ring.shards;
      noteMessage(meanings, message);
    },
    fault: (text) => {
      // What was lost with a disk, and had reached no other, never was: its name is free.
      const name = /^the disk of (\w+) goes back$/.exec(text)?.[1];
      const actor = cluster.nodes.find((node) => node.name === name)?.disk.actor;
      if (actor === undefined) return;
      meanings.forget(actor, (shard, counter) =>
        cluster.nodes.every(({ disk }) => {
          const isCovered = disk.shards.get(shard)?.context.has({ actor, counter }) === true;
          const isHinted = [...disk.hints.values()].some(
            (row) => row.shard === shard && row.hint.events.has({ actor, counter }),
          );
          return !isCovered && !isHinted;
        }),
      );
    },
    check: () => {
      for (const { disk } of cluster.nodes) {
        for (const rows of disk.objects.values()) {
          for (const { name, object } of rows.values()) meanings.noteEntries(name, object.entries);
        }
        for (const rows of disk.dots.values()) {
          for (const { actor, counter, name } of rows.values()) meanings.note(name, actor, counter, null);
        }
        for (const { name, hint } of disk.hints.values()) meanings.noteEntries(name, hint.entries);
      }
      return meanings.problems.all();
    },
  };
}

class Meanings {
  readonly problems = new Problems('dots');
  /** Shards of the cluster, known from the first message on. */
  shards: number | undefined;
  private readonly shardByKey = new Map<string, number>();
  /** By shard and actor, then counter. */
  private readonly seen = new Map<string, Map<number, Meaning>>();

  noteEntries(name: ObjectName, entries: readonly Entry[]): void {
    for (const entry of entries) this.note(name, entry.dot.actor, entry.dot.counter, entry);
  }

  note(name: ObjectName, actor: string, counter: number, entry: Entry | null): void {
    const shard = this.shardOf(name);
    const key = `${name.bucket}/${name.key}`;
    const id = `${shard}/${actor}`;
    let byCounter = this.seen.get(id);
    if (byCounter === undefined) {
      byCounter = new Map();
      this.seen.set(id, byCounter);
    }
    const before = byCounter.get(counter);
    if (before === undefined) {
      byCounter.set(counter, { key, entry });
      return;
    }
    const dot = dotText({ actor, counter });
    if (before.key !== key) {
      this.problems.add(`${dot} of shard ${shard} names an event of ${before.key} and one of ${key}`);
    } else if (entry !== null && before.entry !== null && !isSame(before.entry, entry)) {
      this.problems.add(`${dot} of shard ${shard} names two events of ${key}`);
    }
    before.entry ??= entry;
  }

  /** Frees the names that `isGone` says nobody knows. */
  forget(actor: string, isGone: (shard: number, counter: number) => boolean): void {
    for (const [id, byCounter] of this.seen) {
      const [shard, by] = id.split('/');
      if (by !== actor) continue;
      for (const counter of byCounter.keys()) if (isGone(Number(shard), counter)) byCounter.delete(counter);
    }
  }

  private shardOf({ bucket, key }: ObjectName): number {
    const id = `${bucket}/${key}`;
    let shard = this.shardByKey.get(id);
    if (shard === undefined) {
      shard = shardOf(bucket, key, this.shards ?? 1);
      this.shardByKey.set(id, shard);
    }
    return shard;
  }
}

function noteMessage(meanings: Meanings, message: PeerMessage): void {
  if (message.type === 'replicate') {
    meanings.noteEntries(message, message.entries);
    noteEvents(meanings, message, message.events);
  } else if (message.type === 'sync-objects') {
    for (const item of message.chunks.flatMap(({ items }) => items)) {
      meanings.noteEntries(item, item.entries);
      noteEvents(meanings, item, item.events);
    }
  }
}

function noteEvents(meanings: Meanings, name: ObjectName, events: CausalContext): void {
  for (const { actor, from, to } of events.ranges()) {
    for (let counter = from; counter <= to; counter++) meanings.note(name, actor, counter, null);
  }
}

function isSame(a: Entry, b: Entry): boolean {
  return a === b || isDeepStrictEqual(a, b);
}
