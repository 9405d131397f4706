import type { MemberView } from '../../ports/node-handle.ts';
import type { DemoState, NodeProgress } from '../state.ts';
import { gauge } from './chart.ts';
import { column, columnRight, type Line, printable, type Span, span } from './line.ts';
import { panel } from './panel.ts';
import type { Style, Theme } from './theme.ts';

const NAME_WIDTH = 5;
const NUMBER_WIDTH = 5;
const SHARDS_WIDTH = 9;
const HINTS_WIDTH = 8;
/** More observers than this have no room for their names. */
const NAMED_OBSERVERS_MAX = 8;

export function memberPanelHeight(state: DemoState): number {
  return state.nodes.length + 3;
}

/** One column of the table of members; where there is no room for all, the last ones go. */
interface MemberColumn {
  readonly width: number;
  readonly heading: string;
  readonly align: 'left' | 'right';
  cell(member: SeenMember): Line;
}

/** A node, and what the others say of it. */
interface SeenMember {
  readonly node: NodeProgress;
  /** One for each observer, in the order of the nodes. */
  readonly views: readonly (MemberView | undefined)[];
  /** Those of the others that know it. */
  readonly others: readonly MemberView[];
}

/** Who is there, as each node sees it; `withShards`: where there is no room for the ring next to it. */
export function memberPanel(state: DemoState, width: number, withShards: boolean, theme: Theme): Line[] {
  let room = width - 4;
  const columns = memberColumns(state, withShards, theme).filter((one) => (room -= one.width) >= 0);
  const heading = columns.map((one) => aligned(one.heading, one, 'dim'));
  const rows = state.nodes.map((node): Line => {
    const views = state.nodes.map((observer) => observer.members.find(({ name }) => name === node.name));
    const others = views.flatMap((view, index) => (view === undefined || state.nodes[index] === node ? [] : [view]));
    return columns.flatMap((one) => [...one.cell({ node, views, others })]);
  });
  const running = state.nodes.filter(({ process }) => process === 'running').length;
  const note: Line = [
    span(`${running} of ${state.nodes.length} running`, running < state.nodes.length ? 'warn' : 'dim'),
  ];
  return panel({ title: 'Members', note, width, height: state.nodes.length + 1 }, [heading, ...rows], theme);
}

function aligned(text: string, { width, align }: Pick<MemberColumn, 'width' | 'align'>, style: Style): Span {
  return align === 'left' ? column(text, width, style) : columnRight(text, width, style);
}

function memberColumns(state: DemoState, withShards: boolean, theme: Theme): MemberColumn[] {
  const count = state.nodes.length;
  const named = count <= NAMED_OBSERVERS_MAX;
  const markWidth = named ? 3 : 2;
  const observers = named ? state.nodes.map(({ name }) => name.padEnd(markWidth)).join('') : 'AS SEEN BY ALL';
  const optional = (
    heading: string,
    width: number,
    textOf: (member: SeenMember) => string | undefined,
    align: MemberColumn['align'] = 'right',
  ): MemberColumn => ({
    heading,
    width,
    align,
    cell: (member) => {
      const text = textOf(member);
      return [aligned(text ?? theme.glyphs.dash, { width, align }, text === undefined ? 'dim' : 'plain')];
    },
  });
  return [
    { heading: 'NODE', width: NAME_WIDTH, align: 'left', cell: ({ node }) => [column(node.name, NAME_WIDTH, 'bold')] },
    { heading: 'PROCESS', width: 10, align: 'left', cell: ({ node }) => [processCell(node, 10)] },
    {
      heading: observers,
      width: Math.max(count * markWidth, observers.length) + 1,
      align: 'left',
      cell: ({ views }) => {
        const marks = views.map((view) => markOf(view, markWidth, theme));
        return [...marks, span(' '.repeat(Math.max(count * markWidth, observers.length) + 1 - count * markWidth))];
      },
    },
    ...(withShards
      ? [
          optional('SHARDS', SHARDS_WIDTH, ({ node }) => shardsText(node)),
          optional('MOVING', HINTS_WIDTH, ({ node }) => node.status?.shards.transferring.toString()),
          optional('HINTS', HINTS_WIDTH - 1, ({ node }) => node.status?.hints.records.toString()),
          { heading: '', width: 2, align: 'left' as const, cell: () => [span('  ')] },
        ]
      : []),
    { heading: 'HEALTH', width: 9, align: 'left', cell: (member) => [healthCell(member, 9, theme)] },
    optional('RTT', 9, ({ others }) => rttText(others)),
    optional('INC', NUMBER_WIDTH, ({ views }) => highest(views.map((view) => view?.incarnation))),
    optional('BOOT', NUMBER_WIDTH + 1, ({ node }) => node.status?.bootEpoch.toString()),
    optional('UP', 6, ({ node }) => (node.status === null ? undefined : `${Math.round(node.status.uptimeSeconds)} s`)),
  ];
}

function processCell({ process, status }: NodeProgress, width: number): Span {
  switch (process) {
    case 'stopped':
      return column('waiting', width, 'dim');
    case 'starting':
      return column('starting', width, 'warn');
    case 'killed':
      return column('SIGKILLed', width, 'bad');
    case 'running':
      return status === null ? column('no answer', width, 'warn') : column('serving', width, 'good');
  }
}

/** What one observer holds a node for. */
function markOf(view: MemberView | undefined, width: number, { glyphs }: Theme): Span {
  switch (view?.state) {
    case 'alive':
      return column(glyphs.alive, width, 'good');
    case 'suspect':
      return column(glyphs.suspect, width, 'warn');
    case 'dead':
      return column(glyphs.dead, width, 'bad');
    case 'left':
      return column(glyphs.later, width, 'dim');
    case undefined:
      return column(glyphs.none, width, 'frame');
  }
}

function healthCell({ node, others }: SeenMember, width: number, { glyphs }: Theme): Span {
  if (node.status === null || others.length === 0) return column(glyphs.dash, width, 'dim');
  const degraded = others.some(({ health }) => health === 'degraded');
  return column(degraded ? 'degraded' : 'healthy', width, degraded ? 'warn' : 'plain');
}

function shardsText({ status }: NodeProgress): string | undefined {
  return status === null ? undefined : `${status.shards.complete}/${status.shards.owned}`;
}

/** The median of what the others measured. */
function rttText(others: readonly MemberView[]): string | undefined {
  const rtts = others.flatMap(({ rttMs }) => rttMs ?? []).sort((a, b) => a - b);
  const median = rtts[Math.floor(rtts.length / 2)];
  return median === undefined ? undefined : `${median.toFixed(1)} ms`;
}

function highest(values: readonly (number | undefined)[]): string | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : String(Math.max(...known));
}

/** Each node's share of the ring, how much of it is complete, and what waits for others. */
export function ringPanel(state: DemoState, width: number, theme: Theme): Line[] {
  const { ring } = state;
  const barWidth = Math.max(6, width - 4 - NAME_WIDTH - SHARDS_WIDTH - NUMBER_WIDTH - 3 - HINTS_WIDTH);
  const most = Math.max(1, ...(ring?.members.map(({ shards }) => shards) ?? []));
  const heading: Line = [
    column('NODE', NAME_WIDTH, 'dim'),
    column('SHARDS COMPLETE', barWidth + SHARDS_WIDTH, 'dim'),
    columnRight('MOVING', NUMBER_WIDTH + 3, 'dim'),
    columnRight('HINTS', HINTS_WIDTH, 'dim'),
  ];
  const rows = state.nodes.map((node) => ringRow(state, node, most, barWidth, theme));
  const note: Line =
    ring === null
      ? [span('forming', 'dim')]
      : [
          span(
            `epoch ${ring.epoch} ${theme.glyphs.separator} ${ring.shards} shards ${theme.glyphs.separator} ${ring.replicas} copies`,
            'dim',
          ),
        ];
  return panel({ title: 'Ring', note, width, height: state.nodes.length + 1 }, [heading, ...rows], theme);
}

function ringRow(state: DemoState, node: NodeProgress, most: number, barWidth: number, theme: Theme): Line {
  const owned = state.ring?.members.find(({ name }) => name === node.name)?.shards ?? 0;
  const { status } = node;
  const { dash } = theme.glyphs;
  const length = Math.round((owned / most) * barWidth);
  const isWhole = status !== null && status.shards.complete >= status.shards.owned;
  const bar =
    status === null
      ? [span(theme.glyphs.empty.repeat(length), 'frame')]
      : gauge(status.shards.complete / Math.max(1, status.shards.owned), length, isWhole ? 'accent' : 'warn', theme);
  const shards = status === null ? `${dash}/${owned}` : `${status.shards.complete}/${status.shards.owned}`;
  const counter = (count: number | undefined, width: number): Span =>
    count === undefined
      ? columnRight(dash, width, 'dim')
      : columnRight(String(count), width, count > 0 ? 'warn' : 'dim');
  return [
    column(printable(node.name), NAME_WIDTH, 'bold'),
    ...bar,
    span(' '.repeat(barWidth - length)),
    columnRight(shards, SHARDS_WIDTH, status === null ? 'dim' : 'plain'),
    counter(status?.shards.transferring, NUMBER_WIDTH + 3),
    counter(status?.hints.records, HINTS_WIDTH),
  ];
}
