import { sizeText } from '../../lib/size-text.ts';
import { counted } from '../figures.ts';
import type { DemoState } from '../state.ts';
import { bars, latest } from './chart.ts';
import { column, type Line, type Span, span, spread } from './line.ts';
import { panel } from './panel.ts';
import type { Style, Theme } from './theme.ts';

/** Borders included. */
export const HUB_PANEL_HEIGHT = 4;
const NAME_WIDTH = 5;
const CABLE_WIDTH = 21;
const WAITING_WIDTH = 44;
/** Full height of the history: fewer waiting writes are low. */
const SCALE_MIN = 100;

/** The hub, the way to it, and what waits to go up, look after look. */
export function hubPanel(state: DemoState, width: number, theme: Theme): Line[] {
  const inner = width - 4;
  const { separator } = theme.glyphs;
  const { site } = state.hub;
  const sessions = site?.sessions ?? [];
  const up = sessions.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
  const down = sessions.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  const note: Line =
    sessions.length === 0 ? [] : [span(`session: ${sizeText(up)} up ${separator} ${sizeText(down)} down`, 'dim')];
  const held: Line =
    site === null
      ? []
      : [span(`${counted(site.keys)} keys ${separator} ${counted(site.conflicts)} in the conflict journal`, 'dim')];
  const way = [...cable(state, theme), span('  '), uplinkWord(state)];
  const lines = [spread(way, held, inner, theme), backlogLine(state, inner, theme)];
  return panel({ title: 'Hub', note, width, height: HUB_PANEL_HEIGHT - 2 }, lines, theme);
}

/** How it is between the site and the hub. */
export function uplinkWord({ hub, uplink }: DemoState): Span {
  if (hub.process !== 'running') return span(`hub ${hub.process}`, 'dim');
  if (hub.isCut) return span('uplink cut', 'bad');
  return uplink.carrier === null ? span('uplink down', 'warn') : span('uplink up', 'good');
}

function cable({ hub, uplink }: DemoState, { glyphs }: Theme): Line {
  const name = (hub.isCut ? null : uplink.carrier) ?? 'site';
  const half = glyphs.track.repeat((CABLE_WIDTH - 3) / 2);
  const [text, style]: [string, Style] = hub.isCut
    ? [`${half} ${glyphs.failed} ${half}`, 'bad']
    : uplink.carrier === null
      ? [glyphs.track.repeat(CABLE_WIDTH), 'frame']
      : [glyphs.trackDone.repeat(CABLE_WIDTH), 'good'];
  return [column(name, NAME_WIDTH, 'bold'), span(text, style), span(' hub', 'bold')];
}

function backlogLine({ hub, uplink }: DemoState, inner: number, theme: Theme): Line {
  const { backlog, oldestSeconds } = uplink;
  const text =
    backlog === 0
      ? 'nothing waits to go up'
      : `${counted(backlog)} writes wait, the oldest for ${oldestSeconds.toFixed(1)} s`;
  const shown = latest(hub.backlogs, Math.max(0, inner - WAITING_WIDTH));
  const [chart = []] = bars(shown, 1, Math.max(SCALE_MIN, ...shown), () => 'warn', theme);
  return [column(text, WAITING_WIDTH, backlog === 0 ? 'dim' : 'warn'), ...chart];
}
