import { describe, expect, it } from 'vitest';
import { MemberTable } from '../../../../src/protocol/membership/member-table.ts';
import { Overlay } from '../../../../src/protocol/membership/overlay.ts';
import { profileOf } from '../../../support/membership-network.ts';
import { signed } from '../../../support/test-claims.ts';

const TIMING = { rings: 8, probeAllMax: 64 };
const idOf = (i: number): string => `node-${i}`;

interface Watch {
  readonly table: MemberTable;
  readonly overlay: Overlay;
}

function watchOf(self: string, size: number): Watch {
  const table = new MemberTable(self, []);
  const watch = { table, overlay: new Overlay(self, table, TIMING) };
  for (let i = 0; i < size; i++) if (idOf(i) !== self) setState(watch, idOf(i), 'alive');
  return watch;
}

function setState({ table, overlay }: Watch, id: string, state: 'alive' | 'dead'): void {
  const profile = profileOf(id);
  const record = table.record(id) ?? table.add(id, profile);
  const incarnation = record.member.incarnation + 1;
  const claim = state === 'alive' ? { state, id, incarnation, profile } : { state, id, incarnation, from: 'x' };
  table.apply(record, signed(claim), { monoMs: 0, wallMs: 0 });
  if (state === 'alive') overlay.handleReachable(record);
  else overlay.handleUnreachable(id);
}

describe('Overlay', () => {
  it('lets everybody probe everybody in a small cluster', () => {
    const watch = watchOf(idOf(0), 64);
    const { overlay } = watch;
    expect(overlay.isSmall).toBe(true);
    expect(overlay.subjects()).toHaveLength(63);
    expect(overlay.isNeighbour(idOf(40))).toBe(true);
    setState(watch, idOf(64), 'alive');
    expect(overlay.isSmall).toBe(false);
    expect(overlay.subjects().length).toBeLessThanOrEqual(8);
  });

  it('agrees, across views, on who watches whom, and leaves nobody unwatched', () => {
    const size = 300;
    const overlays = Array.from({ length: size }, (_, i) => watchOf(idOf(i), size).overlay);
    const observers = new Map<string, number>();
    for (const [i, overlay] of overlays.entries()) {
      for (const subject of overlay.subjects()) {
        observers.set(subject, (observers.get(subject) ?? 0) + 1);
        expect(overlays[Number(subject.slice(5))]?.isNeighbour(idOf(i))).toBe(true);
      }
    }
    expect(observers.size).toBe(size);
    // A subject may be the successor on two rings, so a few have one observer less.
    expect(Math.min(...observers.values())).toBeGreaterThanOrEqual(6);
    expect(Math.max(...observers.values())).toBeLessThanOrEqual(8);
  });

  it('passes over the dead, and changes no other neighbour', () => {
    const watch = watchOf(idOf(0), 200);
    const { overlay } = watch;
    const before = overlay.subjects();
    const gone = before[0] as string;
    setState(watch, gone, 'dead');
    const after = overlay.subjects();
    expect(after).not.toContain(gone);
    expect(before.filter((id) => !after.includes(id))).toEqual([gone]);
    setState(watch, gone, 'alive');
    expect([...overlay.subjects()].sort()).toEqual([...before].sort());
  });
});
