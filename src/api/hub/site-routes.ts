import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { failure, HoldfastError } from '../../lib/failure.ts';
import { SITE_NAME, SITE_NAME_EXPECTED } from '../../lib/site-name.ts';
import type { ConflictView as HubConflict, HubHandle } from '../../ports/hub-handle.ts';
import { readJson } from '../http/body.ts';
import { CONFLICTS_LIMIT, conflictJson } from '../http/conflict.ts';
import { problems } from '../http/openapi.ts';
import { integerParameter, keyParameter, NO_QUERY, QueryReader } from '../http/query.ts';
import { json, nullable } from '../http/schema.ts';
import { siteTarget } from '../http/target.ts';
import {
  CONFLICTS_SCHEMA,
  HUB_STATUS_SCHEMA,
  NEW_SITE_SCHEMA,
  SITE_BUCKETS_SCHEMA,
  SITE_PARAMS,
  SITE_SCHEMA,
  SITES_SCHEMA,
  UPLINK_SCHEMA,
} from './openapi.ts';

const SITE_BODY = z.strictObject({ name: z.string().regex(SITE_NAME).describe(SITE_NAME_EXPECTED) });
const REMOVE_QUERY = new QueryReader({ confirm: keyParameter('The name of the site once more.') });
const CONFLICTS_QUERY = new QueryReader({
  before: integerParameter(
    { min: 0, max: Number.MAX_SAFE_INTEGER, fallback: null },
    'The `next` of the answer before: goes on with earlier ones.',
  ),
  limit: CONFLICTS_LIMIT,
});

/** `/v1/status`, and `/v1/sites` but for the keys of a site. */
export function siteRoutes(app: FastifyInstance, hub: HubHandle): void {
  app.route({
    method: 'GET',
    url: '/v1/status',
    schema: {
      operationId: 'status',
      tags: ['Operation'],
      summary: 'This hub at a glance',
      response: { 200: json('The status.', HUB_STATUS_SCHEMA), ...problems('bad-request', 'store-unavailable') },
    },
    handler: async (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      return reply.send(await hub.status());
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/hub',
    schema: {
      operationId: 'hub',
      tags: ['Operation'],
      summary: 'How the sites are exchanged with the hub above',
      response: {
        200: json('The uplink; null where there is no hub above.', nullable(UPLINK_SCHEMA)),
        ...problems('bad-request'),
      },
    },
    handler: async (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      return reply.type('application/json').send(JSON.stringify(hub.uplink()));
    },
  });
  allSitesRoutes(app, hub);
  oneSiteRoutes(app, hub);
  siteChangeRoutes(app, hub);
  conflictsRoute(app, hub);
}

function allSitesRoutes(app: FastifyInstance, hub: HubHandle): void {
  app.route({
    method: 'GET',
    url: '/v1/sites',
    schema: {
      operationId: 'listSites',
      tags: ['Sites'],
      summary: 'All sites',
      response: { 200: json('The sites.', SITES_SCHEMA), ...problems('bad-request', 'store-unavailable') },
    },
    handler: async (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      return reply.send({ sites: await hub.sites() });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/sites',
    schema: {
      operationId: 'addSite',
      tags: ['Sites'],
      summary: 'Add a site',
      description:
        'The token in the answer is what the nodes of the site show to the hub, and the hub to them. Whoever has it can ' +
        'read and write what the site exchanges. It cannot be asked for again, but be replaced by a new one.',
      body: z.toJSONSchema(SITE_BODY, { io: 'input' }),
      response: {
        201: json('The site was added.', NEW_SITE_SCHEMA),
        ...problems('bad-request', 'site-exists', 'store-unavailable', 'disk-full'),
      },
    },
    handler: async (request, reply) => {
      NO_QUERY.read(request.raw.url ?? '');
      const { name } = await readJson(request.raw, SITE_BODY);
      return reply
        .code(201)
        .header('cache-control', 'no-store')
        .send(await hub.addSite(name));
    },
  });
}

function oneSiteRoutes(app: FastifyInstance, hub: HubHandle): void {
  app.route({
    method: 'GET',
    url: '/v1/sites/:site',
    schema: {
      operationId: 'showSite',
      tags: ['Sites'],
      summary: 'One site and its sessions',
      params: SITE_PARAMS,
      response: {
        200: json('The site.', SITE_SCHEMA),
        ...problems('bad-request', 'site-not-found', 'store-unavailable'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      return reply.send(await hub.site(siteTarget(url)));
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/sites/:site/buckets',
    schema: {
      operationId: 'listSiteBuckets',
      tags: ['Sites'],
      summary: 'The buckets that a site exchanges with this hub',
      params: SITE_PARAMS,
      response: {
        200: json('The buckets.', SITE_BUCKETS_SCHEMA),
        ...problems('bad-request', 'site-not-found', 'store-unavailable'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      return reply.send({ buckets: await hub.buckets(siteTarget(url)) });
    },
  });
}

function siteChangeRoutes(app: FastifyInstance, hub: HubHandle): void {
  app.route({
    method: 'POST',
    url: '/v1/sites/:site/token',
    schema: {
      operationId: 'replaceToken',
      tags: ['Sites'],
      summary: 'Give a site a new token in place of its own',
      description:
        'The token that it had is worth nothing from then on: its sessions end within a second or two, at every hub of the ' +
        'database, and its nodes wait, with all that they write, until they are started with the new one. Nothing is lost.',
      params: SITE_PARAMS,
      response: {
        200: json('The new token.', NEW_SITE_SCHEMA),
        ...problems('bad-request', 'site-not-found', 'store-unavailable', 'disk-full'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      return reply.header('cache-control', 'no-store').send(await hub.replaceToken(siteTarget(url)));
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/sites/:site',
    schema: {
      operationId: 'removeSite',
      tags: ['Sites'],
      summary: 'Remove a site with all that the hub keeps of it',
      description:
        'Its token is worth nothing from then on. The nodes of the site keep their data; what was written at the hub and ' +
        'they have not got yet is lost.',
      params: SITE_PARAMS,
      querystring: REMOVE_QUERY.schema,
      response: {
        204: { description: 'It is gone.', type: 'null' },
        ...problems('bad-request', 'site-not-found', 'store-unavailable'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const { confirm } = REMOVE_QUERY.read(url);
      const name = siteTarget(url);
      if (confirm !== name) {
        throw new HoldfastError(
          failure('bad-request', 'confirm: all data of the site goes with it; to mean that, give its name once more'),
        );
      }
      await hub.removeSite(name);
      return reply.code(204).send();
    },
  });
}

function conflictsRoute(app: FastifyInstance, hub: HubHandle): void {
  app.route({
    method: 'GET',
    url: '/v1/sites/:site/conflicts',
    schema: {
      operationId: 'listConflicts',
      tags: ['Sites'],
      summary: 'Writes that lost against concurrent ones, the latest first',
      description:
        'Of buckets where the last write wins, as far as both have come to the hub, which keeps the last 10,000 of each site.',
      params: SITE_PARAMS,
      querystring: CONFLICTS_QUERY.schema,
      response: {
        200: json('The conflicts.', CONFLICTS_SCHEMA),
        ...problems('bad-request', 'site-not-found', 'store-unavailable'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const { before, limit } = CONFLICTS_QUERY.read(url);
      const found = await hub.conflicts(siteTarget(url), { before, limit });
      const next = found.length < limit ? null : (found.at(-1)?.position ?? null);
      return reply.send({ conflicts: found.map((conflict) => conflictJson(viewOf(conflict))), next });
    },
  });
}

/** The hub keeps values of any length. */
function viewOf({ winner, wonBy, loser, lostBy, ...about }: HubConflict): Parameters<typeof conflictJson>[0] {
  return {
    ...about,
    winner: { entry: winner, by: wonBy, leftOutBytes: null },
    loser: { entry: loser, by: lostBy, leftOutBytes: null },
  };
}
