import { describe, expect, it } from 'vitest';
import type { Instant } from '../../../../src/protocol/machine.ts';
import { type ClockRing, ClusterClock } from '../../../../src/protocol/node/cluster-clock.ts';
import type { ClockExchange } from '../../../../src/protocol/node/message.ts';

const TRUE_MS = 1_790_000_000_000;
const DRIFT_MS = 60_000;
const YEAR_MS = 365 * 86_400_000;
const DAY_MS = 86_400_000;
/** What a clock without a battery shows after a power cut. */
const TO_1970_MS = -TRUE_MS;

function ringOf(members: number, hasOthers = members > 1): ClockRing {
  return { members, hasOthers };
}

/** One clock under test among peers whose clocks are off by so much. */
class Rig {
  monoMs = 5000;
  readonly clock: ClusterClock;
  readonly offsets: Record<string, number>;
  ownMs: number;
  asks = 0;
  private readonly silent = new Set<string>();

  constructor(ownMs: number, offsets: Record<string, number> = {}, members = Object.keys(offsets).length + 1) {
    this.ownMs = ownMs;
    this.offsets = offsets;
    this.clock = new ClusterClock(DRIFT_MS, ringOf(members), this.now());
    for (const peer of Object.keys(offsets)) this.clock.handleConnected(peer, this.now(), this.send);
  }

  now(): Instant {
    return { monoMs: this.monoMs, wallMs: TRUE_MS + this.monoMs + this.ownMs };
  }

  /** How far what the node works with is from the truth. */
  get errorMs(): number {
    return Math.round(this.clock.corrected(this.now()).wallMs - TRUE_MS - this.monoMs);
  }

  turn(forMs = 0): void {
    this.monoMs += forMs;
    this.clock.observe(this.now(), this.send);
    const deadline = this.clock.nextDeadline();
    if (deadline !== undefined && deadline <= this.monoMs) this.clock.handleTimeout(this.now());
  }

  silence(...peers: string[]): void {
    for (const peer of peers) this.silent.add(peer);
  }

  readonly send = (peer: string, message: ClockExchange): void => {
    expect(message.type).toBe('clock-ask');
    this.asks++;
    if (this.silent.has(peer)) return;
    const wallMs = Math.max(0, TRUE_MS + this.monoMs + (this.offsets[peer] ?? 0));
    this.clock.handleMessage(peer, { type: 'clock-tell', id: message.id, wallMs }, this.now(), this.send);
  };
}

describe('ClusterClock', () => {
  it('keeps a clock that is right', () => {
    const rig = new Rig(700, { a: 0, b: -900 });
    expect(rig.errorMs).toBe(700);
    expect(rig.clock.state).toEqual({ correctionMs: 0, pending: false, doubtfulSinceMs: null });
  });

  it.each([YEAR_MS, -DAY_MS, TO_1970_MS, 31_000])(
    'works with the time of the majority where its own is off by %d ms',
    (offset) => {
      const rig = new Rig(offset, { a: 0, b: 100 });
      expect(Math.abs(rig.errorMs)).toBeLessThan(200);
      expect(rig.clock.state.doubtfulSinceMs).toBeNull();
      rig.turn(3_600_000);
      expect(Math.abs(rig.errorMs)).toBeLessThan(200);
    },
  );

  it('leaves small differences alone', () => {
    expect(new Rig(29_000, { a: 0, b: 0 }).errorMs).toBe(29_000);
  });

  it('keeps its own clock where two disagree, and says that it is in doubt', () => {
    const rig = new Rig(YEAR_MS, { a: 0 });
    expect(rig.errorMs).toBe(YEAR_MS);
    expect(rig.clock.state.doubtfulSinceMs).toBe(TRUE_MS + 5000 + YEAR_MS);
  });

  it('gives a clock that was never set no say, not even a majority of them', () => {
    expect(new Rig(0, { a: TO_1970_MS }).errorMs).toBe(0);
    expect(new Rig(TO_1970_MS, { a: 0 }).errorMs).toBe(0);
    expect(new Rig(TO_1970_MS, { a: TO_1970_MS, b: TO_1970_MS, c: 0 }).errorMs).toBe(0);
    expect(new Rig(TO_1970_MS, { a: TO_1970_MS, b: TO_1970_MS }).errorMs).toBe(TO_1970_MS);
  });

  it('is not confirmed by a minority of the ring', () => {
    expect(new Rig(0, { a: 0 }, 5).clock.state.doubtfulSinceMs).not.toBeNull();
    expect(new Rig(0, { a: 0, b: 0 }, 5).clock.state.doubtfulSinceMs).toBeNull();
    expect(new Rig(0, {}, 1).clock.state.doubtfulSinceMs).toBeNull();
    expect(new Rig(0, { a: 0, b: 0, c: 0, d: 0 }, 1000).clock.state.doubtfulSinceMs).toBeNull();
  });

  it('is not confirmed by being the only member left while others contradict, or have yet to answer', () => {
    for (const answers of [true, false]) {
      const rig = new Rig(0, { a: 0, b: 0 });
      if (!answers) rig.silence('a', 'b');
      rig.ownMs = YEAR_MS;
      rig.turn(10);
      rig.turn(10_000);
      rig.clock.handleRing(ringOf(1), rig.now());
      const { doubtfulSinceMs } = rig.clock.state;
      if (answers) expect(rig.errorMs).toBe(0);
      else expect(doubtfulSinceMs).not.toBeNull();
    }
  });

  it('goes on with the time it had when its clock jumps, until the others have spoken', () => {
    const rig = new Rig(0, { a: 0, b: 0 });
    rig.silence('a', 'b');
    rig.ownMs = YEAR_MS;
    rig.turn(1);
    expect(rig.errorMs).toBe(0);
    expect(rig.clock.state.pending).toBe(true);
    rig.turn(4999);
    expect(rig.errorMs).toBe(0);
    rig.turn(1);
    expect(rig.errorMs).toBe(YEAR_MS);
    expect(rig.clock.state.doubtfulSinceMs).not.toBeNull();
  });

  it('does not follow its own clock when the others contradict, and does when they agree', () => {
    const rig = new Rig(0, { a: 0, b: 0 });
    rig.ownMs = -DAY_MS;
    rig.turn(1);
    expect(rig.clock.state).toEqual({ correctionMs: DAY_MS, pending: false, doubtfulSinceMs: null });
    rig.ownMs = 0;
    rig.turn(1000);
    expect(rig.clock.state).toEqual({ correctionMs: 0, pending: false, doubtfulSinceMs: null });
  });

  it('believes its own clock after a sleep in which the monotonic clock stood still', () => {
    const rig = new Rig(0, { a: 0, b: 0 });
    rig.ownMs = 3_600_000;
    rig.offsets['a'] = 3_600_000;
    rig.offsets['b'] = 3_600_000;
    rig.turn(1);
    expect(rig.errorMs).toBe(3_600_000);
    expect(rig.clock.state).toEqual({ correctionMs: 0, pending: false, doubtfulSinceMs: null });
  });

  it('takes its own clock at once where it knows no other', () => {
    const rig = new Rig(0, {}, 3);
    rig.ownMs = YEAR_MS;
    rig.turn(1);
    expect(rig.errorMs).toBe(YEAR_MS);
  });

  it('keeps the correction while the others are away', () => {
    const rig = new Rig(YEAR_MS, { a: 0, b: 0 });
    rig.clock.handleDisconnected('a');
    rig.clock.handleDisconnected('b');
    rig.turn(60_000);
    expect(rig.errorMs).toBe(0);
    expect(rig.clock.state.doubtfulSinceMs).toBeNull();
  });

  it('ignores answers that took long, or that nobody asked for', () => {
    const rig = new Rig(YEAR_MS, {}, 3);
    const asks: { peer: string; id: number }[] = [];
    for (const peer of ['a', 'b']) {
      rig.clock.handleConnected(peer, rig.now(), (_, message) => asks.push({ peer, id: message.id }));
    }
    rig.monoMs += 10_001;
    for (const { peer, id } of asks) {
      const wallMs = TRUE_MS + rig.monoMs;
      rig.clock.handleMessage(peer, { type: 'clock-tell', id, wallMs }, rig.now(), rig.send);
      rig.clock.handleMessage(`${peer}x`, { type: 'clock-tell', id, wallMs }, rig.now(), rig.send);
    }
    expect(rig.errorMs).toBe(YEAR_MS);
  });

  it('asks a peer when it is probed, at most once in ten seconds, and 32 peers at most', () => {
    const rig = new Rig(0, { a: 0, b: 0 });
    const before = rig.asks;
    for (let i = 0; i < 30; i++) {
      rig.turn(1000);
      rig.clock.handleProbe('a', rig.now(), rig.send);
    }
    expect(rig.asks - before).toBe(3);
    const many = new Rig(0, Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`p${index}`, 0])));
    expect(many.asks).toBe(32);
  });

  it('tells its own clock, and none where it does not go by it or has yet to find out', () => {
    const told = (rig: Rig): ClockExchange[] => {
      const answers: ClockExchange[] = [];
      rig.clock.handleMessage('a', { type: 'clock-ask', id: 7 }, rig.now(), (_, message) => answers.push(message));
      return answers;
    };
    const rig = new Rig(700, { a: 0, b: 0 });
    expect(told(rig)).toEqual([{ type: 'clock-tell', id: 7, wallMs: TRUE_MS + rig.monoMs + 700 }]);
    expect(told(new Rig(YEAR_MS, { a: 0, b: 0 }))).toEqual([{ type: 'clock-tell', id: 7, wallMs: null }]);
    rig.silence('a', 'b');
    rig.ownMs = YEAR_MS;
    rig.turn();
    expect(rig.clock.state.pending).toBe(true);
    expect(told(rig)).toEqual([{ type: 'clock-tell', id: 7, wallMs: null }]);
  });

  it('is in doubt since it was last set, also where it is the only member of a ring for now', () => {
    const rig = new Rig(0, { a: 0, b: 0 });
    rig.silence('a', 'b');
    const restarted = new ClusterClock(DRIFT_MS, ringOf(3), rig.now());
    restarted.handleConnected('a', rig.now(), rig.send);
    restarted.handleRing(ringOf(1), rig.now());
    expect(restarted.state.doubtfulSinceMs).toBe(rig.now().wallMs);
    rig.ownMs = YEAR_MS;
    restarted.observe(rig.now(), rig.send);
    expect(restarted.state.doubtfulSinceMs).toBe(rig.now().wallMs);
  });

  it('is in doubt when set while it is the only member of a ring, and one that was taken out is connected', () => {
    const rig = new Rig(0, { a: 0 }, 1);
    expect(rig.clock.state.doubtfulSinceMs).toBeNull();
    const { send } = rig;
    const before = rig.now();
    // The clock of a is not what a goes by: it has no say, and no other clock is known.
    rig.monoMs += 11_000;
    rig.silence('a');
    rig.clock.handleProbe('a', rig.now(), send);
    rig.clock.handleMessage('a', { type: 'clock-tell', id: rig.asks, wallMs: null }, rig.now(), send);
    rig.ownMs = YEAR_MS;
    rig.turn();
    expect(rig.clock.state.doubtfulSinceMs).toBe(rig.now().wallMs);
    // Alone in the world, a clock is set for a reason.
    const alone = new ClusterClock(DRIFT_MS, ringOf(1), before);
    alone.observe(rig.now(), send);
    expect(alone.state.doubtfulSinceMs).toBeNull();
  });

  it('is in doubt when set while all others are out of the ring, and none of them can be reached', () => {
    const rig = new Rig(0, { a: 0, b: 0 });
    expect(rig.clock.state.doubtfulSinceMs).toBeNull();
    rig.clock.handleRing(ringOf(1, true), rig.now());
    for (const peer of ['a', 'b']) rig.clock.handleDisconnected(peer);
    expect(rig.clock.state.doubtfulSinceMs).toBeNull();
    rig.ownMs = YEAR_MS;
    rig.turn();
    expect(rig.clock.state.doubtfulSinceMs).toBe(rig.now().wallMs);
    // Once all of them are gone for good there is nobody who could know better.
    rig.clock.handleRing(ringOf(1), rig.now());
    expect(rig.clock.state.doubtfulSinceMs).toBeNull();
  });

  it('does not add up two clocks that have been wrong one after the other', () => {
    const rig = new Rig(0, { a: YEAR_MS, b: 0 });
    expect(rig.errorMs).toBe(0);
    // That of a is right by now, which is not known here yet.
    rig.offsets.a = 0;
    rig.silence('b');
    const id = rig.asks + 1;
    rig.monoMs += 11_000;
    rig.clock.handleProbe('b', rig.now(), rig.send);
    rig.clock.handleMessage('b', { type: 'clock-tell', id, wallMs: null }, rig.now(), rig.send);
    rig.turn(3000);
    expect(rig.errorMs).toBe(0);
    expect(rig.clock.state.doubtfulSinceMs).toBeNull();
  });
});
