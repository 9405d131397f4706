import { describe, expect, it } from 'vitest';
import type { ReplicationCore } from '../../../../src/protocol/replication/core.ts';
import type { ExpiryRow } from '../../../../src/protocol/replication/record.ts';
import { Sweeper } from '../../../../src/protocol/replication/sweeper.ts';
import type { WriteCoordinator } from '../../../../src/protocol/replication/write-coordinator.ts';

const OTHERS = 0;
const OWN = 1;
const HELD = 2;
const GONE = 3;

interface Scan {
  readonly after: ExpiryRow | null;
  readonly limit: number;
}

/** A node whose schedule has these rows; `opened` are the keys that it looks at. */
function started(rows: readonly ExpiryRow[]) {
  const opened: string[] = [];
  const core = {
    options: { self: 'self' },
    now: { monoMs: 0, wallMs: 1_000_000 },
    clockDoubtfulSinceMs: null,
    ring: { owners: (shard: number) => (shard === OWN ? ['self', 'other'] : ['other', 'self']) },
    isUp: () => true,
    shards: { find: (shard: number) => (shard === GONE ? undefined : { owned: shard !== HELD }) },
    cells: { open: (_shard: number, { key }: { key: string }) => void opened.push(key) },
    scan: ({ after, limit }: Scan, use: (result: unknown) => void) => {
      const left = rows.slice(after === null ? 0 : rows.indexOf(after) + 1);
      use({ table: 'expiry', rows: left.slice(0, limit), more: left.length > limit });
    },
  };
  const sweeper = new Sweeper(core as unknown as ReplicationCore, {} as WriteCoordinator);
  sweeper.wake();
  const look = (): string[] => {
    core.now = { ...core.now, monoMs: sweeper.nextDeadline() ?? 0 };
    sweeper.handleTimeout();
    return opened.splice(0);
  };
  return { sweeper, core, look };
}

function row(shard: number, key: string): ExpiryRow {
  return { atMs: 500, shard, name: { bucket: 'b', key } };
}

describe('Sweeper', () => {
  it('comes to its own rows behind any number that others have to sweep', () => {
    const { look, sweeper, core } = started([
      ...Array.from({ length: 3000 }, (_, i) => row(OTHERS, `other${i}`)),
      row(OWN, 'own'),
    ]);
    expect([look(), look(), look()]).toEqual([[], [], ['own']]);
    // And begins anew, in its time.
    expect((sweeper.nextDeadline() ?? 0) - core.now.monoMs).toBe(1000);
    expect([look(), look(), look()]).toEqual([[], [], ['own']]);
  });

  it('leaves the rows of a shard that is held for others, and looks after those of one that is gone', () => {
    const { look } = started([row(HELD, 'held'), row(GONE, 'gone')]);
    expect(look()).toEqual(['gone']);
  });
});
