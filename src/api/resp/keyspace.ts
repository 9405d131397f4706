import { failure, HoldfastError } from '../../lib/failure.ts';
import {
  type ConfirmReply,
  type Dot,
  type Entries,
  type ListReply,
  type MutateReply,
  type Mutation,
  type NodeHandle,
  readValue,
  valueType,
  winner,
} from '../../ports/node-handle.ts';
import { FAN_OUT_MAX } from './limits.ts';
import type { WriteLog } from './write-log.ts';

/** The bucket that Redis clients see. */
const BUCKET = 'default';

/** Bucket `default` as Redis' one database: every read and write at quorum. */
export class Keyspace {
  private readonly node: NodeHandle;
  private readonly writes: WriteLog;

  private readonly onIncomplete: () => void;

  /** `writes` is told of every write; `onIncomplete` is called for every answer that is not complete. */
  constructor(node: NodeHandle, writes: WriteLog, onIncomplete: () => void) {
    this.node = node;
    this.writes = writes;
    this.onIncomplete = onIncomplete;
  }

  async read(key: string): Promise<Entries> {
    const request = { type: 'get', bucket: BUCKET, key, level: 'quorum', session: null } as const;
    const { entries, complete } = await this.node.request(request);
    if (!complete) this.onIncomplete();
    return entries;
  }

  async mutate(key: string, mutation: Mutation): Promise<MutateReply> {
    const request = { type: 'mutate', bucket: BUCKET, key, mutation, level: 'quorum', context: null } as const;
    const reply = await this.node.request(request);
    this.writes.noteWrite(key, reply);
    return reply;
  }

  /** How many nodes have synced a write of the key by now. */
  confirm(key: string, dot: Dot): Promise<ConfirmReply> {
    return this.node.request({ type: 'confirm', bucket: BUCKET, key, dot });
  }

  /** Writes a value and clears its expiry or sets it to Unix ms. */
  put(key: string, value: Uint8Array, expiresAtMs: number | 'keep', onlyIf: 'absent' | 'present' | null = null) {
    return this.mutate(key, { type: 'put', value, contentType: 'application/octet-stream', expiresAtMs, onlyIf });
  }

  /** One page of keys in byte order. */
  async list(prefix: string, after: string, limit: number): Promise<ListReply> {
    const request = { type: 'list', bucket: BUCKET, prefix, after, limit, values: false, snapshot: false } as const;
    const page = await this.node.request(request);
    if (!page.complete) this.onIncomplete();
    return page;
  }
}

/** The types of Redis' TYPE. */
export type RedisType = 'none' | 'string' | 'set' | 'hash';

export function typeOf(entries: Entries): RedisType {
  switch (valueType(entries)) {
    case 'absent':
      return 'none';
    case 'register':
    case 'counter':
      return 'string';
    case 'set':
      return 'set';
    case 'map':
      return 'hash';
  }
}

/** A string as Redis shows it; null when the key is absent. Throws `wrong-type` for a set or hash. */
export function stringOf(entries: Entries, stateChanged: 'no' | 'maybe' = 'no'): Uint8Array | null {
  const type = typeOf(entries);
  if (type === 'set' || type === 'hash') throw wrongType(stateChanged);
  return readValue(entries)?.value ?? null;
}

/** The entries of a set or map, none when the key is absent. Throws `wrong-type` for anything else. */
export function collectionOf(entries: Entries, wanted: 'set' | 'map'): Entries {
  const type = valueType(entries);
  if (type !== 'absent' && type !== wanted) throw wrongType('no');
  return entries;
}

function wrongType(stateChanged: 'no' | 'maybe'): HoldfastError {
  return new HoldfastError(failure('wrong-type', 'the key holds a value of another type', { stateChanged }));
}

/** Unix ms; 0 is never. */
export function expiryOf(entries: Entries): number {
  return winner(entries)?.expiresAtMs ?? 0;
}

/**
 * Runs `work` for each item, a bounded number at a time, and returns the results in order. After a failure nothing
 * new is started; it is thrown once everything under way has ended, so that nothing runs on behind the caller's back.
 */
export async function fanOut<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const runLane = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      try {
        results[index] = await work(items[index] as Item);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  const lanes = Array.from({ length: Math.min(FAN_OUT_MAX, items.length) }, runLane);
  for (const lane of await Promise.allSettled(lanes)) if (lane.status === 'rejected') throw lane.reason;
  return results;
}
