import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { type Failure, failure, HoldfastError } from '../../lib/failure.ts';
import { JSON_BYTES_MAX } from './limits.ts';
import { expectationOf, misfitText, shapeOf } from './misfit.ts';

const EMPTY = Buffer.alloc(0);

/**
 * The whole body of a request. A body above `bytesMax` is refused with `tooLarge`, by its announced length before
 * a byte is read, else as soon as it grows too long; what the client goes on sending is then discarded.
 */
export function readBody(request: IncomingMessage, bytesMax: number, tooLarge: Failure): Promise<Buffer> {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  if (length === undefined ? encoding === undefined : length === '0') return Promise.resolve(EMPTY);
  if (length !== undefined && Number(length) > bytesMax) return Promise.reject(new HoldfastError(tooLarge));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const finish = (): void => {
      request.off('data', handleData).off('end', handleEnd).off('error', handleError).off('close', handleError);
    };
    const handleData = (chunk: Buffer): void => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes <= bytesMax) return;
      finish();
      reject(new HoldfastError(tooLarge));
    };
    const handleEnd = (): void => {
      finish();
      // Always a copy: a view would pin the socket's read buffer for as long as the value lives.
      resolve(Buffer.concat(chunks, bytes));
    };
    const handleError = (): void => {
      finish();
      // Aborted requests emit late errors; nobody is left to answer.
      request.on('error', () => undefined);
      reject(brokenOff());
    };
    request.on('data', handleData).on('end', handleEnd).on('error', handleError).on('close', handleError);
  });
}

/**
 * The body of a request piece by piece. Ending early leaves the connection open, so that the answer still arrives; what
 * the client goes on sending is then discarded, or it would stand in the way of the connection's next request.
 */
export async function* bodyChunks(request: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    yield* request.iterator({ destroyOnReturn: false });
  } catch {
    throw brokenOff();
  } finally {
    request.resume();
  }
}

function brokenOff(): HoldfastError {
  return new HoldfastError(failure('bad-request', 'the request broke off before its body was complete'));
}

const SMALL: JsonLimit = {
  bytesMax: JSON_BYTES_MAX,
  tooLarge: failure('bad-request', `the body is longer than ${JSON_BYTES_MAX} bytes; send less in it`, {
    data: { limit: 'jsonBytesMax', max: JSON_BYTES_MAX },
  }),
};

interface JsonLimit {
  readonly bytesMax: number;
  readonly tooLarge: Failure;
}

/**
 * A JSON body that fits a schema; an empty body reads as `{}`. `shown`: the schema that says what is expected. Throws
 * `bad-request`.
 */
export async function readJson<T>(
  request: IncomingMessage,
  schema: z.ZodType<T>,
  { limit = SMALL, shown = schema }: { readonly limit?: JsonLimit; readonly shown?: z.ZodType } = {},
): Promise<T> {
  const bytes = await readBody(request, limit.bytesMax, limit.tooLarge);
  return parseJson(bytes.length === 0 ? '{}' : bytes.toString('utf8'), schema, shown);
}

/** Throws `bad-request`, which names the field, what is wrong with it, and what to send instead. */
export function parseJson<T>(text: string, schema: z.ZodType<T>, shown: z.ZodType = schema): T {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new HoldfastError(failure('bad-request', `not valid JSON: ${reason}; use ${expectationOf(shapeOf(shown))}`));
  }
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  throw new HoldfastError(failure('bad-request', misfitText(result.error.issues, shapeOf(shown), document)));
}
