import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');

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

  test('five nodes lose nothing when one is killed under load', async () => {
    const options = ['--no-tty', '--nodes', '5', '--seconds', '3'];
    const { status, stdout, stderr } = await run([join(root, 'scripts/holdfast'), 'demo', ...options]);
    expect(`${stderr}${status === 0 ? '' : stdout}`).toBe('');
    expect(stdout).toMatch(/acknowledged writes lost +0 /);
    expect(stdout).toMatch(/reads during the outage +[1-9][\d,]* +0 failed/);
    expect(stdout).toMatch(/failure detected +[\d.]+ m?s /);
    expect(stdout).toMatch(/n3 caught up +[\d.]+ m?s /);
    expect(stdout).toMatch(/readings recorded +[1-9]/);
    const acknowledged = Number(/writes acknowledged +([\d,]+)/.exec(stdout)?.[1]?.replaceAll(',', ''));
    const reads = Number(/([\d,]+) reads at every node/.exec(stdout)?.[1]?.replaceAll(',', ''));
    expect(acknowledged).toBeGreaterThan(100);
    expect(reads).toBe(acknowledged * 5);
    expectNothingLeft();
  });

  test('where no namespace can be made it runs on loopback with seeds, and says why', async () => {
    const command = [process.execPath, join(root, 'src/main.ts'), 'demo', '--no-tty', '--nodes', '3', '--seconds', '3'];
    const { status, stdout } = await run(command, { PATH: '/nonexistent' });
    expect(stdout).toContain('3 nodes in loopback with seeds, mDNS off (unshare is not installed)');
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
    expect(stderr).toContain('holdfast: interrupted; all nodes are stopped, their files are removed');
    expect(status).toBe(1);
    expectNothingLeft();
  });
});
