import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SIM = fileURLToPath(new URL('../../../scripts/sim.ts', import.meta.url));

test('a reader that has gone away ends the command without a word', async () => {
  const child = spawn(process.execPath, [SIM, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  const told: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => told.push(chunk));
  const [status] = (await once(child, 'close')) as [number];
  expect(Buffer.concat(told).toString()).toBe('');
  // What a shell says of a program that SIGPIPE has ended: whether all held is not known.
  expect(status).toBe(141);
});
