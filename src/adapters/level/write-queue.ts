import type { StorageRange } from '../../ports/storage.ts';

/** Bounds of one group commit; a single larger commit still goes through, alone. */
const GROUP_BYTES_MAX = 4 * 1024 * 1024;
const GROUP_COMMITS_MAX = 4096;

export type Operation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

interface Settle {
  resolve(): void;
  reject(error: unknown): void;
}

interface Commit extends Settle {
  readonly kind: 'commit';
  readonly operations: readonly Operation[];
  readonly bytes: number;
  readonly hasPut: boolean;
}

interface Clear extends Settle {
  readonly kind: 'clear';
  readonly range: StorageRange;
  /** Deletes one bounded piece; true when nothing is left. */
  step(): Promise<boolean>;
}

interface Task extends Settle {
  readonly kind: 'task';
  run(): Promise<void>;
}

export interface WriteQueueModules {
  /** Writes one synced batch. */
  write(operations: Operation[]): Promise<void>;
  /** Called before each group. Throws to refuse the commits that put something; those that only delete go on. */
  admitPuts(): Promise<void>;
}

/**
 * Everything that changes the database, one thing at a time and in the order of the calls.
 *
 * Commits that wait while a batch is being synced join into the next one (group commit: one fsync for all of
 * them). A range is cleared in small pieces between the groups; a commit that came after the clear and touches
 * its range waits for it, so that a clear never deletes what was written after it was asked for.
 */
export class WriteQueue {
  readonly #modules: WriteQueueModules;
  #waiting: (Commit | Clear | Task)[] = [];
  #clears: Clear[] = [];
  #bytes = 0;
  #draining: Promise<void> | undefined;

  constructor(modules: WriteQueueModules) {
    this.#modules = modules;
  }

  /** Bytes of the commits that wait or are being written. */
  get bytes(): number {
    return this.#bytes;
  }

  commit(operations: readonly Operation[]): Promise<void> {
    let bytes = 0;
    let hasPut = false;
    for (const operation of operations) {
      bytes += operation.key.byteLength;
      if (operation.type === 'put') {
        bytes += operation.value.byteLength;
        hasPut = true;
      }
    }
    this.#bytes += bytes;
    return this.#enqueue((settle) => ({ kind: 'commit', operations, bytes, hasPut, ...settle }));
  }

  clear(range: StorageRange, step: () => Promise<boolean>): Promise<void> {
    return this.#enqueue((settle) => ({ kind: 'clear', range, step, ...settle }));
  }

  /** Runs alone, after everything that was asked for before it. */
  task(run: () => Promise<void>): Promise<void> {
    return this.#enqueue((settle) => ({ kind: 'task', run, ...settle }));
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#draining !== undefined) await this.#draining;
  }

  #enqueue(item: (settle: Settle) => Commit | Clear | Task): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push(item({ resolve, reject }));
    this.#draining ??= this.#drain();
    return promise;
  }

  async #drain(): Promise<void> {
    // One turn of the microtask queue: what is asked for in the same turn joins the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0 || this.#clears.length > 0) {
      const head = this.#waiting[0];
      if (head?.kind === 'clear') {
        this.#waiting.shift();
        this.#clears.push(head);
      } else if (head?.kind === 'task') {
        this.#waiting.shift();
        await settleWith(head, () => head.run());
      } else {
        await this.#writeGroup();
        await this.#clearPiece();
      }
    }
    this.#draining = undefined;
  }

  async #writeGroup(): Promise<void> {
    let refusal: unknown;
    if (this.#waiting.length > 0) refusal = await this.#modules.admitPuts().then(nothing, caught);
    const group = this.#takeGroup();
    const admitted: Commit[] = [];
    for (const commit of group) {
      if (refusal !== undefined && commit.hasPut) commit.reject(refusal);
      else admitted.push(commit);
    }
    if (admitted.length > 0) {
      const operations = admitted.flatMap((commit) => commit.operations);
      const error = await this.#modules.write(operations).then(nothing, caught);
      for (const commit of admitted) {
        if (error === undefined) commit.resolve();
        else commit.reject(error);
      }
    }
    for (const commit of group) this.#bytes -= commit.bytes;
  }

  #takeGroup(): Commit[] {
    const group: Commit[] = [];
    let bytes = 0;
    for (const item of this.#waiting) {
      if (item.kind !== 'commit' || this.#touchesClear(item)) break;
      if (group.length > 0 && (bytes + item.bytes > GROUP_BYTES_MAX || group.length >= GROUP_COMMITS_MAX)) break;
      group.push(item);
      bytes += item.bytes;
    }
    this.#waiting.splice(0, group.length);
    return group;
  }

  #touchesClear(commit: Commit): boolean {
    return this.#clears.some((clear) => commit.operations.some((operation) => isWithin(operation.key, clear.range)));
  }

  async #clearPiece(): Promise<void> {
    const clear = this.#clears[0];
    if (clear === undefined) return;
    try {
      if (!(await clear.step())) return;
      clear.resolve();
    } catch (error) {
      clear.reject(error);
    }
    this.#clears.shift();
  }
}

function isWithin(key: Uint8Array, range: StorageRange): boolean {
  return Buffer.compare(key, range.from) >= 0 && Buffer.compare(key, range.to) < 0;
}

async function settleWith(settle: Settle, run: () => Promise<void>): Promise<void> {
  try {
    await run();
    settle.resolve();
  } catch (error) {
    settle.reject(error);
  }
}

function nothing(): undefined {
  return undefined;
}

function caught(error: unknown): unknown {
  return error;
}
