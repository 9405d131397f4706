import { describe, expect, test } from 'vitest';
import { brokenPromises, duration, emptyFigures, figureLines } from '../../../src/demo/figures.ts';
import { Ledger, quantileOf } from '../../../src/demo/ledger.ts';
import { steadyMs } from '../../../src/demo/options.ts';
import { DemoState, type TickerEntry } from '../../../src/demo/state.ts';
import { type Story, tellStory } from '../../../src/demo/story.ts';
import { forEachLimited, waitUntil } from '../../../src/demo/wait.ts';

function newState(titles: readonly string[] = ['One', 'Two']): DemoState {
  return new DemoState('a test', ['n1', 'n2'], titles, new Ledger(0), 0);
}

describe('Ledger', () => {
  test('quantiles are nearest ranks', () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect([0.5, 0.99, 1, 0].map((quantile) => quantileOf(values, quantile))).toEqual([50, 99, 100, 1]);
    expect(quantileOf([], 0.5)).toBeNull();
    expect(quantileOf([7], 0.99)).toBe(7);
  });

  test('rates per second in half-second buckets, and writes of an interval', () => {
    const ledger = new Ledger(1000);
    for (const atMs of [1000, 1100, 1499, 1500, 2600])
      ledger.acknowledge({ key: `k${atMs}`, value: '', atMs }, 1, false);
    expect(ledger.ratesPerSecond(2600)).toEqual([6, 2, 0, 2]);
    expect(ledger.between(1100, 1500).map(({ key }) => key)).toEqual(['k1100', 'k1499']);
  });
});

describe('DemoState', () => {
  test('the same event of several nodes is one entry of the ticker', () => {
    const state = newState();
    const entries: TickerEntry[] = [];
    state.onEntry = (entry) => entries.push(entry);
    const dead = { type: 'member-dead', data: { name: 'n3', peerId: 'p3' } };
    state.record('n1', dead, 10);
    state.record('n2', dead, 20);
    // The same node tells it again: it happened again.
    state.record('n2', dead, 30);
    expect(entries.map(({ text, seenBy, tone }) => [text, seenBy, tone])).toEqual([
      ['n3 is dead', ['n1', 'n2'], 'bad'],
      ['n3 is dead', ['n2'], 'bad'],
    ]);
  });

  test('events that it does not know are told with their data', () => {
    const state = newState();
    state.record('n1', { type: 'ring-changed', data: { epoch: 4, members: 5 } }, 1);
    state.record('n1', { type: 'disk-full', data: { freeBytes: 12 } }, 2);
    expect(state.ticker.map(({ text }) => text)).toEqual(['ring epoch 4: 5 members', 'disk-full freeBytes=12']);
  });

  test('the uplink is told of in the words of the story', () => {
    const state = newState();
    state.record('n1', { type: 'uplink-up', data: {} }, 1);
    state.record('n1', { type: 'hub-unreachable', data: { reason: 'unreachable', detail: 'nothing listens' } }, 2);
    expect(state.ticker.map(({ text, tone }) => [text, tone])).toEqual([
      ['the site has a session with the hub', 'good'],
      ['nothing listens', 'warn'],
    ]);
  });

  test('the history of the backlog is bounded', () => {
    const state = newState();
    for (let i = 0; i < 1000; i++) state.noteBacklog();
    expect(state.hub.backlogs).toHaveLength(400);
  });

  test('the ticker is bounded', () => {
    const state = newState();
    for (let i = 0; i < 1000; i++) state.record('n1', { type: 'x', data: { i } }, i);
    expect(state.ticker).toHaveLength(200);
    expect(state.ticker.at(-1)?.text).toBe('x i=999');
  });
});

describe('tellStory', () => {
  function storyOf(state: DemoState, signal = new AbortController().signal): Story {
    return { state, signal } as unknown as Story;
  }

  test('tells the chapters in order with their outcomes', async () => {
    const state = newState();
    const told: string[] = [];
    const chapter = (title: string) => ({
      title,
      run: () => {
        told.push(title);
        return Promise.resolve(`${title} went well`);
      },
    });
    await tellStory([chapter('One'), chapter('Two')], storyOf(state));
    expect(told).toEqual(['One', 'Two']);
    expect(state.chapters.map(({ outcome }) => outcome)).toEqual(['One went well', 'Two went well']);
    expect(state.chapters.every(({ startMs, endMs, failed }) => startMs !== null && endMs !== null && !failed)).toBe(
      true,
    );
  });

  test('a failing chapter ends it', async () => {
    const state = newState();
    const failing = { title: 'One', run: () => Promise.reject(new Error('no luck')) };
    const never = { title: 'Two', run: () => Promise.reject(new Error('not to be told')) };
    await expect(tellStory([failing, never], storyOf(state))).rejects.toThrow('no luck');
    expect(state.chapters.map(({ failed }) => failed)).toEqual([true, false]);
    expect(state.chapters[1]?.startMs).toBeNull();
  });

  test('an interrupted story begins no further chapter', async () => {
    const ending = new AbortController();
    const first = {
      title: 'One',
      run: () => {
        ending.abort(new Error('interrupted'));
        return Promise.resolve('');
      },
    };
    const state = newState();
    const never = { title: 'Two', run: () => Promise.reject(new Error('not to be told')) };
    await expect(tellStory([first, never], storyOf(state, ending.signal))).rejects.toThrow('interrupted');
  });
});

describe('figures', () => {
  test('a story without an end proves nothing', () => {
    expect(brokenPromises(emptyFigures(3))).toEqual([expect.stringContaining('nothing has been verified')]);
  });

  test('every broken promise is named', () => {
    const figures = { ...emptyFigures(3), verified: true };
    expect(brokenPromises(figures)).toEqual([]);
    expect(brokenPromises({ ...figures, lost: ['a', 'b'] })).toEqual(['2 acknowledged writes are lost']);
    expect(brokenPromises({ ...figures, missingCopies: 1 })).toHaveLength(1);
    expect(brokenPromises({ ...figures, outageReadsFailed: 3 })).toHaveLength(1);
    const apart = { ...figures, cutMs: 7000, contestWonBy: 'hub' };
    expect(brokenPromises(apart)).toEqual([]);
    expect(brokenPromises({ ...apart, missingAtHub: ['a', 'b'] })).toEqual([
      '2 acknowledged writes are not at the hub',
    ]);
    expect(brokenPromises({ ...apart, missingAtSite: ['a'] })).toHaveLength(1);
    expect(brokenPromises({ ...apart, keysDiffering: ['a'] })).toHaveLength(1);
    expect(brokenPromises({ ...apart, contestWonBy: null })).toHaveLength(1);
  });

  test('what was not measured has no line', () => {
    const whats = figureLines(emptyFigures(3), new Ledger(0)).map(([what]) => what);
    expect(whats).toEqual(['writes acknowledged', 'write latency', 'readings recorded']);
    const measured = {
      ...emptyFigures(5),
      formedMs: 1500,
      victim: 'n3',
      detectedMs: 420,
      caughtUpMs: 2000,
      verified: true,
    };
    const lines = figureLines(measured, new Ledger(0));
    expect(lines.find(([what]) => what === 'failure detected')?.[1]).toBe('420 ms');
    expect(lines.find(([what]) => what === 'n3 caught up')?.[1]).toBe('2.00 s');
    expect(lines.find(([what]) => what === 'acknowledged writes lost')?.[1]).toBe('0');
  });

  test('what the uplink has measured', () => {
    const measured = {
      ...emptyFigures(5),
      cutMs: 7000,
      cutWrites: 900,
      hubWrites: 280,
      reachedMs: 500,
      drainedMs: 1500,
      agreedMs: 2100,
      bytesUp: 2048,
      bytesDown: 512,
      verified: true,
      keysCompared: 4000,
      contestWonBy: 'hub',
    };
    const lines = figureLines(measured, new Ledger(0));
    const lineOf = (name: string): string | undefined =>
      lines
        .find(([what]) => what === name)
        ?.slice(1)
        .join('   ');
    expect(lineOf('writes while cut off')).toBe('900   at the site, and 280 at the hub; each was alone for 7.00 s');
    expect(lineOf('backlog drained')).toBe(
      '1.00 s   900 writes/s, while the load went on; 2.0 KiB up, 512 B down on the wire',
    );
    expect(lineOf('site and hub agree')).toBe(
      '2.10 s   after the uplink was mended; the hub was reached again after 500 ms',
    );
    expect(lineOf('writes lost on the way')).toMatch(/^0 /);
    expect(lineOf('keys that differ')).toBe('0   of 4,000, between site and hub');
    expect(lineOf('conflicts settled')).toMatch(/^1 .* write of hub/);
    const open = figureLines({ ...measured, contestWonBy: null, missingAtHub: ['a'] }, new Ledger(0));
    expect(open.find(([what]) => what === 'conflicts settled')?.[1]).toBe('0');
    expect(open.find(([what]) => what === 'writes lost on the way')?.[1]).toBe('1');
  });

  test('durations', () => {
    expect([null, 0.44, 12.4, 999, 1240].map(duration)).toEqual(['–', '0.4 ms', '12 ms', '999 ms', '1.24 s']);
  });

  test('the steady parts last at least 3 s', () => {
    const options = { nodes: 5, tty: false, keep: false };
    expect([null, 1, 3, 60].map((seconds) => steadyMs({ ...options, seconds }))).toEqual([7000, 3000, 3000, 60_000]);
  });
});

describe('waiting', () => {
  const options = (signal: AbortSignal) => ({ timeoutMs: 0, intervalMs: 0, signal });

  test('names what did not come', async () => {
    const { signal } = new AbortController();
    await expect(waitUntil('the sun rises', () => false, options(signal))).rejects.toThrow('the sun rises');
    await expect(waitUntil('it holds', () => true, options(signal))).resolves.toBeUndefined();
  });

  test('ends with the reason of the abort', async () => {
    const signal = AbortSignal.abort(new Error('interrupted'));
    await expect(waitUntil('it holds', () => false, options(signal))).rejects.toThrow('interrupted');
  });

  test('a limited number runs at once, and a failure begins no more', async () => {
    let running = 0;
    let most = 0;
    const done: number[] = [];
    await forEachLimited([1, 2, 3, 4, 5], 2, async (item) => {
      most = Math.max(most, ++running);
      await Promise.resolve();
      running--;
      done.push(item);
    });
    expect([most, done]).toEqual([2, [1, 2, 3, 4, 5]]);
    const begun: number[] = [];
    const failing = forEachLimited([1, 2, 3], 1, (item) => {
      begun.push(item);
      return Promise.reject(new Error('stop'));
    });
    await expect(failing).rejects.toThrow('stop');
    expect(begun).toEqual([1]);
  });
});
