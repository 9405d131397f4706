import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { missingEntries } from '../../scripts/complete-lockfile.ts';

const lockfile = join(resolve(import.meta.dirname, '../..'), 'package-lock.json');
const text = readFileSync(lockfile, 'utf8');

function missingNames(json: string): string[] {
  return missingEntries(JSON.parse(json) as Parameters<typeof missingEntries>[0]).map(([path]) => path);
}

test('a left-out platform package is noticed', () => {
  const name = 'node_modules/@biomejs/cli-darwin-arm64';
  const lock = JSON.parse(text) as { packages: Record<string, unknown> };
  delete lock.packages[name];
  expect(missingNames(JSON.stringify(lock))).toContain(name);
});

test('the lock file holds every platform package, or npm ci fails; scripts/complete-lockfile.ts adds them', () => {
  expect(missingNames(text)).toEqual([]);
});

test('the lock file names no registry', () => {
  expect(text).not.toContain('"resolved"');
});
