import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { failure, HoldfastError } from '../../lib/failure.ts';
import { WEIGHT_MAX, WEIGHT_MIN } from '../../lib/weight.ts';
import { ZONE_NAME_EXPECTED, ZONE_NAME_OR_NONE } from '../../lib/zone-name.ts';
import type { RingChange } from '../../ports/node-handle.ts';
import { readJson } from './body.ts';
import { type HttpContext, requireBucket } from './context.ts';
import { json, LOCATE_SCHEMA, MEMBER_PARAMS, problems, RING_CHANGE_SCHEMA, RING_SCHEMA } from './openapi.ts';
import { keyParameter, NO_QUERY, QueryReader } from './query.ts';
import { checkKey, memberTarget } from './target.ts';

const LOCATE_QUERY = new QueryReader({
  bucket: keyParameter('Name of the bucket.'),
  key: keyParameter('The key.'),
});

const MEMBER_BODY = z.strictObject({
  in: z.boolean().optional(),
  weight: z.number().min(WEIGHT_MIN).max(WEIGHT_MAX).nullable().optional(),
  zone: z.string().regex(ZONE_NAME_OR_NONE).describe(`${ZONE_NAME_EXPECTED}, '' for none,`).nullable().optional(),
});

const MEMBER_RESPONSES = {
  200: json('The member as it stands now.', RING_CHANGE_SCHEMA),
  ...problems('bad-request', 'member-not-found', 'last-member', 'not-ready', 'shutting-down'),
};

/** `/v1/ring` and what operators may ask of it. */
export function ringRoutes(app: FastifyInstance, context: HttpContext): void {
  memberRoutes(app, context);
  const { node } = context;

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
        ...problems('bad-request', 'bad-key', 'bad-bucket', 'bucket-not-found'),
      },
    },
    handler: (request, reply) => {
      const { bucket, key } = LOCATE_QUERY.read(request.raw.url ?? '');
      const missing = bucket === '' ? 'bucket' : key === '' ? 'key' : null;
      if (missing !== null) {
        throw new HoldfastError(
          failure('bad-request', `the parameter ${missing} is missing; ask with ?bucket=BUCKET&key=KEY`),
        );
      }
      checkKey(key);
      requireBucket(node, bucket);
      return reply.send(node.locate(bucket, key));
    },
  });
}

function memberRoutes(app: FastifyInstance, { node }: HttpContext): void {
  app.route({
    method: 'POST',
    url: '/v1/ring/members/:member',
    schema: {
      operationId: 'changeRingMember',
      tags: ['Cluster'],
      summary: "Change a member's place in the ring",
      description:
        'Outranks what the member itself is configured with, and holds until it is changed again; null goes back to the member’s own. A member that is out serves requests, and hands over the data it holds.',
      params: MEMBER_PARAMS,
      body: z.toJSONSchema(MEMBER_BODY, { io: 'input' }),
      response: MEMBER_RESPONSES,
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      const member = memberTarget(url);
      const change = changeOf(await readJson(request.raw, MEMBER_BODY));
      return reply.send(await node.changeRing(member, change, request.ip));
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/ring/members/:member',
    schema: {
      operationId: 'removeRingMember',
      tags: ['Cluster'],
      summary: 'Take a member out of the ring for good',
      description: 'Should it come back, it stays out until it is put in again.',
      params: MEMBER_PARAMS,
      response: MEMBER_RESPONSES,
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      return reply.send(await node.changeRing(memberTarget(url), { place: 'removed' }, request.ip));
    },
  });
}

function changeOf({ in: isIn, weight, zone }: z.infer<typeof MEMBER_BODY>): RingChange {
  if (isIn === undefined && weight === undefined && zone === undefined) {
    throw new HoldfastError(failure('bad-request', 'the body must say in, weight or zone'));
  }
  return {
    ...(isIn === undefined ? {} : { place: isIn ? 'in' : 'out' }),
    ...(weight === undefined ? {} : { weight }),
    ...(zone === undefined ? {} : { zone }),
  };
}
