import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { isSea } from 'node:sea';
import type { SystemSample } from '../ports/system.ts';
import type { DemoOptions, DemoParts } from './options.ts';
import { DemoError, messageOf, pause } from './wait.ts';

/** Set for the process that tells the story inside of a namespace; says how it was made. */
const VARIABLE = 'HOLDFAST_DEMO_NAMESPACE';
const PROBE_TIMEOUT_MS = 5000;
const SAMPLE_INTERVAL_MS = 1000;

/** Only loopback exists in there, and multicast needs a route: so mDNS works, and none of it reaches the real network. */
const SET_UP = 'ip link set lo up && ip route add 224.0.0.0/4 dev lo';

export interface DemoNetwork {
  readonly mdns: boolean;
  /** For people: which network, and why. */
  readonly description: string;
}

/** How a command runs in a network namespace of its own, or why that is not possible here. */
export type NamespaceSupport =
  | { readonly ok: true; readonly how: string; readonly prefix: readonly string[] }
  | { readonly ok: false; readonly reason: string };

/** Runs a command to its end; null: it ended well, else what went wrong. */
export type Attempt = (command: readonly string[]) => string | null;

/** Tries root first, then a user namespace. */
export function namespaceSupport(platform: NodeJS.Platform, isRoot: boolean, attempt: Attempt): NamespaceSupport {
  if (platform !== 'linux') return { ok: false, reason: 'network namespaces exist on Linux only' };
  const ways = [
    ...(isRoot ? [{ how: 'made as root', unshare: ['unshare', '--net'] }] : []),
    { how: 'made in a user namespace', unshare: ['unshare', '--map-root-user', '--net'] },
  ];
  let reason = '';
  for (const { how, unshare } of ways) {
    const problem = attempt([...unshare, 'sh', '-c', SET_UP]);
    if (problem === null) return { ok: true, how, prefix: [...unshare, 'sh', '-c', `${SET_UP} && exec "$@"`, 'sh'] };
    reason ||= problem;
  }
  return { ok: false, reason };
}

export function attemptCommand(command: readonly string[]): string | null {
  const [file = '', ...args] = command;
  const { error, status, stderr } = spawnSync(file, args, { encoding: 'utf8', timeout: PROBE_TIMEOUT_MS });
  if (error !== undefined)
    return (error as { code?: string }).code === 'ENOENT' ? `${file} is not installed` : error.message;
  if (status === 0) return null;
  return stderr.trim().split('\n')[0] || `${file} ended with status ${String(status)}`;
}

/** The command that runs this very program. */
export function ownProgram(): readonly string[] {
  return isSea() ? [process.execPath] : [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
}

/** The namespace that this process was started in by `tellInside`; null outside of one. */
export function innerNetwork(): DemoNetwork | null {
  const how = process.env[VARIABLE];
  if (how === undefined || process.send === undefined) return null;
  return { mdns: true, description: `a network namespace of their own (${how}): mDNS stays inside` };
}

export function loopbackNetwork(reason: string): DemoNetwork {
  return { mdns: false, description: `loopback with seeds, mDNS off (${reason})` };
}

/** What is to be removed when the process that made it cannot do so. */
export interface Leftovers {
  readonly pids: readonly number[];
  /** Null: it is to be kept. */
  readonly directory: string | null;
}

/** What the two processes of a demo in a namespace tell each other. */
type ParentMessage = { readonly type: 'sample'; readonly sample: SystemSample };
type ChildMessage =
  | { readonly type: 'leftovers'; readonly leftovers: Leftovers }
  | { readonly type: 'failed'; readonly message: string };

/**
 * Runs the demo again in a namespace and waits for its end. This process stays outside, where the machine's network is,
 * and sends the readings in. Throws what the demo in there failed with.
 */
export async function tellInside(
  { how, prefix }: NamespaceSupport & { ok: true },
  options: DemoOptions,
  parts: DemoParts,
): Promise<void> {
  const [file = '', ...args] = [...prefix, ...ownProgram(), ...demoArguments(options)];
  const env = { ...process.env, [VARIABLE]: how };
  const child = spawn(file, args, { env, stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, forward);
  const ended = new AbortController();
  const samples = sendSamples(child, parts.sample, ended.signal);
  try {
    await endOf(child);
  } finally {
    ended.abort();
    await samples;
    for (const signal of signals) process.off(signal, forward);
  }
}

function demoArguments({ nodes, tty, seconds, keep }: DemoOptions): string[] {
  return [
    'demo',
    '--nodes',
    String(nodes),
    ...(tty ? [] : ['--no-tty']),
    ...(seconds === null ? [] : ['--seconds', String(seconds)]),
    ...(keep ? ['--keep'] : []),
  ];
}

async function sendSamples(child: ChildProcess, sample: DemoParts['sample'], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const message: ParentMessage = { type: 'sample', sample: await sample() };
    // It may end at any moment; then there is nobody left to tell.
    if (child.connected) child.send(message, () => undefined);
    await pause(SAMPLE_INTERVAL_MS, signal).catch(() => undefined);
  }
}

function endOf(child: ChildProcess): Promise<void> {
  let failure: string | null = null;
  let leftovers: Leftovers = { pids: [], directory: null };
  child.on('message', (message: ChildMessage) => {
    if (message.type === 'failed') failure = message.message;
    else leftovers = message.leftovers;
  });
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new DemoError(`the demo did not start: ${error.message}`, { cause: error })));
    child.once('exit', (status, signal) => {
      if (failure !== null) return reject(new DemoError(failure));
      if (status === 0) return resolve();
      // It had no chance to clean up.
      for (const pid of leftovers.pids) killIfThere(pid);
      if (leftovers.directory !== null) rmSync(leftovers.directory, { recursive: true, force: true, maxRetries: 5 });
      reject(new DemoError(`the demo ended early (${signal ?? `status ${String(status)}`})`));
    });
  });
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

/** The inner process's line to the one outside. */
export class OuterProcess {
  private latest: SystemSample | null = null;
  private waiting: ((sample: SystemSample) => void)[] = [];
  private readonly onLost: () => void;

  /** `onLost`: the process outside is gone. */
  constructor(onLost: () => void) {
    this.onLost = onLost;
    process.on('message', this.handleMessage);
    process.on('disconnect', onLost);
  }

  sample(): Promise<SystemSample> {
    return this.latest === null ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve(this.latest);
  }

  tellLeftovers(leftovers: Leftovers): void {
    this.send({ type: 'leftovers', leftovers });
  }

  tellFailure(error: unknown): Promise<void> {
    return new Promise((resolve) => this.send({ type: 'failed', message: messageOf(error) }, resolve));
  }

  /** Without this the line keeps the process alive. */
  close(): void {
    process.off('message', this.handleMessage);
    process.off('disconnect', this.onLost);
    if (process.connected) process.disconnect?.();
  }

  private send(message: ChildMessage, done: () => void = () => undefined): void {
    if (process.send === undefined || !process.connected) done();
    else process.send(message, done);
  }

  private readonly handleMessage = ({ sample }: ParentMessage): void => {
    this.latest = sample;
    for (const resolve of this.waiting.splice(0)) resolve(sample);
  };
}
