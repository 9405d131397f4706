import { fit, type Line, span, widthOf } from './line.ts';
import type { Theme } from './theme.ts';

export interface PanelOptions {
  readonly title: string;
  /** In the upper border, at the right. */
  readonly note?: Line;
  readonly width: number;
  /** Of the content, without the borders; more lines are cut, fewer are filled up. */
  readonly height: number;
}

/** A box around lines. */
export function panel(
  { title, note = [], width, height }: PanelOptions,
  content: readonly Line[],
  theme: Theme,
): Line[] {
  const { topLeft, topRight, bottomLeft, bottomRight, horizontal, vertical } = theme.glyphs;
  const inner = width - 4;
  const heading = span(` ${title} `, 'title');
  const aside: Line = note.length === 0 ? [] : [span(' '), ...note, span(' ')];
  const rule = width - 4 - widthOf([heading]) - widthOf(aside);
  const top: Line =
    rule >= 0
      ? [
          span(topLeft + horizontal, 'frame'),
          heading,
          span(horizontal.repeat(rule), 'frame'),
          ...aside,
          span(horizontal + topRight, 'frame'),
        ]
      : [
          span(topLeft + horizontal, 'frame'),
          heading,
          span(horizontal.repeat(Math.max(0, rule + widthOf(aside))) + horizontal + topRight, 'frame'),
        ];
  const body = Array.from(
    { length: height },
    (_, row): Line => [
      span(`${vertical} `, 'frame'),
      ...fit(content[row] ?? [], inner, theme),
      span(` ${vertical}`, 'frame'),
    ],
  );
  const bottom: Line = [span(bottomLeft + horizontal.repeat(width - 2) + bottomRight, 'frame')];
  return [fit(top, width, theme), ...body, bottom];
}

/** Boxes of one height next to each other. */
export function beside(left: readonly Line[], right: readonly Line[]): Line[] {
  return left.map((line, row) => [...line, ...(right[row] ?? [])]);
}
