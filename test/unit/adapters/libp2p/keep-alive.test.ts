import { describe, expect, it } from 'vitest';
import { KeepAlive } from '../../../../src/adapters/libp2p/keep-alive.ts';

const MINUTE = 60_000;

/** Asks every fifteen seconds, as a session does; `answers`: until when pings are answered. */
function pingsIn(minutes: number, answersUntil: number): { pings: number[]; gaveUpMs: number | null } {
  const keepAlive = new KeepAlive({ intervalMs: MINUTE, pings: true, nowMs: 0 });
  const pings: number[] = [];
  for (let now = 0; now <= minutes * MINUTE; now += 15_000) {
    const due = keepAlive.due(now);
    if (due === 'give-up') return { pings, gaveUpMs: now };
    if (due === 'nothing') continue;
    pings.push(now);
    keepAlive.noteSent(now);
    if (now < answersUntil) keepAlive.noteHeard(now + 100);
  }
  return { pings, gaveUpMs: null };
}

describe('KeepAlive', () => {
  it('pings an idle peer about once a minute', () => {
    const { pings, gaveUpMs } = pingsIn(60, Number.POSITIVE_INFINITY);
    expect(gaveUpMs).toBeNull();
    expect(pings.length).toBeLessThanOrEqual(60);
    expect(pings.length).toBeGreaterThanOrEqual(45);
  });

  it('gives a peer up once three pings are unanswered, four minutes after it was last heard', () => {
    const { pings, gaveUpMs } = pingsIn(60, 0);
    expect(pings).toEqual([MINUTE, 2 * MINUTE, 3 * MINUTE]);
    expect(gaveUpMs).toBe(4 * MINUTE);
  });

  it('does not ping while both sides have something to say', () => {
    const keepAlive = new KeepAlive({ intervalMs: MINUTE, pings: true, nowMs: 0 });
    for (let now = 0; now < 10 * MINUTE; now += 15_000) {
      keepAlive.noteSent(now);
      keepAlive.noteHeard(now);
      expect(keepAlive.due(now)).toBe('nothing');
    }
  });

  it('pings a peer that talks but is not talked to, which could not know otherwise', () => {
    const keepAlive = new KeepAlive({ intervalMs: MINUTE, pings: true, nowMs: 0 });
    let pings = 0;
    for (let now = 0; now < 10 * MINUTE; now += 15_000) {
      keepAlive.noteHeard(now);
      if (keepAlive.due(now) === 'ping') pings++;
    }
    expect(pings).toBe(9);
  });

  it('leaves the pings to the other end where that is agreed, and gives up all the same', () => {
    const keepAlive = new KeepAlive({ intervalMs: MINUTE, pings: false, nowMs: 0 });
    for (let now = 0; now < 4 * MINUTE; now += 15_000) expect(keepAlive.due(now)).toBe('nothing');
    expect(keepAlive.due(4 * MINUTE)).toBe('give-up');
  });

  it('gives up half a minute after a request where nobody is there, with a ping in between', () => {
    const keepAlive = new KeepAlive({ intervalMs: MINUTE, pings: true, nowMs: 0 });
    keepAlive.noteSent(20_000);
    keepAlive.noteAsked(20_000, 100);
    keepAlive.noteAsked(30_000, 100);
    expect(keepAlive.due(34_999)).toBe('nothing');
    expect(keepAlive.due(35_100)).toBe('ping');
    expect(keepAlive.due(45_000)).toBe('nothing');
    expect(keepAlive.due(50_100)).toBe('give-up');
  });

  it('waits longer for an answer where the peer lives, or much is on its way', () => {
    const keepAlive = new KeepAlive({ intervalMs: MINUTE, pings: true, nowMs: 0 });
    keepAlive.noteAsked(0, 100);
    expect(keepAlive.due(16_000)).toBe('ping');
    keepAlive.noteHeard(16_500);
    expect(keepAlive.due(60_000)).toBe('nothing');
    keepAlive.noteAsked(60_000, 400_000);
    expect(keepAlive.due(74_000)).toBe('nothing');
    expect(keepAlive.due(126_000)).toBe('ping');
    expect(keepAlive.due(185_000)).toBe('nothing');
    expect(keepAlive.due(190_000)).toBe('give-up');
  });
});
