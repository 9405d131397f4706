import type { FastifyInstance } from 'fastify';
import { type ConflictKey, SHARD_ID_MAX } from '../../ports/node-handle.ts';
import { CONFLICTS_LIMIT, conflictJson } from './conflict.ts';
import { type HttpContext, requireBucket } from './context.ts';
import { CONFLICTS_SCHEMA, problems } from './openapi.ts';
import { keyParameter, QueryReader } from './query.ts';
import { json } from './schema.ts';

const KEY = /^([0-9]{1,16})-([0-9]{1,16})-([0-9a-f]{16})-([0-9]{1,16})$/;

const CONFLICTS_QUERY = new QueryReader({
  bucket: keyParameter('Name of the bucket; all where there is none.'),
  before: {
    schema: { type: 'string', description: 'The `next` of the answer before: goes on with earlier ones.' },
    fallback: null as ConflictKey | null,
    parse: parseKey,
    expects: 'the next of an answer',
  },
  limit: CONFLICTS_LIMIT,
});

export function conflictRoutes(app: FastifyInstance, { node }: HttpContext): void {
  app.route({
    method: 'GET',
    url: '/v1/conflicts',
    schema: {
      operationId: 'conflicts',
      tags: ['Cluster'],
      summary: 'Writes that lost against concurrent ones, the latest lost write first',
      description:
        'Of buckets where the last write wins. Every owner of a key notices for itself, and keeps the last 10,000, of which values beyond 64 KiB are left out; asked is every member that is up.',
      querystring: CONFLICTS_QUERY.schema,
      response: {
        200: json('The conflicts.', CONFLICTS_SCHEMA),
        ...problems('bad-request', 'bad-bucket', 'bucket-not-found', 'too-many-requests', 'not-ready', 'shutting-down'),
      },
    },
    handler: async (request, reply) => {
      const { bucket, before, limit } = CONFLICTS_QUERY.read(request.raw.url ?? '');
      if (bucket !== '') requireBucket(node, bucket);
      const found = await node.conflicts({ bucket: bucket === '' ? null : bucket, after: before, limit });
      const { conflicts, more, missing } = found;
      const last = more ? conflicts.at(-1) : undefined;
      const next = last === undefined ? null : keyText(last.loserKey);
      return reply.send({ conflicts: conflicts.map(conflictJson), next, missing });
    },
  });
}

function keyText({ hlc, shard, actor, counter }: ConflictKey): string {
  return `${hlc}-${shard}-${actor}-${counter}`;
}

function parseKey(text: string): ConflictKey | undefined {
  const [, hlc, shard, actor = '', counter] = KEY.exec(text) ?? [];
  const key = { hlc: Number(hlc), shard: Number(shard), actor, counter: Number(counter) };
  const isSafe = [key.hlc, key.shard, key.counter].every((value) => Number.isSafeInteger(value));
  return isSafe && key.shard <= SHARD_ID_MAX ? key : undefined;
}
