import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { pipe } from 'it-pipe';
import type { ConflictPolicy, Entries } from '../../ports/node-handle.ts';
import { LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX } from './limits.ts';
import { NDJSON, type ProblemSink, streamProblem } from './ndjson.ts';
import { integerParameter, keyParameter, QueryReader, switchParameter } from './query.ts';
import { represent, variantsJson } from './representation.ts';

export const LIST_QUERY = new QueryReader({
  prefix: keyParameter('Only keys that begin with this.'),
  after: keyParameter('Only keys after this one, in the byte order of UTF-8.'),
  limit: integerParameter({ min: 1, max: LIST_LIMIT_MAX, fallback: LIST_LIMIT_DEFAULT }, 'Keys in this answer.'),
  values: switchParameter(true, 'false: keys and their metadata only.'),
});

/** Some keys of a listing, in order. */
export interface ListedPage {
  readonly conflict: ConflictPolicy;
  /** Live entries. */
  readonly items: readonly { readonly key: string; readonly entries: Entries }[];
  /** What to go on after; null: there is no more. */
  readonly next: string | null;
  /** False when parts of what was to be listed could not be asked. */
  readonly complete: boolean;
}

interface Shown {
  readonly values: boolean;
  readonly sink: ProblemSink;
}

/** Answers with a line for each key. The first page is read before that begins, so that a failure still has a status of its own. */
export async function sendListing(
  reply: FastifyReply,
  pages: AsyncGenerator<ListedPage, void>,
  shown: Shown,
): Promise<FastifyReply> {
  const first = await pages.next();
  const lines = pipe(pagesFrom(first, pages), (source) => linesOf(source, shown));
  return reply.type(NDJSON).send(Readable.from(lines));
}

async function* pagesFrom(
  first: IteratorResult<ListedPage, void>,
  rest: AsyncGenerator<ListedPage, void>,
): AsyncGenerator<ListedPage> {
  if (!first.done) yield first.value;
  yield* rest;
}

async function* linesOf(pages: AsyncIterable<ListedPage>, { values, sink }: Shown): AsyncGenerator<string> {
  let next: string | null = null;
  let complete = true;
  try {
    for await (const page of pages) {
      let text = '';
      for (const { key, entries } of page.items) {
        const found = represent(entries, page.conflict);
        if (found !== null) text += `${JSON.stringify({ key, ...variantsJson(found, values) })}\n`;
      }
      next = page.next;
      complete &&= page.complete;
      if (text !== '') yield text;
    }
  } catch (error) {
    yield `${JSON.stringify({ ...(next === null ? {} : { next }), problem: streamProblem(error, sink) })}\n`;
    return;
  }
  if (next === null && complete) return;
  yield `${JSON.stringify({ ...(next === null ? {} : { next }), ...(complete ? {} : { complete }) })}\n`;
}
