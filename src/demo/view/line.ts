import type { Style, Theme } from './theme.ts';

/** Text in one style; every character takes one column. */
export interface Span {
  readonly text: string;
  readonly style: Style;
}

export type Line = readonly Span[];

export function span(text: string, style: Style = 'plain'): Span {
  return { text, style };
}

export function widthOf(line: Line): number {
  return line.reduce((width, { text }) => width + text.length, 0);
}

/** Cuts the line at, or fills it up to, exactly this width. */
export function fit(line: Line, width: number, { glyphs }: Theme): Line {
  const missing = width - widthOf(line);
  if (missing >= 0) return missing === 0 ? line : [...line, span(' '.repeat(missing))];
  const cut: Span[] = [];
  let room = Math.max(0, width - 1);
  for (const { text, style } of line) {
    if (room === 0) break;
    cut.push({ text: text.slice(0, room), style });
    room -= Math.min(room, text.length);
  }
  return width > 0 ? [...cut, span(glyphs.ellipsis, 'dim')] : [];
}

/** `left` at the left and `right` at the right edge; where both do not fit, `left` is cut. */
export function spread(left: Line, right: Line, width: number, theme: Theme): Line {
  const room = width - widthOf(right);
  return room < 1 ? fit(left, width, theme) : [...fit(left, room, theme), ...right];
}

export function column(text: string, width: number, style: Style = 'plain'): Span {
  return span(text.length > width ? text.slice(0, width) : text.padEnd(width), style);
}

export function columnRight(text: string, width: number, style: Style = 'plain'): Span {
  return span(text.length > width ? text.slice(0, width) : text.padStart(width), style);
}

/** The line as a terminal gets it. */
export function toAnsi(line: Line, { sgr }: Theme): string {
  let text = '';
  for (const part of line) {
    const codes = sgr[part.style];
    text += codes === '' ? part.text : `\u001b[${codes}m${part.text}\u001b[0m`;
  }
  return text;
}

/** Leaves nothing that could steer a terminal or take more or less than one column. */
export function printable(text: string): string {
  return text.replace(/[^\u0020-\u007e\u00a1-\u024f\u2010-\u2027\u2190-\u25ff]/g, '?');
}
