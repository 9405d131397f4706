import type { Colour, Terminal } from './terminal.ts';
import { printable } from './text.ts';

const COLOURS = new Map<string, Colour>([
  ['alive', 'green'],
  ['suspect', 'yellow'],
  ['dead', 'red'],
  ['left', 'dim'],
]);

/** `-`: the node knows the member from the ring alone. */
export function memberStateText(terminal: Terminal, state: string | null | undefined): string {
  if (state === null || state === undefined) return '-';
  const colour = COLOURS.get(state);
  return colour === undefined ? printable(state) : terminal.colour(colour, state);
}
