/**
 * Child process of the ENOSPC test: fills a small file system through the store, makes room, goes on, and prints
 * what it saw as JSON. Usage: node fill-disk.ts DIRECTORY
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openLevelStorage } from '../../src/adapters/level/level-storage.ts';
import type { Log } from '../../src/ports/log.ts';
import { StorageError } from '../../src/ports/storage.ts';

const [mountPoint] = process.argv.slice(2);
if (mountPoint === undefined) throw new Error('usage: fill-disk.ts DIRECTORY');

const log: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
const encoder = new TextEncoder();
const lost: string[] = [];
const options = {
  directory: join(mountPoint, 'store'),
  log,
  onCorrupt: () => lost.push('corrupt'),
  onRecordsLost: (reason: string) => lost.push(reason),
  writeBufferBytes: 1024 * 1024,
  headroomBytes: 64 * 1024,
};
const ballast = join(mountPoint, 'ballast');
writeFileSync(ballast, Buffer.alloc(4 * 1024 * 1024));

const storage = await openLevelStorage(options);
const key = (id: number) => encoder.encode(`k${id}`);
const value = (id: number) => encoder.encode(`${id} `.repeat(2000));
const acknowledged: number[] = [];
const commit = async (id: number) => {
  await storage.commit([{ key: key(id), value: value(id) }]);
  acknowledged.push(id);
};

let code = 'none';
let id = 0;
// Past the headroom check and into the real limit: free space is remembered for a second.
for (; code === 'none' && id < 10_000; id++) {
  await commit(id).catch((error: unknown) => {
    code = error instanceof StorageError ? error.code : String(error);
  });
}
const first = acknowledged[0] as number;
const readableWhileFull = Buffer.from(storage.read(key(first)) ?? []).equals(Buffer.from(value(first)));

rmSync(ballast);
let resumed = false;
for (let attempt = 0; attempt < 100 && !resumed; attempt++) {
  resumed = await commit(id++).then(
    () => true,
    () => new Promise<false>((resolve) => setTimeout(resolve, 50, false)),
  );
}
for (let more = 0; more < 20; more++) await commit(id++);
await storage.close();

const again = await openLevelStorage(options);
let missing = 0;
let wrong = 0;
for (const one of acknowledged) {
  const found = again.read(key(one));
  if (found === undefined) missing += 1;
  else if (!Buffer.from(found).equals(Buffer.from(value(one)))) wrong += 1;
}
const survived = acknowledged.length > 20;
await again.close();
process.stdout.write(JSON.stringify({ code, readableWhileFull, missing, wrong, resumed, survived, lost }));
