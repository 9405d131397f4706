import { type Failure, failure, HoldfastError } from '../../lib/failure.ts';
import type { Log } from '../../ports/log.ts';
import { failureOf, type Problem, problemOf } from './problem.ts';

export const NDJSON = 'application/x-ndjson';

const LINE_FEED = 0x0a;

/** What a stream needs to report a failure after its status has been sent. */
export interface ProblemSink {
  readonly log: Log;
  readonly url: string;
}

/** The problem document of anything thrown while a stream runs; faults of the program are logged. */
export function streamProblem(error: unknown, { log, url }: ProblemSink): Problem {
  const reason = failureOf(error);
  if (reason === null) logFault(log, error, url);
  return problemOf(reason, url);
}

export function logFault(log: Log, error: unknown, url: string): void {
  const stack = error instanceof Error ? error.stack : String(error);
  log.error('a request failed inside the HTTP API', { path: problemOf(null, url).instance, error: stack });
}

/**
 * Splits bytes into lines of UTF-8 text without their ends; empty lines too, an unfinished last one as well.
 * Throws `batch-too-large` for a line longer than `bytesMax`, as soon as it is, and `bad-request` for bad UTF-8.
 */
export async function* splitLines(source: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let kept: Uint8Array[] = [];
  let keptBytes = 0;
  const finish = (tail: Uint8Array): string => {
    const bytes = kept.length === 0 ? tail : Buffer.concat([...kept, tail]);
    kept = [];
    keptBytes = 0;
    try {
      return decoder.decode(bytes);
    } catch {
      throw new HoldfastError(failure('bad-request', 'a line is not valid UTF-8; send JSON, with bytes in base64'));
    }
  };
  for await (const chunk of source) {
    let from = 0;
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      if (keptBytes + at - from > bytesMax) throw new HoldfastError(tooLong(bytesMax));
      yield finish(chunk.subarray(from, at));
      from = at + 1;
    }
    if (from === chunk.length) continue;
    kept.push(chunk.subarray(from));
    keptBytes += chunk.length - from;
    if (keptBytes > bytesMax) throw new HoldfastError(tooLong(bytesMax));
  }
  if (keptBytes > 0) yield finish(new Uint8Array());
}

function tooLong(bytesMax: number): Failure {
  return failure('batch-too-large', `a line is longer than ${bytesMax} bytes; end each operation with a line feed`, {
    data: { limit: 'batchLineBytesMax', max: bytesMax },
  });
}
