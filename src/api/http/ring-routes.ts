import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { failure, HoldfastError } from '../../lib/failure.ts';
import { WEIGHT_MAX, WEIGHT_MIN } from '../../lib/weight.ts';
import { ZONE_NAME_EXPECTED, ZONE_NAME_OR_NONE } from '../../lib/zone-name.ts';
import type { RingChange } from '../../ports/node-handle.ts';
import { readJson } from './body.ts';
import { type HttpContext, requireBucket } from './context.ts';
import { LOCATE_SCHEMA, MEMBER_PARAMS, problems, REFOUND_SCHEMA, RING_CHANGE_SCHEMA, RING_SCHEMA } from './openapi.ts';
import { keyParameter, NO_QUERY, QueryReader } from './query.ts';
import { json } from './schema.ts';
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

const REFOUND_BODY = z.strictObject({
  lost: z.array(z.string().min(1)).min(1).describe('Names or peer ids of the members that never come back.'),
  dryRun: z.boolean().optional().describe('Only tell what it would mean.'),
});

const MEMBER_RESPONSES = {
  200: json('The member as it stands now.', RING_CHANGE_SCHEMA),
  ...problems('bad-request', 'member-not-found', 'last-member', 'not-ready', 'shutting-down'),
};

/** `/v1/ring` and what operators may ask of it. */
export function ringRoutes(app: FastifyInstance, context: HttpContext): void {
  memberRoutes(app, context);
  refoundRoute(app, context);
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

function refoundRoute(app: FastifyInstance, { node }: HttpContext): void {
  app.route({
    method: 'POST',
    url: '/v1/ring/refound',
    schema: {
      operationId: 'refound',
      tags: ['Cluster'],
      summary: 'Go on without a majority that is lost for good',
      description:
        'For strong buckets of which a majority of the acceptors never comes back. Values that only the lost members had are gone. To be asked once, at one node, on one side of a partition: two sides that go on without each other never become one again. Refused while it is not needed, and while a member that is not named cannot be reached; the `reason` says which.',
      body: z.toJSONSchema(REFOUND_BODY, { io: 'input' }),
      response: {
        200: json('Who decides from now on, and what is lost.', REFOUND_SCHEMA),
        ...problems('bad-request', 'member-not-found', 'last-member', 'refound-refused', 'not-ready', 'shutting-down'),
      },
    },
    handler: async (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      const { lost, dryRun = false } = await readJson(request.raw, REFOUND_BODY);
      return reply.send(await node.refound(lost, request.ip, dryRun));
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
