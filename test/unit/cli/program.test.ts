import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allCommands, commandTree } from '../../../src/cli/command-tree.ts';
import type { DemoOptions } from '../../../src/cli/context.ts';
import { buildProgram } from '../../../src/cli/program.ts';
import type { NodeConfig } from '../../../src/config/node-config.ts';
import { Secret } from '../../../src/config/secret.ts';
import { run } from './harness.ts';

const SECRET = '0123456789abcdef'.repeat(4);
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
});

afterAll(() => rm(folder, { recursive: true }));

describe('usage', () => {
  it.each([
    [['nonsense'], "holdfast: unknown command 'nonsense' — see holdfast --help\n"],
    [['statsu'], "holdfast: unknown command 'statsu' — did you mean status?\n"],
    [['status', '--jsno'], "holdfast: unknown option '--jsno' — did you mean --json?\n"],
    [['ring', 'frob'], "holdfast: unknown command 'frob' — see holdfast ring --help\n"],
    [['ring', 'otu', 'a'], "holdfast: unknown command 'otu' — did you mean out?\n"],
    [['ring', 'show', 'x'], 'holdfast: too many arguments: x — see holdfast ring show --help\n'],
    [['get', 'default'], "holdfast: missing required argument 'key' — see holdfast get --help\n"],
    [
      ['status', 'x'],
      "holdfast: too many arguments for 'status'. Expected 0 arguments but got 1: x — see holdfast status --help\n",
    ],
    [
      ['get', 'b', 'k', '--level', 'two'],
      /option '--level <level>' argument 'two' is invalid\. Allowed choices are one, quorum, all/,
    ],
    [['demo', '--nodes', '2'], /'--nodes <n>' argument '2' is invalid\. Use a whole number from 3 to 16/],
    [['completion', 'tcsh'], /argument 'shell': 'tcsh' is invalid\. Allowed choices are bash, zsh, fish/],
    [
      ['put', 'b', 'k', 'v', '--type', 'a\nb'],
      /'a\\u000ab' is invalid\. Use 1 to 256 printable ASCII characters — see/,
    ],
    [['get', 'b', 'k', '--context', ''], /'--context <token>' argument '' is invalid\. It is empty; leave it out/],
    [['put', 'b', 'k', 'v', '--ttl', '1.5'], /Use a whole number from 1/],
    [['start', `--secrte=${SECRET}`], /unknown option '--secrte=\[redacted\]'/],
  ])('%j is refused with status 2', async (args, message) => {
    const { status, out, err } = await run(args);
    expect(err).toMatch(message);
    expect(err.trimEnd()).not.toContain('\n');
    expect([status, out]).toEqual([2, '']);
  });

  it('without a command prints the help on standard error', async () => {
    for (const args of [[], ['bucket'], ['config']]) {
      const { status, out, err } = await run(args);
      expect([status, out]).toEqual([2, '']);
      expect(err).toContain('Usage: holdfast');
    }
  });

  it('--version and --help succeed', async () => {
    expect(await run(['--version'])).toMatchObject({ status: 0, out: '1.2.3\n', err: '' });
    const { status, out } = await run(['--help']);
    expect(status).toBe(0);
    expect(out).toMatch(/Exit status:\n {2}0 {2}done\n {2}1 {2}failed: .*\n {2}2 {2}bad usage: /);
  });

  it('every command has help with an example', async () => {
    const { context } = await contextOf();
    for (const { words, commands, description } of allCommands(commandTree(buildProgram(context)))) {
      const { status, out } = await run([...words, '--help']);
      expect(status).toBe(0);
      expect(description).not.toBe('');
      if (commands.length === 0) expect(out).toMatch(/Examples:\n {2}\$ /);
    }
  });
});

describe('start', () => {
  it('hands a frozen configuration over and prints warnings', async () => {
    let started: NodeConfig | undefined;
    await writeFile(join(folder, 'holdfast.yaml'), `zone: north\nsecret: ${SECRET}\n`, { mode: 0o600 });
    const flags = ['--name', 'n1', '--label', 'a=1', '--label', 'b=2', '--listen', '/ip4/127.0.0.1/tcp/0'];
    const more = [
      '--seed',
      '/ip4/10.0.0.1/tcp/1',
      '--seed',
      '/ip4/10.0.0.2/tcp/1',
      '--mdns',
      'off',
      '--http',
      '0.0.0.0:0',
    ];
    const { status, err, out } = await run(['start', ...flags, ...more, '--log-level', 'debug', '--data-dir', 'd'], {
      cwd: folder,
      env: { HOLDFAST_RESP: 'off', HOLDFAST_NAME: 'n2' },
      startNode: async (config) => {
        started = config;
      },
    });
    expect([status, out]).toEqual([0, '']);
    expect(err).toMatch(/^holdfast: warning: --http: anyone who can reach 0\.0\.0\.0 .*\n$/);
    expect(started).toMatchObject({
      dataDir: join(folder, 'd'),
      name: 'n1',
      zone: 'north',
      labels: { a: '1', b: '2' },
      listen: ['/ip4/127.0.0.1/tcp/0'],
      seeds: ['/ip4/10.0.0.1/tcp/1', '/ip4/10.0.0.2/tcp/1'],
      mdns: false,
      http: { host: '0.0.0.0', port: 0 },
      resp: null,
      logLevel: 'debug',
      logFormat: 'json',
    });
    expect(started?.secret).toBeInstanceOf(Secret);
    expect(started?.secret?.reveal()).toBe(SECRET);
    expect(Object.isFrozen(started)).toBe(true);
  });

  it('refuses a bad configuration with one line a problem and status 2', async () => {
    const file = join(folder, 'bad.yaml');
    await writeFile(file, 'zone: "a b"\nnmae: x\n');
    const { status, err } = await run(['start', '--config', file, '--http', '7480']);
    expect(status).toBe(2);
    expect(err.trimEnd().split('\n')).toEqual([
      `holdfast: ${file}:2:nmae: unknown key — did you mean name?`,
      expect.stringMatching(new RegExp(`^holdfast: ${file}:1:zone: "a b" is not valid — use 1 to 64`)),
      'holdfast: --http: "7480" is not valid — use HOST:PORT, like 127.0.0.1:7480 or [::1]:7480',
    ]);
  });

  it('prints why a node did not start, in one line', async () => {
    const startNode = (): Promise<void> =>
      Promise.reject(new Error('port 7400 is in use — choose another with --listen'));
    expect(await run(['start'], { startNode })).toMatchObject({
      status: 1,
      err: 'holdfast: port 7400 is in use — choose another with --listen\n',
    });
    const machine = await run(['start', '--json'], { startNode });
    expect(JSON.parse(machine.err)).toEqual({
      code: 'failed',
      message: expect.stringContaining('port 7400 is in use'),
    });
    const faulty = (): Promise<void> => Promise.reject(new TypeError('x is undefined'));
    expect((await run(['start'], { startNode: faulty })).err).toMatch(
      /^holdfast: x is undefined\nThis is a fault.*\n.*at /s,
    );
  });
});

describe('demo', () => {
  it('passes its options on', async () => {
    const seen: DemoOptions[] = [];
    const runDemo = async (options: DemoOptions): Promise<void> => void seen.push(options);
    expect((await run(['demo'], { runDemo, isTTY: true })).status).toBe(0);
    await run(['demo'], { runDemo });
    await run(['demo', '--nodes', '3', '--no-tty', '--seconds', '20', '--keep'], { runDemo, isTTY: true });
    expect(seen).toEqual([
      { nodes: 5, tty: true, seconds: null, keep: false },
      { nodes: 5, tty: false, seconds: null, keep: false },
      { nodes: 3, tty: false, seconds: 20, keep: true },
    ]);
  });
});

describe('secret', () => {
  it('prints a fresh one each time', async () => {
    const [one, two] = [await run(['secret']), await run(['secret'])];
    expect(Secret.parse(one.out.trimEnd())).toBeDefined();
    expect(one.out).not.toBe(two.out);
    expect(JSON.parse((await run(['secret', '--json'])).out).secret).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('config check', () => {
  it('prints effective values with their source', async () => {
    const file = join(folder, 'good.yaml');
    await writeFile(file, `secret: ${SECRET}\ntuning:\n  replicas: 5\n`, { mode: 0o600 });
    const { status, out, err } = await run(['config', 'check', file], { cwd: folder, env: { HOLDFAST_NAME: 'n1' } });
    expect([status, err]).toEqual([0, '']);
    expect(out.replaceAll(folder, '/dir').replace(/ {2,}/g, '  ')).toMatchInlineSnapshot(`
      "KEY  VALUE  SOURCE
      dataDir  /dir/holdfast-data  default
      name  n1  HOLDFAST_NAME
      zone  -  default
      labels  -  default
      secret  [redacted]  /dir/good.yaml:1:secret
      secretFile  -  default
      listen  /ip4/0.0.0.0/tcp/7400  default
      seeds  -  default
      hub  -  default
      hubToken  -  default
      hubTokenFile  -  default
      mdns  on  default
      http  127.0.0.1:7480  default
      resp  127.0.0.1:7379  default
      logLevel  info  default
      logFormat  json  default
      tuning.probeIntervalMs  1000  default
      tuning.probeTimeoutMs  400  default
      tuning.probeWindowMs  900  default
      tuning.suspicionMinMultiplier  1.5  default
      tuning.suspicionMaxMultiplier  6  default
      tuning.replicas  5  /dir/good.yaml:3:tuning.replicas
      tuning.requestTimeoutMs  5000  default
      tuning.replicaTimeoutMs  750  default
      tuning.antiEntropyIntervalMs  10000  default
      tuning.outAfterMs  600000  default
      tuning.syncBytesPerSecond  16MiB  default
      tuning.hintBytesMax  64MiB  default
      tuning.maxClockDriftMs  60000  default
      tuning.shards  256  default
      tuning.cacheBytes  16MiB  default
      tuning.blockCacheBytes  16MiB  default
      tuning.diskHeadroomBytes  64MiB  default
      tuning.scrubBytesPerSecond  1MiB  default
      tuning.scrubIntervalHours  24  default
      tuning.hubBytesPerSecond  0B  default
      tuning.weight  1  default
      "
    `);
    const machine = JSON.parse((await run(['config', 'check', file, '--json'])).out);
    expect(machine).toMatchObject({ valid: true, file, warnings: [] });
    expect(machine.config).toContainEqual({ key: 'tuning.replicas', value: '5', source: `${file}:3:tuning.replicas` });
    expect(JSON.stringify(machine)).not.toContain(SECRET);
  });

  it('--hub is about a hub', async () => {
    await writeFile(join(folder, 'holdfast-hub.yaml'), 'name: cloud\ndatabase: postgres://hub:pass@db/fleet\n', {
      mode: 0o600,
    });
    const { status, out, err } = await run(['config', 'check', '--hub'], { cwd: folder });
    expect([status, err]).toEqual([0, '']);
    expect(out.replaceAll(folder, '/dir').replace(/ {2,}/g, '  ')).toMatchInlineSnapshot(`
      "KEY  VALUE  SOURCE
      dataDir  /dir/holdfast-hub  default
      name  cloud  holdfast-hub.yaml:1:name
      listen  /ip4/0.0.0.0/tcp/7500  default
      announce  -  default
      http  127.0.0.1:7580  default
      database  postgres://hub@db/fleet  holdfast-hub.yaml:2:database
      hub  -  default
      hubToken  -  default
      hubTokenFile  -  default
      logLevel  info  default
      logFormat  json  default
      tuning.hubBytesPerSecond  0B  default
      "
    `);
  });

  it('fails with every problem', async () => {
    const file = join(folder, 'worse.yaml');
    await writeFile(file, 'mdns: maybe\nshards: 3\n');
    const { status, err } = await run(['config', 'check', file]);
    expect(status).toBe(2);
    expect(err.trimEnd().split('\n')).toHaveLength(2);
    const machine = await run(['config', 'check', file, '--json']);
    expect(JSON.parse(machine.err)).toEqual({ code: 'bad-config', message: expect.stringContaining('tuning.shards') });
    expect(JSON.parse(machine.out)).toMatchObject({
      valid: false,
      problems: [{ fix: 'did you mean tuning.shards?' }, {}],
    });
    expect((await run(['config', 'check', '/none.yaml'])).err).toContain('cannot read /none.yaml: no such file');
  });
});

describe('completion', () => {
  it('of bash offers commands, options and values', async () => {
    const file = join(folder, 'completion.bash');
    await writeFile(file, (await run(['completion', 'bash'])).out);
    const complete = async (...words: string[]): Promise<string[]> => {
      const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout } = await promisify(execFile)('bash', ['-c', script, 'bash', file, 'holdfast', ...words]);
      return stdout.split('\n').filter((word) => word !== '');
    };
    expect(await complete('st')).toEqual(['start', 'status']);
    expect(await complete('bucket', '')).toEqual(expect.arrayContaining(['list', 'create', 'show', '--json']));
    expect(await complete('bucket', 'create', 'x', '--conflict', '')).toEqual(['lww', 'siblings']);
    expect(await complete('get', 'default', 'k', '--lev')).toEqual(['--level']);
    expect(await complete('--api', 'http://x', 'start', '--mdns', 'o')).toEqual(['on', 'off']);
    expect(await complete('start', '--log-level', 'd')).toEqual(['debug']);
    expect(await complete('completion', 'f')).toEqual(['fish']);
  });

  it('of zsh and fish names every command and option', async () => {
    const { context } = await contextOf();
    const commands = allCommands(commandTree(buildProgram(context)));
    const zsh = (await run(['completion', 'zsh'])).out;
    const fish = (await run(['completion', 'fish'])).out;
    expect(zsh.startsWith('#compdef holdfast\n')).toBe(true);
    for (const { words, options } of commands) {
      for (const word of words) expect(fish).toContain(`-a ${word} `);
      if (words.length > 0) expect(zsh).toContain(`at=" ${words.join(' ')}"`);
      for (const long of options.flatMap(({ names }) => names).filter((name) => name.startsWith('--'))) {
        expect(zsh).toContain(long);
        expect(fish).toContain(`-l ${long.slice(2)}`);
      }
    }
  });
});

async function contextOf() {
  const { processContext } = await import('../../../src/cli/context.ts');
  const unexpected = (): Promise<void> => Promise.reject(new Error('not expected'));
  return {
    context: processContext({ version: '0', startNode: unexpected, startHub: unexpected, runDemo: unexpected }),
  };
}
