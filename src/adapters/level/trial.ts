import { spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { ClassicLevel } from 'classic-level';
import { errorChain } from './errors.ts';
import { END_KEY } from './sound-scan.ts';

export type TrialTask = 'open' | 'repair';

/** `died`: LevelDB aborted the process, or it crashed. */
export type TrialOutcome =
  | { readonly type: 'done' }
  | { readonly type: 'died'; readonly how: string }
  | { readonly type: 'failed'; readonly error: Error };

const NATIVE_DEATHS: readonly string[] = ['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP'];
/** As a shell in between tells of them. */
const NATIVE_STATUSES: readonly number[] = [132, 133, 134, 135, 136, 139];
const OUTPUT_CHARS_MAX = 4096;
const HOW_CHARS_MAX = 300;
const ROWS = 100;
/** The adapter's own keys begin like that; there never is a record of this name. */
const TRIAL_KEY = Uint8Array.of(0xff, 0x70);
/** All keys are between it and the end. */
const FIRST_KEY = Uint8Array.of(0);

type Handle = ClassicLevel<Uint8Array, Uint8Array>;

interface ErrorPart {
  readonly code: string | null;
  readonly message: string;
}

/** Has a process of its own do with a store what could end the process. `command` ends up in `runTrialTask`. */
export async function tryElsewhere(
  command: readonly string[],
  task: TrialTask,
  directory: string,
): Promise<TrialOutcome> {
  const [program = '', ...args] = command;
  // Its input stays open for as long as this process lives.
  const child = spawn(program, [...args, task, directory], { stdio: 'pipe' });
  const output = { out: '', errors: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    output.out = (output.out + chunk.toString()).slice(-OUTPUT_CHARS_MAX);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output.errors = (output.errors + chunk.toString()).slice(-OUTPUT_CHARS_MAX);
  });
  const { promise, resolve } = Promise.withResolvers<TrialOutcome>();
  // Without its code, which could pass for that of a file of the store.
  child.on('error', ({ message }) => resolve({ type: 'failed', error: new Error(`no process to try it: ${message}`) }));
  child.on('close', (status, signal) => resolve(outcomeOf(status, signal, output)));
  return await promise;
}

function outcomeOf(
  status: number | null,
  signal: string | null,
  { out, errors }: { out: string; errors: string },
): TrialOutcome {
  if (status === 0) return { type: 'done' };
  const ended = signal ?? `status ${status ?? 'unknown'}`;
  if (NATIVE_DEATHS.includes(signal ?? '') || NATIVE_STATUSES.includes(status ?? 0)) {
    const said = errors.split('\n').find((line) => line.includes('Assertion')) ?? '';
    return { type: 'died', how: `${ended} ${said}`.trim().slice(0, HOW_CHARS_MAX) };
  }
  const parts = partsIn(out);
  const error = parts.reduceRight<Error | undefined>(
    (cause, { code, message }) => Object.assign(new Error(message, { cause }), { code }),
    undefined,
  );
  const unknown = new Error(`the process that tried the store ended with ${ended}: ${errors.slice(-HOW_CHARS_MAX)}`);
  return { type: 'failed', error: error ?? unknown };
}

function partsIn(out: string): ErrorPart[] {
  try {
    return JSON.parse(out) as ErrorPart[];
  } catch {
    return [];
  }
}

/** The other end of `tryElsewhere`; resolves to the exit status. */
export async function runTrialTask(task: string | undefined, directory: string | undefined): Promise<number> {
  endWithParent();
  try {
    if (task === 'open' && directory !== undefined) await open(directory);
    else if (task === 'repair' && directory !== undefined) await repairStore(directory);
    else throw new Error('open DIRECTORY or repair DIRECTORY is expected');
    return 0;
  } catch (error) {
    const parts = errorChain(error).map((part): ErrorPart => {
      const { code } = part as { code?: unknown };
      return { code: typeof code === 'string' ? code : null, message: part.message };
    });
    process.stdout.write(`${JSON.stringify(parts)}\n`);
    return 1;
  }
}

/** The next start does not wait for a repair that goes on behind a parent that was killed; no lock keeps them apart. */
function endWithParent(): void {
  // Not an exit: that would wait for what LevelDB is doing.
  new Socket({ fd: 0, readable: true, writable: false })
    .on('close', () => process.kill(process.pid, 'SIGKILL'))
    .resume()
    .unref();
}

/**
 * LevelDB's repair leaves all tables side by side, where a single read takes the one with the highest number for the
 * newest. Compactions give high numbers to old records, too: so all tables are merged.
 */
export async function repairStore(directory: string): Promise<void> {
  await ClassicLevel.repair(directory);
  await withStore(directory, async (handle) => {
    await handle.compactRange(FIRST_KEY, END_KEY);
    // A compaction that fails says so to later writes only.
    await handle.del(TRIAL_KEY, { sync: true });
  });
}

async function open(directory: string): Promise<void> {
  await withStore(directory, async (handle) => {
    for await (const [key] of handle.iterator({ limit: ROWS })) await handle.get(key);
    // The number of a write is where damage shows, and that of the next one where LevelDB aborts over it.
    for (let write = 0; write < 2; write++) {
      await handle.del(TRIAL_KEY).catch(() => undefined);
      await handle.get(TRIAL_KEY);
    }
  });
}

async function withStore(directory: string, use: (handle: Handle) => Promise<void>): Promise<void> {
  const handle: Handle = new ClassicLevel(directory, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    // Where it would have to be created there is something wrong, and creating it deletes what is there.
    createIfMissing: false,
  });
  await handle.open();
  try {
    await use(handle);
  } finally {
    await handle.close();
  }
}
