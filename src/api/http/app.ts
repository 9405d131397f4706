import type { IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import swagger from '@fastify/swagger';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Failure, failure, HoldfastError } from '../../lib/failure.ts';
import type { Log } from '../../ports/log.ts';
import type { RefusalReason } from '../../ports/node-handle.ts';
import { listenErrorOf } from '../listen-error.ts';
import { keyOperationStrategy } from './key-operation.ts';
import type { HttpLimits } from './limits.ts';
import { logFault } from './ndjson.ts';
import { failureOf, PROBLEM_CONTENT_TYPE, problemOf } from './problem.ts';
import { publicPath, RouteTable } from './route-table.ts';
import { rawPath } from './target.ts';

export interface HttpApi {
  /** The address that it listens on, without the port. */
  readonly address: string;
  readonly port: number;
  /** Stops listening, ends event streams, and waits a bounded time for requests under way. */
  close(): Promise<void>;
}

/** What an API is made of besides its routes. */
export interface AppParts {
  readonly log: Log;
  readonly limits: HttpLimits;
  /** The OpenAPI document without its paths. */
  readonly document: object;
  /** Counts a refused or malformed request. */
  readonly countRefusal: (reason: RefusalReason) => void;
}

interface ListenOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly limits: HttpLimits;
  /** What waits for something, and is ended before requests under way are waited for. */
  readonly waiting?: readonly { close(): void }[];
}

const RETRY_AFTER_SECONDS = '1';
const HEADERS_COUNT_MAX = 100;

/** An API without routes: bounds, problem documents for all that fails, and the plug-in that describes its routes. */
export async function createApp(parts: AppParts): Promise<FastifyInstance> {
  const app = makeApp(parts);
  await app.register(swagger, {
    openapi: parts.document,
    transform: ({ schema, url, route }) => ({ schema, url: publicPath(url, route.constraints) }),
  });
  return app;
}

/** Opens the listener of an API that is complete. Throws a ListenError when the address cannot be opened. */
export async function listen(app: FastifyInstance, options: ListenOptions): Promise<HttpApi> {
  const { host, port, limits, waiting = [] } = options;
  try {
    await app.listen({ host, port });
  } catch (error) {
    for (const each of waiting) each.close();
    await app.close();
    throw listenErrorOf(error, 'HTTP API', '--http', host, port);
  }
  const bound = app.server.address() as AddressInfo;
  return { address: bound.address, port: bound.port, close: () => close(app, waiting, limits) };
}

async function close(app: FastifyInstance, waiting: readonly { close(): void }[], limits: HttpLimits): Promise<void> {
  for (const each of waiting) each.close();
  const cut = setTimeout(() => app.server.closeAllConnections(), limits.closeGraceMs);
  await app.close();
  clearTimeout(cut);
}

function makeApp({ log, limits, countRefusal }: AppParts): FastifyInstance {
  const routes = new RouteTable();
  const refuse = (reason: Failure | null): void => {
    if (reason !== null && reason.code !== 'not-found' && reason.code !== 'not-ready') countRefusal(reason.code);
  };
  const app = Fastify({
    logger: false,
    http: {
      maxHeaderSize: limits.headerBytesMax,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: limits.timeoutCheckIntervalMs,
    },
    connectionTimeout: limits.idleTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    // The node itself says `shutting-down`, as a problem document.
    return503OnClosing: false,
    routerOptions: {
      maxParamLength: limits.headerBytesMax,
      querystringParser: () => ({}),
      constraints: { keyOperation: keyOperationStrategy },
    },
    frameworkErrors: (error, request, reply) => void sendFailure(error, request, reply),
    clientErrorHandler: (error, socket) => {
      if (refuseMalformed(error, socket)) countRefusal('protocol');
    },
  });
  const sendFailure = (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const url = request.raw.url ?? '';
    const reason = failureOf(error);
    if (reason === null) logFault(log, error, url);
    refuse(reason);
    const problem = problemOf(reason, url);
    if (problem.status === 503 || problem.status === 429) reply.header('retry-after', RETRY_AFTER_SECONDS);
    if (reason?.code === 'method-not-allowed') reply.header('allow', String(reason.data?.['allow'] ?? ''));
    return reply.code(problem.status).type(PROBLEM_CONTENT_TYPE).send(JSON.stringify(problem));
  };
  app.server.maxConnections = limits.connectionsMax;
  app.server.maxHeadersCount = HEADERS_COUNT_MAX;
  // Schemas describe the API; the routes check what they are sent themselves.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  // Bodies are read by the routes, as bytes: no parser may touch them.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.addHook('onRoute', ({ method, url, constraints }) => routes.add(String(method), url, constraints));
  app.addHook('onRequest', (request, _reply, done) => done(crossOriginRefusal(request.raw)));
  app.setErrorHandler((error, request, reply) => sendFailure(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const path = rawPath(request.raw.url ?? '');
    const allow = routes.methodsOf(path).join(', ');
    const reason =
      allow === ''
        ? failure('route-not-found', 'there is no such route; GET /docs lists all of them')
        : failure('method-not-allowed', `this route takes ${allow}`, { data: { allow } });
    return sendFailure(new HoldfastError(reason), request, reply);
  });
  return app;
}

/** Pages of other sites must not write here with a visitor's browser; scripts and tools send no Origin. */
function crossOriginRefusal({ method, headers }: IncomingMessage): HoldfastError | undefined {
  const { origin, host } = headers;
  if (origin === undefined || method === 'GET' || method === 'HEAD') return undefined;
  if (URL.canParse(origin) && new URL(origin).host === host) return undefined;
  return new HoldfastError(failure('unauthorized', 'writes from pages of another origin are refused'));
}

/**
 * Answers what the HTTP parser could not read, and hangs up. False: there is nobody to answer, or it has been done;
 * the parser complains again about whatever else arrives.
 */
function refuseMalformed(error: Error & { code?: string }, socket: Socket): boolean {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return false;
  }
  const [status, phrase, detail] = malformedAnswer(error.code);
  const problem = { ...problemOf(failure('bad-request', detail), ''), status };
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${status} ${phrase}\r\ncontent-type: ${PROBLEM_CONTENT_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
  return true;
}

function malformedAnswer(code: string | undefined): [number, string, string] {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return [431, 'Request Header Fields Too Large', 'the request line and headers are too long'];
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return [413, 'Content Too Large', 'the chunk extensions are too long'];
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'Request Timeout', 'the request did not arrive in time'];
    default:
      return [400, 'Bad Request', 'this is not valid HTTP/1.1'];
  }
}
