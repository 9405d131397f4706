import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import { failure, HoldfastError } from '../../lib/failure.ts';
import { ZONE_NAME, ZONE_NAME_EXPECTED } from '../../lib/zone-name.ts';
import type { BucketConfig, NodeHandle } from '../../ports/node-handle.ts';
import { readJson } from './body.ts';
import { checkBucketName, type HttpContext, requireBucket } from './context.ts';
import { PREFERRED_ZONES_MAX, REPLICAS_MAX, TTL_SECONDS_MAX } from './limits.ts';
import { BUCKET_PARAMS, BUCKET_SCHEMA, problems } from './openapi.ts';
import { NO_QUERY } from './query.ts';
import { json } from './schema.ts';
import { bucketTarget } from './target.ts';

const BUCKET_BODY = z.strictObject({
  name: z.string().optional(),
  consistency: z.enum(['eventual', 'strong']).default('eventual'),
  conflict: z.enum(['lww', 'siblings']).default('lww'),
  replicas: z.int().min(1).max(REPLICAS_MAX).nullable().default(null),
  preferredZones: z
    .array(z.string().regex(ZONE_NAME).describe(ZONE_NAME_EXPECTED))
    .max(PREFERRED_ZONES_MAX)
    .default([]),
  sync: z.enum(['none', 'up', 'down', 'both']).default('none'),
  ttlSeconds: z.int().min(1).max(TTL_SECONDS_MAX).nullable().default(null),
  island: z.enum(['accept', 'refuse']).default('accept'),
});

const SHOW_RESPONSES = {
  200: json('The bucket.', BUCKET_SCHEMA),
  ...problems('bad-request', 'bad-bucket', 'bucket-not-found'),
};

const CREATE_RESPONSES = {
  200: json('The bucket existed with these settings.', BUCKET_SCHEMA),
  201: json('The bucket was created.', BUCKET_SCHEMA),
  ...problems('bad-request', 'bad-bucket', 'bucket-exists', 'quorum-unavailable', 'not-ready'),
};

/** `/v1/buckets` and `/v1/buckets/{bucket}`. */
export function bucketRoutes(app: FastifyInstance, { node }: HttpContext): void {
  app.route({
    method: 'GET',
    url: '/v1/buckets',
    schema: {
      operationId: 'listBuckets',
      tags: ['Buckets'],
      summary: 'All buckets',
      response: {
        200: json('The buckets.', {
          type: 'object',
          properties: { buckets: { type: 'array', items: BUCKET_SCHEMA } },
          required: ['buckets'],
        }),
        ...problems('bad-request'),
      },
    },
    handler: (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      return reply.send({ buckets: node.buckets() });
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/buckets/:bucket',
    schema: {
      operationId: 'showBucket',
      tags: ['Buckets'],
      summary: 'One bucket',
      params: BUCKET_PARAMS,
      response: SHOW_RESPONSES,
    },
    handler: (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      return reply.send(requireBucket(node, bucketTarget(url)));
    },
  });

  app.route({
    method: 'PUT',
    url: '/v1/buckets',
    schema: {
      operationId: 'createNamedBucket',
      tags: ['Buckets'],
      summary: 'Create a bucket, its name in the body',
      body: z.toJSONSchema(BUCKET_BODY.required({ name: true }), { io: 'input' }),
      response: CREATE_RESPONSES,
    },
    handler: async (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      const { name, ...config } = await readJson(request.raw, BUCKET_BODY);
      if (name === undefined) throw new HoldfastError(failure('bad-request', 'name: the body must name the bucket'));
      return create(node, name, config, reply);
    },
  });

  app.route({
    method: 'PUT',
    url: '/v1/buckets/:bucket',
    schema: {
      operationId: 'createBucket',
      tags: ['Buckets'],
      summary: 'Create a bucket',
      description:
        'Settings that are left out take their defaults. A bucket never changes: repeating the request succeeds, other settings are refused.',
      params: BUCKET_PARAMS,
      body: z.toJSONSchema(BUCKET_BODY, { io: 'input' }),
      response: CREATE_RESPONSES,
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      const bucket = bucketTarget(url);
      const { name, ...config } = await readJson(request.raw, BUCKET_BODY);
      if (name !== undefined && name !== bucket) {
        throw new HoldfastError(failure('bad-request', 'name: the body names another bucket than the path'));
      }
      return create(node, bucket, config, reply);
    },
  });
}

async function create(
  node: NodeHandle,
  name: string,
  config: BucketConfig,
  reply: FastifyReply,
): Promise<FastifyReply> {
  checkBucketName(name);
  const problem = config.consistency === 'strong' ? strongProblem(config) : null;
  if (problem !== null) throw new HoldfastError(failure('bad-request', problem));
  const existed = node.bucket(name) !== undefined;
  const bucket = await node.createBucket(name, config);
  return reply.code(existed ? 200 : 201).send(bucket);
}

/** What a strong bucket cannot have; null: nothing of it is asked for. */
function strongProblem({ conflict, replicas, preferredZones, sync }: BucketConfig): string | null {
  if (sync !== 'none') return 'sync: a strong bucket is not exchanged with a hub; leave it out, or use "none"';
  if (replicas !== null) return 'replicas: a strong bucket has as many as the cluster is configured with; leave it out';
  if (preferredZones.length > 0) return 'preferredZones: a strong bucket is placed like most buckets; leave it out';
  return conflict === 'lww' ? null : 'conflict: writes to a strong bucket are never concurrent; leave it out';
}
