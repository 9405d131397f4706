import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DialResult } from '../../../../src/adapters/libp2p/dialer.ts';
import { Dialer } from '../../../../src/adapters/libp2p/dialer.ts';

const REFUSED: DialResult = { kind: 'failed', reason: 'refused' };

describe('Dialer', () => {
  let connected: Set<string>;
  let dials: { target: string; atMs: number; addresses: readonly string[] }[];
  let failures: string[];
  let answer: (target: string) => DialResult | Promise<DialResult>;
  let dialer: Dialer;

  beforeEach(() => {
    vi.useFakeTimers();
    connected = new Set();
    dials = [];
    failures = [];
    answer = () => REFUSED;
    const dial = async (target: string, addresses: readonly string[]): Promise<DialResult> => {
      dials.push({ target, atMs: Date.now(), addresses });
      const result = await answer(target);
      if (result.kind === 'connected') connected.add(result.peer);
      return result;
    };
    dialer = new Dialer({
      dialPeer: dial,
      dialSeed: (address) => dial(address, [address]),
      isConnected: (peer) => connected.has(peer),
      connectedCount: () => connected.size,
      handleFailed: (peer, reason) => failures.push(`${peer} ${reason}`),
      selfFirst: () => true,
      random: () => 0.999,
    });
  });

  afterEach(() => {
    dialer.stop();
    vi.useRealTimers();
  });

  it('dials a seed for ever, with gaps that grow to ten seconds', async () => {
    dialer.addSeed('/seed');
    await vi.advanceTimersByTimeAsync(600_000);
    const gaps = dials.slice(1).map(({ atMs }, i) => atMs - (dials[i]?.atMs ?? 0));
    expect(gaps.slice(0, 3).map((gap) => Math.round(gap / 100) * 100)).toEqual([500, 1000, 2000]);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(10_000);
    expect(dials.length).toBeGreaterThan(60);
    expect(failures).toEqual([]);
  });

  it('stops at a seed while its peer is connected, and resumes when it is lost', async () => {
    answer = () => ({ kind: 'connected', peer: 'p' });
    dialer.addSeed('/seed');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(dials.length).toBe(1);
    connected.delete('p');
    dialer.handleDisconnected('p', true);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(dials.map(({ target }) => target)).toEqual(['/seed', '/seed']);
  });

  it('never again dials a seed that is this node itself', async () => {
    answer = () => ({ kind: 'self' });
    dialer.addSeed('/seed');
    await vi.advanceTimersByTimeAsync(600_000);
    expect(dials.length).toBe(1);
  });

  it('reports a failed dial that was asked for, once, and does not repeat it by itself', async () => {
    dialer.request('p', ['/a']);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(failures).toEqual(['p refused']);
    expect(dials.length).toBe(1);
  });

  it('reports the outcome of a background dial that the protocol asked for meanwhile', async () => {
    const pending = Promise.withResolvers<DialResult>();
    answer = () => pending.promise;
    dialer.addKnown('p', ['/a']);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(dials.length).toBe(1);
    dialer.request('p', ['/b']);
    pending.resolve(REFUSED);
    await vi.advanceTimersByTimeAsync(0);
    expect(dials.length).toBe(1);
    expect(failures).toEqual(['p refused']);
  });

  it('tries known peers quickly at first, then now and then, and discovered ones at once', async () => {
    dialer.addKnown('p', ['/a']);
    await vi.advanceTimersByTimeAsync(60_000);
    const early = dials.length;
    expect(early).toBeGreaterThanOrEqual(8);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(dials.length - early).toBeLessThanOrEqual(12);
    const before = dials.length;
    expect(dialer.addDiscovered('p', ['/new'])).toBe(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(dials.length).toBe(before + 1);
    expect(dials.at(-1)?.addresses).toEqual(['/new', '/a']);
  });

  it('takes repeated discovery of a connected peer for nothing', async () => {
    connected.add('p');
    for (let i = 0; i < 10; i++) expect(dialer.addDiscovered('p', ['/a'])).toBe(false);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(dials).toEqual([]);
  });

  it('waits at least five seconds after a refused admission, however often the peer announces itself', async () => {
    answer = () => ({ kind: 'failed', reason: 'denied' });
    dialer.addDiscovered('p', ['/a']);
    await vi.advanceTimersByTimeAsync(0);
    for (let i = 0; i < 40; i++) {
      dialer.addDiscovered('p', ['/a']);
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(dials.length).toBe(1);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(dials.length).toBeGreaterThan(1);
    expect(dials.length).toBeLessThan(14);
  });

  it('limits background dials at once', async () => {
    answer = () => new Promise(() => undefined);
    for (let i = 0; i < 100; i++) dialer.addKnown(`p${i}`, ['/a']);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(dials.length).toBe(16);
    dialer.request('q', ['/a']);
    await vi.advanceTimersByTimeAsync(0);
    expect(dials.length).toBe(17);
  });

  it('leaves lost peers to membership once enough others are connected', async () => {
    for (let i = 0; i < 256; i++) connected.add(`c${i}`);
    dialer.addKnown('p', ['/a']);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(dials).toEqual([]);
    dialer.request('p', ['/a']);
    await vi.advanceTimersByTimeAsync(0);
    expect(dials.length).toBe(1);
  });
});
