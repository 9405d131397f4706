import { expect, it } from 'vitest';
import { Prng } from '../../../src/lib/prng.ts';
import type { NodeInput } from '../../../src/protocol/node/effect.ts';
import type { AcceptorRow, RegisterWrite, ShardRecord } from '../../../src/protocol/register/record.ts';
import { SimCluster } from '../../simulation/cluster.ts';
import { CommitQueue } from '../../simulation/commit-queue.ts';
import { DiskWork } from '../../simulation/disk-work.ts';
import { VirtualClock } from '../../simulation/virtual-clock.ts';
import { VirtualDisk } from '../../simulation/virtual-disk.ts';
import { electorateOf } from '../../support/electorate-of.ts';

const SHARD = 3;
const SYNC_MS = 5;
const NAME = { bucket: 'b', key: 'k' };
const RECORD: ShardRecord = {
  floor: { counter: 0, proposer: '' },
  epoch: 2,
  member: true,
  whole: [['n']],
  generation: 0,
};
const READ = { type: 'register-read', id: 1, shard: SHARD, name: NAME } as const;
const SCAN = { type: 'register-scan', id: 2, shard: SHARD, after: null, limit: 9, bytesMax: 1000 } as const;

function rowOf(counter: number): AcceptorRow {
  return { promised: { counter, proposer: 'p' }, accepted: null, generation: 0 };
}

function write(counter: number): RegisterWrite {
  return { table: 'register', shard: SHARD, name: NAME, value: rowOf(counter) };
}

function setup(seed = 1) {
  const clock = new VirtualClock();
  const disk = new VirtualDisk('00000000000000a1');
  const heard: NodeInput[] = [];
  const later = (delayMs: number, run: () => void): void => clock.after(delayMs, run);
  const commits = new CommitQueue({
    disk,
    syncMs: () => SYNC_MS,
    isFull: () => false,
    after: later,
    deliver: (run) => run(),
    onRefused: () => {},
    onRecovered: () => {},
  });
  const work = new DiskWork({ disk, commits, prng: new Prng(seed), post: (input) => heard.push(input), later });
  return { clock, disk, heard, commits, work };
}

it('rows are on the disk with all else of their batch, or not at all', () => {
  for (const torn of [false, true]) {
    const { disk, commits, work } = setup();
    work.execute({
      type: 'register-persist',
      id: 1,
      rows: [write(1), { table: 'register-shard', shard: SHARD, value: RECORD }],
    });
    work.execute({ type: 'persist', id: 1, writes: [{ table: 'counter', shard: SHARD, value: 7 }] });
    commits.flush();
    work.execute({ type: 'register-persist', id: 2, rows: [write(2)] });
    commits.crash(torn);
    expect([disk.counters.get(SHARD), disk.registers.shards.get(SHARD), disk.registers.read(SHARD, NAME)]).toEqual(
      torn ? [7, RECORD, rowOf(1)] : [undefined, undefined, null],
    );
  }
});

it('a batch is confirmed in the order of its effects, once it is synced', () => {
  const { clock, heard, commits, work } = setup();
  work.execute({ type: 'register-persist', id: 1, rows: [write(1)] });
  work.execute({ type: 'persist', id: 1, writes: [] });
  work.execute({ type: 'register-persist', id: 2, rows: [write(2)] });
  commits.flush();
  clock.runUntil(SYNC_MS - 1);
  expect(heard).toEqual([]);
  clock.runUntil(SYNC_MS);
  expect(heard).toEqual([
    { type: 'register-persisted', id: 1 },
    { type: 'persisted', id: 1 },
    { type: 'register-persisted', id: 2 },
  ]);
});

it.each([READ, SCAN])('a bad row is told of before the $type that found it is answered, and once a run', (effect) => {
  // Some reads are answered at once.
  for (let seed = 1; seed < 20; seed++) {
    const { clock, disk, heard, work } = setup(seed);
    disk.apply(write(1));
    disk.registers.damage({ table: 'register', shard: SHARD, name: NAME });
    work.execute(effect);
    clock.runUntil(10);
    work.execute(effect);
    clock.runUntil(20);
    const { id } = effect;
    const answer =
      effect.type === 'register-read'
        ? { type: 'register-read-done', id, row: null }
        : { type: 'register-scan-done', id, rows: [], more: false };
    const lost = { type: 'register-lost', record: { table: 'register', shard: SHARD, name: NAME } };
    expect(heard).toEqual([lost, answer, answer]);
    disk.open();
    work.execute(effect);
    clock.runUntil(30);
    expect(heard.slice(3)).toEqual([lost, answer]);
    // Until it is written anew.
    disk.apply(write(2));
    work.execute(effect);
    clock.runUntil(40);
    expect(heard.at(-1)).toMatchObject(
      effect.type === 'register-read' ? { row: rowOf(2) } : { rows: [{ name: NAME, row: rowOf(2) }] },
    );
  }
});

it('a node is started with the standing that its disk tells, and none where that is bad', () => {
  const cluster = new SimCluster({ seed: 1, nodes: 1 });
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  node.disk.electorate = electorateOf(4);
  for (const shard of [1, 2]) node.disk.apply({ table: 'register-shard', shard, value: RECORD });
  node.disk.registers.damage({ table: 'register-shard', shard: 2 });
  cluster.start(node);
  expect(node.disk.registers.shards.get(1)).toEqual(RECORD);
  expect(node.disk.registers.shards.get(2)).toMatchObject({ epoch: 4, member: false, whole: [] });
  cluster.replaceDisk(node);
  expect(node.disk.registers.shardIds().size).toBe(0);
});
