import type { FastifyReply, FastifyRequest } from 'fastify';
import { failure } from '../../lib/failure.ts';
import type { ConflictPolicy, Entries, SessionContext } from '../../ports/node-handle.ts';
import { decodeContextToken, encodeContextToken, type TokenSubject } from '../../wire/context-token.ts';
import { isListed } from './entity-tag.ts';
import { PROBLEM_CONTENT_TYPE, problemOf } from './problem.ts';
import { represent, type Variant, variantJson } from './representation.ts';
import { guardContent, sendContent } from './value-content.ts';

/** A read of a key of an eventual bucket. */
interface Read {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly subject: TokenSubject;
  readonly conflict: ConflictPolicy;
}

/** What it has found, and what that is the state of. */
interface Found extends SessionContext {
  /** Live ones. */
  readonly entries: Entries;
  /** False where newer writes may be missing. */
  readonly complete: boolean;
}

/** Answers a read: the value, several of them (300), 304 where the client has it, or 404. */
export function sendEntries({ request, reply, subject, conflict }: Read, answer: Found): FastifyReply {
  const found = represent(answer.entries, conflict);
  setContext(reply, answer, subject);
  if (!answer.complete) reply.header('holdfast-complete', 'false');
  if (found === null)
    return reply
      .code(404)
      .type(PROBLEM_CONTENT_TYPE)
      .send(notFound({ ...subject, complete: answer.complete }, request.raw.url ?? ''));
  reply.header('etag', found.etag);
  const matches = request.raw.headers['if-none-match'];
  if (matches !== undefined && isListed(found.etag, matches)) return reply.code(304).send();
  const [first, ...others] = found.variants;
  if (others.length === 0) return sendValue(reply, first);
  return reply.code(300).send(found.variants.map((variant) => variantJson(variant, true)));
}

/** Throws `bad-context`. */
export function contextOf(token: string | string[] | undefined, subject: TokenSubject): SessionContext | null {
  return token === undefined ? null : decodeContextToken(String(token), subject);
}

export function setContext(reply: FastifyReply, seen: SessionContext, subject: TokenSubject): void {
  const token = encodeContextToken(seen, subject);
  if (token !== null) reply.header('holdfast-context', token);
}

function sendValue(reply: FastifyReply, { content }: Variant): FastifyReply {
  if (!('type' in content)) return sendContent(reply, { bytes: content.value, contentType: content.contentType });
  guardContent(reply);
  const { type, ...held } = content;
  return reply.header('holdfast-type', type).type('application/json; charset=utf-8').send(JSON.stringify(held));
}

function notFound(read: { bucket: string; key: string; complete: boolean }, url: string): object {
  const absence = `bucket ${read.bucket} has no key ${JSON.stringify(read.key)}`;
  if (read.complete) return problemOf(failure('not-found', absence), url);
  const message = `${absence}, as far as is known: too few of its owners could be asked`;
  return problemOf(failure('not-found', message, { data: { complete: false } }), url);
}
