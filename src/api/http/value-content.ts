import type { IncomingMessage } from 'node:http';
import type { FastifyReply } from 'fastify';
import { failure, HoldfastError } from '../../lib/failure.ts';
import { VALUE_BYTES_MAX } from '../../ports/node-handle.ts';
import { readBody } from './body.ts';
import { CONTENT_TYPE_CHARACTERS_MAX } from './limits.ts';

/** Bytes and their type, as clients put them. */
export interface ValueContent {
  readonly bytes: Uint8Array;
  readonly contentType: string;
}

export const DEFAULT_CONTENT_TYPE = 'application/octet-stream';

const TOO_LARGE = failure('value-too-large', `a value is at most ${VALUE_BYTES_MAX} bytes (1 MiB)`, {
  data: { limit: 'valueBytesMax', max: VALUE_BYTES_MAX },
});

/** The value that a request carries. Throws `bad-request`, `value-too-large`. */
export async function readContent(request: IncomingMessage): Promise<ValueContent> {
  const contentType = request.headers['content-type'] ?? DEFAULT_CONTENT_TYPE;
  checkContentType(contentType);
  return { bytes: await readBody(request, VALUE_BYTES_MAX, TOO_LARGE), contentType };
}

/** The same of one that comes in base64. */
export function decodeContent(base64: string, contentType: string): ValueContent {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length > VALUE_BYTES_MAX) throw new HoldfastError(TOO_LARGE);
  checkContentType(contentType);
  return { bytes, contentType };
}

/** Throws `bad-request` for what could not be sent back as a header. */
function checkContentType(contentType: string): void {
  if (contentType.length <= CONTENT_TYPE_CHARACTERS_MAX && /^[\x20-\x7e]+$/.test(contentType)) return;
  throw new HoldfastError(
    failure('bad-request', `Content-Type must be 1 to ${CONTENT_TYPE_CHARACTERS_MAX} printable ASCII characters`),
  );
}

/** Null is never. */
export function expiryOf(ttlSeconds: number | null, wallMs: number): number | null {
  return ttlSeconds === null ? null : wallMs + ttlSeconds * 1000;
}

export function sendContent(reply: FastifyReply, { bytes, contentType }: ValueContent): FastifyReply {
  guardContent(reply);
  reply.header('content-type', /^[\x20-\x7e]+$/.test(contentType) ? contentType : DEFAULT_CONTENT_TYPE);
  return reply.send(bytes);
}

/** Values are data: a browser must not run a stored page as part of this site. */
export function guardContent(reply: FastifyReply): void {
  reply.header('x-content-type-options', 'nosniff');
  reply.header('content-security-policy', "default-src 'none'; sandbox");
}
