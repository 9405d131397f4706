import type { ChapterProgress, DemoState } from '../state.ts';
import { gauge } from './chart.ts';
import { fit, type Line, printable, type Span, span } from './line.ts';
import { panel } from './panel.ts';
import type { Style, Theme } from './theme.ts';

/** Borders included; one row less is enough. */
export const STORY_PANEL_HEIGHT = 6;
const PROGRESS_WIDTH = 24;
const LABEL_WIDTH = 14;
const LABEL_WIDTH_MIN = 8;

/** The chapters on a line, and what happens now. `height` includes the borders. */
export function storyPanel(state: DemoState, width: number, height: number, nowMs: number, theme: Theme): Line[] {
  const inner = width - 4;
  const last = state.chapters.length - 1;
  // The last chapter needs room for its label alone: no rail goes on from there.
  const cell = Math.max(LABEL_WIDTH_MIN, Math.floor((inner - LABEL_WIDTH) / Math.max(1, last)));
  const track = state.chapters.flatMap((chapter, index) => trackOf(chapter, index === last ? 1 : cell, theme));
  const labels = state.chapters.flatMap((chapter, index) =>
    labelOf(chapter, index === last ? Math.max(0, inner - cell * last) : cell, nowMs, theme),
  );
  const gap: Line[] = height < STORY_PANEL_HEIGHT ? [] : [[]];
  const lines = [track, labels, ...gap, narrationOf(state, inner, theme)];
  return panel({ title: 'Story', width, height: height - 2 }, lines, theme);
}

function trackOf(chapter: ChapterProgress, width: number, theme: Theme): Line {
  const { glyphs } = theme;
  const { knob, style } = look(chapter, theme);
  const isDone = chapter.endMs !== null;
  const rail = isDone ? glyphs.trackDone : glyphs.track;
  return [span(knob, style), span(width === 1 ? '' : ` ${rail.repeat(width - 3)} `, isDone ? 'good' : 'frame')];
}

function look({ startMs, endMs, failed }: ChapterProgress, { glyphs }: Theme): { knob: string; style: Style } {
  if (failed) return { knob: glyphs.failed, style: 'bad' };
  if (startMs === null) return { knob: glyphs.later, style: 'dim' };
  return endMs === null ? { knob: glyphs.now, style: 'accent' } : { knob: glyphs.done, style: 'good' };
}

function labelOf(chapter: ChapterProgress, width: number, nowMs: number, theme: Theme): Line {
  const { title, startMs, endMs } = chapter;
  if (startMs === null) return fit([span(title, 'dim')], width, theme);
  const seconds = ((endMs ?? nowMs) - startMs) / 1000;
  const time = [` ${seconds.toFixed(1)} s`, ` ${Math.floor(seconds)} s`].find(
    (text) => title.length + text.length < width,
  );
  return fit([span(title, endMs === null ? 'bold' : 'plain'), span(time ?? '', 'dim')], width, theme);
}

function narrationOf({ narration, progress }: DemoState, width: number, theme: Theme): Line {
  const startsWithName = /^n\d/.test(narration);
  const text = span(printable(startsWithName ? narration : narration.charAt(0).toUpperCase() + narration.slice(1)));
  if (progress === null || progress.total === 0 || width < PROGRESS_WIDTH * 2) return [text];
  const ratio = progress.done / progress.total;
  const meter: Span[] = [
    ...gauge(ratio, PROGRESS_WIDTH, 'accent', theme),
    span(` ${Math.floor(ratio * 100)} %`.padStart(6)),
  ];
  return [...fit([text], width - PROGRESS_WIDTH - 7, theme), span(' '), ...meter];
}
