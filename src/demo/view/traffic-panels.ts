import { sizeText } from '../../lib/size-text.ts';
import type { SystemSample } from '../../ports/system.ts';
import { counted, duration } from '../figures.ts';
import { RATE_BUCKET_MS } from '../ledger.ts';
import type { DemoState, Tone } from '../state.ts';
import { bars, gauge, latest } from './chart.ts';
import { column, columnRight, fit, type Line, printable, type Span, span, spread } from './line.ts';
import { panel } from './panel.ts';
import type { Style, Theme } from './theme.ts';

/** Borders included. The low form has one row of bars, and no axis. */
export const TRAFFIC_PANEL_HEIGHT = 8;
export const TRAFFIC_PANEL_HEIGHT_LOW = 5;
const CHART_ROWS = 3;
/** The rate shown is that of the last whole second. */
const RATE_BUCKETS = 2;
const LABEL_WIDTH = 13;
const VALUE_WIDTH = 12;

/** Acknowledged writes, second by second, with the story's turns below. */
export function writePanel(state: DemoState, width: number, height: number, nowMs: number, theme: Theme): Line[] {
  const { ledger } = state;
  const inner = width - 4;
  // The last bucket is still filling.
  const rates = ledger.ratesPerSecond(nowMs).slice(0, -1);
  const recent = rates.slice(-RATE_BUCKETS);
  const rate = Math.round(recent.reduce((sum, value) => sum + value, 0) / Math.max(1, recent.length));
  const shown = latest(rates, inner);
  const scale = Math.max(10, ...shown);
  const left: Line = [
    span(String(rate), 'bold'),
    span(' writes/s   '),
    span(counted(ledger.writes.length), 'bold'),
    span(' acknowledged'),
  ];
  const right: Line = [
    span('p50 ', 'dim'),
    span(duration(ledger.recentLatencyMs(0.5))),
    span('  p99 ', 'dim'),
    span(duration(ledger.recentLatencyMs(0.99))),
  ];
  const lines = [
    spread(left, right, inner, theme),
    ...bars(
      shown,
      height < TRAFFIC_PANEL_HEIGHT ? 1 : CHART_ROWS,
      scale,
      (column) => (isOutage(state, rates.length - inner + column) ? 'warn' : 'accent'),
      theme,
    ),
    ...(height < TRAFFIC_PANEL_HEIGHT ? [] : [axisOf(state, inner, rates.length, theme)]),
    readsLine(state, theme),
  ];
  const note: Span[] = [span(`peak ${Math.round(scale)}/s`, 'dim')];
  if (ledger.sloppy > 0) note.unshift(span(`${counted(ledger.sloppy)} through fallbacks  `, 'warn'));
  return panel({ title: 'Writes at quorum', note, width, height: height - 2 }, lines, theme);
}

function readsLine({ reads }: DemoState, theme: Theme): Line {
  if (reads === null) return [span('reads of acknowledged writes begin with the outage', 'dim')];
  const { separator } = theme.glyphs;
  return [
    span(counted(reads.done), 'bold'),
    span(` reads in the outage ${separator} `),
    span(`${counted(reads.failed)} failed`, reads.failed > 0 ? 'bad' : 'good'),
    span(` ${separator} slowest ${duration(reads.slowestMs)}`, 'dim'),
  ];
}

/** Whether a node was down in this bucket of the rates' history. */
function isOutage({ outage, startMs }: DemoState, bucket: number): boolean {
  if (outage === null) return false;
  const atMs = startMs + bucket * RATE_BUCKET_MS;
  return atMs + RATE_BUCKET_MS > outage.fromMs && atMs < (outage.toMs ?? Number.POSITIVE_INFINITY);
}

/** Names the chapters below the moments at which they began. */
function axisOf(state: DemoState, width: number, buckets: number, { glyphs }: Theme): Line {
  const cells = Array.from({ length: width }, () => glyphs.horizontal);
  for (const { title, startMs } of state.chapters) {
    if (startMs === null) continue;
    const at = width - buckets + Math.floor((startMs - state.startMs) / RATE_BUCKET_MS);
    const label = `${glyphs.marker}${title.toLowerCase()}`;
    if (at < 0 || at + label.length > width) continue;
    cells.splice(at, label.length, ...label.split(''));
  }
  return [span(cells.join(''), 'dim')];
}

/** What the nodes record of this machine. */
export function machinePanel(state: DemoState, width: number, height: number, theme: Theme): Line[] {
  const inner = width - 4;
  const rowsMax = height - 2;
  const { sample } = state;
  const rows =
    sample === null ? [[span('the first readings are on their way', 'dim')]] : machineRows(sample, inner, theme);
  const note: Line = [span(`${counted(state.recordedReadings)} recorded`, 'dim')];
  const lines = rows.slice(0, rowsMax);
  while (lines.length < rowsMax - 1) lines.push([]);
  lines.push([span('every node, once a second: node/<name>/<metric>', 'dim')]);
  return panel({ title: 'This machine', note, width, height: rowsMax }, lines, theme);
}

function machineRows(sample: SystemSample, inner: number, theme: Theme): Line[] {
  const rows: Line[] = [];
  const ratio = (label: string, value: number, text: string): void => {
    const style: Style = value > 0.9 ? 'bad' : value > 0.7 ? 'warn' : 'good';
    const barWidth = Math.max(4, inner - LABEL_WIDTH - VALUE_WIDTH - 1);
    const bar: Span[] = gauge(value, barWidth, style, theme);
    rows.push([column(label, LABEL_WIDTH, 'dim'), ...bar, span(' '), columnRight(text, VALUE_WIDTH)]);
  };
  const text = (label: string, value: string): void =>
    void rows.push([column(label, LABEL_WIDTH, 'dim'), ...fit([span(value)], inner - LABEL_WIDTH, theme)]);
  const { memoryTotalBytes: total, memoryAvailableBytes: available } = sample;
  if (sample.cpuUsedRatio !== null) ratio('cpu', sample.cpuUsedRatio, `${Math.round(sample.cpuUsedRatio * 100)} %`);
  if (total !== null && available !== null) ratio('memory', (total - available) / total, sizeText(total - available));
  pair(text, 'disk', [sample.diskReadBytesPerSecond, 'read'], [sample.diskWrittenBytesPerSecond, 'written']);
  pair(text, 'network', [sample.networkReceivedBytesPerSecond, 'in'], [sample.networkSentBytesPerSecond, 'out']);
  if (sample.temperatureCelsius !== null) text('temperature', `${sample.temperatureCelsius.toFixed(1)} C`);
  else text('temperature', 'this machine has no sensor');
  return rows;
}

function pair(
  text: (label: string, value: string) => void,
  label: string,
  ...rates: readonly (readonly [number | null, string])[]
): void {
  const parts = rates.flatMap(([value, word]) => (value === null ? [] : [`${sizeText(value)}/s ${word}`]));
  if (parts.length > 0) text(label, parts.join('  '));
}

const TONES: Readonly<Record<Tone, Style>> = { plain: 'plain', good: 'good', warn: 'warn', bad: 'bad' };

/** The latest news, newest last. */
export function eventPanel(state: DemoState, width: number, height: number, theme: Theme): Line[] {
  const inner = width - 4;
  const rows = height - 2;
  const lines = state.ticker.slice(-rows).map((entry): Line => {
    const seconds = ((entry.atMs - state.startMs) / 1000).toFixed(1);
    const text: Line = [columnRight(seconds, 6, 'dim'), span('  '), span(printable(entry.text), TONES[entry.tone])];
    const witnesses: Line = entry.seenBy.length === 0 ? [] : [span(`  ${entry.seenBy.join(' ')}`, 'dim')];
    return spread(text, witnesses, inner, theme);
  });
  return panel({ title: 'Events', note: [span('told by', 'dim')], width, height: rows }, lines, theme);
}
