import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { HTTP, RESP } from './dialects.ts';
import { freePorts, type Processes, type Started } from './processes.ts';
import { type Ground, httpRequest, LOOPBACK, loopback, respCommand, type System } from './system.ts';

const READY_TIMEOUT_MS = 60_000;
/** What is measured unless another program is named: the sources of this checkout. */
export const SOURCES = resolve(import.meta.dirname, '../../src/main.ts');

interface Addresses {
  readonly name: string;
  /** Of its HTTP API, without a slash at the end. */
  readonly url: string;
  readonly httpPort: number;
  readonly respPort: number;
}

export interface HoldfastNode extends Started, Addresses {}

/** A node that is to run. */
interface PlacedNode extends Addresses {
  /** Starts it, also again on the data that it has. */
  readonly start: () => Started;
}

interface Status {
  readonly members: { readonly alive: number };
  readonly shards: { readonly owned: number; readonly complete: number; readonly transferring: number };
}

export interface Program {
  /** A TypeScript or JavaScript file that takes Holdfast's commands. */
  readonly file: string;
  /** For Node itself. */
  readonly nodeArguments: readonly string[];
  /** Further settings of every node. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Nodes on loopback that join through the first of them. */
export async function placeNodes(
  { processes, directory }: Ground,
  count: number,
  { file, nodeArguments, env: settings = {} }: Program,
): Promise<PlacedNode[]> {
  const env = { HOLDFAST_SECRET: randomBytes(32).toString('hex'), ...settings };
  const ports = await freePorts(count * 3);
  const seed = `/ip4/${LOOPBACK}/tcp/${String(ports[0])}`;
  const nodes: PlacedNode[] = [];
  for (let i = 0; i < count; i++) {
    const [transportPort, httpPort, respPort] = ports.slice(i * 3, i * 3 + 3) as [number, number, number];
    const name = `n${i + 1}`;
    const home = join(directory, name);
    await mkdir(home);
    const args = [...nodeArguments, file, 'start', '--data-dir', join(home, 'data'), '--name', name, '--mdns', 'off'];
    args.push('--listen', `/ip4/${LOOPBACK}/tcp/${transportPort}`, '--seed', seed, '--log-format', 'json');
    args.push('--http', `${LOOPBACK}:${httpPort}`, '--resp', `${LOOPBACK}:${respPort}`);
    const start = (): Started => processes.start(`holdfast ${name}`, process.execPath, args, join(home, 'log'), env);
    nodes.push({ name, url: `http://${LOOPBACK}:${httpPort}`, httpPort, respPort, start });
  }
  return nodes;
}

/** Waits until all nodes see each other and have taken over their shards. */
export async function untilFormed(processes: Processes, nodes: readonly Addresses[]): Promise<void> {
  for (const node of nodes) {
    await processes.waitUntil(node.name, READY_TIMEOUT_MS, async () => {
      const { members, shards } = (await (await fetch(`${node.url}/v1/status`)).json()) as Status;
      return members.alive === nodes.length && shards.owned === shards.complete && shards.transferring === 0;
    });
  }
}

/** Starts nodes on loopback and waits until they have formed a cluster. */
export async function startNodes(ground: Ground, count: number, program: Program): Promise<HoldfastNode[]> {
  const placed = await placeNodes(ground, count, program);
  const nodes = placed.map(({ start, ...addresses }) => ({ ...start(), ...addresses }));
  await untilFormed(ground.processes, nodes);
  return nodes;
}

export async function startHoldfast(
  ground: Ground,
  program: Program,
  { nodes: count, bucket }: { readonly nodes: number; readonly bucket: 'default' | 'strong' },
): Promise<System> {
  const nodes = await startNodes(ground, count, program);
  // Strong keys are there once the cluster has had a leader.
  await ground.processes.waitUntil(bucket, READY_TIMEOUT_MS, async () => {
    const put = await fetch(`${(nodes[0] as HoldfastNode).url}/v1/kv/${bucket}/first`, {
      method: 'PUT',
      body: 'value',
    });
    return put.status === 204;
  });
  return systemOf(nodes, bucket);
}

function systemOf(nodes: readonly HoldfastNode[], bucket: 'default' | 'strong'): System {
  const isStrong = bucket === 'strong';
  const level = isStrong ? 'strong' : 'quorum';
  const respDialect = isStrong ? { ...RESP, greeting: () => respCommand('SELECT', '1') } : RESP;
  const http = { protocol: 'http', dialect: HTTP, targets: nodes.map(({ httpPort }) => loopback(httpPort)) } as const;
  const resp = {
    protocol: 'resp',
    dialect: respDialect,
    targets: nodes.map(({ respPort }) => loopback(respPort)),
  } as const;
  const path = (key: string): string => `/v1/kv/${bucket}/${key}`;
  const one = {
    ...http,
    kind: 'get-one',
    title: 'get, one, HTTP',
    request: (key: string) => httpRequest('GET', `${path(key)}?r=one`),
  } as const;
  return {
    name: 'holdfast',
    pids: nodes.map(({ pid }) => pid),
    operations: [
      {
        ...resp,
        kind: 'put',
        title: `put, ${level}, RESP`,
        request: (key, value) => respCommand('SET', key, value),
      },
      {
        ...http,
        kind: 'put',
        title: `put, ${level}, HTTP`,
        request: (key, value) => httpRequest('PUT', path(key), value),
      },
      { ...resp, kind: 'get-quorum', title: `get, ${level}, RESP`, request: (key) => respCommand('GET', key) },
      { ...http, kind: 'get-quorum', title: `get, ${level}, HTTP`, request: (key) => httpRequest('GET', path(key)) },
      ...(isStrong ? [] : [one]),
    ],
  };
}
