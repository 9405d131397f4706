import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NATS, natsInbox } from './dialects.ts';
import { ask } from './load.ts';
import { freePorts, type Started } from './processes.ts';
import { type Ground, LOOPBACK, loopback, type System } from './system.ts';

const READY_TIMEOUT_MS = 60_000;
const STREAM = 'KV_bench';
const SUBJECT = '$KV.bench';

/** What NATS' clients make of a key-value bucket with three replicas on disk. */
const STREAM_CONFIG = {
  name: STREAM,
  subjects: [`${SUBJECT}.>`],
  num_replicas: 3,
  storage: 'file',
  retention: 'limits',
  discard: 'new',
  max_msgs_per_subject: 1,
  allow_direct: true,
  allow_rollup_hdrs: true,
  deny_delete: true,
};

/** Three NATS servers with a JetStream key-value bucket. They acknowledge a put before it is synced, by default. */
export async function startNats({ processes, directory }: Ground): Promise<System> {
  const ports = await freePorts(6);
  const [clientPorts, routePorts] = [ports.slice(0, 3), ports.slice(3)];
  const routes = routePorts.map((port) => `nats://${LOOPBACK}:${port}`);
  const started: Started[] = [];
  for (const [i, port] of clientPorts.entries()) {
    const name = `j${i + 1}`;
    const home = join(directory, name);
    await mkdir(home);
    const config = [
      `server_name: ${name}`,
      `listen: "${LOOPBACK}:${port}"`,
      `jetstream: { store_dir: "${join(home, 'data')}", max_file_store: 4GB, max_memory_store: 64MB }`,
      `cluster: { name: bench, listen: "${LOOPBACK}:${String(routePorts[i])}", routes: [${routes.join(', ')}] }`,
    ];
    await writeFile(join(home, 'conf'), `${config.join('\n')}\n`);
    started.push(processes.start(`nats ${name}`, 'nats-server', ['-c', join(home, 'conf')], join(home, 'log')));
  }
  const targets = clientPorts.map(loopback);
  const [first] = targets as [(typeof targets)[0]];
  const create = natsRequest(`$JS.API.STREAM.CREATE.${STREAM}`, JSON.stringify(STREAM_CONFIG), 0);
  await processes.waitUntil('nats', READY_TIMEOUT_MS, async () => {
    const answer = await ask(first, NATS, create);
    return answer.includes('"config"') || answer.includes('already in use');
  });
  const nats = { protocol: 'nats', dialect: NATS, targets } as const;
  return {
    name: 'nats',
    pids: started.map(({ pid }) => pid),
    operations: [
      {
        ...nats,
        kind: 'put',
        title: 'put, R3, acknowledged before the sync',
        request: (key, value, connection) => natsRequest(`${SUBJECT}.${key}`, value, connection),
      },
      {
        ...nats,
        kind: 'get-quorum',
        title: 'get, from the leader',
        request: (key, _value, connection) =>
          natsRequest(`$JS.API.STREAM.MSG.GET.${STREAM}`, `{"last_by_subj":"${SUBJECT}.${key}"}`, connection),
      },
      {
        ...nats,
        kind: 'get-one',
        title: 'get, direct',
        request: (key, _value, connection) =>
          natsRequest(`$JS.API.DIRECT.GET.${STREAM}.${SUBJECT}.${key}`, '', connection),
      },
    ],
  };
}

function natsRequest(subject: string, payload: string, connection: number): string {
  return `PUB ${subject} ${natsInbox(connection)} ${payload.length}\r\n${payload}\r\n`;
}
