import type { FastifyInstance } from 'fastify';
import type { HttpContext } from './context.ts';
import { HUB_SCHEMA, ISLANDS_SCHEMA, MEMBERS_SCHEMA, problems, STATUS_SCHEMA } from './openapi.ts';
import { NO_QUERY } from './query.ts';
import { json, nullable } from './schema.ts';

/** What the node knows of the cluster. */
export function clusterRoutes(app: FastifyInstance, { node }: HttpContext): void {
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

  app.route({
    method: 'GET',
    url: '/v1/hub',
    schema: {
      operationId: 'hub',
      tags: ['Cluster'],
      summary: 'How the site is reconciled with its hub',
      response: {
        200: json('The uplink; null where there is no hub.', nullable(HUB_SCHEMA)),
        ...problems('bad-request'),
      },
    },
    handler: (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      return reply.type('application/json').send(JSON.stringify(node.hub()));
    },
  });
}
