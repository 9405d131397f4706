export type Style = 'plain' | 'dim' | 'bold' | 'good' | 'warn' | 'bad' | 'accent' | 'brand' | 'frame' | 'title';

/** The characters that pictures are made of; each one column wide. */
export interface Glyphs {
  readonly topLeft: string;
  readonly topRight: string;
  readonly bottomLeft: string;
  readonly bottomRight: string;
  readonly horizontal: string;
  readonly vertical: string;
  readonly track: string;
  readonly trackDone: string;
  readonly full: string;
  readonly empty: string;
  /** From nothing to full height. */
  readonly heights: string;
  readonly alive: string;
  readonly suspect: string;
  readonly dead: string;
  readonly none: string;
  readonly now: string;
  readonly later: string;
  readonly done: string;
  readonly failed: string;
  readonly marker: string;
  readonly separator: string;
  readonly ellipsis: string;
  readonly dash: string;
}

const UNICODE: Glyphs = {
  topLeft: '╭',
  topRight: '╮',
  bottomLeft: '╰',
  bottomRight: '╯',
  horizontal: '─',
  vertical: '│',
  track: '─',
  trackDone: '━',
  full: '█',
  empty: '░',
  heights: ' ▁▂▃▄▅▆▇█',
  alive: '●',
  suspect: '◐',
  dead: '✕',
  none: '·',
  now: '◉',
  later: '○',
  done: '●',
  failed: '✕',
  marker: '▲',
  separator: '·',
  ellipsis: '…',
  dash: '–',
};

const ASCII: Glyphs = {
  topLeft: '+',
  topRight: '+',
  bottomLeft: '+',
  bottomRight: '+',
  horizontal: '-',
  vertical: '|',
  track: '-',
  trackDone: '=',
  full: '#',
  empty: '.',
  heights: ' .:-=+*%#',
  alive: 'o',
  suspect: '?',
  dead: 'x',
  none: '.',
  now: '@',
  later: 'o',
  done: '*',
  failed: 'x',
  marker: '^',
  separator: '-',
  ellipsis: '~',
  dash: '-',
};

export interface Theme {
  readonly glyphs: Glyphs;
  /** Select Graphic Rendition parameters (ECMA-48, 8.3.117) of a style; '' for none. */
  readonly sgr: Readonly<Record<Style, string>>;
}

const NO_COLOURS: Theme['sgr'] = {
  plain: '',
  dim: '',
  bold: '',
  good: '',
  warn: '',
  bad: '',
  accent: '',
  brand: '',
  frame: '',
  title: '',
};

const COLOURS_16: Theme['sgr'] = {
  plain: '',
  dim: '2',
  bold: '1',
  good: '32',
  warn: '33',
  bad: '1;31',
  accent: '36',
  brand: '1;7;36',
  frame: '2',
  title: '1',
};

const COLOURS_256: Theme['sgr'] = {
  plain: '',
  dim: '38;5;245',
  bold: '1',
  good: '38;5;78',
  warn: '38;5;221',
  bad: '1;38;5;203',
  accent: '38;5;80',
  brand: '1;38;5;232;48;5;80',
  frame: '38;5;239',
  title: '1;38;5;252',
};

/** `colourDepth`: bits, as `WriteStream.getColorDepth` tells; NO_COLOR (https://no-color.org) leaves 1. */
export function themeFor(env: NodeJS.ProcessEnv, colourDepth: number): Theme {
  const coloured = !env.NO_COLOR && env.TERM !== 'dumb';
  const sgr = !coloured || colourDepth < 4 ? NO_COLOURS : colourDepth < 8 ? COLOURS_16 : COLOURS_256;
  return { glyphs: showsUnicode(env) ? UNICODE : ASCII, sgr };
}

function showsUnicode(env: NodeJS.ProcessEnv): boolean {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  if (locale !== '') return /utf-?8/i.test(locale);
  // Without any locale, as in a container, today's terminals show UTF-8; tmux and the Linux console do not.
  return env.TMUX === undefined && env.TERM !== 'linux';
}
