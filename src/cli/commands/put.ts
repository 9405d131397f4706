import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { apiOf } from '../api-target.ts';
import { concatenate, keyPath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import {
  conditionHeaders,
  contextOption,
  examples,
  ifMatchOption,
  levelOption,
  siteOption,
  ttlOption,
} from '../options.ts';
import { openSession } from '../session.ts';
import { printWritten } from '../written.ts';

/** What a node accepts at most. */
const VALUE_BYTES_MAX = 1024 * 1024;
const TYPE_CHARACTERS_MAX = 256;
const TEXT = 'text/plain; charset=utf-8';
const BYTES = 'application/octet-stream';

interface PutOptions {
  readonly site?: string;
  readonly file?: string;
  readonly type?: string;
  readonly ttl?: number;
  readonly level?: string;
  readonly context?: string;
  readonly ifMatch?: string;
  readonly ifAbsent?: true;
}

export function addPutCommand(program: Command, context: CliContext): void {
  program
    .command('put')
    .description('store a value; done when it is synced to the disks of as many replicas as --level says')
    .argument('<bucket>', 'name of the bucket')
    .argument('<key>', 'key, 1 to 1024 bytes')
    .argument('[value]', 'value, or - for standard input')
    .option('--file <file>', 'take the value from a file')
    .addOption(
      new Option('--type <type>', `content type (default: ${TEXT} for an argument, else ${BYTES})`).argParser(typeOf),
    )
    .addOption(ttlOption('delete the value after so many seconds'))
    .addOption(levelOption('have it on disk'))
    .addOption(contextOption('replace what that has seen'))
    .addOption(ifMatchOption('replace').conflicts('ifAbsent'))
    .option('--if-absent', 'store only where the key has no value (strong buckets)')
    .addOption(siteOption())
    .addHelpText(
      'after',
      examples(
        'holdfast put default greeting hello',
        'holdfast put default photo.jpg --file photo.jpg --type image/jpeg',
        'sensors | holdfast put default reading - --ttl 3600',
        'holdfast put default offset -- -5',
        'holdfast put strong master gateway-7 --if-absent',
        'holdfast put settings limit 40 --site hall-2',
      ),
    )
    .action(async (bucket: string, key: string, value: string | undefined, options: PutOptions, command: Command) => {
      const session = openSession(command, context, apiOf(options.site));
      const path = keyPath(bucket, asTyped(key, 'key', 'use another key'), options.site);
      const body = await readValue(context, value, options.file);
      const headers: Record<string, string> = {
        'Content-Type': options.type ?? (value === undefined || value === '-' ? BYTES : TEXT),
        ...conditionHeaders(options),
      };
      if (options.context !== undefined) headers['Holdfast-Context'] = options.context;
      const query = { w: options.level, ttl: options.ttl?.toString() };
      const response = await session.client.request(path, { method: 'PUT', query, headers, body });
      await printWritten(session, 'stored', key, response);
    });
}

/** What a header can carry. */
function typeOf(text: string): string {
  if (text.length <= TYPE_CHARACTERS_MAX && /^[\x20-\x7e]+$/.test(text)) return text;
  throw new InvalidArgumentError(`Use 1 to ${TYPE_CHARACTERS_MAX} printable ASCII characters.`);
}

async function readValue(
  context: CliContext,
  value: string | undefined,
  file: string | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  if (value !== undefined && file !== undefined) {
    throw new CliError('a value and --file are both given — leave one out', 'bad-usage');
  }
  if (file !== undefined) return readFileValue(resolve(context.cwd, file));
  if (value === undefined)
    throw new CliError('no value is given — name one, - for standard input, or --file', 'bad-usage');
  if (value === '-') return collect(context.stdin, 'standard input');
  return new TextEncoder().encode(asTyped(value, 'value', 'give it with --file or on standard input'));
}

/** Node.js puts U+FFFD for bytes of an argument that are not UTF-8: what they were is lost, and nothing may be stored. */
function asTyped(text: string, what: string, fix: string): string {
  if (!text.includes('\ufffd')) return text;
  throw new CliError(`the ${what} is not UTF-8, or holds U+FFFD, which stands for such bytes — ${fix}`, 'bad-usage');
}

async function readFileValue(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const handle = await open(path);
    try {
      return await collect(handle.createReadStream({ autoClose: false }), path);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    // Without the code before it, and the call and the path behind it.
    const reason = (error instanceof Error ? error.message : String(error)).replace(/^[A-Z]+: (.*?), .*$/s, '$1');
    throw new CliError(`cannot read ${path}: ${reason} — name a file that you can read`, 'failed', { cause: error });
  }
}

async function collect(stream: AsyncIterable<Uint8Array>, what: string): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > VALUE_BYTES_MAX) {
      const message = `${what} has more than ${VALUE_BYTES_MAX} bytes, the most a value may have — split it`;
      throw new CliError(message, { fromApi: 'value-too-large' });
    }
    chunks.push(chunk);
  }
  return concatenate(chunks, length);
}
