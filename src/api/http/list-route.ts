import type { FastifyInstance } from 'fastify';
import { failure, HoldfastError } from '../../lib/failure.ts';
import type { ConflictPolicy, ListReply, NodeHandle } from '../../ports/node-handle.ts';
import { type HttpContext, requireEventualBucket } from './context.ts';
import { LIST_PAGE_ITEMS_MAX } from './limits.ts';
import { LIST_QUERY, type ListedPage, sendListing } from './listing.ts';
import { NDJSON } from './ndjson.ts';
import { BUCKET_PARAMS, problems, TEXT } from './openapi.ts';
import { bucketTarget } from './target.ts';

const STRONG_REFUSAL =
  'a strong bucket cannot be listed; keep the names of its keys in a value, or in an eventual bucket';

interface Listing {
  readonly bucket: string;
  readonly conflict: ConflictPolicy;
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
  readonly values: boolean;
}

/** `GET /v1/kv/{bucket}`. */
export function listRoute(app: FastifyInstance, { node, log }: HttpContext): void {
  app.route({
    method: 'GET',
    url: '/v1/kv/:bucket',
    exposeHeadRoute: false,
    schema: {
      operationId: 'listKeys',
      tags: ['Data'],
      summary: 'List keys in order, from the whole cluster',
      description:
        'NDJSON, one line a key: `{"key","value","contentType","etag","hlcMs"}`, or `{"key","etag","siblings":[…]}` for ' +
        'concurrent values; of a set or map `type` and `members` or `fields` in place of `value` and `contentType`. A line ' +
        'without `key` ends the listing: `{"next":KEY}` when there is more, to be passed as `after`; with `"complete":false` when parts of the cluster could not be asked; `{"problem":{…}}` when the listing ' +
        'broke off. No such line: that was all.',
      params: BUCKET_PARAMS,
      querystring: LIST_QUERY.schema,
      response: {
        200: TEXT('The keys.', NDJSON),
        ...problems('bad-request', 'bad-bucket', 'bucket-not-found', 'not-supported', 'not-ready'),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      const { name, conflict } = requireEventualBucket(node, bucketTarget(url), STRONG_REFUSAL);
      const listing: Listing = { bucket: name, conflict, ...LIST_QUERY.read(url) };
      return sendListing(reply, pagesOf(node, listing), { values: listing.values, sink: { log, url } });
    },
  });
}

/** Asks the node page by page until the limit is reached or there is no more; for the next while one is being sent. */
async function* pagesOf(node: NodeHandle, listing: Listing): AsyncGenerator<ListedPage, void> {
  const { bucket, conflict, prefix, values } = listing;
  let { after, limit: left } = listing;
  const read = (): Promise<ListReply> => {
    const limit = Math.min(left, LIST_PAGE_ITEMS_MAX);
    const page = node.request({ type: 'list', bucket, prefix, after, limit, values, snapshot: false });
    // Where the client goes meanwhile, nobody waits for it any more.
    page.catch(() => undefined);
    return page;
  };
  for (let next: Promise<ListReply> | null = read(); next !== null; ) {
    const page: ListReply = await next;
    const isStuck = page.more && page.resumeAfter === after;
    after = page.resumeAfter;
    left -= page.items.length;
    next = page.more && left > 0 && !isStuck ? read() : null;
    yield { conflict, items: page.items, next: page.more ? after : null, complete: page.complete };
    if (isStuck) throw new HoldfastError(failure('internal', 'the listing does not advance; try again'));
  }
}
