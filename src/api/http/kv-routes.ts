import type { FastifyInstance, FastifyReply, FastifySchema } from 'fastify';
import { type MutateReply, VALUE_BYTES_MAX } from '../../ports/node-handle.ts';
import type { TokenSubject } from '../../wire/context-token.ts';
import { type HttpContext, requireBucket } from './context.ts';
import { dotTag } from './entity-tag.ts';
import { TTL_SECONDS_MAX } from './limits.ts';
import {
  BYTES,
  conditionHeaders,
  contextHeader,
  ENTITY_HEADERS,
  KEY_PARAMS,
  problems,
  TYPE_HEADER,
  VARIANT_SCHEMA,
  WRITE_HEADERS,
} from './openapi.ts';
import { conditionsOf, refuseConditions } from './precondition.ts';
import { DEFAULT_LEVEL, integerParameter, levelParameter, QueryReader } from './query.ts';
import { deleteStrong, getStrong, putStrong } from './strong-values.ts';
import { keyTarget } from './target.ts';
import { expiryOf, readContent } from './value-content.ts';
import { contextOf, sendEntries, setContext } from './value-reply.ts';

const WRITE_LEVEL = levelParameter('How many replicas must have synced the write to disk before it is acknowledged.');
const GET_QUERY = new QueryReader({ r: levelParameter('How many replicas must answer.') });
const PUT_QUERY = new QueryReader({
  w: WRITE_LEVEL,
  ttl: integerParameter(
    { min: 1, max: TTL_SECONDS_MAX, fallback: null },
    "Seconds after which the value expires; default: the bucket's ttlSeconds.",
  ),
});
export const WRITE_QUERY = new QueryReader({ w: WRITE_LEVEL });

/** `/v1/kv/{bucket}/{key}`: the paths that most requests take. */
export function kvRoutes(app: FastifyInstance, context: HttpContext): void {
  getRoute(app, context);
  putRoute(app, context);
  deleteRoute(app, context);
}

const GET_SCHEMA: FastifySchema = {
  operationId: 'getValue',
  tags: ['Data'],
  summary: 'Read a value',
  description:
    'The bytes as they were put, with their Content-Type; a counter as decimal text/plain; a set as JSON ' +
    '`{"members":[…]}` with `Holdfast-Type: set`, a map as `{"fields":{…}}` with `Holdfast-Type: map`, where bytes that are ' +
    'no UTF-8 are `{"base64":…}`, and fields so named are in `binaryFields`: `[{"field","value"}]`. ' +
    '`Holdfast-Complete: false` says that too few owners of the key could be asked and newer writes may be missing. ' +
    'With a Holdfast-Context of an earlier answer about this key the read never shows less than that answer, also at ' +
    'another node: further replicas are asked, and 503 `session-unavailable` says that none that can be reached has it. ' +
    'An absent key is 404, also with a Holdfast-Context. HEAD answers the same without the body. In a strong bucket the ' +
    'answer is the latest value, confirmed by a majority of the owners, and takes neither `r` nor a Holdfast-Context.',
  params: KEY_PARAMS,
  querystring: GET_QUERY.schema,
  headers: {
    type: 'object',
    properties: {
      ...contextHeader,
      'If-None-Match': { type: 'string', description: 'ETags; 304 when one is current.' },
    },
  },
  response: {
    200: { description: 'The value.', headers: { ...ENTITY_HEADERS, ...TYPE_HEADER }, content: BYTES },
    300: {
      description: 'Concurrent values of a key in a `siblings` bucket. To resolve, PUT with the Holdfast-Context.',
      headers: ENTITY_HEADERS,
      type: 'array',
      items: VARIANT_SCHEMA,
    },
    304: { description: 'The value still has the ETag.', headers: ENTITY_HEADERS, type: 'null' },
    ...problems(
      'not-found',
      'bad-bucket',
      'bucket-not-found',
      'bad-request',
      'bad-key',
      'bad-context',
      'too-many-requests',
      'quorum-unavailable',
      'session-unavailable',
      'not-ready',
    ),
  },
};

function getRoute(app: FastifyInstance, { node }: HttpContext): void {
  app.route({
    method: 'GET',
    url: '/v1/kv/:bucket/*',
    exposeHeadRoute: true,
    schema: GET_SCHEMA,
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const target = keyTarget(url);
      const { bucket, key } = target;
      const { r } = GET_QUERY.read(url);
      const { consistency, conflict } = requireBucket(node, bucket);
      if (consistency === 'strong') return getStrong({ node, request, reply, target }, r);
      const session = contextOf(request.raw.headers['holdfast-context'], { bucket, key });
      const answer = await node.request({ type: 'get', bucket, key, level: r ?? DEFAULT_LEVEL, session });
      return sendEntries({ request, reply, subject: { bucket, key }, conflict }, answer);
    },
  });
}

function putRoute(app: FastifyInstance, { node }: HttpContext): void {
  app.route({
    method: 'PUT',
    url: '/v1/kv/:bucket/*',
    schema: {
      operationId: 'putValue',
      tags: ['Data'],
      summary: 'Write a value',
      description:
        `The body is the value, up to ${VALUE_BYTES_MAX} bytes of any Content-Type, which is kept. 204 means: synced to ` +
        'disk on as many nodes as `w` asks for. With a Holdfast-Context the write replaces what that context has seen; ' +
        'without one, what the coordinating node has, and in a `siblings` bucket what a quorum has. In a strong bucket 204 ' +
        'means: on the disks of a majority of the owners, and latest for all readers; it takes neither `w` nor a ' +
        'Holdfast-Context. 412 has the ETag of what is there, if anything is.',
      params: KEY_PARAMS,
      querystring: PUT_QUERY.schema,
      headers: { type: 'object', properties: { ...contextHeader, ...conditionHeaders } },
      body: { content: BYTES },
      response: {
        204: { description: 'Written.', headers: { ...ENTITY_HEADERS, ...WRITE_HEADERS }, type: 'null' },
        ...problems(
          'bad-request',
          'bad-key',
          'bad-context',
          'bad-bucket',
          'bucket-not-found',
          'precondition-failed',
          'value-too-large',
          'clock-drift',
          'too-many-requests',
          'not-supported',
          'quorum-unavailable',
          'session-unavailable',
          'not-ready',
          'island-refused',
          'disk-full',
        ),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const { headers } = request.raw;
      const target = keyTarget(url);
      const { bucket, key } = target;
      const { w, ttl } = PUT_QUERY.read(url);
      const config = requireBucket(node, bucket);
      const ttlSeconds = ttl ?? config.ttlSeconds;
      if (config.consistency === 'strong') return putStrong({ node, request, reply, target }, { w, ttlSeconds });
      refuseConditions(conditionsOf(headers));
      const context = contextOf(headers['holdfast-context'], target);
      const { bytes: value, contentType } = await readContent(request.raw);
      const expiresAtMs = expiryOf(ttlSeconds, node.wallMs()) ?? 0;
      const mutation = { type: 'put', value, contentType, expiresAtMs, onlyIf: null } as const;
      const level = w ?? DEFAULT_LEVEL;
      const written = await node.request({ type: 'mutate', bucket, key, mutation, level, context });
      return sendWritten(reply, written, { bucket, key });
    },
  });
}

function deleteRoute(app: FastifyInstance, { node }: HttpContext): void {
  app.route({
    method: 'DELETE',
    url: '/v1/kv/:bucket/*',
    schema: {
      operationId: 'deleteValue',
      tags: ['Data'],
      summary: 'Delete a value',
      description:
        'Deletes what the Holdfast-Context has seen, without one what the coordinating node has; concurrent writes ' +
        'survive. Also 204 when there was nothing to delete. In a strong bucket as for PUT; an ETag in the answer says that ' +
        'there was a value.',
      params: KEY_PARAMS,
      querystring: WRITE_QUERY.schema,
      headers: { type: 'object', properties: { ...contextHeader, ...conditionHeaders } },
      response: {
        204: { description: 'Deleted.', headers: { ...ENTITY_HEADERS, ...WRITE_HEADERS }, type: 'null' },
        ...problems(
          'bad-request',
          'bad-key',
          'bad-context',
          'bad-bucket',
          'bucket-not-found',
          'precondition-failed',
          'too-many-requests',
          'not-supported',
          'quorum-unavailable',
          'session-unavailable',
          'not-ready',
          'island-refused',
        ),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const { headers } = request.raw;
      const target = keyTarget(url);
      const { bucket, key } = target;
      const { w } = WRITE_QUERY.read(url);
      const { consistency } = requireBucket(node, bucket);
      if (consistency === 'strong') return deleteStrong({ node, request, reply, target }, w);
      refuseConditions(conditionsOf(headers));
      const context = contextOf(headers['holdfast-context'], target);
      const mutation = { type: 'delete' } as const;
      const level = w ?? DEFAULT_LEVEL;
      const written = await node.request({ type: 'mutate', bucket, key, mutation, level, context });
      return sendWritten(reply, written, { bucket, key });
    },
  });
}

export function setWritten(reply: FastifyReply, written: MutateReply, subject: TokenSubject): void {
  setContext(reply, written, subject);
  if (written.dot !== null) reply.header('etag', dotTag(written.dot));
  reply.header('holdfast-acks', `${written.acks}/${written.owners}`);
  reply.header('holdfast-quorum', written.quorum);
  // It found nothing to change, and too few owners could be asked.
  if (!written.applied && written.quorum === 'sloppy') reply.header('holdfast-complete', 'false');
}

function sendWritten(reply: FastifyReply, written: MutateReply, subject: TokenSubject): FastifyReply {
  setWritten(reply, written, subject);
  return reply.code(204).send();
}
