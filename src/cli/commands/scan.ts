import { type Command, Option } from 'commander';
import { z } from 'zod';
import { apiOf } from '../api-target.ts';
import { bucketPath, keysPath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { itemText } from '../item.ts';
import { examples, siteOption, wholeNumber } from '../options.ts';
import { problemError } from '../problem.ts';
import { openSession, type Session } from '../session.ts';
import { ITEM, readShape } from '../shapes.ts';

/** Keys asked for at a time; the answer arrives as a stream. */
const PAGE_KEYS = 10_000;

/** The line without a key that may end a page. */
const PAGE_END = z.object({
  next: z.string().optional(),
  complete: z.boolean().optional(),
  problem: z.record(z.string(), z.unknown()).optional(),
});

interface ScanOptions {
  readonly site?: string;
  readonly prefix?: string;
  readonly after?: string;
  readonly limit?: number;
  readonly values?: boolean;
}

interface Page {
  readonly keys: number;
  /** Where the next page starts; undefined when this was the last. */
  readonly next: string | undefined;
  readonly complete: boolean;
}

export function addScanCommand(program: Command, context: CliContext): void {
  program
    .command('scan')
    .description('list keys in order, from the whole cluster')
    .argument('<bucket>', 'name of the bucket')
    .option('--prefix <prefix>', 'only keys that begin with this')
    .option('--after <key>', 'only keys after this one')
    .addOption(
      new Option('--limit <n>', 'at most so many keys (default: all)').argParser(
        wholeNumber(1, Number.MAX_SAFE_INTEGER),
      ),
    )
    .option('--values', 'print the values too')
    .addOption(siteOption())
    .addHelpText(
      'after',
      examples(
        'holdfast scan default --prefix node/',
        'holdfast scan default --values --json',
        'holdfast scan default --limit 100 --after node/edge-1/cpu',
        'holdfast scan default --values --site hall-2',
      ),
    )
    .action(async (bucket: string, options: ScanOptions, command: Command) => {
      const session = openSession(command, context, apiOf(options.site));
      const path = bucketPath(keysPath(options.site), bucket);
      let left = options.limit ?? Number.POSITIVE_INFINITY;
      const { prefix } = options;
      const values = String(options.values === true);
      let { after } = options;
      let complete = true;
      let next: string | undefined;
      do {
        const limit = String(Math.min(left, PAGE_KEYS));
        const page = await printPage(session, path, { prefix, after, limit, values });
        if (page.next !== undefined && page.next === after)
          throw new CliError('the listing does not advance — try again');
        left -= page.keys;
        complete &&= page.complete;
        next = page.next;
        after = next;
      } while (next !== undefined && left > 0);
      await printEnd(session, next, complete);
    });
}

async function printPage(
  { client, terminal, json }: Session,
  path: string,
  query: Readonly<Record<string, string | undefined>>,
): Promise<Page> {
  let keys = 0;
  let end: z.infer<typeof PAGE_END> = {};
  for await (const line of client.lines(path, { query })) {
    if (typeof line === 'object' && line !== null && Object.hasOwn(line, 'key')) {
      keys++;
      await (json ? terminal.json(line) : terminal.line(itemText(readShape(ITEM, line))));
    } else {
      end = readShape(PAGE_END, line);
    }
  }
  if (end.problem !== undefined) {
    const before = 'the listing broke off: ';
    throw problemError(end.problem, { before }) ?? new CliError(`${before}the node does not say why — try again`);
  }
  return { keys, next: end.next, complete: end.complete !== false };
}

async function printEnd({ terminal, json }: Session, next: string | undefined, complete: boolean): Promise<void> {
  if (json) {
    if (next !== undefined || !complete) await terminal.json({ next, ...(complete ? {} : { complete }) });
    return;
  }
  if (next !== undefined) terminal.note(`there is more — go on with --after ${JSON.stringify(next)}`);
  if (!complete) terminal.note('parts of the cluster could not be asked; keys may be missing');
}
