import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { HTTP } from './dialects.ts';
import { ask } from './load.ts';
import { freePorts, type Processes, type Started } from './processes.ts';
import { type Ground, httpRequest, LOOPBACK, loopback, type System } from './system.ts';

const READY_TIMEOUT_MS = 30_000;

/** A member that is to run. */
interface PlacedEtcd {
  readonly name: string;
  readonly clientPort: number;
  /** Starts it, also again on the data that it has. */
  readonly start: () => Started;
}

/** Three members on loopback. */
export async function placeEtcd({ processes, directory }: Ground): Promise<PlacedEtcd[]> {
  const ports = await freePorts(6);
  const members = [0, 1, 2].map((i) => {
    const url = (port: number | undefined): string => `http://${LOOPBACK}:${String(port)}`;
    return { name: `e${i + 1}`, clientPort: ports[i] as number, client: url(ports[i]), peer: url(ports[i + 3]) };
  });
  const cluster = members.map(({ name, peer }) => `${name}=${peer}`).join(',');
  const placed: PlacedEtcd[] = [];
  for (const { name, clientPort, client, peer } of members) {
    const home = join(directory, name);
    await mkdir(home);
    const args = ['--name', name, '--data-dir', join(home, 'data'), '--logger', 'zap', '--log-level', 'error'];
    args.push('--listen-client-urls', client, '--advertise-client-urls', client);
    args.push('--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer);
    args.push('--initial-cluster', cluster, '--initial-cluster-token', `bench-${process.pid}`);
    const start = (): Started => processes.start(`etcd ${name}`, 'etcd', args, join(home, 'log'));
    placed.push({ name, clientPort, start });
  }
  return placed;
}

export async function untilHealthy(processes: Processes, members: readonly PlacedEtcd[]): Promise<void> {
  for (const { clientPort } of members) {
    await processes.waitUntil('etcd', READY_TIMEOUT_MS, async () =>
      (await ask(loopback(clientPort), HTTP, httpRequest('GET', '/health'))).includes('"health":"true"'),
    );
  }
}

/** Three etcd members, spoken to over their HTTP/JSON gateway, so that both sides of the comparison pay for HTTP. */
export async function startEtcd(ground: Ground): Promise<System> {
  const members = await placeEtcd(ground);
  const started = members.map(({ start }) => start());
  await untilHealthy(ground.processes, members);
  const targets = members.map(({ clientPort }) => loopback(clientPort));
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
