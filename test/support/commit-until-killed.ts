/**
 * Child process of the durability test: commits for ever and prints the number of each acknowledged commit.
 * Usage: node commit-until-killed.ts DIRECTORY FIRST
 */
import { writeSync } from 'node:fs';
import { openLevelStorage } from '../../src/adapters/level/level-storage.ts';
import type { Log } from '../../src/ports/log.ts';

const [directory, first] = process.argv.slice(2);
if (directory === undefined) throw new Error('usage: commit-until-killed.ts DIRECTORY FIRST');

const log: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
const storage = await openLevelStorage({ directory, log, onCorrupt: () => {}, writeBufferBytes: 256 * 1024 });
const encoder = new TextEncoder();

async function commitFrom(start: number, step: number): Promise<void> {
  for (let id = start; ; id += step) {
    await storage.commit([
      { key: encoder.encode(`a/${id}`), value: encoder.encode(`first ${id} ${'x'.repeat(200)}`) },
      { key: encoder.encode(`b/${id}`), value: encoder.encode(`second ${id}`) },
    ]);
    writeSync(1, `${id}\n`);
  }
}

const WRITERS = 8;
await Promise.all(Array.from({ length: WRITERS }, (_, index) => commitFrom(Number(first ?? 0) + index, WRITERS)));
