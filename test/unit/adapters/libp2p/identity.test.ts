import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createIdentity, type Identity, loadIdentity } from '../../../../src/adapters/libp2p/identity.ts';

describe('loadIdentity', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'holdfast-identity-'));
  });

  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it('creates a key once, readable by its owner only, and finds it again', async () => {
    const first = await loadIdentity(directory);
    const again = await loadIdentity(directory);
    expect(first.peer).toMatch(/^12D3KooW/);
    expect(again.peer).toBe(first.peer);
    expect((await stat(join(directory, 'identity.key'))).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(['identity.key']);
    expect((await createIdentity()).peer).not.toBe(first.peer);
  });

  it.each([
    ['empty', Buffer.alloc(0)],
    ['garbage', Buffer.from('not a key at all')],
    ['truncated', undefined],
  ])('refuses an %s file with a clear error and leaves it alone', async (_, content) => {
    await loadIdentity(directory);
    const path = join(directory, 'identity.key');
    const bytes = content ?? (await readFile(path)).subarray(0, 20);
    await writeFile(path, bytes);
    await expect(loadIdentity(directory)).rejects.toMatchObject({ code: 'identity-corrupt' });
    await expect(loadIdentity(directory)).rejects.toThrow(/restore it from a backup/);
    expect(Buffer.compare(await readFile(path), bytes)).toBe(0);
  });

  it('refuses a file in which any one bit is another, unless it holds the same key all the same', async () => {
    const { peer } = await loadIdentity(directory);
    const path = join(directory, 'identity.key');
    const bytes = await readFile(path);
    for (const at of bytes.keys()) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] as number) ^ 1;
      await writeFile(path, flipped);
      const found = await loadIdentity(directory).catch((error: unknown) => error);
      expect([{ peer }, { code: 'identity-corrupt' }], `byte ${at}`).toContainEqual(
        found instanceof Error
          ? { code: (found as Error & { code?: string }).code }
          : { peer: (found as Identity).peer },
      );
    }
  });

  it('says what it cannot read or write', async () => {
    await expect(loadIdentity(join(directory, 'missing'))).rejects.toMatchObject({ code: 'identity-io' });
    await writeFile(join(directory, 'file'), '');
    await expect(loadIdentity(join(directory, 'file'))).rejects.toMatchObject({ code: 'identity-io' });
    await chmod(directory, 0o700);
  });
});
