import type { FastifyInstance } from 'fastify';
import { HoldfastError } from '../../lib/failure.ts';
import { NOT_READY } from '../not-ready.ts';
import type { HttpContext } from './context.ts';
import { ISLANDS_SCHEMA, json, MEMBERS_SCHEMA, problems, STATUS_SCHEMA, TEXT } from './openapi.ts';
import { NO_QUERY } from './query.ts';

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
    url: '/v1/islands',
    schema: {
      operationId: 'islands',
      tags: ['Cluster'],
      summary: 'How the ring is cut, as far as this node sees',
      response: { 200: json('Its own component, and those it has lost.', ISLANDS_SCHEMA), ...problems('bad-request') },
    },
    handler: (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      return reply.send(node.islands());
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
      if (!node.ready) throw new HoldfastError(NOT_READY);
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
