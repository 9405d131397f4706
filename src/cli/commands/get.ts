import type { Command } from 'commander';
import { z } from 'zod';
import { apiOf } from '../api-target.ts';
import { keyPath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { contextOption, examples, levelOption, siteOption } from '../options.ts';
import { openSession, type Session } from '../session.ts';
import { readShape } from '../shapes.ts';
import { plural } from '../text.ts';

const VALUE_BYTES_MAX = 64 * 1024 * 1024;
const SIBLINGS = z.array(z.unknown());

interface GetOptions {
  readonly site?: string;
  readonly level?: string;
  readonly context?: string;
}

export function addGetCommand(program: Command, context: CliContext): void {
  program
    .command('get')
    .description('print a value, byte for byte; exit status 1 when there is none')
    .argument('<bucket>', 'name of the bucket')
    .argument('<key>', 'key')
    .addOption(levelOption('answer'))
    .addOption(contextOption('show no less than that has seen'))
    .addOption(siteOption())
    .addHelpText(
      'after',
      examples(
        'holdfast get default greeting',
        'holdfast get default photo.jpg > photo.jpg',
        'holdfast get default greeting --site hall-2',
      ),
    )
    .action(async (bucket: string, key: string, options: GetOptions, command: Command) => {
      const session = openSession(command, context, apiOf(options.site));
      const headers: Record<string, string> = {};
      if (options.context !== undefined) headers['Holdfast-Context'] = options.context;
      const path = keyPath(bucket, key, options.site);
      const response = await session.client.request(path, { query: { r: options.level }, headers });
      const complete = response.headers.get('holdfast-complete') !== 'false';
      if (!complete) session.terminal.note('too few owners of the key could be asked; newer writes may be missing');
      if (session.json) await printJson(session, key, response, complete);
      else if (response.status === 300) await printSiblings(session, response);
      else await printValue(session, response);
    });
}

async function printValue({ client, terminal }: Session, response: Response): Promise<void> {
  let last: number | undefined;
  for await (const chunk of client.chunks(response)) {
    await terminal.write(chunk);
    last = chunk.at(-1) ?? last;
  }
  if (terminal.isTTY && last !== 0x0a) await terminal.write('\n');
}

async function printSiblings(session: Session, response: Response): Promise<void> {
  const siblings = await readSiblings(session, response);
  session.terminal.note(
    `${plural(siblings.length, 'concurrent value')}, printed as JSON lines — resolve with put --context (see get --json)`,
  );
  for (const sibling of siblings) await session.terminal.json(sibling);
}

async function printJson(session: Session, key: string, response: Response, complete: boolean): Promise<void> {
  const { client, terminal } = session;
  const { headers } = response;
  const about = { etag: headers.get('etag'), context: headers.get('holdfast-context'), complete };
  if (response.status === 300) {
    return terminal.json({ key, ...about, siblings: await readSiblings(session, response) });
  }
  const bytes = Buffer.from(await client.bytes(response, VALUE_BYTES_MAX));
  const type = headers.get('holdfast-type');
  // A set or map is JSON already.
  if (type !== null) return terminal.json({ key, type, ...Object(client.parse(bytes.toString('utf8'))), ...about });
  return terminal.json({ key, value: bytes.toString('base64'), contentType: headers.get('content-type'), ...about });
}

async function readSiblings({ client }: Session, response: Response): Promise<unknown[]> {
  const text = new TextDecoder().decode(await client.bytes(response, VALUE_BYTES_MAX));
  return readShape(SIBLINGS, client.parse(text));
}
