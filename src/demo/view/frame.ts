import type { DemoState } from '../state.ts';
import { memberPanel, memberPanelHeight, ringPanel } from './cluster-panels.ts';
import { HUB_PANEL_HEIGHT, hubPanel, uplinkWord } from './hub-panel.ts';
import { fit, type Line, printable, span, spread } from './line.ts';
import { beside } from './panel.ts';
import { STORY_PANEL_HEIGHT, storyPanel } from './story-panel.ts';
import type { Theme } from './theme.ts';
import {
  eventPanel,
  machinePanel,
  TRAFFIC_PANEL_HEIGHT,
  TRAFFIC_PANEL_HEIGHT_LOW,
  writePanel,
} from './traffic-panels.ts';

export interface FrameSize {
  readonly columns: number;
  readonly rows: number;
}

/** From here on panels stand next to each other. */
const COLUMNS_WIDE = 100;
const COLUMNS_MAX = 160;
/** Below this pictures are smaller, so that everything important still has its place. */
const ROWS_LOW = 30;
const COLUMNS_MIN = 20;
const EVENT_PANEL_ROWS_MIN = 4;

/** The whole screen: exactly `rows` lines of exactly `columns` columns. */
export function frame(state: DemoState, size: FrameSize, nowMs: number, theme: Theme): Line[] {
  const width = Math.min(COLUMNS_MAX, size.columns);
  if (width < COLUMNS_MIN || size.rows < STORY_PANEL_HEIGHT + 2) return tooSmall(state, size, theme);
  const isLow = size.rows < ROWS_LOW;
  const storyHeight = isLow ? STORY_PANEL_HEIGHT - 1 : STORY_PANEL_HEIGHT;
  const lines: Line[] = [
    headerLine(state, width, nowMs, theme),
    ...storyPanel(state, width, storyHeight, nowMs, theme),
  ];
  const footer = footerLine(width, theme);
  const room = (): number => size.rows - 1 - lines.length;
  for (const { height, draw } of bands(state, { columns: width, rows: size.rows }, nowMs, theme)) {
    // What comes first is more important than the events, what comes later gives way to them.
    if (height + EVENT_PANEL_ROWS_MIN <= room()) lines.push(...draw());
  }
  if (room() >= EVENT_PANEL_ROWS_MIN - 1) lines.push(...eventPanel(state, width, room(), theme));
  while (room() > 0) lines.push([]);
  return [...lines, footer].map((line) => fit(line, size.columns, theme));
}

interface Band {
  readonly height: number;
  readonly draw: () => Line[];
}

function bands(state: DemoState, size: FrameSize, nowMs: number, theme: Theme): Band[] {
  const width = size.columns;
  const memberHeight = memberPanelHeight(state);
  const trafficHeight = size.rows < ROWS_LOW ? TRAFFIC_PANEL_HEIGHT_LOW : TRAFFIC_PANEL_HEIGHT;
  const hub: Band = { height: HUB_PANEL_HEIGHT, draw: () => hubPanel(state, width, theme) };
  if (width < COLUMNS_WIDE) {
    return [
      { height: memberHeight, draw: () => memberPanel(state, width, true, theme) },
      { height: trafficHeight, draw: () => writePanel(state, width, trafficHeight, nowMs, theme) },
      hub,
      { height: memberHeight, draw: () => ringPanel(state, width, theme) },
      { height: trafficHeight, draw: () => machinePanel(state, width, trafficHeight, theme) },
    ];
  }
  const left = Math.floor(width * 0.54);
  const right = width - left;
  return [
    {
      height: memberHeight,
      draw: () => beside(memberPanel(state, left, false, theme), ringPanel(state, right, theme)),
    },
    {
      height: trafficHeight,
      draw: () =>
        beside(writePanel(state, left, trafficHeight, nowMs, theme), machinePanel(state, right, trafficHeight, theme)),
    },
    hub,
  ];
}

function headerLine(state: DemoState, width: number, nowMs: number, theme: Theme): Line {
  const seconds = Math.max(0, Math.floor((nowMs - state.startMs) / 1000));
  const clock = `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
  const title: Line = [
    span(' HOLDFAST ', 'brand'),
    span(` ${state.nodes.length} nodes and a hub`, 'bold'),
    span(` in ${printable(state.network)}`, 'dim'),
  ];
  return spread(title, [span(' '), uplinkWord(state), span(`  ${clock} `, 'bold')], width, theme);
}

function footerLine(width: number, theme: Theme): Line {
  return fit([span(' q or Ctrl-C ends the demo and removes everything it made', 'dim')], width, theme);
}

function tooSmall(state: DemoState, { columns, rows }: FrameSize, theme: Theme): Line[] {
  const texts = [
    `holdfast demo: ${state.chapter?.title ?? 'starting'}`,
    `${state.ledger.writes.length} writes acknowledged`,
    'the window is too small for more',
  ];
  return Array.from({ length: rows }, (_, row) => fit([span(texts[row] ?? '')], columns, theme));
}
