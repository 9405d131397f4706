import type { FastifyInstance, FastifyReply, FastifySchema } from 'fastify';
import { failure, HoldfastError } from '../../lib/failure.ts';
import { type Dot, dotText, type MutateReply, type SessionContext, VALUE_BYTES_MAX } from '../../ports/node-handle.ts';
import { decodeContextToken, encodeContextToken, type TokenSubject } from '../../wire/context-token.ts';
import { readBody } from './body.ts';
import { type HttpContext, requireBucket } from './context.ts';
import { CONTENT_TYPE_CHARACTERS_MAX, TTL_SECONDS_MAX } from './limits.ts';
import {
  BYTES,
  contextHeader,
  ENTITY_HEADERS,
  KEY_PARAMS,
  problems,
  TYPE_HEADER,
  VARIANT_SCHEMA,
  WRITE_HEADERS,
} from './openapi.ts';
import { PROBLEM_CONTENT_TYPE, problemOf } from './problem.ts';
import { integerParameter, levelParameter, QueryReader } from './query.ts';
import { represent, type Variant, variantJson } from './representation.ts';
import { keyTarget } from './target.ts';

export const DEFAULT_CONTENT_TYPE = 'application/octet-stream';

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

const TOO_LARGE = failure('value-too-large', `a value is at most ${VALUE_BYTES_MAX} bytes (1 MiB)`, {
  data: { limit: 'valueBytesMax', max: VALUE_BYTES_MAX },
});

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
    'An absent key is 404, also with a Holdfast-Context. HEAD answers the same without the body.',
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
      const { bucket, key } = keyTarget(url);
      const { r } = GET_QUERY.read(url);
      const { conflict } = requireBucket(node, bucket);
      const session = contextOf(request.raw.headers['holdfast-context'], { bucket, key });
      const answer = await node.request({ type: 'get', bucket, key, level: r, session });
      const found = represent(answer.entries, conflict);
      setContext(reply, answer, { bucket, key });
      if (!answer.complete) reply.header('holdfast-complete', 'false');
      if (found === null)
        return reply
          .code(404)
          .type(PROBLEM_CONTENT_TYPE)
          .send(notFound({ bucket, key, complete: answer.complete }, url));
      reply.header('etag', found.etag);
      const matches = request.raw.headers['if-none-match'];
      if (matches !== undefined && isListed(found.etag, matches)) return reply.code(304).send();
      const [first, ...others] = found.variants;
      if (others.length === 0) return sendValue(reply, first);
      return reply.code(300).send(found.variants.map((variant) => variantJson(variant, true)));
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
        'without one, what the coordinating node has, and in a `siblings` bucket what a quorum has.',
      params: KEY_PARAMS,
      querystring: PUT_QUERY.schema,
      headers: { type: 'object', properties: contextHeader },
      body: { content: BYTES },
      response: {
        204: { description: 'Written.', headers: { ...ENTITY_HEADERS, ...WRITE_HEADERS }, type: 'null' },
        ...problems(
          'bad-request',
          'bad-key',
          'bad-context',
          'bad-bucket',
          'bucket-not-found',
          'value-too-large',
          'clock-drift',
          'not-supported',
          'quorum-unavailable',
          'session-unavailable',
          'not-ready',
          'disk-full',
        ),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const { headers } = request.raw;
      const { bucket, key } = keyTarget(url);
      const { w, ttl } = PUT_QUERY.read(url);
      const { ttlSeconds } = requireBucket(node, bucket);
      refuseConditions(headers);
      const context = contextOf(headers['holdfast-context'], { bucket, key });
      const contentType = headers['content-type'] ?? DEFAULT_CONTENT_TYPE;
      checkContentType(contentType);
      const value = await readBody(request.raw, VALUE_BYTES_MAX, TOO_LARGE);
      const expiresAtMs = expiryOf(ttl ?? ttlSeconds, node.wallMs());
      const mutation = { type: 'put', value, contentType, expiresAtMs, onlyIf: null } as const;
      const written = await node.request({ type: 'mutate', bucket, key, mutation, level: w, context });
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
        'survive. Also 204 when there was nothing to delete.',
      params: KEY_PARAMS,
      querystring: WRITE_QUERY.schema,
      headers: { type: 'object', properties: contextHeader },
      response: {
        204: { description: 'Deleted.', headers: { ...ENTITY_HEADERS, ...WRITE_HEADERS }, type: 'null' },
        ...problems(
          'bad-request',
          'bad-key',
          'bad-context',
          'bad-bucket',
          'bucket-not-found',
          'not-supported',
          'quorum-unavailable',
          'session-unavailable',
          'not-ready',
        ),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const { headers } = request.raw;
      const { bucket, key } = keyTarget(url);
      const { w } = WRITE_QUERY.read(url);
      requireBucket(node, bucket);
      refuseConditions(headers);
      const context = contextOf(headers['holdfast-context'], { bucket, key });
      const mutation = { type: 'delete' } as const;
      const written = await node.request({ type: 'mutate', bucket, key, mutation, level: w, context });
      return sendWritten(reply, written, { bucket, key });
    },
  });
}

/** 0 is never. */
export function expiryOf(ttlSeconds: number | null, wallMs: number): number {
  return ttlSeconds === null ? 0 : wallMs + ttlSeconds * 1000;
}

/** Throws `bad-context`. */
export function contextOf(token: string | string[] | undefined, subject: TokenSubject): SessionContext | null {
  return token === undefined ? null : decodeContextToken(String(token), subject);
}

/** Throws `bad-request` for what could not be sent back as a header. */
export function checkContentType(contentType: string): void {
  if (contentType.length <= CONTENT_TYPE_CHARACTERS_MAX && /^[\x20-\x7e]+$/.test(contentType)) return;
  throw new HoldfastError(
    failure('bad-request', `Content-Type must be 1 to ${CONTENT_TYPE_CHARACTERS_MAX} printable ASCII characters`),
  );
}

export function entityTag(dot: Dot): string {
  return `"${dotText(dot)}"`;
}

/** A condition that is silently ignored would lose writes. */
function refuseConditions(headers: Readonly<Record<string, unknown>>): void {
  if (headers['if-match'] === undefined && headers['if-none-match'] === undefined) return;
  throw new HoldfastError(
    failure(
      'not-supported',
      'conditional writes need a strong bucket, and this version has none yet; leave out If-Match and If-None-Match',
    ),
  );
}

function setContext(reply: FastifyReply, seen: SessionContext, subject: TokenSubject): void {
  const token = encodeContextToken(seen, subject);
  if (token !== null) reply.header('holdfast-context', token);
}

export function setWritten(reply: FastifyReply, written: MutateReply, subject: TokenSubject): void {
  setContext(reply, written, subject);
  if (written.dot !== null) reply.header('etag', entityTag(written.dot));
  reply.header('holdfast-acks', `${written.acks}/${written.owners}`);
  reply.header('holdfast-quorum', written.quorum);
  // It found nothing to change, and too few owners could be asked.
  if (!written.applied && written.quorum === 'sloppy') reply.header('holdfast-complete', 'false');
}

function sendWritten(reply: FastifyReply, written: MutateReply, subject: TokenSubject): FastifyReply {
  setWritten(reply, written, subject);
  return reply.code(204).send();
}

function sendValue(reply: FastifyReply, { content }: Variant): FastifyReply {
  // Values are data: a browser must not run a stored page as part of this site.
  reply.header('x-content-type-options', 'nosniff');
  reply.header('content-security-policy', "default-src 'none'; sandbox");
  if ('type' in content) {
    const { type, ...held } = content;
    return reply.header('holdfast-type', type).type('application/json; charset=utf-8').send(JSON.stringify(held));
  }
  const { value, contentType } = content;
  reply.header('content-type', /^[\x20-\x7e]+$/.test(contentType) ? contentType : DEFAULT_CONTENT_TYPE);
  return reply.send(value);
}

function notFound(read: { bucket: string; key: string; complete: boolean }, url: string): object {
  const absence = `bucket ${read.bucket} has no key ${JSON.stringify(read.key)}`;
  if (read.complete) return problemOf(failure('not-found', absence), url);
  const message = `${absence}, as far as is known: too few of its owners could be asked`;
  return problemOf(failure('not-found', message, { data: { complete: false } }), url);
}

function isListed(etag: string, list: string): boolean {
  if (list === etag || list === '*') return true;
  return list.split(',').some((item) => item.trim().replace(/^W\//, '') === etag);
}
