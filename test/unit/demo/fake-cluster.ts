import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { DemoCluster, DemoNode } from '../../../src/demo/cluster.ts';
import { NodeClient } from '../../../src/demo/node-client.ts';

/** A node's HTTP API as far as the demo calls it, on memory. */
export class FakeNode {
  readonly name: string;
  readonly values = new Map<string, string>();
  readonly cluster: FakeCluster;
  /** Answers 503 to every request. */
  isDown = false;
  requests = 0;
  private readonly server: Server;

  constructor(name: string, cluster: FakeCluster) {
    this.name = name;
    this.cluster = cluster;
    this.server = createServer((request, response) => void this.handle(request, response));
  }

  async listen(): Promise<DemoNode> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const { port } = this.server.address() as AddressInfo;
    const client = new NodeClient(`http://127.0.0.1:${port}`);
    return { name: this.name, client, process: { isRunning: true } as DemoNode['process'] };
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '', 'http://node');
    if (this.isDown) return this.refuse(response);
    if (url.pathname === '/v1/ring/locate') {
      response.end(JSON.stringify({ shard: 0, owners: this.cluster.owners, fallbacks: [] }));
      return;
    }
    const key = decodeURIComponent(url.pathname.replace('/v1/kv/default/', ''));
    if (request.method === 'PUT') {
      for (const node of this.cluster.nodes) if (!node.isDown) node.values.set(key, Buffer.concat(chunks).toString());
      response.writeHead(204, { 'holdfast-quorum': this.cluster.quorum }).end();
      return;
    }
    const value = this.values.get(key);
    if (value === undefined) response.writeHead(404).end('{}');
    else response.end(value);
  }

  private refuse(response: ServerResponse): void {
    response.writeHead(503).end(JSON.stringify({ code: 'not-ready', detail: 'the node is down' }));
  }
}

/** Nodes that replicate every write to all of them at once. */
export class FakeCluster {
  readonly nodes: readonly FakeNode[];
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
  }
}
