import { describe, expect, test } from 'vitest';
import { emptyFigures } from '../../../src/demo/figures.ts';
import { Ledger } from '../../../src/demo/ledger.ts';
import { DemoState } from '../../../src/demo/state.ts';
import { bars, gauge, latest } from '../../../src/demo/view/chart.ts';
import { frame } from '../../../src/demo/view/frame.ts';
import { fit, type Line, printable, span, spread, toAnsi, widthOf } from '../../../src/demo/view/line.ts';
import { panel } from '../../../src/demo/view/panel.ts';
import { summaryText } from '../../../src/demo/view/summary.ts';
import { themeFor } from '../../../src/demo/view/theme.ts';
import type { SiteDetail } from '../../../src/ports/hub-handle.ts';
import type { MemberView, NodeStatus } from '../../../src/ports/node-handle.ts';

const UNICODE = themeFor({ LANG: 'C.UTF-8', TERM: 'xterm-256color' }, 8);
const ASCII = themeFor({ LANG: 'C', TERM: 'xterm', NO_COLOR: '1' }, 8);

const text = (line: Line): string => line.map((part) => part.text).join('');
const texts = (lines: readonly Line[]): string => lines.map(text).join('\n');

function member(name: string, state: MemberView['state']): MemberView {
  return {
    name,
    peerId: name,
    state,
    health: 'healthy',
    incarnation: 3,
    zone: '',
    ownZone: '',
    labels: {},
    addresses: [],
    score: 0.5,
    rttMs: 0.4,
    rttEstimated: false,
    missedProbes: 0,
    errorRate: 0,
    since: '2026-01-01T00:00:00.000Z',
    self: false,
  };
}

function status(name: string): NodeStatus {
  return {
    name,
    peerId: name,
    clusterId: 'c',
    version: '0',
    bootEpoch: 1,
    uptimeSeconds: 12.3,
    notReady: null,
    level: 'connected',
    levelSince: null,
    leader: 'n1',
    term: 1,
    quorate: true,
    members: { alive: 5, suspect: 0, dead: 0, left: 0 },
    ringPlace: 'in',
    ringEpoch: 5,
    shards: { owned: 150, complete: 149, transferring: 1, behind: 0 },
    disk: { usedBytes: 1, freeBytes: 1, headroomBytes: 0, readOnly: false, recordsLost: null },
    scrub: { running: false, records: 0, bytes: 0, lastFinishedAt: null, corruptRecords: 0 },
    hints: { records: 17, bytes: 1, dropped: 0 },
    clock: { offsetMs: 0, confirmed: true },
    hub: {
      address: '/ip4/127.0.0.1/tcp/1',
      site: 'demo',
      connected: true,
      carrying: name === 'n4',
      problem: null,
      backlog: { events: 300, oldestSeconds: name === 'n2' ? 6.2 : 1 },
      islandBacklog: { events: 0, oldestSeconds: 0 },
      conflicts: 0,
      lastSyncAt: null,
    },
  };
}

/** What the hub says of the nodes. */
const SITE: SiteDetail = {
  name: 'demo',
  createdAt: '2026-01-01T00:00:00.000Z',
  clusterId: 'c',
  connected: true,
  lastSeenAt: null,
  sessions: [
    {
      peerId: 'n4',
      since: '2026-01-01T00:00:00.000Z',
      island: null,
      backlogEvents: null,
      oldestSeconds: null,
      sentBytes: 2048,
      receivedBytes: 1_048_576,
    },
  ],
  keys: 3412,
  conflicts: 1,
};

/** Half way through the story: n3 was killed, n1 has noticed. */
function stateOfOutage(nodes = 5): DemoState {
  const ledger = new Ledger(0);
  const names = Array.from({ length: nodes }, (_, index) => `n${index + 1}`);
  const state = new DemoState(
    'a network of their own',
    names,
    ['Form', 'Write', 'Kill', 'Return', 'Cut', 'Reconcile', 'Verify'],
    ledger,
    0,
  );
  for (let i = 0; i < 1500; i++) ledger.acknowledge({ key: `k${i}`, value: '', atMs: i * 10 }, 4.2, i % 9 === 0);
  for (const node of state.nodes) {
    if (node.name === 'n3') {
      node.process = 'killed';
      continue;
    }
    node.process = 'running';
    node.status = status(node.name);
    node.members = names.map((name) => member(name, name === 'n3' && node.name === 'n1' ? 'dead' : 'alive'));
  }
  state.ring = {
    epoch: 5,
    shards: 256,
    replicas: 3,
    members: names.map((name) => ({
      name,
      peerId: name,
      state: 'alive',
      in: true,
      place: 'in',
      weight: 1,
      zone: '',
      shards: 150,
    })),
    changing: null,
    electorate: null,
    placements: [],
  };
  Object.assign(state.chapters[0] ?? {}, { startMs: 0, endMs: 2000 });
  Object.assign(state.chapters[1] ?? {}, { startMs: 2000, endMs: 9000 });
  Object.assign(state.chapters[2] ?? {}, { startMs: 9000 });
  state.outage = { fromMs: 9000, toMs: null };
  state.narration = 'n3 is killed with SIGKILL; reads and writes go on';
  state.progress = { done: 1, total: 4 };
  state.record('n1', { type: 'member-dead', data: { name: 'n3' } }, 9500);
  state.tell('a failure with \u001b[31m control characters and 漢字', 'bad', 9600);
  return state;
}

describe('the frame', () => {
  const sizes = [
    [200, 60],
    [130, 40],
    [100, 30],
    [99, 29],
    [80, 24],
    [60, 20],
    [40, 10],
    [20, 8],
    [10, 3],
    [1, 1],
  ] as const;

  test.each(sizes)('fills a window of %i columns and %i rows exactly', (columns, rows) => {
    for (const state of [stateOfOutage(), stateOfOutage(16), new DemoState('x', ['n1'], ['Form'], new Ledger(0), 0)]) {
      for (const theme of [UNICODE, ASCII]) {
        const lines = frame(state, { columns, rows }, 15_000, theme);
        expect(lines).toHaveLength(rows);
        for (const line of lines) expect(widthOf(line)).toBe(columns);
      }
    }
  });

  test.each([
    [130, 40],
    [80, 24],
  ])('shows what matters in %i x %i', (columns, rows) => {
    const shown = texts(frame(stateOfOutage(), { columns, rows }, 15_000, UNICODE));
    expect(shown).toContain('SIGKILLed');
    expect(shown).toContain('n3 is killed with SIGKILL');
    expect(shown).toContain('4 of 5 running');
    expect(shown).toContain('1,500 acknowledged');
    expect(shown).toContain('149/150');
    expect(shown).toContain('n3 is dead');
    expect(shown).toMatch(/Kill 6(\.0)? s/);
    expect(shown).toContain('25 %');
  });

  test('the hub: how it is reached, what it has and what waits', () => {
    const size = { columns: 130, rows: 40 };
    const shown = (state: DemoState): string => texts(frame(state, size, 15_000, UNICODE));
    const state = stateOfOutage();
    expect(shown(state)).toContain('hub stopped');
    Object.assign(state.hub, { process: 'running', site: SITE });
    state.noteBacklog();
    expect(shown(state)).toMatch(/n4 +━+ hub {2}uplink up .* 3,412 keys · 1 in the conflict journal/);
    expect(shown(state)).toContain('session: 1.0 MiB up · 2.0 KiB down');
    expect(shown(state)).toMatch(/1,200 writes wait, the oldest for 6\.2 s +█ /);
    state.hub.isCut = true;
    expect(shown(state)).toMatch(/site +─+ ✕ ─+ hub {2}uplink cut/);
    const narrow = texts(frame(state, { columns: 80, rows: 24 }, 15_000, UNICODE));
    expect(narrow.split('\n')[0]).toMatch(/uplink cut {2}00:15 $/);
    state.hub.isCut = false;
    for (const node of state.nodes) node.status = null;
    expect(shown(state)).toMatch(/site +─+ hub {2}uplink down/);
    expect(shown(state)).toContain('nothing waits to go up');
  });

  test('the dead node is marked as its observers see it', () => {
    const row = texts(frame(stateOfOutage(), { columns: 130, rows: 40 }, 15_000, UNICODE))
      .split('\n')
      .find((line) => line.includes('SIGKILLed'));
    expect(row).toContain('✕  ●  ·  ●  ●');
  });

  test('nothing that nodes or errors say can steer the terminal', () => {
    const lines = frame(stateOfOutage(), { columns: 130, rows: 40 }, 15_000, ASCII);
    for (const line of lines) expect(toAnsi(line, ASCII)).toMatch(/^[\u0020-\u007e\u2010-\u25ff]*$/);
  });

  test('without colour there are no escape sequences, with colour every one is closed', () => {
    const state = stateOfOutage();
    const plain = frame(state, { columns: 100, rows: 40 }, 15_000, ASCII).map((line) => toAnsi(line, ASCII));
    expect(plain.join('')).not.toContain('\u001b');
    const coloured = frame(state, { columns: 100, rows: 40 }, 15_000, UNICODE).map((line) => toAnsi(line, UNICODE));
    expect(coloured.join('')).toContain('\u001b[');
    for (const line of coloured) expect(line).not.toMatch(/\u001b\[[1-9][\d;]*m[^\u001b]*$/);
  });
});

describe('themes', () => {
  test('NO_COLOR, dumb terminals and few colours have none', () => {
    const styles = (env: NodeJS.ProcessEnv, depth: number): string => Object.values(themeFor(env, depth).sgr).join('');
    expect(styles({ NO_COLOR: '1' }, 24)).toBe('');
    expect(styles({ TERM: 'dumb' }, 8)).toBe('');
    expect(styles({}, 1)).toBe('');
    expect(styles({}, 4)).not.toContain('38;5');
    expect(styles({}, 8)).toContain('38;5');
  });

  test('the locale decides the characters', () => {
    const full = (env: NodeJS.ProcessEnv): string => themeFor(env, 1).glyphs.full;
    expect(full({ LANG: 'de_DE.UTF-8' })).toBe('█');
    expect(full({ LC_ALL: 'C', LANG: 'de_DE.UTF-8' })).toBe('#');
    expect(full({})).toBe('█');
    expect(full({ TMUX: '/tmp/tmux' })).toBe('#');
    expect(full({ TERM: 'linux' })).toBe('#');
  });
});

describe('lines', () => {
  test('are cut and filled to a width', () => {
    expect(text(fit([span('abc'), span('def')], 8, UNICODE))).toBe('abcdef  ');
    expect(text(fit([span('abc'), span('def')], 5, UNICODE))).toBe('abcd…');
    expect(text(fit([span('abc')], 0, UNICODE))).toBe('');
    expect(text(spread([span('left side')], [span('right')], 12, UNICODE))).toBe('left s…right');
    expect(text(spread([span('l')], [span('r')], 5, UNICODE))).toBe('l   r');
  });

  test('control and wide characters are replaced', () => {
    expect(printable('a\u001bb\nc漢é…●')).toBe('a?b?c?é…●');
  });

  test('a panel keeps its width with any title and note', () => {
    for (const width of [12, 20, 60]) {
      const lines = panel(
        { title: 'Members', note: [span('5 of 5 running')], width, height: 2 },
        [[span('x')]],
        UNICODE,
      );
      expect(lines).toHaveLength(4);
      for (const line of lines) expect(widthOf(line)).toBe(width);
    }
  });
});

describe('charts', () => {
  test('bars grow from the bottom, in eighths', () => {
    const rows = bars([0, 8, 12, 16, 99], 2, 16, () => 'accent', UNICODE);
    expect(rows.map(text)).toEqual(['  ▄██', ' ████']);
  });

  test('neighbours of one style share a span', () => {
    const [row] = bars([1, 1, 1], 1, 1, (column) => (column === 1 ? 'warn' : 'accent'), UNICODE);
    expect(row?.map(({ style }) => style)).toEqual(['accent', 'warn', 'accent']);
  });

  test('a gauge is exactly as wide as asked', () => {
    for (const ratio of [-1, 0, 0.49, 1, 7]) expect(widthOf(gauge(ratio, 9, 'good', UNICODE))).toBe(9);
    expect(text(gauge(0.5, 4, 'good', UNICODE))).toBe('██░░');
  });

  test('the latest values stand at the right', () => {
    expect(latest([1, 2, 3], 5)).toEqual([0, 0, 1, 2, 3]);
    expect(latest([1, 2, 3], 2)).toEqual([2, 3]);
  });
});

describe('the summary', () => {
  const figures = { ...emptyFigures(5), verified: true, victim: 'n3', detectedMs: 400, outageReads: 10 };

  test('has one line for each figure, two where the window is narrow', () => {
    const wide = summaryText(figures, new Ledger(0), 'Holdfast demo', Number.POSITIVE_INFINITY, ASCII);
    const narrow = summaryText(figures, new Ledger(0), 'Holdfast demo', 80, ASCII);
    expect(wide).toMatch(/acknowledged writes lost +0 {3}0 reads at every node/);
    expect(wide).toContain('Every acknowledged write is there');
    expect(Math.max(...narrow.split('\n').map(({ length }) => length))).toBeLessThan(110);
    expect(narrow.split('\n').length).toBeGreaterThan(wide.split('\n').length);
  });

  test('says what was lost', () => {
    const lost = summaryText({ ...figures, lost: ['load/7'] }, new Ledger(0), 'Holdfast demo', 200, ASCII);
    expect(lost).toContain('1 acknowledged writes are lost');
    expect(lost).toContain('lost: load/7');
    expect(lost).not.toContain('Every acknowledged write is there');
  });
});
