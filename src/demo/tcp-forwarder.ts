import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { DemoError, messageOf } from './wait.ts';

const HOST = '127.0.0.1';

/** A cable that can be cut: whoever connects to one port of 127.0.0.1 is connected to another one there, unless it is cut. */
export class TcpForwarder {
  private readonly port: number;
  private readonly target: number;
  private readonly sockets = new Set<Socket>();
  private server: Server | null = null;

  /** Cut at first. Nothing needs to listen at `target` yet. */
  constructor(port: number, target: number) {
    this.port = port;
    this.target = target;
  }

  /** Connections are taken from now on. Throws where somebody else listens at the port. */
  async mend(): Promise<void> {
    if (this.server !== null) return;
    const server = createServer({ allowHalfOpen: true }, (socket) => this.forward(socket));
    // Nobody waits for it at the end.
    server.unref();
    server.listen({ port: this.port, host: HOST, exclusive: true });
    await once(server, 'listening').catch((cause: unknown) => {
      throw new DemoError(`there is no way to the hub: ${messageOf(cause)}; run the demo again`, { cause });
    });
    this.server = server;
  }

  /** Breaks every connection; new ones are refused. */
  cut(): void {
    this.server?.close();
    this.server = null;
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  private forward(socket: Socket): void {
    const onward = connect({ port: this.target, host: HOST, allowHalfOpen: true });
    this.join(socket, onward);
    this.join(onward, socket);
  }

  private join(from: Socket, to: Socket): void {
    this.sockets.add(from);
    from.setNoDelay(true);
    from.pipe(to);
    // `pipe` passes on an end, and no failure.
    from.on('error', () => to.destroy());
    from.on('close', () => this.sockets.delete(from));
  }
}
