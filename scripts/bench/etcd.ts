import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { HTTP } from './dialects.ts';
import { ask } from './load.ts';
import { freePorts, type Started } from './processes.ts';
import { type Ground, httpRequest, LOOPBACK, loopback, type System } from './system.ts';

const READY_TIMEOUT_MS = 30_000;

/** Three etcd members, spoken to over their HTTP/JSON gateway, so that both sides of the comparison pay for HTTP. */
export async function startEtcd({ processes, directory }: Ground): Promise<System> {
  const ports = await freePorts(6);
  const members = [0, 1, 2].map((i) => {
    const url = (port: number | undefined): string => `http://${LOOPBACK}:${String(port)}`;
    return { name: `e${i + 1}`, clientPort: ports[i] as number, client: url(ports[i]), peer: url(ports[i + 3]) };
  });
  const cluster = members.map(({ name, peer }) => `${name}=${peer}`).join(',');
  const started: Started[] = [];
  for (const { name, client, peer } of members) {
    const home = join(directory, name);
    await mkdir(home);
    const args = ['--name', name, '--data-dir', join(home, 'data'), '--logger', 'zap', '--log-level', 'error'];
    args.push('--listen-client-urls', client, '--advertise-client-urls', client);
    args.push('--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer);
    args.push('--initial-cluster', cluster, '--initial-cluster-token', `bench-${process.pid}`);
    started.push(processes.start(`etcd ${name}`, 'etcd', args, join(home, 'log')));
  }
  const targets = members.map(({ clientPort }) => loopback(clientPort));
  for (const target of targets) {
    await processes.waitUntil('etcd', READY_TIMEOUT_MS, async () =>
      (await ask(target, HTTP, httpRequest('GET', '/health'))).includes('"health":"true"'),
    );
  }
  const http = { protocol: 'http', dialect: HTTP, targets } as const;
  return {
    name: 'etcd',
    pids: started.map(({ pid }) => pid),
    operations: [
      {
        ...http,
        kind: 'put',
        title: 'put, HTTP gateway',
        request: (key, value) =>
          httpRequest('POST', '/v3/kv/put', `{"key":"${base64(key)}","value":"${base64(value)}"}`),
      },
      {
        ...http,
        kind: 'get-quorum',
        title: 'get, linearizable, HTTP gateway',
        request: (key) => httpRequest('POST', '/v3/kv/range', `{"key":"${base64(key)}"}`),
      },
      {
        ...http,
        kind: 'get-one',
        title: 'get, serializable, HTTP gateway',
        request: (key) => httpRequest('POST', '/v3/kv/range', `{"key":"${base64(key)}","serializable":true}`),
      },
    ],
  };
}

function base64(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('base64');
}
