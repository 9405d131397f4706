import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONVERSATIONS, FATAL_INPUTS, RESP3_CONVERSATIONS, SESSIONS, type Step } from './redis-sessions.ts';
import { STRONG_CONVERSATIONS } from './redis-transactions.ts';
import { decodeReply, encodeCommand, RespClient, type RespValue } from './resp-client.ts';
import { until } from './until.ts';

/** Raw replies by session, and COMMAND INFO (without key specifications) by command, as a real Redis gave them. */
export interface RedisExpectations {
  readonly redisVersion: string;
  readonly sessions: Readonly<Record<string, readonly string[]>>;
  /** Of database 1. */
  readonly strongSessions: Readonly<Record<string, readonly string[]>>;
  readonly commands: Readonly<Record<string, RespValue>>;
}

export const EXPECTATIONS_FILE = join(import.meta.dirname, 'redis-expectations.json');

export function recordedExpectations(): RedisExpectations {
  return JSON.parse(readFileSync(EXPECTATIONS_FILE, 'utf8')) as RedisExpectations;
}

function withoutId(reply: string): string {
  return reply.replaceAll(/(\$2\r\nid\r\n):\d+/g, '$1:1');
}

/** Commands that answer in the order in which Redis happens to hold things. */
const UNORDERED: ReadonlySet<string> = new Set([
  'KEYS',
  'SCAN',
  'SMEMBERS',
  'SSCAN',
  'HGETALL',
  'HKEYS',
  'HVALS',
  'HSCAN',
]);

/** Fields of the replies that differ from run to run. */
function normalised(command: readonly string[], reply: string): string {
  const name = command[0]?.toUpperCase();
  if (name === 'HELLO') return withoutId(reply);
  if (name === undefined || !UNORDERED.has(name)) return reply;
  const value = decodeReply(Buffer.from(reply, 'latin1'));
  const type = reply.slice(0, reply.indexOf('\n') + 1);
  if (value instanceof Map) return type + JSON.stringify(sorted([...value]));
  if (!Array.isArray(value)) return reply;
  const items = name === 'HGETALL' ? pairsOf(value) : value;
  return type + JSON.stringify(sorted(items.map((item) => (Array.isArray(item) ? sortedItems(name, item) : item))));
}

function sortedItems(name: string, items: readonly RespValue[]): RespValue[] {
  return sorted(name === 'HSCAN' ? pairsOf(items) : items);
}

function pairsOf(items: readonly RespValue[]): RespValue[] {
  return items.flatMap((item, i) => (i % 2 === 0 ? [[item, items[i + 1] ?? null]] : []));
}

/** By their text, so that the order in which Redis happens to hold its keys does not matter. */
function sorted(items: readonly RespValue[]): RespValue[] {
  return [...items].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** Runs every session; `empty` clears the database before each. */
export async function runSessions(port: number, empty: () => Promise<void> | void): Promise<Record<string, string[]>> {
  const results: Record<string, string[]> = {};
  for (const version of [2, 3]) {
    for (const [name, session] of Object.entries(SESSIONS)) {
      await empty();
      const steps = session.map((command): Step => ['a', command, { a: 1 }]);
      results[`${name} (RESP${version})`] = await converse(port, steps, version);
    }
    for (const [name, steps] of Object.entries(CONVERSATIONS)) {
      await empty();
      results[`${name} (RESP${version})`] = await converse(port, steps, version);
    }
  }
  for (const [name, steps] of Object.entries(RESP3_CONVERSATIONS)) results[name] = await converse(port, steps, 3);
  for (const input of FATAL_INPUTS) {
    await empty();
    const client = await RespClient.open(port);
    client.send(Buffer.from(input, 'latin1'));
    results[`to the end: ${JSON.stringify(input.slice(0, 40))}`] = [withoutId(await client.closed)];
  }
  return results;
}

/** The same for database 1. It may have no listing, so what the conversations name is deleted before each. */
export async function runStrongSessions(port: number): Promise<Record<string, string[]>> {
  const results: Record<string, string[]> = {};
  const words = Object.values(STRONG_CONVERSATIONS).flatMap((steps) =>
    steps.flatMap(([, command]) => command.slice(1)),
  );
  const names = [...new Set(words)].filter((word) => word !== '');
  for (const version of [2, 3]) {
    for (const [name, steps] of Object.entries(STRONG_CONVERSATIONS)) {
      const client = await RespClient.open(port);
      await client.call('SELECT', '1');
      await client.call('DEL', ...names);
      client.close();
      results[`${name} (RESP${version})`] = await converse(port, steps, version, '1');
    }
  }
  return results;
}

async function converse(port: number, steps: readonly Step[], version: number, database = '0'): Promise<string[]> {
  const clients = new Map<string, RespClient>();
  const heard: string[] = [];
  for (const [sender, command, reads] of steps) {
    for (const name of [sender, ...Object.keys(reads)]) {
      if (clients.has(name)) continue;
      const client = await RespClient.open(port);
      clients.set(name, client);
      if (version === 3) await client.call('HELLO', '3');
      if (database !== '0') await client.call('SELECT', database);
    }
    clients.get(sender)?.send(encodeCommand(command.map(bytesOf)));
    for (const [name, count] of Object.entries(reads)) {
      const replies = (await clients.get(name)?.replies(count)) ?? [];
      heard.push(
        ...patternsSorted(replies).map((reply) => (name === 'a' ? '' : `${name}: `) + normalised(command, reply)),
      );
    }
  }
  for (const client of clients.values()) client.close();
  return heard;
}

/** Matching patterns are told of a message in the order in which Redis happens to hold them. */
function patternsSorted(replies: readonly string[]): string[] {
  const isPattern = (reply: string): boolean => reply.includes('pmessage');
  const sortedPatterns = replies.filter(isPattern).sort();
  return replies.map((reply) => (isPattern(reply) ? (sortedPatterns.shift() as string) : reply));
}

/** Strings stand for bytes, except those beyond latin1. */
function bytesOf(arg: string): Buffer {
  return Buffer.from(arg, /[\u0080-\u00ff]/.test(arg) && !arg.includes('é') ? 'latin1' : 'utf8');
}

/** Name, arity, flags, first, last, step and ACL categories of commands, as database 1 has them. */
export async function commandInfo(port: number, names: readonly string[]): Promise<Record<string, RespValue>> {
  const client = await RespClient.open(port);
  await client.call('SELECT', '1');
  const infos: Record<string, RespValue> = {};
  for (const name of names) {
    const [info] = (await client.call('COMMAND', 'INFO', name)) as (RespValue[] | null)[];
    infos[name] = info?.slice(0, 7) ?? null;
  }
  client.close();
  return infos;
}

/** The version of the installed `redis-server`, null without one. */
export function installedRedis(): string | null {
  try {
    return /v=([0-9.]+)/.exec(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))?.[1] ?? null;
  } catch {
    return null;
  }
}

export interface RealRedis {
  readonly port: number;
  stop(): Promise<void>;
}

/** A real Redis on a free loopback port, in memory only. */
export async function startRedis(): Promise<RealRedis> {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-redis-'));
  const options = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    directory,
  ];
  const child: ChildProcess = spawn('redis-server', options, { stdio: 'ignore' });
  const exited = once(child, 'exit');
  await until('redis-server answers', async () => {
    try {
      (await RespClient.open(port)).close();
      return true;
    } catch {
      return false;
    }
  });
  return {
    port,
    stop: async () => {
      child.kill();
      await exited;
      rmSync(directory, { recursive: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return address !== null && typeof address === 'object' ? address.port : 0;
}
