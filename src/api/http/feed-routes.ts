import type { FastifyInstance } from 'fastify';
import { HoldfastError } from '../../lib/failure.ts';
import type { ChangeEvent, ClusterEvent, NodeHandle } from '../../ports/node-handle.ts';
import { NOT_READY } from '../not-ready.ts';
import { BucketSnapshot } from './bucket-snapshot.ts';
import { type HttpContext, requireEventualBucket } from './context.ts';
import { resumeAt, type StreamSource, type StreamStart } from './event-stream.ts';
import { EVENT_STREAM, lastEventId, problems } from './openapi.ts';
import { keyParameter, QueryReader, switchParameter } from './query.ts';
import { represent, variantsJson } from './representation.ts';
import { bucketTarget } from './target.ts';

const EVENTS_QUERY = new QueryReader({
  follow: switchParameter(true, 'false: end after the retained events instead of waiting for more.'),
});

const WATCH_QUERY = new QueryReader({
  prefix: keyParameter('Only keys that begin with this.'),
  snapshot: switchParameter(false, 'true: begin with the present state, as after a reset.'),
});

const STRONG_REFUSAL =
  'a strong bucket cannot be watched; GET with If-None-Match, which answers 304 while the value is the same';

/** `/v1/events` and `/v1/watch/{bucket}`. */
export function feedRoutes(app: FastifyInstance, { node, streams }: HttpContext): void {
  app.route({
    method: 'GET',
    url: '/v1/events',
    exposeHeadRoute: false,
    schema: {
      operationId: 'events',
      tags: ['Cluster'],
      summary: 'Membership, ring and sync events',
      description:
        'Server-Sent Events: first the retained events, then each new one. The event name is its type; data is ' +
        '`{"seq","time","type","data"}`. Ids resume with `Last-Event-ID`; where that is not possible a `reset` event ' +
        'with `{"reason"}` comes first.',
      querystring: EVENTS_QUERY.schema,
      headers: lastEventId,
      response: { 200: EVENT_STREAM, ...problems('bad-request', 'too-many-requests') },
    },
    handler: (request, reply) => {
      const { follow } = EVENTS_QUERY.read(request.raw.url ?? '');
      const source = eventSource(node);
      const start = resumeAt(request.headers['last-event-id'], source, 0) ?? { seq: 0, mark: null };
      streams.admit();
      reply.hijack();
      streams.start(request.raw, reply.raw, source, start, follow);
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/watch/:bucket',
    exposeHeadRoute: false,
    schema: {
      operationId: 'watch',
      tags: ['Data'],
      summary: 'Changes of a bucket as they happen',
      description:
        'Server-Sent Events `put` with `{"key","value","contentType","etag","hlcMs"}` (or `{"key","etag","siblings"}`; ' +
        'of a set or map `type` and `members` or `fields` in place of `value` and `contentType`) and `delete` with ' +
        '`{"key"}`. The stream begins now, with `snapshot=true` with the present state, or after `Last-Event-ID` while the ' +
        'changes since then are retained at this node. Where a change may have been missed, here or on the way to this ' +
        'node, the stream sends the state anew: `reset` with `{"reason"}` (forget all keys), `put` for every key there is, ' +
        'mixed with changes as they happen, and `synced` with `{"time","complete"}`. Who applies that has what the cluster ' +
        'has, without any listing; `"complete":false` where parts of it could not be asked, whose keys follow. The same ' +
        'state may be told twice, an older one never after a newer, but across a reset.',
      querystring: WATCH_QUERY.schema,
      headers: lastEventId,
      response: {
        200: EVENT_STREAM,
        ...problems('bad-request', 'bad-bucket', 'bucket-not-found', 'too-many-requests', 'not-supported', 'not-ready'),
      },
    },
    handler: (request, reply) => {
      // A client that is told to forget all keys would wait for them as long as this node for its cluster.
      if (!node.ready) throw new HoldfastError(NOT_READY);
      const url = request.raw.url ?? '';
      const bucket = requireEventualBucket(node, bucketTarget(url), STRONG_REFUSAL);
      const { prefix, snapshot } = WATCH_QUERY.read(url);
      const source = changeSource(node, bucket, prefix);
      const seq = source.latest();
      const fresh: StreamStart = snapshot ? { reset: 'snapshot', seq } : { seq, mark: null };
      const start = resumeAt(request.headers['last-event-id'], source, seq) ?? fresh;
      streams.admit();
      reply.hijack();
      streams.start(request.raw, reply.raw, source, start);
    },
  });
}

function eventSource(node: NodeHandle): StreamSource<ClusterEvent> {
  const { events } = node;
  return {
    run: events.run,
    latest: () => events.after(0)?.at(-1)?.seq ?? 0,
    after: (seq) => events.after(seq),
    subscribe: (listener) => events.subscribe(listener),
    describe: (event) => ({ event: event.type, data: event }),
  };
}

function changeSource(
  node: NodeHandle,
  bucket: { name: string; conflict: 'lww' | 'siblings' },
  prefix: string,
): StreamSource<ChangeEvent> {
  const { changes } = node;
  const { name, conflict } = bucket;
  const describe = ({ key, entries }: Pick<ChangeEvent, 'key' | 'entries'>): { event: string; data: unknown } => {
    const representation = represent(entries, conflict);
    return representation === null
      ? { event: 'delete', data: { key } }
      : { event: 'put', data: { key, ...variantsJson(representation, true) } };
  };
  return {
    run: changes.run,
    latest: () => changes.latest,
    after: (seq) => changes.after(name, seq)?.filter((change) => change.key.startsWith(prefix)) ?? null,
    subscribe: (listener) => changes.subscribe(name, prefix, listener),
    describe,
    state: (client) =>
      new BucketSnapshot({
        node,
        bucket: name,
        prefix,
        client,
        show: (item) => {
          const { event, data } = describe(item);
          client.write(event, data);
        },
      }),
  };
}
