import type { ReadStream, WriteStream } from 'node:tty';
import type { DemoState } from '../state.ts';
import { frame } from './frame.ts';
import { toAnsi } from './line.ts';
import { themeFor } from './theme.ts';

const REDRAW_INTERVAL_MS = 250;
/** Repairs what other programs wrote over the screen. */
const FULL_REDRAW_EVERY = 40;

const ESC = '\u001b[';
/** Alternate screen, no cursor, no wrapping. */
const ENTER = `${ESC}?1049h${ESC}?25l${ESC}?7l${ESC}2J`;
/** What is still there when it is left may end up in the history of some terminals. */
const LEAVE = `${ESC}2J${ESC}?7h${ESC}?25h${ESC}?1049l`;
/** Synchronised update: terminals that know it show a frame at once, others ignore it. */
const BEGIN_UPDATE = `${ESC}?2026h`;
const END_UPDATE = `${ESC}?2026l`;
const KEYS_INTERRUPT = ['\u0003', 'q', 'Q'];

/** A live picture of the state on the terminal's alternate screen; only lines that changed are sent. */
export class LiveView {
  private readonly state: DemoState;
  private readonly output: WriteStream;
  private readonly input: ReadStream;
  private readonly onInterrupt: () => void;
  private readonly theme: ReturnType<typeof themeFor>;
  private timer: NodeJS.Timeout | null = null;
  private shown: string[] = [];
  private frames = 0;
  private isBlocked = false;

  constructor(state: DemoState, output: WriteStream, input: ReadStream, onInterrupt: () => void) {
    this.state = state;
    this.output = output;
    this.input = input;
    this.onInterrupt = onInterrupt;
    this.theme = themeFor(process.env, output.getColorDepth());
  }

  open(): void {
    this.output.write(ENTER);
    this.output.on('resize', this.handleResize);
    if (this.input.isTTY) {
      // Typed characters would be echoed into the picture.
      this.input.setRawMode(true);
      this.input.on('data', this.handleKeys);
    }
    process.once('exit', this.restore);
    this.timer = setInterval(() => this.draw(), REDRAW_INTERVAL_MS);
    this.draw();
  }

  close(): void {
    if (this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
    this.output.off('resize', this.handleResize);
    process.off('exit', this.restore);
    this.restore();
    this.input.off('data', this.handleKeys);
    this.input.pause();
  }

  private draw(): void {
    if (this.isBlocked) return;
    const { columns, rows } = this.output;
    if (this.frames++ % FULL_REDRAW_EVERY === 0) this.shown = [];
    const lines = frame(this.state, { columns, rows }, performance.now(), this.theme).map((line) =>
      toAnsi(line, this.theme),
    );
    let update = '';
    lines.forEach((line, row) => {
      if (line !== this.shown[row]) update += `${ESC}${row + 1};1H${line}`;
    });
    this.shown = lines;
    if (update === '') return;
    // A slow terminal gets fewer frames, not older ones.
    this.isBlocked = !this.output.write(BEGIN_UPDATE + update + END_UPDATE);
    if (this.isBlocked) this.output.once('drain', () => (this.isBlocked = false));
  }

  private readonly handleResize = (): void => {
    this.output.write(`${ESC}2J`);
    this.shown = [];
    this.draw();
  };

  private readonly handleKeys = (keys: Buffer): void => {
    if (KEYS_INTERRUPT.some((key) => keys.includes(key))) this.onInterrupt();
  };

  private readonly restore = (): void => {
    if (this.input.isTTY) this.input.setRawMode(false);
    this.output.write(LEAVE);
  };
}
