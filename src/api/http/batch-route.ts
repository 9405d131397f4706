import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { pipe } from 'it-pipe';
import { z } from 'zod';
import { type Failure, failure, HoldfastError } from '../../lib/failure.ts';
import {
  type Level,
  type MutateReply,
  type Mutation,
  type NodeHandle,
  VALUE_BYTES_MAX,
} from '../../ports/node-handle.ts';
import { encodeContextToken, type TokenSubject } from '../../wire/context-token.ts';
import { bodyChunks, parseJson } from './body.ts';
import { type HttpContext, requireBucket } from './context.ts';
import { inOrder } from './in-order.ts';
import { checkContentType, contextOf, DEFAULT_CONTENT_TYPE, entityTag, expiryOf } from './kv-routes.ts';
import { BATCH_CONCURRENCY, BATCH_LINE_BYTES_MAX, BATCH_OPERATIONS_MAX, TTL_SECONDS_MAX } from './limits.ts';
import { NDJSON, type ProblemSink, splitLines, streamProblem } from './ndjson.ts';
import { BUCKET_PARAMS, problems, TEXT } from './openapi.ts';
import { failureOf } from './problem.ts';
import { levelParameter, QueryReader } from './query.ts';
import { bucketTarget, checkKey } from './target.ts';

const BATCH_QUERY = new QueryReader({
  w: levelParameter('How many replicas must have synced each write before it is acknowledged.'),
});

const LEVEL = z.enum(['one', 'quorum', 'all']).optional().describe('In place of the w of the request.');

const OPERATION = z.discriminatedUnion('op', [
  z.strictObject({
    op: z.literal('put'),
    key: z.string(),
    value: z.base64().describe('The bytes in base64.'),
    contentType: z.string().default(DEFAULT_CONTENT_TYPE),
    ttl: z.int().min(1).max(TTL_SECONDS_MAX).optional().describe('Seconds.'),
    context: z.string().optional().describe('As the Holdfast-Context header.'),
    w: LEVEL,
  }),
  z.strictObject({ op: z.literal('del'), key: z.string(), context: z.string().optional(), w: LEVEL }),
]);

type Operation = z.infer<typeof OPERATION>;

/** One line of the body: an operation, or why it is none. */
interface Line {
  readonly number: number;
  readonly operation: Operation | Failure;
}

interface Batch {
  readonly bucket: string;
  readonly ttlSeconds: number | null;
  readonly level: Level;
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
        `NDJSON in, up to ${BATCH_OPERATIONS_MAX} operations, one a line; NDJSON out, one result a line in the same order, while ` +
        'the body is still arriving. A result is `{"line","key","ok":true,"etag","context","acks","quorum"}` or ' +
        '`{"line","key","ok":false,"problem":{…}}`. Operations are independent: one that fails leaves the others alone. Those on ' +
        'one key take effect in the order of their lines. A last line `{"problem":{…}}` without `line` says that the rest of ' +
        'the body was not read.',
      params: BUCKET_PARAMS,
      querystring: BATCH_QUERY.schema,
      body: { content: { [NDJSON]: { schema: z.toJSONSchema(OPERATION, { io: 'input' }) } } },
      response: {
        200: TEXT('The results.', NDJSON),
        ...problems('bad-request', 'bad-bucket', 'bucket-not-found'),
      },
    },
    handler: (request, reply) => {
      const url = request.raw.url ?? '';
      const { w } = BATCH_QUERY.read(url);
      const { name, ttlSeconds } = requireBucket(node, bucketTarget(url));
      const batch: Batch = { bucket: name, ttlSeconds, level: w, sink: { log, url } };
      const results = pipe(
        bodyChunks(request.raw),
        (source) => splitLines(source, BATCH_LINE_BYTES_MAX),
        parseLines,
        (source) => inOrder(source, BATCH_CONCURRENCY, executor(node, batch)),
        (source) => withProblem(source, batch.sink),
      );
      return reply.type(NDJSON).send(Readable.from(results));
    },
  });
}

async function* parseLines(lines: AsyncIterable<string>): AsyncGenerator<Line> {
  let number = 0;
  let operations = 0;
  for await (const line of lines) {
    number += 1;
    if (line.trim() === '') continue;
    operations += 1;
    if (operations > BATCH_OPERATIONS_MAX) {
      throw new HoldfastError(
        failure(
          'batch-too-large',
          `a batch is at most ${BATCH_OPERATIONS_MAX} operations; send the rest in another request`,
          {
            data: { limit: 'batchOperationsMax', max: BATCH_OPERATIONS_MAX, line: number },
          },
        ),
      );
    }
    yield { number, operation: parseOperation(line) };
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
function executor(node: NodeHandle, batch: Batch): (line: Line) => Promise<string> {
  const busy = new Map<string, Promise<unknown>>();
  return async ({ number, operation }) => {
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
      return resultText({ line: number, key, ok: true, ...successOf(await written, { bucket: batch.bucket, key }) });
    } catch (error) {
      const reason = failureOf(error);
      if (reason !== null && reason.code !== 'bad-key') node.countRefusal('http', reason.code);
      return resultText({ line: number, key, ok: false, problem: streamProblem(error, batch.sink) });
    }
  };
}

function write(node: NodeHandle, batch: Batch, operation: Operation): Promise<MutateReply> {
  const { bucket } = batch;
  const level = operation.w ?? batch.level;
  const { key } = operation;
  checkKey(key);
  const context = contextOf(operation.context, { bucket, key });
  return node.request({ type: 'mutate', bucket, key, mutation: mutationOf(node, batch, operation), level, context });
}

function mutationOf(node: NodeHandle, batch: Batch, operation: Operation): Mutation {
  if (operation.op === 'del') return { type: 'delete' };
  const value = Buffer.from(operation.value, 'base64');
  if (value.length > VALUE_BYTES_MAX) {
    throw new HoldfastError(
      failure('value-too-large', `a value is at most ${VALUE_BYTES_MAX} bytes (1 MiB)`, {
        data: { limit: 'valueBytesMax', max: VALUE_BYTES_MAX },
      }),
    );
  }
  const { contentType, ttl } = operation;
  checkContentType(contentType);
  const expiresAtMs = expiryOf(ttl ?? batch.ttlSeconds, node.wallMs());
  return { type: 'put', value, contentType, expiresAtMs, onlyIf: null };
}

function successOf(
  { dot, context, acks, owners, quorum }: MutateReply,
  subject: TokenSubject,
): Record<string, unknown> {
  const token = encodeContextToken(context, subject);
  return {
    ...(dot === null ? {} : { etag: entityTag(dot) }),
    ...(token === null ? {} : { context: token }),
    acks: `${acks}/${owners}`,
    quorum,
  };
}

async function* withProblem(results: AsyncIterable<string>, sink: ProblemSink): AsyncGenerator<string> {
  try {
    yield* results;
  } catch (error) {
    yield resultText({ problem: streamProblem(error, sink) });
  }
}

function resultText(result: Record<string, unknown>): string {
  return `${JSON.stringify(result)}\n`;
}
