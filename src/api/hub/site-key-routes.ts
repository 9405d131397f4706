import type { FastifyInstance, FastifyReply, FastifySchema } from 'fastify';
import { z } from 'zod';
import type { HubHandle, SiteKey, SiteRange, SiteWritten } from '../../ports/hub-handle.ts';
import type { Log } from '../../ports/log.ts';
import { readCounter, VALUE_BYTES_MAX } from '../../ports/node-handle.ts';
import { readJson } from '../http/body.ts';
import { onOperation } from '../http/key-operation.ts';
import { INCREMENT_BODY } from '../http/key-operation-routes.ts';
import { TTL_SECONDS_MAX } from '../http/limits.ts';
import { LIST_QUERY, type ListedPage, sendListing } from '../http/listing.ts';
import { NDJSON } from '../http/ndjson.ts';
import { BYTES, contextHeader, ENTITY_HEADERS, problems, TEXT, TYPE_HEADER, VARIANT_SCHEMA } from '../http/openapi.ts';
import { conditionsOf, refuseConditions } from '../http/precondition.ts';
import { integerParameter, NO_QUERY, QueryReader } from '../http/query.ts';
import { json } from '../http/schema.ts';
import { siteBucketTarget, siteKeyTarget } from '../http/target.ts';
import { expiryOf, readContent } from '../http/value-content.ts';
import { contextOf, sendEntries, setContext } from '../http/value-reply.ts';
import { SITE_BUCKET_PARAMS, SITE_KEY_PARAMS } from './openapi.ts';

interface KeyContext {
  readonly hub: HubHandle;
  readonly log: Log;
}

const KEY_URL = '/v1/sites/:site/kv/:bucket/*';

const PUT_QUERY = new QueryReader({
  ttl: integerParameter(
    { min: 1, max: TTL_SECONDS_MAX, fallback: null },
    "Seconds after which the value expires; default: the bucket's ttlSeconds.",
  ),
});

const READ_PROBLEMS = [
  'bad-request',
  'bad-key',
  'bad-context',
  'bad-bucket',
  'site-not-found',
  'bucket-not-found',
  'session-unavailable',
  'store-unavailable',
] as const;

const WRITE_PROBLEMS = [
  ...READ_PROBLEMS,
  'not-synced-down',
  'not-supported',
  'value-too-large',
  'too-many-requests',
  'disk-full',
] as const;

/** `/v1/sites/{site}/kv/…`: keys and values of a site. */
export function siteKeyRoutes(app: FastifyInstance, context: KeyContext): void {
  getRoute(app, context);
  putRoute(app, context);
  deleteRoute(app, context);
  incrementRoute(app, context);
  listRoute(app, context);
}

const GET_SCHEMA: FastifySchema = {
  operationId: 'getSiteValue',
  tags: ['Data'],
  summary: 'Read a value as the hub has it',
  description:
    'The bytes as they were put, with their Content-Type, or a counter, set or map, as nodes answer. The hub has what the ' +
    'site has sent by now: newer writes may be on their way. With a Holdfast-Context of an earlier answer about this key, of ' +
    'the hub or of a node of the site, the read never shows less than that answer; 503 `session-unavailable` says that ' +
    'not all of it has come to the hub. HEAD answers the same without the body.',
  params: SITE_KEY_PARAMS,
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
    ...problems('not-found', ...READ_PROBLEMS),
  },
};

function getRoute(app: FastifyInstance, { hub }: KeyContext): void {
  app.route({
    method: 'GET',
    url: KEY_URL,
    exposeHeadRoute: true,
    schema: GET_SCHEMA,
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      const subject = siteKeyTarget(url);
      const session = contextOf(request.raw.headers['holdfast-context'], subject);
      const found = await hub.read(subject, session);
      const { conflict } = found.bucket;
      return sendEntries({ request, reply, subject, conflict }, { ...found, complete: true });
    },
  });
}

function putRoute(app: FastifyInstance, { hub }: KeyContext): void {
  app.route({
    method: 'PUT',
    url: KEY_URL,
    schema: {
      operationId: 'putSiteValue',
      tags: ['Data'],
      summary: 'Write a value that goes down to the site',
      description:
        `The body is the value, up to ${VALUE_BYTES_MAX} bytes of any Content-Type, which is kept. 204 means: the hub has it on ` +
        'disk; the site gets it as soon as it is connected. With a Holdfast-Context the write replaces what that context has ' +
        'seen, without one what the hub has. Only in buckets with `sync` `down` or `both`.',
      params: SITE_KEY_PARAMS,
      querystring: PUT_QUERY.schema,
      headers: { type: 'object', properties: contextHeader },
      body: { content: BYTES },
      response: {
        204: { description: 'Written.', headers: ENTITY_HEADERS, type: 'null' },
        ...problems(...WRITE_PROBLEMS),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const { headers } = request.raw;
      const subject = siteKeyTarget(url);
      const { ttl } = PUT_QUERY.read(url);
      refuseConditions(conditionsOf(headers));
      const session = contextOf(headers['holdfast-context'], subject);
      const { bytes: value, contentType } = await readContent(request.raw);
      const written = await hub.mutate(
        subject,
        ({ ttlSeconds }) => {
          const expiresAtMs = expiryOf(ttl ?? ttlSeconds, hub.wallMs()) ?? 0;
          return { type: 'put', value, contentType, expiresAtMs, onlyIf: null };
        },
        session,
      );
      return noteWritten(reply, subject, written).code(204).send();
    },
  });
}

function deleteRoute(app: FastifyInstance, { hub }: KeyContext): void {
  app.route({
    method: 'DELETE',
    url: KEY_URL,
    schema: {
      operationId: 'deleteSiteValue',
      tags: ['Data'],
      summary: 'Delete a value at the hub and the site',
      description:
        'Deletes what the Holdfast-Context has seen, without one what the hub has; concurrent writes survive. Also 204 when ' +
        'there was nothing to delete. Only in buckets with `sync` `down` or `both`.',
      params: SITE_KEY_PARAMS,
      headers: { type: 'object', properties: contextHeader },
      response: {
        204: { description: 'Deleted.', headers: ENTITY_HEADERS, type: 'null' },
        ...problems(...WRITE_PROBLEMS),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const { headers } = request.raw;
      const subject = siteKeyTarget(url);
      NO_QUERY.read(url);
      refuseConditions(conditionsOf(headers));
      const session = contextOf(headers['holdfast-context'], subject);
      const written = await hub.mutate(subject, () => ({ type: 'delete' }), session);
      return noteWritten(reply, subject, written).code(204).send();
    },
  });
}

function incrementRoute(app: FastifyInstance, { hub }: KeyContext): void {
  app.route({
    method: 'POST',
    url: KEY_URL,
    constraints: onOperation('increment'),
    schema: {
      operationId: 'incrementSiteCounter',
      tags: ['Data'],
      summary: 'Add to a counter',
      description:
        'Concurrent increments add up, those at the site too. An empty body adds 1. Only in buckets with `sync` `down` or `both`.',
      params: SITE_KEY_PARAMS,
      headers: { type: 'object', properties: contextHeader },
      body: z.toJSONSchema(INCREMENT_BODY, { io: 'input' }),
      response: {
        200: {
          ...json('As the hub sees it, this change included.', { type: 'object' }),
          headers: ENTITY_HEADERS,
          properties: { value: { type: 'integer' } },
          required: ['value'],
        },
        ...problems(...WRITE_PROBLEMS, 'bad-value', 'wrong-type', 'not-a-number'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const subject = siteKeyTarget(url, '/increment');
      NO_QUERY.read(url);
      const session = contextOf(request.raw.headers['holdfast-context'], subject);
      const { by } = await readJson(request.raw, INCREMENT_BODY);
      const written = await hub.mutate(subject, () => ({ type: 'increment', by }), session);
      return noteWritten(reply, subject, written).send({ value: readCounter(written.entries) });
    },
  });
}

function listRoute(app: FastifyInstance, { hub, log }: KeyContext): void {
  app.route({
    method: 'GET',
    url: '/v1/sites/:site/kv/:bucket',
    exposeHeadRoute: false,
    schema: {
      operationId: 'listSiteKeys',
      tags: ['Data'],
      summary: 'List keys of a site in order, as the hub has them',
      description:
        'NDJSON, one line a key, as nodes answer: `{"key","value","contentType","etag","hlcMs"}`. A line without `key` ends ' +
        'the listing: `{"next":KEY}` when there may be more, to be passed as `after`; `{"problem":{…}}` when the listing broke ' +
        'off. No such line: that was all.',
      params: SITE_BUCKET_PARAMS,
      querystring: LIST_QUERY.schema,
      response: {
        200: TEXT('The keys.', NDJSON),
        ...problems('bad-request', 'bad-bucket', 'site-not-found', 'bucket-not-found', 'store-unavailable'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const target = siteBucketTarget(url);
      const { values, ...range } = LIST_QUERY.read(url);
      return sendListing(reply, pagesOf(hub, { ...target, ...range }), { values, sink: { log, url } });
    },
  });
}

async function* pagesOf(hub: HubHandle, range: SiteRange): AsyncGenerator<ListedPage, void> {
  for await (const { bucket, items, next } of hub.list(range)) {
    yield { conflict: bucket.conflict, items, next, complete: true };
  }
}

function noteWritten(reply: FastifyReply, subject: SiteKey, written: SiteWritten): FastifyReply {
  setContext(reply, written, subject);
  return written.etag === null ? reply : reply.header('etag', `"${written.etag}"`);
}
