import Table from 'cli-table3';
import type { Terminal } from './terminal.ts';

const NO_BORDER = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

const STYLE = { head: [], border: [], 'padding-left': 0, 'padding-right': 0 };

/** Aligned columns under a heading, without rules. Columns named in `right` are aligned to the right. */
export function tableText(
  terminal: Terminal,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly string[] = [],
): string {
  const table = new Table({
    head: head.map((title) => terminal.colour('bold', title)),
    colAligns: head.map((title) => (right.includes(title) ? 'right' : 'left')),
    chars: NO_BORDER,
    style: STYLE,
  });
  table.push(...rows.map((row) => [...row]));
  return trimLines(table.toString());
}

/** `name  value` lines. */
export function fieldsText(terminal: Terminal, fields: readonly (readonly [string, string])[]): string {
  const table = new Table({ chars: NO_BORDER, style: STYLE });
  table.push(...fields.map(([name, value]) => [terminal.colour('dim', name), value]));
  return trimLines(table.toString());
}

function trimLines(text: string): string {
  return text.replace(/ +$/gm, '');
}
