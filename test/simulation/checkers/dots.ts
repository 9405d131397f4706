import { isDeepStrictEqual } from 'node:util';
import type { CausalContext } from '../../../src/protocol/causal/context.ts';
import { type ActorId, dotText } from '../../../src/protocol/causal/dot.ts';
import type { Entry } from '../../../src/protocol/causal/entry.ts';
import type { PeerMessage } from '../../../src/protocol/node/message.ts';
import type { ObjectName } from '../../../src/protocol/replication/record.ts';
import { shardOf } from '../../../src/protocol/ring/shard.ts';
import type { SimCluster } from '../cluster.ts';
import { type Checker, Problems } from './checker.ts';
import { mapIn } from './map-in.ts';

/** What a dot was first seen to stand for; `entry` is null while only its event was seen. */
interface Meaning {
  readonly bucket: string;
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
  /** By bucket, then key. */
  private readonly shardByKey = new Map<string, Map<string, number>>();
  /** By shard, actor and counter. */
  private readonly seen = new Map<number, Map<ActorId, Map<number, Meaning>>>();

  noteEntries(name: ObjectName, entries: readonly Entry[]): void {
    for (const entry of entries) this.note(name, entry.dot.actor, entry.dot.counter, entry);
  }

  note(name: ObjectName, actor: ActorId, counter: number, entry: Entry | null): void {
    const { bucket, key } = name;
    const shard = this.shardOf(name);
    const byCounter = mapIn(mapIn(this.seen, shard), actor);
    const before = byCounter.get(counter);
    if (before === undefined) {
      byCounter.set(counter, { bucket, key, entry });
      return;
    }
    const what = (): string => `${dotText({ actor, counter })} of shard ${shard} names`;
    if (before.key !== key || before.bucket !== bucket) {
      this.problems.add(`${what()} an event of ${before.bucket}/${before.key} and one of ${bucket}/${key}`);
    } else if (entry !== null && before.entry !== null && !isSame(before.entry, entry)) {
      this.problems.add(`${what()} two events of ${bucket}/${key}`);
    }
    before.entry ??= entry;
  }

  /** Frees the names that `isGone` says nobody knows. */
  forget(actor: ActorId, isGone: (shard: number, counter: number) => boolean): void {
    for (const [shard, byActor] of this.seen) {
      const byCounter = byActor.get(actor);
      for (const counter of byCounter?.keys() ?? []) if (isGone(shard, counter)) byCounter?.delete(counter);
    }
  }

  private shardOf({ bucket, key }: ObjectName): number {
    const byKey = mapIn(this.shardByKey, bucket);
    let shard = byKey.get(key);
    if (shard === undefined) {
      shard = shardOf(bucket, key, this.shards ?? 1);
      byKey.set(key, shard);
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
