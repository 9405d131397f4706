import { hlcAt } from '../../lib/hlc.ts';
import type { CausalContext } from '../causal/context.ts';
import type { ActorId } from '../causal/dot.ts';
import type { ConflictPolicy } from '../causal/entry.ts';
import { mutate } from '../causal/mutate.ts';
import type { Mutation } from '../causal/mutation.ts';
import type { CausalObject } from '../causal/object.ts';
import type { MutationFailure } from '../causal/outcome.ts';
import { outcome, readObjects, readShards } from './hub-replica.ts';
import type { ShardCopy } from './shard-copy.ts';
import type { HubTransaction, HubWrite, ShardObjectName } from './transaction.ts';

/** A key as the hub has it. Neither is to be modified. */
export interface HubCopy {
  readonly object: CausalObject;
  /** What the copy is the state of. */
  readonly context: CausalContext;
}

/** A key with what it takes to judge how much of it the hub has. */
export interface HubKey extends HubCopy {
  /** Of the context, the events that were written at the hub. */
  readonly own: CausalContext;
  /** The context counts events of the key's bucket without their keys. */
  readonly isPartial: boolean;
}

export interface HubWriter {
  /** Of this process, drawn at its start: a database that is restored from a copy must not make it use a dot twice. */
  readonly actor: ActorId;
  readonly wallMs: number;
  readonly conflict: ConflictPolicy;
  /** What the client has seen; null: what is there. */
  readonly context: CausalContext | null;
  /** As in HubMoment. */
  readonly revision: string;
  /** The last counter that this process has used in the shard; 0: none. */
  readonly lastCounter: number;
}

export type HubMutated =
  | { readonly applied: false; readonly failure: MutationFailure | null }
  /** `lastCounter`: to be remembered whether or not the store says that the transaction was done. */
  | ({ readonly applied: true; readonly lastCounter: number } & HubCopy);

/** Reads a key at the hub. `lock`: before it is written within the same transaction. */
export function* hubRead(name: ShardObjectName, lock = false): HubTransaction<HubKey> {
  const copies = yield* readShards([name.shard], lock);
  yield* readObjects(copies, [name]);
  const copy = copies.get(name.shard) as ShardCopy;
  const isPartial = copy.partial.includes(name.bucket);
  return outcome({ object: copy.object(name), context: copy.context, own: copy.own, isPartial });
}

/**
 * From which counter on the store has all events of this process: one that was restored from a copy has forgotten some, and must
 * not go on with a running total that the site knows a later one of.
 */
function knownFrom(context: CausalContext, actor: ActorId, next: number): number {
  const latest = context.ofActor(actor).ranges().at(-1);
  if (latest === undefined) return next;
  return latest.to === next - 1 ? latest.from : next;
}

/** Writes a key at the hub: an event of its own, that the site will be told of. */
export function* hubMutate(name: ShardObjectName, mutation: Mutation, writer: HubWriter): HubTransaction<HubMutated> {
  const copies = yield* readShards([name.shard], true);
  yield* readObjects(copies, [name]);
  const copy = copies.get(name.shard) as ShardCopy;
  const { actor, wallMs, conflict, context } = writer;
  const { entries: before } = copy.object(name);
  const counter = Math.max(copy.context.highest(actor), writer.lastCounter) + 1;
  const mutated = mutate(before, mutation, {
    dot: { actor, counter },
    ownFrom: knownFrom(copy.context, actor, counter),
    isComplete: false,
    hlc: hlcAt(wallMs),
    wallMs,
    context,
    conflict,
  });
  if (!mutated.applied) return outcome({ applied: false, failure: mutated.failure });
  copy.rewrite(name, mutated.after, mutated.replaced, conflict);
  const { bucket, key } = name;
  const index = mutated.dots.map((dot): HubWrite => {
    copy.context.add(dot);
    copy.own.add(dot);
    return { type: 'event', shard: name.shard, actor: dot.actor, counter: dot.counter, name: { bucket, key } };
  });
  const lastCounter = mutated.dots.at(-1)?.counter ?? counter;
  return outcome({ applied: true, object: copy.object(name), context: copy.context, lastCounter }, [
    ...index,
    ...copy.writes(writer.revision),
  ]);
}
