import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { pipe } from 'it-pipe';
import { z } from 'zod';
import { type Failure, failure, HoldfastError } from '../../lib/failure.ts';
import type { BucketView, Level, MutateReply, Mutation, NodeHandle, RegisterContent } from '../../ports/node-handle.ts';
import { encodeContextToken, type TokenSubject } from '../../wire/context-token.ts';
import { bodyChunks, parseJson } from './body.ts';
import { type HttpContext, requireBucket } from './context.ts';
import { dotTag } from './entity-tag.ts';
import { inOrder } from './in-order.ts';
import {
  BATCH_CHECKED_BYTES_MAX,
  BATCH_CONCURRENCY,
  BATCH_LINE_BYTES_MAX,
  BATCH_OPERATIONS_MAX,
  TTL_SECONDS_MAX,
} from './limits.ts';
import { NDJSON, type ProblemSink, splitLines, streamProblem } from './ndjson.ts';
import { BUCKET_PARAMS, problems, TEXT } from './openapi.ts';
import { preconditionOf, refuseConditions } from './precondition.ts';
import { failureOf } from './problem.ts';
import { DEFAULT_LEVEL, levelParameter, QueryReader } from './query.ts';
import { changeStrong, checkStrongOptions, STRONG_QUORUM } from './strong-values.ts';
import { bucketTarget, checkKey } from './target.ts';
import { DEFAULT_CONTENT_TYPE, decodeContent, expiryOf } from './value-content.ts';
import { contextOf } from './value-reply.ts';

const BATCH_QUERY = new QueryReader({
  w: levelParameter('How many replicas must have synced each write before it is acknowledged.'),
});

const LEVEL = z.enum(['one', 'quorum', 'all']).optional().describe('In place of the w of the request.');

/** Of any operation. */
const COMMON = {
  context: z.string().optional().describe('As the Holdfast-Context header.'),
  ifMatch: z.string().optional().describe('As the If-Match header.'),
  ifNoneMatch: z.string().optional().describe('As the If-None-Match header.'),
  w: LEVEL,
};

const OPERATION = z.discriminatedUnion('op', [
  z.strictObject({
    op: z.literal('put'),
    key: z.string(),
    value: z.base64().describe('The bytes in base64.'),
    contentType: z.string().default(DEFAULT_CONTENT_TYPE),
    ttl: z.int().min(1).max(TTL_SECONDS_MAX).optional().describe('Seconds.'),
    ...COMMON,
  }),
  z.strictObject({ op: z.literal('del'), key: z.string(), ...COMMON }),
]);

type Operation = z.infer<typeof OPERATION>;
type Put = Extract<Operation, { op: 'put' }>;

interface NumberedLine {
  readonly number: number;
  readonly text: string;
}

interface Batch {
  readonly bucket: BucketView;
  readonly level: Level | null;
  readonly sink: ProblemSink;
}

/** `POST /v1/kv/{bucket}`. */
export function batchRoute(app: FastifyInstance, { node, log }: HttpContext): void {
  app.route({
    method: 'POST',
    url: '/v1/kv/:bucket',
    schema: {
      operationId: 'batch',
      tags: ['Data'],
      summary: 'Many writes in one request',
      description:
        `NDJSON in, up to ${BATCH_OPERATIONS_MAX} operations, one a line; NDJSON out, one result a line in the same order. ` +
        'A result is `{"line","key","ok":true,"etag","context","acks","quorum"}` or ' +
        '`{"line","key","ok":false,"problem":{…}}`, from a strong bucket without `context` and `acks`. Operations are ' +
        'independent, in a strong bucket too: one that fails leaves the others alone. Those on ' +
        'one key take effect in the order of their lines. ' +
        `A body whose Content-Length is ${BATCH_CHECKED_BYTES_MAX} bytes or less is looked through first: with too many operations, ` +
        'or a line that is too long or no UTF-8, it is refused as a whole (413, 400) and nothing is written. A longer body, and ' +
        'one without a Content-Length, is executed while it arrives, with results on the way: then the status was sent ' +
        'before the limit was met, and a last line `{"problem":{…}}` without `line` says from where on nothing was read.',
      params: BUCKET_PARAMS,
      querystring: BATCH_QUERY.schema,
      body: { content: { [NDJSON]: { schema: z.toJSONSchema(OPERATION, { io: 'input' }) } } },
      response: {
        200: TEXT('The results.', NDJSON),
        ...problems('bad-request', 'bad-bucket', 'bucket-not-found', 'batch-too-large'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const { w } = BATCH_QUERY.read(url);
      const bucket = requireBucket(node, bucketTarget(url));
      if (bucket.consistency === 'strong') checkStrongOptions({ w });
      const batch: Batch = { bucket, level: w, sink: { log, url } };
      const results = pipe(linesOf(request.raw), (source) => inOrder(source, BATCH_CONCURRENCY, executor(node, batch)));
      // What is wrong before the first operation still has a status of its own.
      const first = await results.next();
      return reply.type(NDJSON).send(Readable.from(withProblem(first, results, batch.sink)));
    },
  });
}

/**
 * The lines of a body. One that says it is short is read to its end first, so that a batch that breaks a limit is refused
 * before anything of it is executed; any other is not held in memory.
 */
async function* linesOf(request: IncomingMessage): AsyncGenerator<NumberedLine> {
  const arriving = numberedLines(splitLines(bodyChunks(request), BATCH_LINE_BYTES_MAX));
  const length = request.headers['content-length'];
  if (length === undefined || Number(length) > BATCH_CHECKED_BYTES_MAX) {
    yield* arriving;
    return;
  }
  const lines: NumberedLine[] = [];
  for await (const line of arriving) lines.push(line);
  yield* lines;
}

/** Lines that hold something. Throws `batch-too-large` when there are too many. */
async function* numberedLines(lines: AsyncIterable<string>): AsyncGenerator<NumberedLine> {
  let number = 0;
  let operations = 0;
  for await (const text of lines) {
    number += 1;
    if (text.trim() === '') continue;
    operations += 1;
    if (operations > BATCH_OPERATIONS_MAX) {
      const message = `a batch is at most ${BATCH_OPERATIONS_MAX} operations, and line ${number} is one more; split it`;
      const data = { limit: 'batchOperationsMax', max: BATCH_OPERATIONS_MAX, line: number };
      throw new HoldfastError(failure('batch-too-large', message, { data }));
    }
    yield { number, text };
  }
}

function parseOperation(line: string): Operation | Failure {
  try {
    return parseJson(line, OPERATION);
  } catch (error) {
    if (error instanceof HoldfastError) return error.failure;
    throw error;
  }
}

/** Executes lines and gives their results as text. Operations on one key wait for each other. */
function executor(node: NodeHandle, batch: Batch): (line: NumberedLine) => Promise<string> {
  const busy = new Map<string, Promise<unknown>>();
  return async ({ number, text }) => {
    const operation = parseOperation(text);
    if ('code' in operation)
      return resultText({ line: number, ok: false, problem: streamProblem(new HoldfastError(operation), batch.sink) });
    const { key } = operation;
    const written = (busy.get(key) ?? Promise.resolve()).then(() => write(node, batch, operation));
    const settled = written
      .catch(() => undefined)
      .then(() => {
        if (busy.get(key) === settled) busy.delete(key);
      });
    busy.set(key, settled);
    try {
      return resultText({ line: number, key, ok: true, ...(await written) });
    } catch (error) {
      const reason = failureOf(error);
      if (reason !== null && reason.code !== 'bad-key') node.countRefusal('http', reason.code);
      return resultText({ line: number, key, ok: false, problem: streamProblem(error, batch.sink) });
    }
  };
}

/** What the result of an operation says of it. */
async function write(node: NodeHandle, batch: Batch, operation: Operation): Promise<Record<string, unknown>> {
  checkKey(operation.key);
  return batch.bucket.consistency === 'strong'
    ? writeStrong(node, batch.bucket, operation)
    : writeEventual(node, batch, operation);
}

async function writeEventual(
  node: NodeHandle,
  { bucket: { name: bucket, ttlSeconds }, level: usual }: Batch,
  operation: Operation,
): Promise<Record<string, unknown>> {
  refuseConditions({ ifMatch: operation.ifMatch, ifNoneMatch: operation.ifNoneMatch });
  const { key } = operation;
  const level = operation.w ?? usual ?? DEFAULT_LEVEL;
  const context = contextOf(operation.context, { bucket, key });
  const mutation: Mutation = operation.op === 'del' ? { type: 'delete' } : mutationOf(node, ttlSeconds, operation);
  const written = await node.request({ type: 'mutate', bucket, key, mutation, level, context });
  return successOf(written, { bucket, key });
}

function mutationOf(node: NodeHandle, ttlSeconds: number | null, put: Put): Mutation {
  const { bytes: value, contentType, expiresAtMs } = contentOf(node, ttlSeconds, put);
  return { type: 'put', value, contentType, expiresAtMs: expiresAtMs ?? 0, onlyIf: null };
}

async function writeStrong(
  node: NodeHandle,
  { name: bucket, ttlSeconds }: BucketView,
  operation: Operation,
): Promise<Record<string, unknown>> {
  const { key, w, context, ifMatch, ifNoneMatch } = operation;
  checkStrongOptions({ w, context });
  const precondition = preconditionOf({ ifMatch, ifNoneMatch });
  const change =
    operation.op === 'del'
      ? ({ type: 'strong-delete', bucket, key } as const)
      : ({ type: 'strong-put', bucket, key, content: contentOf(node, ttlSeconds, operation) } as const);
  const { etag, unmet } = await changeStrong(node, change, precondition);
  if (unmet !== null) throw new HoldfastError(unmet);
  return { ...(etag === null ? {} : { etag }), quorum: STRONG_QUORUM };
}

function contentOf(node: NodeHandle, ttlSeconds: number | null, put: Put): RegisterContent {
  const content = decodeContent(put.value, put.contentType);
  return { ...content, expiresAtMs: expiryOf(put.ttl ?? ttlSeconds, node.wallMs()) };
}

function successOf(
  { dot, context, bare, acks, owners, quorum }: MutateReply,
  subject: TokenSubject,
): Record<string, unknown> {
  const token = encodeContextToken({ context, bare }, subject);
  return {
    ...(dot === null ? {} : { etag: dotTag(dot) }),
    ...(token === null ? {} : { context: token }),
    acks: `${acks}/${owners}`,
    quorum,
  };
}

async function* withProblem(
  first: IteratorResult<string>,
  rest: AsyncGenerator<string>,
  sink: ProblemSink,
): AsyncGenerator<string> {
  try {
    if (first.done !== true) yield first.value;
    yield* rest;
  } catch (error) {
    yield resultText({ problem: streamProblem(error, sink) });
  }
}

function resultText(result: Record<string, unknown>): string {
  return `${JSON.stringify(result)}\n`;
}
