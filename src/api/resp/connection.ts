import type { Socket } from 'node:net';
import process from 'node:process';
import type { RespServices, SharedServices } from './command.ts';
import { Keyspace } from './keyspace.ts';
import { ProtocolFault, type Request, RequestParser } from './parser.ts';
import { Pipeline } from './pipeline.ts';
import { ErrorReply, type Reply } from './reply.ts';
import { isSubscribed, type Session } from './session.ts';
import { ReplyWriter } from './writer.ts';

/**
 * One client's socket. Bytes are read while the pipeline takes commands and the client takes replies; otherwise the
 * socket is paused, and TCP makes the client wait. All replies of one turn of the event loop leave in one write.
 */
export class Connection {
  readonly session: Session;
  private readonly socket: Socket;
  private readonly services: RespServices;
  private readonly parser = new RequestParser();
  private readonly writer = new ReplyWriter();
  private readonly pipeline: Pipeline;

  private turnPending = false;
  private paused = false;
  /** The client has sent its last byte. */
  private inputEnded = false;
  /** No further command is taken; the connection ends when the pipeline is idle. */
  private ending = false;
  /** Monotonic ms; 0: not so. */
  private endedAtMs = 0;
  private blockedAtMs = 0;
  /** Since nothing was unsent: replies that the client asked for do not count against a subscriber. */
  private pushedBytes = 0;

  constructor(socket: Socket, shared: SharedServices, session: Session, handleClosed: (self: Connection) => void) {
    this.socket = socket;
    const { node, stats } = shared;
    const keyspace = new Keyspace(node, session.writes, () => void stats.incompleteReads++);
    const services = { ...shared, keyspace };
    this.services = services;
    this.session = session;
    this.pipeline = new Pipeline(services, session, this.writer, () => this.scheduleTurn());
    session.push = (reply) => this.push(reply);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('data', (chunk: Buffer) => this.handleData(chunk));
    socket.on('drain', () => this.handleDrain());
    socket.on('end', () => this.handleInputEnd());
    socket.on('error', (error) =>
      services.log.debug('a Redis client failed', { client: session.address, cause: error.message }),
    );
    socket.on('close', () => handleClosed(this));
  }

  /** Takes no further command and ends once those in flight are answered. */
  drain(): void {
    this.ending = true;
    this.scheduleTurn();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Drops a client that leaves its replies unread, or its end open after ours is closed. */
  handleSweep(nowMs: number): void {
    const { slowClientMs, drainMs, outputBytesMax } = this.services.limits;
    if (this.endedAtMs !== 0 && nowMs - this.endedAtMs > drainMs) this.destroy();
    if (this.blockedAtMs === 0) return;
    // Under a steady stream of messages the socket is never quite empty, however well the client reads.
    if (isSubscribed(this.session) && this.socket.writableLength < outputBytesMax) this.blockedAtMs = nowMs;
    if (nowMs - this.blockedAtMs > slowClientMs) this.dropSlow();
  }

  /** Nothing holds publishers back for one subscriber: one that lags too far behind is dropped, as in Redis. */
  private push(reply: Reply): void {
    if (this.socket.destroyed || this.endedAtMs !== 0) return;
    const before = this.unsentBytes;
    this.writer.write(reply, this.session.version);
    const after = this.unsentBytes;
    this.pushedBytes = (before === 0 ? 0 : this.pushedBytes) + after - before;
    if (Math.min(after, this.pushedBytes) > this.services.limits.subscriberBytesMax) this.dropSlow();
    else this.scheduleTurn();
  }

  private get unsentBytes(): number {
    return this.socket.writableLength + this.writer.bytes;
  }

  private dropSlow(): void {
    const { stats, node, log } = this.services;
    stats.slowClients++;
    node.countRefusal('resp', 'slow-client');
    log.warn('dropped a Redis client that does not read its replies', {
      client: this.session.address,
      unreadBytes: this.socket.writableLength,
    });
    this.destroy();
  }

  private handleData(chunk: Buffer): void {
    if (this.ending) return;
    this.session.lastActiveAtMs = performance.now();
    this.parser.push(chunk);
    this.handleTurn();
  }

  private handleDrain(): void {
    this.blockedAtMs = 0;
    this.handleTurn();
  }

  private handleInputEnd(): void {
    this.inputEnded = true;
    this.handleTurn();
  }

  /** After the microtasks at hand, so that replies that come together are written together. */
  private scheduleTurn(): void {
    if (this.turnPending) return;
    this.turnPending = true;
    process.nextTick(() => this.handleTurn());
  }

  private handleTurn(): void {
    this.turnPending = false;
    if (this.socket.destroyed) return;
    this.takeCommands();
    if (this.socket.destroyed) return;
    this.flush();
    this.setPaused(!this.ending && !this.canRead);
    if (this.session.quitting) this.ending = true;
    if (this.ending && this.pipeline.isIdle && this.endedAtMs === 0) this.end();
  }

  private get canRead(): boolean {
    return this.pipeline.canAccept && this.socket.writableLength < this.services.limits.outputBytesMax;
  }

  private takeCommands(): void {
    while (!this.ending && this.canRead) {
      const request = this.parser.next();
      if (request === null) {
        this.ending = this.inputEnded;
        return;
      }
      if (request instanceof ProtocolFault) return this.handleFault(request);
      if (isHttp(request)) return this.handleHttp();
      this.pipeline.accept(request);
    }
  }

  private handleFault(fault: ProtocolFault): void {
    this.services.node.countRefusal('resp', 'protocol');
    this.services.log.debug('a Redis client broke the protocol', {
      client: this.session.address,
      cause: fault.message,
    });
    this.pipeline.answer(new ErrorReply(`ERR Protocol error: ${fault.message}`));
    this.ending = true;
  }

  /** A web page can make a browser send a POST here whose body holds commands; as Redis does, hang up. */
  private handleHttp(): void {
    this.services.node.countRefusal('resp', 'protocol');
    this.services.log.warn('closed a connection that speaks HTTP to the Redis port', { client: this.session.address });
    this.ending = true;
    this.destroy();
  }

  private flush(): void {
    if (this.writer.isEmpty || this.endedAtMs !== 0) return;
    const segments = this.writer.take();
    let taken = true;
    if (segments.length > 1) this.socket.cork();
    for (const segment of segments) taken = this.socket.write(segment);
    if (segments.length > 1) this.socket.uncork();
    if (!taken && this.blockedAtMs === 0) this.blockedAtMs = performance.now();
  }

  private setPaused(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    if (paused) this.socket.pause();
    else this.socket.resume();
  }

  private end(): void {
    this.endedAtMs = performance.now();
    this.socket.end();
  }
}

const KEEP_ALIVE_MS = 300_000;

function isHttp({ args }: Request): boolean {
  const name = args[0] as Buffer;
  if (name.length !== 4 && name.length !== 5) return false;
  const text = name.toString('latin1').toLowerCase();
  return text === 'post' || text === 'host:';
}
