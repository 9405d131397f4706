import type { FastifyInstance } from 'fastify';
import { failure, HoldfastError } from '../../lib/failure.ts';
import { type HttpContext, requireBucket } from './context.ts';
import { json, LOCATE_SCHEMA, MEMBERS_SCHEMA, problems, RING_SCHEMA, STATUS_SCHEMA, TEXT } from './openapi.ts';
import { keyParameter, NO_QUERY, QueryReader } from './query.ts';
import { checkKey } from './target.ts';

const LOCATE_QUERY = new QueryReader({
  bucket: keyParameter('Name of the bucket.'),
  key: keyParameter('The key.'),
});

const STATE_SCHEMA = { type: 'object', properties: { status: { type: 'string' } }, required: ['status'] };

/** `/healthz`, `/readyz`, `/metrics`, and what the node knows of the cluster. */
export function clusterRoutes(app: FastifyInstance, context: HttpContext): void {
  operationRoutes(app, context);
  const { node } = context;

  app.route({
    method: 'GET',
    url: '/v1/status',
    schema: {
      operationId: 'status',
      tags: ['Cluster'],
      summary: 'This node at a glance',
      response: { 200: json('The status.', STATUS_SCHEMA), ...problems('bad-request') },
    },
    handler: async (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      return reply.send(await node.status());
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/members',
    schema: {
      operationId: 'members',
      tags: ['Cluster'],
      summary: 'All members as this node sees them',
      response: { 200: json('The members.', MEMBERS_SCHEMA), ...problems('bad-request') },
    },
    handler: (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      return reply.send({ members: node.members() });
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/ring',
    schema: {
      operationId: 'ring',
      tags: ['Cluster'],
      summary: 'The ring and its balance',
      response: { 200: json('The ring.', RING_SCHEMA), ...problems('bad-request') },
    },
    handler: (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      return reply.send(node.ring());
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/ring/locate',
    schema: {
      operationId: 'locate',
      tags: ['Cluster'],
      summary: 'Where a key lives',
      querystring: { ...LOCATE_QUERY.schema, required: ['bucket', 'key'] },
      response: {
        200: json('Its shard and the names of its owners and fallbacks, in order.', LOCATE_SCHEMA),
        ...problems('bad-request', 'bad-key', 'bucket-not-found'),
      },
    },
    handler: (request, reply) => {
      const { bucket, key } = LOCATE_QUERY.read(request.raw.url ?? '');
      if (bucket === '') throw new HoldfastError(failure('bad-request', 'bucket: name the bucket'));
      checkKey(key);
      requireBucket(node, bucket);
      return reply.send(node.locate(bucket, key));
    },
  });
}

function operationRoutes(app: FastifyInstance, { node }: HttpContext): void {
  app.route({
    method: 'GET',
    url: '/healthz',
    schema: {
      operationId: 'healthz',
      tags: ['Operation'],
      summary: 'The process is alive',
      response: { 200: json('It is.', STATE_SCHEMA) },
    },
    handler: (_request, reply) => reply.send({ status: 'ok' }),
  });

  app.route({
    method: 'GET',
    url: '/readyz',
    schema: {
      operationId: 'readyz',
      tags: ['Operation'],
      summary: 'The node serves requests',
      response: { 200: json('It does.', STATE_SCHEMA), ...problems('not-ready') },
    },
    handler: (_request, reply) => {
      if (!node.ready)
        throw new HoldfastError(failure('not-ready', 'the node is starting or stopping; ask again shortly'));
      return reply.send({ status: 'ready' });
    },
  });

  app.route({
    method: 'GET',
    url: '/metrics',
    schema: {
      operationId: 'metrics',
      tags: ['Operation'],
      summary: 'Metrics for Prometheus',
      response: { 200: TEXT('Prometheus text format.', 'text/plain'), ...problems() },
    },
    handler: async (_request, reply) => {
      const text = await node.metrics();
      return reply.type('text/plain; version=0.0.4; charset=utf-8').send(text);
    },
  });
}
