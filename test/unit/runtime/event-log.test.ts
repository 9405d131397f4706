import { describe, expect, it } from 'vitest';
import type { ClusterEvent } from '../../../src/ports/node-handle.ts';
import { EventLog } from '../../../src/runtime/event-log.ts';

const RETAINED = 4096;
const WALL_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 6);

function filled(count: number): EventLog {
  const log = new EventLog('run');
  for (let i = 1; i <= count; i++) log.append('member-alive', { name: `n${i}` }, WALL_MS);
  return log;
}

function seqs(events: readonly ClusterEvent[] | null): number[] | null {
  return events === null ? null : events.map(({ seq }) => seq);
}

describe('event log', () => {
  it('numbers and stamps what is appended', () => {
    const log = new EventLog('run');
    const event = log.append('member-dead', { name: 'n1' }, WALL_MS);
    expect(event).toEqual({ seq: 1, time: '2026-01-02T03:04:05.006Z', type: 'member-dead', data: { name: 'n1' } });
    expect(log.append('member-alive', {}, WALL_MS).seq).toBe(2);
    expect(log.after(0)).toHaveLength(2);
  });

  it('resumes after any retained event', () => {
    const log = filled(5);
    expect(seqs(log.after(0))).toEqual([1, 2, 3, 4, 5]);
    expect(seqs(log.after(3))).toEqual([4, 5]);
    expect(seqs(log.after(5))).toEqual([]);
    expect(log.after(6)).toBeNull();
    expect(new EventLog('run').after(0)).toEqual([]);
  });

  it('keeps the latest, and says so when those asked for are gone', () => {
    const log = filled(RETAINED + 10);
    expect(log.after(0)).toHaveLength(RETAINED);
    expect(log.after(9)).toBeNull();
    expect(log.after(10)).toHaveLength(RETAINED);
  });

  it('calls subscribers until they end it', () => {
    const log = filled(2);
    const seen: number[] = [];
    const end = log.subscribe(({ seq }) => seen.push(seq));
    log.append('ring-changed', {}, WALL_MS);
    end();
    log.append('ring-changed', {}, WALL_MS);
    expect(seen).toEqual([3]);
  });
});
