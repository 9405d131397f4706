/** A cluster of real processes of one system whose members are watched, hurt and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Seat } from './place.ts';
import { type SeenState, Sightings } from './sightings.ts';

const POLL_MS = 10;
const OUTPUT_CHARACTERS_MAX = 4_000;
/** Through these the others join. */
const SEEDS = 3;

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A running process of a member. */
export interface Running {
  readonly seat: Seat;
  readonly child: ChildProcess;
  /** Aborted when the process has ended. */
  readonly ended: AbortSignal;
  /** The member tells something of another. */
  readonly tell: (subject: string, state: SeenState) => void;
  /** The member answers for the first time. */
  readonly answers: () => void;
}

/** A program with a failure detector. */
export interface Detector {
  readonly name: 'holdfast' | 'serf';
  /** `seeds` are those that run already, or are started at the same moment. */
  command(seat: Seat, home: string, seeds: readonly Seat[]): Command;
  /** Listens to what the member says of others, as it says it; ends when there is no more to come. */
  follow(running: Running): Promise<void>;
  /** Whether nothing goes on at the member that would disturb a measurement. */
  isSettled(seat: Seat): Promise<boolean>;
  /** Keeps the member from running for a while, several times over. */
  block(running: Running, durationMs: number): Promise<void>;
}

interface Entry extends Running {
  readonly startedMs: number;
  answeredMs: number | null;
  output: string;
  /** It ends because it was told to. */
  isEnding: boolean;
  /** Nothing more is heard of it. */
  isSilent: boolean;
}

export class Fleet {
  readonly detector: Detector;
  readonly sightings = new Sightings();
  private readonly seats: readonly Seat[];
  private readonly directory: string;
  private readonly entries = new Map<string, Entry>();

  constructor(detector: Detector, seats: readonly Seat[], directory: string) {
    this.detector = detector;
    this.seats = seats;
    this.directory = directory;
  }

  /** Names of the members that run. */
  get names(): string[] {
    return [...this.entries.keys()];
  }

  others(name: string): string[] {
    return this.names.filter((other) => other !== name);
  }

  /** Starts the first `count` members and waits until all see each other. */
  async startFirst(count: number, timeoutMs: number): Promise<void> {
    for (const { name } of this.seats.slice(0, count)) {
      this.start(name);
      // A join through a seed that does not listen yet would fail.
      if (this.entries.size <= SEEDS) await this.until(`${name} answers`, timeoutMs, () => this.hasAnswered(name));
    }
    await this.untilSettled(timeoutMs);
  }

  /** Starts a member, again or for the first time, and returns at once. */
  start(name: string): void {
    const seat = this.seats.find((candidate) => candidate.name === name);
    if (seat === undefined || this.entries.has(name)) throw new Error(`${name} cannot be started`);
    const seeds = this.seats.slice(0, SEEDS).filter((seed) => this.entries.has(seed.name));
    const { file, args, env } = this.detector.command(seat, join(this.directory, name), seeds);
    const [program = file, ...prefixed] = [...seat.prefix, file, ...args];
    const { PATH = '', HOME = '' } = process.env;
    const child = spawn(program, prefixed, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH, HOME, ...env } });
    const end = new AbortController();
    this.sightings.forget(name);
    const entry: Entry = {
      seat,
      child,
      ended: end.signal,
      tell: (subject, state) => this.sightings.add(name, subject, state),
      answers: () => (entry.answeredMs ??= performance.now()),
      startedMs: performance.now(),
      answeredMs: null,
      output: '',
      isEnding: false,
      isSilent: false,
    };
    this.entries.set(name, entry);
    const keep = (chunk: Buffer): void => {
      entry.output = (entry.output + chunk.toString()).slice(-OUTPUT_CHARACTERS_MAX);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('error', (error) => {
      entry.output += error.message;
      end.abort();
    });
    child.once('exit', () => end.abort());
    void this.detector.follow(entry).then(() => (entry.isSilent = true));
  }

  /** From the start of the process, when the member answered first. */
  answeredAfterMs(name: string): number {
    const { startedMs, answeredMs } = this.entry(name);
    return (answeredMs ?? Number.NaN) - startedMs;
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.entry(name).child.kill(signal);
  }

  /** Ends a member for good or until it is started again, and waits until its process is gone. */
  async end(name: string, signal: 'SIGKILL' | 'SIGINT', timeoutMs: number): Promise<void> {
    const entry = this.entry(name);
    entry.isEnding = true;
    entry.child.kill(signal);
    await this.until(`the end of ${name}`, timeoutMs, () => entry.ended.aborted);
    this.entries.delete(name);
  }

  block(name: string, durationMs: number): Promise<void> {
    return this.detector.block(this.entry(name), durationMs);
  }

  /** All members that run see each other alive, and nothing is going on. */
  async untilSettled(timeoutMs: number): Promise<void> {
    const { names } = this;
    await this.until('all see all', timeoutMs, () => this.sightings.isComplete(names));
    for (const name of names) {
      const { seat } = this.entry(name);
      await this.until(`${name} is settled`, timeoutMs, () => this.detector.isSettled(seat).catch(() => false));
    }
  }

  /** Polls until the condition holds; fails when a member ends by itself or time is up. */
  async until(what: string, timeoutMs: number, condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!(await condition())) {
      for (const { seat, isSilent, isEnding, output } of this.entries.values()) {
        if (isSilent && !isEnding) throw new Error(`${this.detector.name} ${seat.name} says nothing more:\n${output}`);
      }
      if (performance.now() > deadlineMs) {
        throw new Error(`${this.detector.name}: not within ${timeoutMs / 1000} s: ${what}`);
      }
      await delay(POLL_MS);
    }
  }

  /** Kills what runs. Returns at once, for the handlers of signals. */
  kill(): void {
    for (const { child } of this.entries.values()) child.kill('SIGKILL');
  }

  async close(): Promise<void> {
    for (const name of this.names) await this.end(name, 'SIGKILL', 10_000);
  }

  private hasAnswered(name: string): boolean {
    return this.entry(name).answeredMs !== null;
  }

  private entry(name: string): Entry {
    const entry = this.entries.get(name);
    if (entry === undefined) throw new Error(`${name} does not run`);
    return entry;
  }
}
