import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { readJson } from './body.ts';
import type { HttpContext } from './context.ts';
import { LEADER_SCHEMA, problems } from './openapi.ts';
import { NO_QUERY } from './query.ts';
import { json } from './schema.ts';

const FENCE_BODY = z.strictObject({
  leader: z.string().min(1).max(128),
  token: z.int().min(1),
});

/** `/v1/leader`: who leads, and whether what is done in a leader's name is still good. */
export function leaderRoutes(app: FastifyInstance, { node }: HttpContext): void {
  app.route({
    method: 'GET',
    url: '/v1/leader',
    schema: {
      operationId: 'leader',
      tags: ['Cluster'],
      summary: 'Who leads the members that this node reaches',
      response: { 200: json('The leader and its lease.', LEADER_SCHEMA), ...problems('bad-request') },
    },
    handler: (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      return reply.send(node.leader());
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/leader/fence',
    schema: {
      operationId: 'fence',
      tags: ['Cluster'],
      summary: "Check a leader's fencing token before acting on what it asks for",
      description:
        'Good is a token that is not older than any this node has seen, of the leader of its term. Once it is taken here, older ones are refused, also after a restart.',
      body: z.toJSONSchema(FENCE_BODY, { io: 'input' }),
      response: {
        200: json('The token is good. Who leads, as far as this node knows.', LEADER_SCHEMA),
        ...problems('bad-request', 'member-not-found', 'stale-token', 'not-ready', 'shutting-down'),
      },
    },
    handler: async (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      const { leader, token } = await readJson(request.raw, FENCE_BODY);
      return reply.send(await node.fence(leader, token));
    },
  });
}
