import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Failure, failure, HoldfastError } from '../../lib/failure.ts';
import type { Level, NodeHandle, NodeRequest } from '../../ports/node-handle.ts';
import { ballotTag, isListed } from './entity-tag.ts';
import { conditionsOf, type Precondition, preconditionOf } from './precondition.ts';
import type { KeyTarget } from './target.ts';
import { expiryOf, readContent, sendContent } from './value-content.ts';

/** A request about a key of a strong bucket, and its answer. */
interface Exchange {
  readonly node: NodeHandle;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly target: KeyTarget;
}

/** What requests about eventual buckets may say; null and undefined: nothing. */
interface EventualOptions {
  readonly r?: Level | null;
  readonly w?: Level | null | undefined;
  readonly context?: string | string[] | undefined;
}

type StrongPut = Extract<NodeRequest, { type: 'strong-put' }>;
type StrongDelete = Extract<NodeRequest, { type: 'strong-delete' }>;
type Change = Omit<StrongPut, 'condition'> | Omit<StrongDelete, 'condition'>;

/** `etag`: of what was written, or where the condition did not hold, of what is there; null: nothing is. */
interface Changed {
  readonly etag: string | null;
  readonly unmet: Failure | null;
}

/** Every answer of a strong bucket says so of a write. */
export const STRONG_QUORUM = 'strict';

export async function getStrong({ node, request, reply, target }: Exchange, r: Level | null): Promise<FastifyReply> {
  const { headers } = request.raw;
  checkStrongOptions({ r, context: headers['holdfast-context'] });
  const { content, version } = await node.request({ type: 'strong-get', ...target });
  if (content === null || version === null) {
    const message = `bucket ${target.bucket} has no key ${JSON.stringify(target.key)}`;
    throw new HoldfastError(failure('not-found', message));
  }
  const etag = ballotTag(version);
  reply.header('etag', etag);
  const known = headers['if-none-match'];
  if (known !== undefined && isListed(etag, known)) return reply.code(304).send();
  return sendContent(reply, content);
}

export async function putStrong(
  exchange: Exchange,
  { w, ttlSeconds }: { readonly w: Level | null; readonly ttlSeconds: number | null },
): Promise<FastifyReply> {
  const { node, request, target } = exchange;
  const precondition = preconditionIn(exchange, w);
  const { bytes, contentType } = await readContent(request.raw);
  const content = { bytes, contentType, expiresAtMs: expiryOf(ttlSeconds, node.wallMs()) };
  return sendChanged(exchange, await changeStrong(node, { type: 'strong-put', ...target, content }, precondition));
}

export async function deleteStrong(exchange: Exchange, w: Level | null): Promise<FastifyReply> {
  const precondition = preconditionIn(exchange, w);
  const change = { type: 'strong-delete', ...exchange.target } as const;
  return sendChanged(exchange, await changeStrong(exchange.node, change, precondition));
}

export async function changeStrong(node: NodeHandle, change: Change, precondition: Precondition): Promise<Changed> {
  const { bucket, key } = change;
  const { applied, version } =
    precondition.type === 'never'
      ? { applied: false, ...(await node.request({ type: 'strong-get', bucket, key })) }
      : await node.request({ ...change, condition: precondition });
  const etag = version === null ? null : ballotTag(version);
  return { etag, unmet: applied ? null : unmet(key, precondition, etag) };
}

function unmet(key: string, { type }: Precondition, etag: string | null): Failure {
  const shown = JSON.stringify(key);
  const what = type === 'absent' ? `the key ${shown} has a value already` : `the key ${shown} has another version`;
  const message = `${etag === null ? `there is no key ${shown}` : what}; read it, and decide anew`;
  return failure('precondition-failed', message, etag === null ? {} : { data: { etag } });
}

/** Refuses what would be a promise of less, or of something else, than a strong bucket keeps. Throws `bad-request`. */
export function checkStrongOptions({ r, w, context }: EventualOptions): void {
  if ((r ?? null) !== null) {
    throw refusal('every read of a strong bucket is confirmed by a majority of the owners; leave out r');
  }
  if ((w ?? null) !== null) {
    throw refusal('every write to a strong bucket is on the disks of a majority of the owners; leave out w');
  }
  if (context !== undefined) {
    throw refusal('a strong bucket has no contexts: each read shows the latest value; leave out Holdfast-Context');
  }
}

function preconditionIn({ request }: Exchange, w: Level | null): Precondition {
  const { headers } = request.raw;
  checkStrongOptions({ w, context: headers['holdfast-context'] });
  return preconditionOf(conditionsOf(headers));
}

function sendChanged({ reply }: Exchange, { etag, unmet: problem }: Changed): FastifyReply {
  if (etag !== null) reply.header('etag', etag);
  if (problem !== null) throw new HoldfastError(problem);
  return reply.header('holdfast-quorum', STRONG_QUORUM).code(204).send();
}

function refusal(message: string): HoldfastError {
  return new HoldfastError(failure('bad-request', message));
}
