import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HttpApi } from '../../../src/api/http/app.ts';
import { startHttpApi } from '../../../src/api/http/server.ts';
import { Locks } from '../../../src/api/lock/locks.ts';
import { durationOf } from '../../../src/cli/options.ts';
import { failure, HoldfastError } from '../../../src/lib/failure.ts';
import { FakeNodeHandle } from '../../support/fake-node-handle.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { type RunOptions, type RunResult, run } from './harness.ts';

const UNAVAILABLE = failure('quorum-unavailable', 'too few nodes answered');

let folder: string;
let node: FakeNodeHandle;
let locks: Locks;
let api: HttpApi;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-lock-'));
  node = new FakeNodeHandle();
  locks = new Locks(node);
  api = await startHttpApi({ node, host: '127.0.0.1', port: 0, log: new RecordingLog(), version: '0.0.0' });
});

afterEach(async () => {
  await api.close();
  await rm(folder, { recursive: true });
});

const sleep: RunOptions['sleep'] = (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined);

/** `holdfast lock x …`, with real pauses; what the shell writes to $OUT is in `file`. */
const lock = (args: readonly string[], options: RunOptions = {}): Promise<RunResult> =>
  run(['lock', 'x', ...args], {
    sleep,
    ...options,
    env: { HOLDFAST_API: `http://127.0.0.1:${api.port}`, OUT: join(folder, 'out') },
  });
const shell = (script: string): string[] => ['--', '/bin/sh', '-c', script];
const file = async (): Promise<string> => readFile(join(folder, 'out'), 'utf8').catch(() => '');
const heldBy = async (): Promise<string | null> => {
  const lease = await locks.read('x');
  return lease === null || lease.untilMs === null ? null : lease.owner;
};
const takeAs = (owner: string, ttlMs = 60_000) => locks.acquire({ name: 'x', owner, ttlMs, attempt: owner });

describe('holdfast lock', () => {
  it('runs a command with the token while the lock is held, and releases it', async () => {
    const running = lock([
      '--owner',
      'ann',
      ...shell(`echo "$HOLDFAST_LOCK_NAME $HOLDFAST_LOCK_TOKEN" >"$OUT"; sleep 1`),
    ]);
    await expect.poll(heldBy).toBe('ann');
    const ended = lock(['--owner', 'ben', '--wait', '10s', ...shell('printf "%s" "$HOLDFAST_LOCK_TOKEN" >>"$OUT"')]);
    expect(await Promise.all([running, ended])).toMatchObject([
      { status: 0, out: '', err: '' },
      { status: 0, out: '', err: '' },
    ]);
    const [first = '', second] = (await file()).split('\n');
    expect(first).toBe(`x ${node.clockMs}`);
    expect(Number(second)).toBe(node.clockMs + 1);
    expect(await heldBy()).toBeNull();
  });

  it.each([
    ['exit 0', 0],
    ['exit 7', 7],
    ['kill -9 $$', 137],
    ['kill -TERM $$', 143],
  ])('ends as the command does: %s', async (script, status) => {
    expect(await lock(shell(script))).toMatchObject({ status, out: '', err: '' });
    expect(await heldBy()).toBeNull();
  });

  it('hands arguments over as they are', async () => {
    await lock(['--', '/bin/sh', '-c', 'printf "%s|" "$@" >"$OUT"', 'sh', '--json', '-x', 'a b', '--']);
    expect(await file()).toBe('--json|-x|a b|--|');
  });

  it('names the holder of a lock that is held', async () => {
    await takeAs('ann; or not');
    const plain = await lock(shell('echo ran >"$OUT"'));
    expect(plain).toMatchObject({ status: 1, out: '' });
    expect(plain.err).toBe(
      'holdfast: Lock held: "x" is held by "ann; or not" until 2026-01-01T00:01:00.000Z; wait for it with --wait, or come ' +
        'back later (lock-held)\n',
    );
    const machine = await lock(['--json', '--wait', '300ms', ...shell('echo ran >"$OUT"')]);
    expect(machine.status).toBe(1);
    expect(JSON.parse(machine.err)).toMatchObject({ code: 'lock-held', owner: 'ann; or not', token: node.clockMs });
    expect(await file()).toBe('');
  });

  it('goes on waiting over failures that pass, and has the lock that it has got already', async () => {
    let puts = 0;
    node.before = async (request) => {
      if (request.type !== 'strong-put' || ++puts > 1) return;
      await node.request(request);
      node.before = () => {
        node.before = null;
        throw new HoldfastError(UNAVAILABLE);
      };
      throw new HoldfastError({ ...UNAVAILABLE, stateChanged: 'maybe' });
    };
    expect(await lock(['--wait', '10s', ...shell('echo "$HOLDFAST_LOCK_TOKEN" >"$OUT"')])).toMatchObject({ status: 0 });
    expect(await file()).toBe(`${node.clockMs}\n`);
    expect(await heldBy()).toBeNull();
  });

  it('says that there is no such command, and holds nothing', async () => {
    const { status, err } = await lock(['--', join(folder, 'none')]);
    expect([status, err]).toEqual([
      1,
      `holdfast: cannot run ${join(folder, 'none')}: there is no such command — name a command that can be run after --\n`,
    ]);
    expect(await heldBy()).toBeNull();
  });

  it.each([
    [[]],
    [['--']],
    [['--ttl', '999ms', '--', 'true']],
    [['--ttl', '2h', '--', 'true']],
    [['--ttl', 'soon', '--', 'true']],
    [['--wait', '-1s', '--', 'true']],
    [['--wait', '25h', '--', 'true']],
  ])('%j is bad usage', async (args) => {
    const { status, err } = await lock(args);
    expect(status).toBe(2);
    expect(err).toMatch(/^holdfast: .* — .*\n$/);
  });

  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['20', 20_000],
  ])('the duration %s is %i ms', (text, ms) => {
    expect(durationOf(0, 3_600_000)(text)).toBe(ms);
    expect(() => durationOf(0, ms - 1)(text)).toThrow('Use 500ms, 30s, 5m or 1h');
  });

  it.each(['', '.', '..', 'x'.repeat(257)])('the name %j is refused', async (name) => {
    const env = { HOLDFAST_API: `http://127.0.0.1:${api.port}` };
    expect(await run(['lock', name, '--', '/bin/true'], { env })).toMatchObject({ status: 2, out: '' });
  });
});

describe('meanwhile', () => {
  it('the lock is renewed', async () => {
    let renewals = 0;
    node.before = ({ type }) => {
      if (type !== 'strong-put') return;
      renewals += 1;
      node.clockMs += 300;
    };
    expect(await lock(['--ttl', '2s', ...shell('sleep 1.6')])).toMatchObject({ status: 0, err: '' });
    // Acquired, renewed, released.
    expect(renewals).toBeGreaterThanOrEqual(4);
  });

  it('a renewal that fails is tried again', async () => {
    let puts = 0;
    node.before = ({ type }) => {
      node.clockMs += 10;
      if (type === 'strong-put' && ++puts === 2) throw new HoldfastError(UNAVAILABLE);
    };
    expect(await lock(['--ttl', '2s', ...shell('sleep 1.6')])).toMatchObject({ status: 0, err: '' });
    // Acquired, refused, renewed, released.
    expect(puts).toBeGreaterThanOrEqual(4);
  });

  it('the command is stopped where somebody else has taken the lock', async () => {
    const running = lock([
      '--ttl',
      '1s',
      ...shell('trap "echo stopped >\\"$OUT\\"; exit 0" TERM; echo up >"$OUT"; while :; do sleep 0.05; done'),
    ]);
    await expect.poll(file).toBe('up\n');
    expect(await heldBy()).toMatch(/^edge-1:\d+$/);
    node.clockMs += 3000;
    await takeAs('ben');
    const { status, out, err } = await running;
    expect([status, out]).toEqual([1, '']);
    expect(err).toMatch(
      /^holdfast: the lock is lost; stopping the command\nholdfast: the lock x is lost: Stale token: .*"ben".*\n$/,
    );
    expect(await file()).toBe('stopped\n');
    expect(await heldBy()).toBe('ben');
  });

  it('the command is stopped where no renewal succeeds in time, and killed where it does not end', async () => {
    const pauses: number[] = [];
    const running = lock(['--ttl', '1s', ...shell('trap "" TERM; echo up >"$OUT"; while :; do sleep 0.05; done')], {
      sleep: async (ms, signal) => {
        pauses.push(ms);
        await sleep(Math.min(ms, 400), signal);
      },
    });
    await expect.poll(file).toBe('up\n');
    node.before = () => {
      throw new HoldfastError(UNAVAILABLE);
    };
    const { status, err } = await running;
    expect(status).toBe(1);
    expect(err).toMatch(
      /^holdfast: the lock is lost; stopping the command\nholdfast: the lock x is lost: Quorum unavail/,
    );
    expect(pauses.at(-1)).toBe(5000);
  });

  it('a node that does not answer counts as one that refuses', async () => {
    const running = lock(['--ttl', '1s', ...shell('echo up >"$OUT"; exec sleep 30')]);
    await expect.poll(file).toBe('up\n');
    node.before = () => new Promise(() => undefined);
    const { status, err } = await running;
    expect(status).toBe(1);
    expect(err).toContain('the lock x is lost: no answer from');
  });

  it('a lock that was lost by its end, unnoticed, is a failure', async () => {
    const running = lock(shell('echo up >"$OUT"; while [ -s "$OUT" ]; do sleep 0.05; done'));
    await expect.poll(file).toBe('up\n');
    node.clockMs += 60_000;
    await takeAs('ben');
    await writeFile(join(folder, 'out'), '');
    const { status, err } = await running;
    expect(status).toBe(1);
    expect(err).toMatch(/^holdfast: the lock x is lost: .*"ben"/);
  });

  it('a lock that cannot be released is told of, and the command counts', async () => {
    const running = lock(shell('echo up >"$OUT"; while [ -s "$OUT" ]; do sleep 0.05; done; exit 3'));
    await expect.poll(file).toBe('up\n');
    node.before = () => {
      throw new HoldfastError(UNAVAILABLE);
    };
    await writeFile(join(folder, 'out'), '');
    const { status, err } = await running;
    expect(status).toBe(3);
    expect(err).toMatch(/^holdfast: the lock is not released, and lapses in 30 s: Quorum unavailable: /);
  });
});

describe('signals', () => {
  const WAITING =
    'trap "echo INT >\\"$OUT\\"; exit 5" INT; trap "echo TERM >\\"$OUT\\"; exit 6" TERM; echo up >"$OUT"; while :; do sleep 0.05; done';

  it.each([
    ['SIGINT', false, 'INT\n', 5],
    ['SIGTERM', false, 'TERM\n', 6],
    ['SIGTERM', true, 'TERM\n', 6],
  ] as const)('%s is passed to the command, on a terminal: %s', async (signal, isTTY, said, status) => {
    let interrupt: (signal: NodeJS.Signals) => void = () => undefined;
    const running = lock(shell(WAITING), {
      isTTY,
      onListening: (send) => {
        interrupt = send;
      },
    });
    await expect.poll(file).toBe('up\n');
    interrupt(signal);
    expect(await running).toMatchObject({ status, err: '' });
    expect(await file()).toBe(said);
    expect(await heldBy()).toBeNull();
  });

  it('Ctrl-C comes from the terminal, and is not sent a second time', async () => {
    let interrupt: (signal: NodeJS.Signals) => void = () => undefined;
    const running = lock(shell(WAITING), {
      isTTY: true,
      onListening: (send) => {
        interrupt = send;
      },
    });
    await expect.poll(file).toBe('up\n');
    interrupt('SIGINT');
    await delay(200);
    expect(await file()).toBe('up\n');
    interrupt('SIGTERM');
    expect(await running).toMatchObject({ status: 6 });
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends the wait for the lock', async (signal, status) => {
    await takeAs('ann');
    let interrupt: (signal: NodeJS.Signals) => void = () => undefined;
    let polls = 0;
    node.before = ({ type }) => {
      if (type === 'strong-get' && ++polls === 2) interrupt(signal);
    };
    const options: RunOptions = {
      onListening: (send) => {
        interrupt = send;
      },
    };
    const ended = await lock(['--wait', '1h', ...shell('echo ran >"$OUT"')], options);
    expect(ended).toMatchObject({ status, out: '', err: '' });
    expect(await file()).toBe('');
    expect(await heldBy()).toBe('ann');
  });
});
