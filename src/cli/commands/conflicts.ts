import { type Command, Option } from 'commander';
import type { z } from 'zod';
import { sizeText } from '../../lib/size-text.ts';
import { apiOf } from '../api-target.ts';
import { sitePath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { examples, wholeNumber } from '../options.ts';
import { openSession } from '../session.ts';
import { CONFLICTS, readShape } from '../shapes.ts';
import { tableText } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { agoText, printable, valueText } from '../text.ts';

type Conflicts = z.infer<typeof CONFLICTS>;
type Write = Conflicts['conflicts'][number]['loser'];

interface ConflictsOptions {
  readonly bucket?: string;
  readonly site?: string;
  readonly limit: number;
  readonly before?: string;
}

const HEAD = ['NOTICED', 'BUCKET', 'KEY', 'KEPT BY', 'LOST BY', 'WRITTEN', 'LOST VALUE'];
/** Characters of a value in the table. */
const PREVIEW = 40;
const LIMIT = 20;
const LIMIT_MAX = 100;
const ABOUT = `
Where the last write wins, one of two concurrent writes is not seen any more: here is what it was. Columns:
  NOTICED     when the two met
  KEPT BY     who wrote what is seen in its place
  LOST BY     who wrote what was lost; hub: a client of a hub
  WRITTEN     when the lost value was written, by the clock of who wrote it
  LOST VALUE  as much as fits; all of it with --json`;

export function addConflictsCommand(program: Command, context: CliContext): void {
  program
    .command('conflicts')
    .description('list writes that lost against concurrent ones, and what they said')
    .option('--bucket <bucket>', 'only those of this bucket')
    .option('--site <name>', 'ask a hub, for those of this site')
    .addOption(new Option('--limit <n>', 'at most so many').argParser(wholeNumber(1, LIMIT_MAX)).default(LIMIT))
    .option('--before <next>', 'go on after an earlier answer: its next')
    .addHelpText('after', ABOUT)
    .addHelpText(
      'after',
      examples(
        'holdfast conflicts',
        'holdfast conflicts --bucket orders --json | jq .conflicts[0].loser',
        'holdfast conflicts --site hall-2',
      ),
    )
    .action(async ({ bucket, site, limit, before }: ConflictsOptions, command: Command) => {
      if (site !== undefined && bucket !== undefined) {
        throw new CliError('a hub lists the conflicts of all buckets of a site — leave out --bucket', 'bad-usage');
      }
      const target = apiOf(site);
      const { client, terminal, json } = openSession(command, context, target);
      const path = site === undefined ? '/v1/conflicts' : `${sitePath(site)}/conflicts`;
      const answer = await client.json(path, { query: { bucket, before, limit: String(limit) } });
      if (json) return terminal.json(answer);
      return printConflicts(terminal, readShape(CONFLICTS, answer, target), context.now());
    });
}

async function printConflicts(terminal: Terminal, answer: Conflicts, nowMs: number): Promise<void> {
  const { conflicts, next, missing = [] } = answer;
  if (conflicts.length === 0) await terminal.line('no write is known to have lost');
  else await terminal.line(conflictsText(terminal, answer, nowMs));
  if (next !== null) terminal.note(`there are more — go on with --before ${next}`);
  if (missing.length > 0) {
    terminal.note(`not asked, since they do not answer: ${missing.map(printable).join(', ')}; they may know of others`);
  }
}

function conflictsText(terminal: Terminal, { conflicts }: Conflicts, nowMs: number): string {
  const rows = conflicts.map(({ at, bucket, key, winner, loser }) => [
    agoText(at, nowMs),
    printable(bucket),
    printable(key),
    printable(winner.by),
    printable(loser.by),
    agoText(loser.at, nowMs),
    lostText(loser),
  ]);
  return tableText(terminal, HEAD, rows);
}

function lostText({ value, leftOutBytes, type }: Write): string {
  if (leftOutBytes !== undefined) return `<${sizeText(leftOutBytes)}, too long to be kept>`;
  if (value === undefined) return `<${printable(type ?? 'not known')}>`;
  const characters = Array.from(valueText(Buffer.from(value, 'base64')));
  return characters.length > PREVIEW ? `${characters.slice(0, PREVIEW - 1).join('')}…` : characters.join('');
}
