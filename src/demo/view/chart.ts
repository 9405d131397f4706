import { type Line, type Span, span } from './line.ts';
import type { Style, Theme } from './theme.ts';

/** Columns of bars, `height` rows high, from the top row down; `scale` is the value of a full column. */
export function bars(
  values: readonly number[],
  height: number,
  scale: number,
  styleOf: (column: number) => Style,
  theme: Theme,
): Line[] {
  const { heights } = theme.glyphs;
  const steps = heights.length - 1;
  return Array.from({ length: height }, (_, row): Line => {
    const below = height - 1 - row;
    const spans: { text: string; style: Style }[] = [];
    values.forEach((value, index) => {
      const filled = scale <= 0 ? 0 : Math.round((Math.max(0, value) / scale) * height * steps) - below * steps;
      const text = heights[Math.min(steps, Math.max(0, filled))] ?? ' ';
      const style = styleOf(index);
      const last = spans.at(-1);
      if (last?.style === style) last.text += text;
      else spans.push({ text, style });
    });
    return spans;
  });
}

/** A bar that is filled to `ratio` (0 to 1). */
export function gauge(ratio: number, width: number, style: Style, { glyphs }: Theme): Span[] {
  const filled = Math.round(Math.min(1, Math.max(0, ratio)) * width);
  return [span(glyphs.full.repeat(filled), style), span(glyphs.empty.repeat(width - filled), 'frame')];
}

/** The latest `width` values, with nothing before the first of them. */
export function latest(values: readonly number[], width: number): number[] {
  const shown = values.slice(-width);
  return [...Array.from({ length: width - shown.length }, () => 0), ...shown];
}
