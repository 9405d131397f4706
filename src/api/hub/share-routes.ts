import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { HubHandle, ShareView } from '../../ports/hub-handle.ts';
import { readJson } from '../http/body.ts';
import { problems } from '../http/openapi.ts';
import { NO_QUERY } from '../http/query.ts';
import { json } from '../http/schema.ts';
import { siteBucketTarget, siteTarget } from '../http/target.ts';
import { SHARES_SCHEMA, SITE_BUCKET_PARAMS, SITE_PARAMS } from './openapi.ts';

const NAME_CHARACTERS_MAX = 255;
const SHARE_BODY = z.strictObject({
  from: z.string().min(1).max(NAME_CHARACTERS_MAX).describe('Name of the site that gives it.'),
});

/** `/v1/sites/{site}/shares`: what a site is given from others. */
export function shareRoutes(app: FastifyInstance, hub: HubHandle): void {
  app.route({
    method: 'GET',
    url: '/v1/sites/:site/shares',
    schema: {
      operationId: 'listShares',
      tags: ['Sites'],
      summary: 'What a site gives to others and is given',
      params: SITE_PARAMS,
      response: {
        200: json('The shares.', SHARES_SCHEMA),
        ...problems('bad-request', 'site-not-found', 'store-unavailable'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      return reply.send({ shares: (await hub.sharesOf(siteTarget(url))).map(shareJson) });
    },
  });

  app.route({
    method: 'PUT',
    url: '/v1/sites/:site/shares/:bucket',
    schema: {
      operationId: 'addShare',
      tags: ['Sites'],
      summary: 'Give a bucket of another site to this one',
      description:
        'From now on the hub writes into the bucket of this site what that of the other one says, and deletes what it does ' +
        'not; the other site learns nothing of this one. This site needs a bucket of that name with `sync` `down`; until it ' +
        'has one, the share waits. Values are given as they are shown: of a counter its sum, of a set or map its JSON.',
      params: SITE_BUCKET_PARAMS,
      body: z.toJSONSchema(SHARE_BODY, { io: 'input' }),
      response: {
        204: { description: 'It is shared.', type: 'null' },
        ...problems(
          'bad-request',
          'bad-bucket',
          'site-not-found',
          'bucket-not-found',
          'share-exists',
          'not-synced-down',
        ),
        ...problems('store-unavailable', 'disk-full'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      const { site: to, bucket } = siteBucketTarget(url);
      const { from } = await readJson(request.raw, SHARE_BODY);
      await hub.addShare({ to, bucket, from });
      return reply.code(204).send();
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/sites/:site/shares/:bucket',
    schema: {
      operationId: 'removeShare',
      tags: ['Sites'],
      summary: 'Give a bucket to this site no longer',
      description: 'It keeps what it was given.',
      params: SITE_BUCKET_PARAMS,
      response: {
        204: { description: 'It is not shared any more.', type: 'null' },
        ...problems('bad-request', 'bad-bucket', 'site-not-found', 'share-not-found', 'store-unavailable', 'disk-full'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      const { site: to, bucket } = siteBucketTarget(url);
      await hub.removeShare({ to, bucket });
      return reply.code(204).send();
    },
  });
}

function shareJson({ from, bucket, to, createdMs, checkedMs, problem }: ShareView): object {
  const at = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
  return { from, bucket, to, createdAt: at(createdMs), checkedAt: at(checkedMs), problem };
}
