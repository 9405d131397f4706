import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Log } from '../../ports/log.ts';
import type { NodeHandle } from '../../ports/node-handle.ts';
import { endpointText } from '../endpoint.ts';
import { listenErrorOf } from '../listen-error.ts';
import type { SharedServices } from './command.ts';
import { COMMANDS } from './command-table.ts';
import { Connection } from './connection.ts';
import { RESP_LIMITS, type RespLimits } from './limits.ts';
import { ScanCursors } from './scan-cursors.ts';
import { ScanReadAhead } from './scan-read-ahead.ts';
import { createSession } from './session.ts';
import { STRONG_COMMANDS } from './strong/command-table.ts';
import { StrongKeyspace } from './strong/strong-keyspace.ts';
import { Subscriptions } from './subscriptions.ts';

export interface RespServerOptions {
  readonly node: NodeHandle;
  /** Address to listen on. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly log: Log;
  /** Of Holdfast, for INFO. */
  readonly version: string;
  readonly limits?: Partial<RespLimits>;
}

export interface RespServer {
  readonly address: string;
  readonly port: number;
  /** Stops listening, answers what is in flight (within `drainMs`) and closes every connection. */
  close(): Promise<void>;
}

/**
 * Serves the Redis protocol (RESP2 and RESP3) over a node. Rejects with a `ListenError` that names cause and fix.
 */
export async function startRespServer(options: RespServerOptions): Promise<RespServer> {
  const listener = new RespListener(options);
  try {
    await listener.listen(options.host, options.port);
  } catch (error) {
    throw listenErrorOf(error, 'Redis listener', '--resp', options.host, options.port);
  }
  return listener;
}

const SWEEP_INTERVAL_MS = 1000;

class RespListener implements RespServer {
  private readonly server: Server;
  private readonly connections = new Set<Connection>();
  private readonly limits: RespLimits;
  private readonly services: SharedServices;
  private sweeper: NodeJS.Timeout | undefined;
  private nextId = 1;
  private closing: Promise<void> | null = null;
  private handleEmpty: () => void = () => {};
  address = '';
  port = 0;

  constructor(options: RespServerOptions) {
    this.limits = { ...RESP_LIMITS, ...options.limits };
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.handleConnection(socket));
    const { connections } = this;
    this.services = {
      node: options.node,
      cursors: new ScanCursors(),
      readAhead: new ScanReadAhead(),
      subscriptions: new Subscriptions(options.node.pubSub),
      limits: this.limits,
      log: options.log,
      version: options.version,
      tables: [COMMANDS, STRONG_COMMANDS],
      strong: new StrongKeyspace(options.node),
      stats: { connections: 0, rejectedConnections: 0, commands: 0, slowClients: 0, incompleteReads: 0 },
      startedAtMs: performance.now(),
      port: () => this.port,
      *sessions() {
        for (const connection of connections) yield connection.session;
      },
    };
  }

  async listen(host: string, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ host, port }, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    const bound = this.server.address() as AddressInfo;
    this.address = bound.address;
    this.port = bound.port;
    this.server.on('error', (error) => this.services.log.error('the Redis listener failed', { cause: error.message }));
    const { slowClientMs, drainMs } = this.limits;
    this.sweeper = setInterval(() => this.handleSweep(), Math.min(SWEEP_INTERVAL_MS, slowClientMs, drainMs)).unref();
  }

  close(): Promise<void> {
    this.closing ??= this.drain();
    return this.closing;
  }

  private async drain(): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.server.close(() => resolve()));
    const emptied = new Promise<void>((resolve) => {
      this.handleEmpty = resolve;
      if (this.connections.size === 0) resolve();
    });
    const deadline = setTimeout(() => this.destroyAll(), this.limits.drainMs);
    for (const connection of this.connections) connection.drain();
    await emptied;
    await stopped;
    clearTimeout(deadline);
    clearInterval(this.sweeper);
  }

  private destroyAll(): void {
    for (const connection of this.connections) connection.destroy();
  }

  private handleConnection(socket: Socket): void {
    const { stats, node } = this.services;
    stats.connections++;
    if (this.connections.size >= this.limits.clientsMax) {
      stats.rejectedConnections++;
      node.countRefusal('resp', 'too-many-requests');
      socket.on('error', () => {});
      socket.write('-ERR max number of clients reached\r\n');
      socket.destroySoon();
      return;
    }
    const session = createSession(
      this.nextId++,
      endpointText(socket.remoteAddress ?? '', socket.remotePort ?? 0),
      endpointText(socket.localAddress ?? '', socket.localPort ?? 0),
      performance.now(),
    );
    const connection = new Connection(socket, this.services, session, (closed) => this.handleClosed(closed));
    this.connections.add(connection);
    if (this.closing !== null) connection.drain();
  }

  private handleClosed(connection: Connection): void {
    this.connections.delete(connection);
    connection.session.closed = true;
    this.services.subscriptions.removeAll(connection.session);
    if (this.connections.size === 0) this.handleEmpty();
  }

  private handleSweep(): void {
    const nowMs = performance.now();
    for (const connection of this.connections) connection.handleSweep(nowMs);
  }
}
