import { join } from 'node:path';
import { RESP } from './dialects.ts';
import { ask } from './load.ts';
import { freePorts } from './processes.ts';
import { type Ground, LOOPBACK, loopback, respCommand, type System } from './system.ts';

const READY_TIMEOUT_MS = 15_000;

/** One Redis server that syncs before it acknowledges: what this machine can do without replication. */
export async function startRedis({ processes, directory }: Ground): Promise<System> {
  const [port] = (await freePorts(1)) as [number];
  const args = ['--port', String(port), '--bind', LOOPBACK, '--dir', directory, '--save', ''];
  args.push('--appendonly', 'yes', '--appendfsync', 'always', '--loglevel', 'warning');
  const { pid } = processes.start('redis', 'redis-server', args, join(directory, 'log'));
  const targets = [loopback(port)];
  await processes.waitUntil('redis', READY_TIMEOUT_MS, async () =>
    (await ask(loopback(port), RESP, respCommand('PING'))).startsWith('+PONG'),
  );
  const resp = { protocol: 'resp', dialect: RESP, targets } as const;
  return {
    name: 'redis',
    pids: [pid],
    operations: [
      {
        ...resp,
        kind: 'put',
        title: 'put, one server, synced',
        request: (key, value) => respCommand('SET', key, value),
      },
      { ...resp, kind: 'get-one', title: 'get, one server', request: (key) => respCommand('GET', key) },
    ],
  };
}
