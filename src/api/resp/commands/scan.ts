import { type CommandCall, type CommandSpec, command } from '../command.ts';
import { replyTooLarge } from '../errors.ts';
import { Glob } from '../glob.ts';
import { typeOf } from '../keyspace.ts';
import { KEY_BYTES_MAX, LIST_LIMIT_MAX, REPLY_BYTES_MAX } from '../limits.ts';
import { ErrorReply, type Reply } from '../reply.ts';
import type { ScannedKey } from '../scan-read-ahead.ts';
import { parseCursor, parseScanOptions, type ScanOptions } from './scan-options.ts';

/**
 * Listings of the whole cluster, in byte order of the keys. A key that is there from start to end is returned exactly
 * once, which is more than Redis promises; one that is written or deleted meanwhile may or may not be, as in Redis,
 * and SCAN may lag a few seconds behind (see `ScanReadAhead`). A wildcard-free beginning of the pattern narrows the listing itself.
 * While some owners are unreachable, keys of which no replica answers are missing. DBSIZE and KEYS read every page.
 */
export const SCAN_COMMANDS: readonly CommandSpec[] = [
  command({
    name: 'scan',
    arity: -2,
    flags: ['readonly'],
    barrier: true,
    group: 'generic',
    summary: 'Incrementally iterate the keys space',
    since: '2.8.0',
    complexity: 'O(1) for every call. O(N) for a complete iteration.',
    handler: handleScan,
  }),
  command({
    name: 'keys',
    arity: 2,
    flags: ['readonly'],
    barrier: true,
    group: 'generic',
    categories: ['@dangerous'],
    summary: 'Find all keys matching the given pattern',
    since: '1.0.0',
    complexity: 'O(N) with N being the number of keys in the database.',
    handler: handleKeys,
  }),
  command({
    name: 'dbsize',
    arity: 1,
    flags: ['readonly', 'fast'],
    barrier: true,
    group: 'server',
    categories: ['@keyspace'],
    summary: 'Return the number of keys in the selected database',
    since: '1.0.0',
    complexity: 'O(N) with N being the number of keys in the database.',
    handler: handleDbsize,
  }),
];

const UNKNOWN_CURSOR = new ErrorReply('ERR invalid cursor: it is not, or no longer, known to this node; scan from 0');

async function handleScan(call: CommandCall): Promise<Reply> {
  const { services, args } = call;
  const cursor = parseCursor(args[1] as Buffer);
  if (cursor instanceof ErrorReply) return cursor;
  const options = parseScanOptions(args.slice(2), true);
  if (options instanceof ErrorReply) return options;
  const after = /^0+$/.test(cursor) ? '' : services.cursors.recall(cursor);
  if (after === undefined) return UNKNOWN_CURSOR;
  const { keys, resumeAfter } = await readStep(call, options, after);
  const next = resumeAfter === '' ? '0' : services.cursors.remember(resumeAfter);
  const { type, glob } = options;
  const shown = keys.filter((found) => (type === null || type === found.type) && glob?.matches(found.key) !== false);
  return [next, shown.map(({ key }) => key)];
}

/** The next `count` keys of the listing, from what was read ahead where there is some. */
async function readStep(call: CommandCall, { glob, count }: ScanOptions, after: string): Promise<Page> {
  const { readAhead } = call.services;
  const prefix = glob?.prefix ?? '';
  const nowMs = performance.now();
  const ahead = after === '' ? undefined : readAhead.take(prefix, after, nowMs);
  const page = ahead ?? { ...(await readPage(call, glob, after)), fetchedAtMs: nowMs };
  const last = page.keys[count - 1];
  if (last === undefined || count >= page.keys.length) return page;
  readAhead.put(prefix, last.key, { ...page, keys: page.keys.slice(count) });
  return { keys: page.keys.slice(0, count), resumeAfter: last.key };
}

interface Page {
  readonly keys: readonly ScannedKey[];
  /** '' after the last page. */
  readonly resumeAfter: string;
}

/** A page of the keys that begin as the pattern does; they may still not match it. */
async function readPage(call: CommandCall, glob: Glob | null, after: string): Promise<Page> {
  const prefix = glob?.prefix ?? '';
  // A key comes before all longer ones that start with it.
  const literal = glob?.isLiteral === true;
  if (Buffer.byteLength(prefix) > KEY_BYTES_MAX || (literal && prefix === '')) return { keys: [], resumeAfter: '' };
  const limit = literal ? 1 : LIST_LIMIT_MAX;
  const { items, more, resumeAfter } = await call.services.keyspace.list(prefix, after, limit);
  return {
    keys: items.map(({ key, entries }) => ({ key, type: typeOf(entries) })),
    resumeAfter: more && !literal ? resumeAfter : '',
  };
}

async function handleKeys(call: CommandCall): Promise<Reply> {
  const glob = new Glob(call.args[1] as Buffer);
  const found: string[] = [];
  let bytes = 0;
  let after = '';
  do {
    const page = await readPage(call, glob, after);
    for (const { key } of page.keys) {
      if (!glob.matches(key)) continue;
      bytes += Buffer.byteLength(key);
      found.push(key);
    }
    if (bytes > REPLY_BYTES_MAX) throw replyTooLarge('use SCAN to go through that many keys');
    after = page.resumeAfter;
  } while (after !== '');
  return found;
}

async function handleDbsize(call: CommandCall): Promise<Reply> {
  let count = 0;
  let after = '';
  do {
    const page = await readPage(call, null, after);
    count += page.keys.length;
    after = page.resumeAfter;
  } while (after !== '');
  return count;
}
