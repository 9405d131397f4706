import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { StorageError, type StorageRange, type StorageWrite } from '../../../src/ports/storage.ts';
import { CausalContext } from '../../../src/protocol/causal/context.ts';
import type { RecordWrite } from '../../../src/protocol/replication/record.ts';
import { GroupCommit } from '../../../src/runtime/group-commit.ts';
import { clearRanges, decodeShardRow, readKey, storageWrite, tableRange } from '../../../src/wire/record.ts';
import { decodeRegisterShardRow, registerKey } from '../../../src/wire/register-record.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryStorage } from '../../support/memory-storage.ts';

const SHARD = 3;
const RETRY_MS = 500;
const TRIES = 10;

/** Notes what reaches the disk, and breaks on request. */
class WatchedStorage extends MemoryStorage {
  readonly calls: string[] = [];
  failure: Error | null = null;
  underWay = 0;
  underWayMax = 0;

  override async commit(writes: readonly StorageWrite[]): Promise<void> {
    this.calls.push(`commit ${writes.length}`);
    if (this.failure !== null) throw this.failure;
    this.underWayMax = Math.max(this.underWayMax, ++this.underWay);
    try {
      await super.commit(writes);
    } finally {
      this.underWay--;
    }
  }

  override clear(range: StorageRange): Promise<void> {
    this.calls.push('clear');
    return super.clear(range);
  }
}

function setup(manualSync = false) {
  const storage = new WatchedStorage({ manualSync });
  const clock = new ManualClock();
  const log: string[] = [];
  const commits = new GroupCommit(storage, clock, {
    onRefused: (error) => log.push(`refused ${error.code}`),
    onRecovered: () => log.push('recovered'),
    onFatal: (error) => log.push(`fatal ${error.message}`),
  });
  const add = (key: string): void => commits.add([object(key)], () => log.push(key));
  return { storage, clock, log, commits, add };
}

function object(key: string): RecordWrite {
  const name = { bucket: 'default', key };
  return { table: 'object', shard: SHARD, name, value: { entries: [], past: CausalContext.fromDots([]) } };
}

function isStored(storage: MemoryStorage, key: string): boolean {
  return storage.read(readKey({ table: 'object', shard: SHARD, name: { bucket: 'default', key } })) !== undefined;
}

async function sync(storage: MemoryStorage): Promise<void> {
  await turn();
  storage.sync();
  await turn();
}

describe('group commit', () => {
  it('syncs one batch at a time, gathers the next meanwhile, and confirms in order', async () => {
    const { storage, log, commits, add } = setup(true);
    add('a');
    commits.flush();
    add('b');
    commits.flush();
    add('c');
    commits.flush();
    await turn();
    expect(storage.calls).toEqual(['commit 1']);
    expect(log).toEqual([]);
    await sync(storage);
    expect(storage.calls).toEqual(['commit 1', 'commit 2']);
    expect(log).toEqual(['a']);
    await sync(storage);
    expect(log).toEqual(['a', 'b', 'c']);
    expect(storage.underWayMax).toBe(1);
    for (const key of ['a', 'b', 'c']) expect(isStored(storage, key)).toBe(true);
  });

  it('writes a shard once a batch, as it is when the batch closes', async () => {
    const { storage, commits } = setup();
    const context = new CausalContext();
    const actor = 'a'.repeat(16);
    for (let counter = 1; counter <= 3; counter++) {
      context.add({ actor, counter });
      commits.add(
        [
          {
            table: 'shard',
            shard: SHARD,
            value: {
              context,
              complete: true,
              sources: new Set(),
              bare: new CausalContext(),
              named: new CausalContext(),
            },
          },
        ],
        () => {},
      );
    }
    await commits.drain();
    expect(storage.calls).toEqual(['commit 1']);
    const [row] = await storage.scan(tableRange('shard'), 10, 1 << 20);
    expect(decodeShardRow(row as NonNullable<typeof row>).record.context.ranges()).toEqual([{ actor, from: 1, to: 3 }]);
  });

  it('syncs what acceptors write in the batch of all the rest', async () => {
    const { storage, log, commits, add } = setup();
    const name = { bucket: 'b', key: 'r' };
    const floor = { counter: 7, proposer: 'a'.repeat(16) };
    const value = { floor, epoch: 3, member: true, whole: [['n1']], generation: 2 };
    add('a');
    commits.add(
      [
        { table: 'register', shard: SHARD, name, value: { promised: floor, accepted: null, generation: 2 } },
        { table: 'register-shard', shard: SHARD, value },
      ],
      () => log.push('registers'),
    );
    await commits.drain();
    expect(storage.calls).toEqual(['commit 3']);
    expect(log).toEqual(['a', 'registers']);
    const [row] = await storage.scan(tableRange('register-shard'), 10, 1 << 20);
    expect(decodeRegisterShardRow(row as NonNullable<typeof row>)).toEqual({ shard: SHARD, record: value });
    expect(storage.read(registerKey(SHARD, name))).toBeDefined();
  });

  it('clears what was added before, and nothing that was added after', async () => {
    const { storage, log, commits, add } = setup();
    add('synced');
    await commits.drain();
    add('before');
    commits.clear(clearRanges({ table: 'shard', shard: SHARD }), () => log.push('cleared'));
    add('after');
    await commits.drain();
    expect(log).toEqual(['synced', 'before', 'cleared', 'after']);
    expect(storage.calls).toEqual(['commit 1', 'commit 1', 'clear', 'clear', 'clear', 'clear', 'clear', 'commit 1']);
    expect(['synced', 'before', 'after'].filter((key) => isStored(storage, key))).toEqual(['after']);
  });

  it('keeps the order of several clears without writes between them', async () => {
    const { log, commits, add } = setup();
    const ranges = clearRanges({ table: 'shard', shard: SHARD });
    commits.clear(ranges, () => log.push('first'));
    commits.clear(ranges, () => log.push('second'));
    add('last');
    await commits.drain();
    expect(log).toEqual(['first', 'second', 'last']);
  });

  it('tries again for as long as the disk is full, and confirms nothing before it is synced', async () => {
    const { storage, clock, log, commits, add } = setup();
    storage.fillDisk(true);
    add('a');
    commits.flush();
    add('b');
    await turn();
    for (let tries = 0; tries < 2 * TRIES; tries++) {
      clock.advance(RETRY_MS);
      await turn();
    }
    expect(log).toEqual(['refused disk-full']);
    expect(storage.calls).toHaveLength(2 * TRIES + 1);
    storage.fillDisk(false);
    clock.advance(RETRY_MS);
    await commits.drain();
    expect(log).toEqual(['refused disk-full', 'recovered', 'a', 'b']);
    expect(isStored(storage, 'a') && isStored(storage, 'b')).toBe(true);
  });

  it('gives up on a disk that stays broken', async () => {
    const { storage, clock, log, commits, add } = setup();
    storage.failure = new StorageError('io', 'broken');
    add('a');
    commits.flush();
    for (let tries = 0; tries < 2 * TRIES; tries++) {
      await turn();
      clock.advance(RETRY_MS);
    }
    expect(storage.calls).toHaveLength(TRIES);
    expect(log).toEqual(['refused io', 'fatal broken']);
    storage.failure = null;
    add('b');
    commits.flush();
    await turn();
    expect(log).toEqual(['refused io', 'fatal broken']);
    expect(isStored(storage, 'b')).toBe(false);
  });

  it('does not repeat a commit that failed for a reason of its own', async () => {
    const { storage, log, commits } = setup();
    storage.failure = new TypeError('a bug');
    commits.addRaw(storageWrite(object('a')), () => log.push('a'));
    commits.flush();
    await turn();
    expect(storage.calls).toHaveLength(1);
    expect(log).toEqual(['fatal a bug']);
  });

  it('has nothing to drain when nothing was added', async () => {
    const { storage, commits } = setup();
    await commits.drain();
    expect(storage.calls).toEqual([]);
  });
});
