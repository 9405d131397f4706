import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');

/** Seven processes, and a quarter of a minute of steady parts: a busy machine needs minutes for that. */
const STORY_TIMEOUT_MS = 300_000;

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Watch {
  /** Sends a signal as soon as the output contains the text. */
  readonly text: string;
  readonly signal: NodeJS.Signals;
}

describe('holdfast demo', () => {
  let temporary: string;

  beforeAll(() => {
    temporary = mkdtempSync(join(tmpdir(), 'hf-demo-'));
  });

  afterAll(() => rmSync(temporary, { recursive: true, force: true }));

  /** All that it makes is made in `temporary`. */
  function run(command: readonly string[], env: NodeJS.ProcessEnv = {}, watch?: Watch): Promise<Outcome> {
    const [file = '', ...args] = command;
    const child = spawn(file, args, { env: { ...process.env, TMPDIR: temporary, ...env } });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const before = stdout;
      stdout += chunk.toString();
      if (watch !== undefined && !before.includes(watch.text) && stdout.includes(watch.text)) child.kill(watch.signal);
    });
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    return new Promise((done) => child.once('close', (status) => done({ status, stdout, stderr })));
  }

  function expectNothingLeft(): void {
    expect(readdirSync(temporary)).toEqual([]);
    const processes = globSync('/proc/[0-9]*/cmdline').flatMap((file) => {
      try {
        return readFileSync(file, 'utf8').replaceAll('\0', ' ');
      } catch {
        return [];
      }
    });
    expect(processes.filter((command) => command.includes(`${temporary}/`))).toEqual([]);
  }

  test(
    'five nodes and a hub lose nothing when one is killed, and when the uplink is cut, under load',
    async () => {
      const options = ['--no-tty', '--nodes', '5', '--seconds', '3'];
      const { status, stdout, stderr } = await run([join(root, 'scripts/holdfast'), 'demo', ...options]);
      expect(`${stderr}${status === 0 ? '' : stdout}`).toBe('');
      expect(stdout).toMatch(/acknowledged writes lost +0 /);
      expect(stdout).toMatch(/reads during the outage +[1-9][\d,]* +0 failed/);
      expect(stdout).toMatch(/failure detected +[\d.]+ m?s /);
      expect(stdout).toMatch(/n3 caught up +[\d.]+ m?s /);
      expect(stdout).toMatch(/readings recorded +[1-9]/);
      expect(stdout).toMatch(/writes while cut off +[1-9][\d,]* +at the site, and [1-9][\d,]* at the hub/);
      expect(stdout).toMatch(/backlog drained +[\d.]+ m?s +[\d,]+ writes\/s, .* [1-9][\d.]* KiB up, /);
      expect(stdout).toMatch(/site and hub agree +[\d.]+ m?s /);
      expect(stdout).toMatch(/writes lost on the way +0 /);
      expect(stdout).toMatch(/keys that differ +0 +of [1-9]/);
      expect(stdout).toMatch(/conflicts settled +1 /);
      expect(stdout).toContain('Every acknowledged write is there, at every node and at the hub.');
      const acknowledged = Number(/writes acknowledged +([\d,]+)/.exec(stdout)?.[1]?.replaceAll(',', ''));
      const reads = Number(/([\d,]+) reads at every node/.exec(stdout)?.[1]?.replaceAll(',', ''));
      expect(acknowledged).toBeGreaterThan(100);
      expect(reads).toBe(acknowledged * 5);
      expectNothingLeft();
    },
    STORY_TIMEOUT_MS,
  );

  test('where no namespace can be made it runs on loopback with seeds, and says why', async () => {
    const command = [process.execPath, join(root, 'src/main.ts'), 'demo', '--no-tty', '--nodes', '3', '--seconds', '3'];
    const { status, stdout } = await run(command, { PATH: '/nonexistent' });
    expect(stdout).toContain('3 nodes and a hub in loopback with seeds, mDNS off (unshare is not installed)');
    expect(stdout).toMatch(/acknowledged writes lost +0 /);
    expect(status).toBe(0);
    expectNothingLeft();
  });

  test('an interrupt under load leaves nothing behind', async () => {
    const command = [
      process.execPath,
      join(root, 'src/main.ts'),
      'demo',
      '--no-tty',
      '--nodes',
      '3',
      '--seconds',
      '60',
    ];
    const { status, stderr } = await run(command, {}, { text: 'writes/s', signal: 'SIGINT' });
    expect(stderr).toContain('holdfast: interrupted; the nodes and the hub are stopped, their files are removed');
    expect(status).toBe(1);
    expectNothingLeft();
  });
});
