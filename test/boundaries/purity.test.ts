import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { purityViolations } from '../support/purity.ts';

const root = resolve(import.meta.dirname, '../..');

describe('the purity check', () => {
  test.each([
    ['const at = Date.now();', 'Date.now'],
    ["const at = Date['now']();", 'Date[…]'],
    ['const at = new Date();', 'the current Date'],
    ['const { now } = Date; const roll = Math.random();', 'Math.random'],
    ['setTimeout(() => {}, 1);', 'setTimeout'],
    ['const id = setInterval(tick, 1);', 'setInterval'],
    ['queueMicrotask(tick);', 'queueMicrotask'],
    ['const at = performance.now();', 'performance'],
    ['const limit = process.env.LIMIT;', 'process'],
    ['const now = globalThis.Date.now;', 'globalThis'],
    ['const bytes = crypto.getRandomValues(new Uint8Array(8));', 'crypto'],
    ['console.log(1);', 'console'],
    ['export async function read() {}', 'async code'],
    ['const read = async () => 1;', 'async code'],
    ['class Core { async handle() {} }', 'async code'],
    ['const core = { async handle() {} };', 'async code'],
    ['for await (const item of items) use(item);', 'async code'],
    ['const answer: Promise<number> = later;', 'Promise'],
    ["const level = import('classic-level');", 'import()'],
  ])('refuses %s', (text, found) => {
    expect(purityViolations(text).map((violation) => violation.found)).toContain(found);
  });

  test.each([
    ['const at = now.monoMs; // Date.now() would be wrong here'],
    ['const text = "setTimeout(process)";'],
    ['const state = core.process; interface Frame { process: number; fetch(): void }'],
    ['const iso = new Date(wallMs).toISOString(); const half = Math.floor(3 / 2);'],
  ])('lets %s pass', (text) => {
    expect(purityViolations(text)).toEqual([]);
  });
});

describe('protocol and lib', () => {
  const files = globSync('src/{protocol,lib}/**/*.ts', { cwd: root });

  test('are found', () => {
    expect(files.length).toBeGreaterThan(12);
  });

  test.each(files)('%s is pure', (file) => {
    expect(purityViolations(readFileSync(join(root, file), 'utf8'))).toEqual([]);
  });
});
