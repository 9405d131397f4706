import { RESP_LIMITS, type RespLimits } from '../../src/api/resp/limits.ts';
import { type RespServer, startRespServer } from '../../src/api/resp/server.ts';
import { FakeNodeHandle } from './fake-node-handle.ts';
import { RecordingLog } from './recording-log.ts';
import { RespClient } from './resp-client.ts';

/** A Redis listener over an in-memory node, with a client; `await using` closes them. */
export class RespFixture implements AsyncDisposable {
  readonly node: FakeNodeHandle;
  readonly log: RecordingLog;
  readonly server: RespServer;
  readonly client: RespClient;
  private readonly clients: RespClient[];

  private constructor(node: FakeNodeHandle, log: RecordingLog, server: RespServer, client: RespClient) {
    this.node = node;
    this.log = log;
    this.server = server;
    this.client = client;
    this.clients = [client];
  }

  static async start(limits: Partial<RespLimits> = {}): Promise<RespFixture> {
    const node = new FakeNodeHandle();
    const log = new RecordingLog();
    const options = { node, host: '127.0.0.1', port: 0, log, version: '1.2.3', limits: { ...RESP_LIMITS, ...limits } };
    const server = await startRespServer(options);
    return new RespFixture(node, log, server, await RespClient.open(server.port));
  }

  async connect(): Promise<RespClient> {
    const client = await RespClient.open(this.server.port);
    this.clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client.close();
    await this.server.close();
  }
}

/** Holds requests back until they are let go, to see what was started. */
export class RequestGate {
  /** `get k`, `put k`, `list` … in the order of arrival. */
  readonly started: string[] = [];
  private readonly held: (() => void)[] = [];

  constructor(node: FakeNodeHandle, holds: (label: string) => boolean = () => true) {
    node.before = (request) => {
      const type = request.type === 'mutate' ? request.mutation.type : request.type;
      const label = request.type === 'list' ? 'list' : `${type} ${request.key}`;
      this.started.push(label);
      return holds(label) ? new Promise((resolve) => this.held.push(resolve)) : undefined;
    };
  }

  /** Lets the oldest held request go. */
  releaseOne(): void {
    this.held.shift()?.();
  }

  releaseAll(): void {
    while (this.held.length > 0) this.releaseOne();
  }
}
