import { beforeEach, describe, expect, it } from 'vitest';
import type { ConflictView, WriteView } from '../../../../src/ports/node-handle.ts';
import { type Harness, problemOf, startHarness } from './harness.ts';

const ACTOR = '00000000000000a1';
const NOTICED = Date.UTC(2026, 2, 1, 12);

let h: Harness;

beforeEach(async () => {
  h = await startHarness();
});

function write(text: string, by: string, leftOutBytes: number | null = null): WriteView {
  const value = new TextEncoder().encode(text);
  const payload = { kind: 'register', value, contentType: 'text/plain' } as const;
  const hlc = Date.UTC(2026, 2, 1) * 2048;
  return { entry: { dot: { actor: ACTOR, counter: 5 }, hlc, expiresAtMs: 0, payload }, by, leftOutBytes };
}

const CONFLICT: ConflictView = {
  loserKey: { hlc: 77, shard: 12, actor: ACTOR, counter: 5 },
  bucket: 'default',
  key: 'a/b',
  winner: write('kept', 'edge-1'),
  loser: write('lost', 'hub'),
  atMs: NOTICED,
};

async function answer(query = ''): Promise<unknown> {
  const response = await h.fetch(`/v1/conflicts${query}`);
  expect(response.status).toBe(200);
  return response.json();
}

describe('GET /v1/conflicts', () => {
  it('shows what was kept and what was lost, by whom, and who did not answer', async () => {
    h.node.lostWrites = { conflicts: [CONFLICT], more: false, missing: ['edge-3'] };
    const about = { at: '2026-03-01T00:00:00.000Z', contentType: 'text/plain' };
    expect(await answer()).toEqual({
      conflicts: [
        {
          bucket: 'default',
          key: 'a/b',
          at: '2026-03-01T12:00:00.000Z',
          winner: { by: 'edge-1', value: Buffer.from('kept').toString('base64'), ...about },
          loser: { by: 'hub', value: Buffer.from('lost').toString('base64'), ...about },
        },
      ],
      next: null,
      missing: ['edge-3'],
    });
    expect(h.node.conflictsQueries).toEqual([{ bucket: null, after: null, limit: 50 }]);
  });

  it('shows the length of a value that was too long, and what a set is', async () => {
    const winner = write('', 'edge-1');
    const set = {
      ...winner,
      entry: { ...winner.entry, payload: { kind: 'set-member', member: new Uint8Array() } },
    } as const;
    const conflict = { ...CONFLICT, winner: set, loser: write('', 'edge-2', 100_000) };
    h.node.lostWrites = { conflicts: [conflict], more: false, missing: [] };
    const at = '2026-03-01T00:00:00.000Z';
    expect(await answer()).toMatchObject({
      conflicts: [
        {
          winner: { by: 'edge-1', at, type: 'set' },
          loser: { by: 'edge-2', at, contentType: 'text/plain', leftOutBytes: 100_000 },
        },
      ],
    });
  });

  it('goes on where it has ended', async () => {
    h.node.lostWrites = { conflicts: [CONFLICT], more: true, missing: [] };
    const { next } = (await answer('?bucket=default&limit=1')) as { next: string };
    expect(next).toBe(`77-12-${ACTOR}-5`);
    await answer(`?bucket=default&limit=1&before=${next}`);
    const query = { bucket: 'default', limit: 1 };
    expect(h.node.conflictsQueries).toEqual([
      { ...query, after: null },
      { ...query, after: CONFLICT.loserKey },
    ]);
  });

  it.each([
    ['?limit=0', '400 bad-request'],
    ['?limit=101', '400 bad-request'],
    ['?before=77', '400 bad-request'],
    [`?before=77-${2 ** 48}-${ACTOR}-5`, '400 bad-request'],
    [`?before=9007199254740992-1-${ACTOR}-5`, '400 bad-request'],
    ['?bucket=nope', '404 bucket-not-found'],
    ['?bucket=BAD', '400 bad-bucket'],
    ['?x=1', '400 bad-request'],
  ])('refuses %s', async (query, expected) => {
    expect(await problemOf(await h.fetch(`/v1/conflicts${query}`))).toBe(expected);
    expect(h.node.conflictsQueries).toEqual([]);
  });
});
