import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { DemoCluster, DemoNode } from '../../../src/demo/cluster.ts';
import type { DemoHub } from '../../../src/demo/hub.ts';
import { type Conflict, HubClient } from '../../../src/demo/hub-client.ts';
import { NodeClient } from '../../../src/demo/node-client.ts';

/** The HTTP API of a node or hub as far as the demo calls it for both, on memory. */
abstract class FakeServer {
  readonly values = new Map<string, string>();
  /** Answers 503 to every request. */
  isDown = false;
  requests = 0;
  private readonly bucketPath: string;
  private readonly server: Server;

  constructor(bucketPath: string) {
    this.bucketPath = bucketPath;
    this.server = createServer((request, response) => void this.handle(request, response));
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  /** The API's address. */
  protected async open(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** What no key is asked for by; undefined: it is about keys. */
  protected abstract answer(path: string): unknown;

  protected abstract write(key: string, value: string): Record<string, string>;

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://server');
    if (this.isDown) {
      response.writeHead(503).end(JSON.stringify({ code: 'not-ready', detail: 'the node is down' }));
      return;
    }
    const answer = this.answer(pathname);
    const key = decodeURIComponent(pathname.slice(this.bucketPath.length + 1));
    if (answer !== undefined) response.end(JSON.stringify(answer));
    else if (pathname === this.bucketPath) response.end(this.listing(searchParams));
    else if (request.method === 'PUT') response.writeHead(204, this.write(key, Buffer.concat(chunks).toString())).end();
    else if (this.values.has(key)) response.end(this.values.get(key));
    else response.writeHead(404).end('{}');
  }

  /** Equal values have equal ETags. */
  private listing(query: URLSearchParams): string {
    const [prefix, after] = [query.get('prefix') ?? '', query.get('after') ?? ''];
    const shown = [...this.values].filter(([key]) => key.startsWith(prefix) && key > after);
    const lines = shown.map(([key, value]) =>
      JSON.stringify({ key, value: Buffer.from(value).toString('base64'), etag: `"${value}"` }),
    );
    return `${lines.join('\n')}\n`;
  }
}

export class FakeNode extends FakeServer {
  readonly name: string;
  readonly cluster: FakeCluster;

  constructor(name: string, cluster: FakeCluster) {
    super('/v1/kv/demo');
    this.name = name;
    this.cluster = cluster;
  }

  async listen(): Promise<DemoNode> {
    const client = new NodeClient(await this.open());
    return { name: this.name, client, process: { isRunning: true } as DemoNode['process'] };
  }

  protected override answer(path: string): unknown {
    return path === '/v1/ring/locate' ? { shard: 0, owners: this.cluster.owners, fallbacks: [] } : undefined;
  }

  protected override write(key: string, value: string): Record<string, string> {
    for (const node of this.cluster.nodes) if (!node.isDown) node.values.set(key, value);
    if (this.cluster.hub.isConnected) this.cluster.hub.values.set(key, value);
    return { 'holdfast-quorum': this.cluster.quorum };
  }
}

/** A hub that has at once what the site writes, and the other way round, while it is connected. */
class FakeHub extends FakeServer {
  readonly cluster: FakeCluster;
  isConnected = true;
  conflicts: Conflict[] = [];

  constructor(cluster: FakeCluster) {
    super('/v1/sites/demo/kv/demo');
    this.cluster = cluster;
  }

  async listen(): Promise<DemoHub> {
    const cable = {
      cut: () => (this.isConnected = false),
      mend: () => Promise.resolve(this.reconcile()),
    };
    return { name: 'hub', client: new HubClient(await this.open()), cable } as unknown as DemoHub;
  }

  protected override answer(path: string): unknown {
    if (path === '/v1/sites/demo')
      return { connected: this.isConnected, sessions: [{ receivedBytes: 3000, sentBytes: 200 }] };
    return path === '/v1/sites/demo/conflicts' ? { conflicts: this.conflicts, next: null } : undefined;
  }

  protected override write(key: string, value: string): Record<string, string> {
    this.values.set(key, value);
    if (this.isConnected) for (const node of this.cluster.nodes) node.values.set(key, value);
    return {};
  }

  /** The hub's writes win. */
  private reconcile(): void {
    this.isConnected = true;
    const [node] = this.cluster.nodes;
    for (const [key, value] of node?.values ?? []) {
      const own = this.values.get(key);
      if (own === undefined) this.values.set(key, value);
      else if (own !== value) {
        const write = (by: string, text: string) => ({ by, value: Buffer.from(text).toString('base64') });
        this.conflicts.push({ key, winner: write('hub', own), loser: write('n1', value) });
      }
    }
    for (const { values } of this.cluster.nodes) for (const [key, value] of this.values) values.set(key, value);
  }
}

/** Nodes that replicate every write to all of them at once, and their hub. */
export class FakeCluster {
  readonly nodes: readonly FakeNode[];
  readonly hub = new FakeHub(this);
  owners: string[];
  quorum: 'strict' | 'sloppy' = 'strict';

  constructor(count: number) {
    this.nodes = Array.from({ length: count }, (_, index) => new FakeNode(`n${index + 1}`, this));
    this.owners = this.nodes.map(({ name }) => name);
  }

  async listen(): Promise<DemoCluster> {
    return { nodes: await Promise.all(this.nodes.map((node) => node.listen())) } as unknown as DemoCluster;
  }

  close(): void {
    for (const node of this.nodes) node.close();
    this.hub.close();
  }
}
