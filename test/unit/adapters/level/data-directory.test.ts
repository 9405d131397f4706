import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeDataDirectory } from '../../../../src/adapters/level/data-directory.ts';

let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-data-directory-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

describe('the data directory', () => {
  it('is made with those above it, for this user alone, as often as asked', async () => {
    const path = join(folder, 'a/b/c');
    await Promise.all([makeDataDirectory(path), makeDataDirectory(path)]);
    await makeDataDirectory(path);
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  it('cannot be in place of a file or below one', async () => {
    writeFileSync(join(folder, 'file'), '');
    for (const path of ['file', 'file/below']) {
      await expect(makeDataDirectory(join(folder, path))).rejects.toMatchObject({
        name: 'StorageError',
        code: 'io',
        message: expect.stringMatching(/^the data directory cannot be used \(E.*--data-dir$/),
      });
    }
  });

  it.skipIf(process.platform !== 'linux').each(['/proc/holdfast', '/proc/holdfast/a/b', '/sys/holdfast'])(
    'is refused at %s, where nothing can be made, instead of being tried for ever',
    async (path) => {
      await expect(makeDataDirectory(path)).rejects.toMatchObject({ name: 'StorageError', code: 'io' });
    },
    5_000,
  );
});
