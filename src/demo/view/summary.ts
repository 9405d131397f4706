import { brokenPromises, type Figures, figureLines } from '../figures.ts';
import type { Ledger } from '../ledger.ts';
import { column, columnRight, type Line, printable, span, toAnsi, widthOf } from './line.ts';
import type { Theme } from './theme.ts';

const KEYS_NAMED_MAX = 5;

/** The figures as a table, and what they come to. */
export function summaryText(figures: Figures, ledger: Ledger, heading: string, columns: number, theme: Theme): string {
  const rows = figureLines(figures, ledger);
  const widthOfAll = (texts: readonly string[]): number => Math.max(0, ...texts.map(({ length }) => length));
  const whatWidth = widthOfAll(rows.map(([what]) => what));
  const valueWidth = widthOfAll(rows.map(([, value]) => value));
  const headWidth = 2 + whatWidth + 2 + valueWidth + 3;
  const isNarrow = headWidth + widthOfAll(rows.map(([, , basis]) => basis)) > columns;
  const lines: Line[] = [[], [span(printable(heading), 'bold')], []];
  for (const [what, value, basis] of rows) {
    const head: Line = [span('  '), column(what, whatWidth), span('  '), columnRight(value, valueWidth, 'bold')];
    const foot = span(printable(basis), 'dim');
    if (isNarrow) lines.push(head, [span('      '), foot]);
    else lines.push([...head, span('   '), foot]);
  }
  lines.push([], ...verdict(figures));
  return `${lines.map((line) => (widthOf(line) === 0 ? '' : toAnsi(line, theme))).join('\n')}\n`;
}

function verdict(figures: Figures): Line[] {
  const broken = brokenPromises(figures);
  if (broken.length === 0)
    return [[span('  Every acknowledged write is there, at every node and at the hub.', 'good')]];
  const details = [
    ...figures.readFailures,
    ...firstOf('lost', figures.lost),
    ...firstOf('not at the hub', figures.missingAtHub),
    ...firstOf('not at every node', figures.missingAtSite),
    ...firstOf('differs', figures.keysDiffering),
  ];
  return [
    ...broken.map((text): Line => [span(`  ${text}`, 'bad')]),
    ...details.map((text): Line => [span(`    ${printable(text)}`)]),
  ];
}

function firstOf(what: string, keys: readonly string[]): string[] {
  return keys.slice(0, KEYS_NAMED_MAX).map((key) => `${what}: ${key}`);
}
