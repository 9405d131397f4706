import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeReply, encodeCommand, RespClient, type RespValue } from './resp-client.ts';
import { until } from './until.ts';

/** Raw replies by session, and COMMAND INFO (without key specifications) by command, as a real Redis gave them. */
export interface RedisExpectations {
  readonly redisVersion: string;
  readonly sessions: Readonly<Record<string, readonly string[]>>;
  readonly commands: Readonly<Record<string, RespValue>>;
}

export const EXPECTATIONS_FILE = join(import.meta.dirname, 'redis-expectations.json');

export function recordedExpectations(): RedisExpectations {
  return JSON.parse(readFileSync(EXPECTATIONS_FILE, 'utf8')) as RedisExpectations;
}

type Session = readonly (readonly string[])[];

const VALUES: Session = [
  ['SET', 'a', '1'],
  ['GET', 'a'],
  ['get', 'A'],
  ['SET', 'empty', ''],
  ['GET', 'empty'],
  ['SET', 'bin', '\0\r\n\xff'],
  ['GET', 'bin'],
  ['STRLEN', 'bin'],
  ['STRLEN', 'nothing'],
];

const GLOBS = [
  '*',
  'k?',
  'k[12]',
  'k[^1]',
  'k[1-2]',
  'k[2-1]',
  '\\*',
  'k\\1',
  'k1',
  'k',
  '[a',
  'a[',
  'a\\',
  '',
  '[]',
  '*[*]',
  'é',
  '??',
];

/** Whatever needs a type, on key `k`; in the wrong one each fails and changes nothing. */
const STRING_COMMANDS_ON_K: Session = [
  ['GET', 'k'],
  ['STRLEN', 'k'],
  ['APPEND', 'k', 'x'],
  ['INCR', 'k'],
  ['DECR', 'k'],
  ['INCRBY', 'k', '2'],
  ['INCRBY', 'k', 'x'],
  ['DECRBY', 'k', '2'],
  ['GETSET', 'k', 'v'],
  ['GETDEL', 'k'],
  ['SET', 'k', 'v', 'GET'],
  ['SET', 'k', 'v', 'NX', 'GET'],
];
const SET_COMMANDS_ON_K: Session = [
  ['SADD', 'k', 'a'],
  ['SREM', 'k', 'a'],
  ['SMEMBERS', 'k'],
  ['SISMEMBER', 'k', 'a'],
  ['SMISMEMBER', 'k', 'a', 'b'],
  ['SCARD', 'k'],
  ['SSCAN', 'k', '0'],
  ['SSCAN', 'k', '0', 'FOO'],
];
const HASH_COMMANDS_ON_K: Session = [
  ['HSET', 'k', 'f', 'v'],
  ['HSET', 'k', 'f', 'v', 'g'],
  ['HMSET', 'k', 'f', 'v'],
  ['HGET', 'k', 'f'],
  ['HMGET', 'k', 'f', 'g'],
  ['HGETALL', 'k'],
  ['HDEL', 'k', 'f'],
  ['HKEYS', 'k'],
  ['HVALS', 'k'],
  ['HLEN', 'k'],
  ['HEXISTS', 'k', 'f'],
  ['HSTRLEN', 'k', 'f'],
  ['HINCRBY', 'k', 'f', '1'],
  ['HINCRBY', 'k', 'f', 'x'],
  ['HSCAN', 'k', '0'],
];

/** Sessions whose replies must be Redis' own, byte for byte. Each starts with an empty database on a new connection. */
const SESSIONS: Readonly<Record<string, Session>> = {
  'strings: set and get': VALUES,
  'strings: absent values': [...VALUES, ['MGET', 'a', 'none'], ['GETDEL', 'none']],
  'strings: conditions': [
    ['SET', 'k', '1', 'XX'],
    ['SET', 'k', '1', 'NX'],
    ['SET', 'k', '2', 'NX'],
    ['SET', 'k', '3', 'XX'],
    ['GET', 'k'],
    ['SET', 'k', '4', 'GET'],
    ['SET', 'k', '5', 'NX', 'GET'],
    ['GET', 'k'],
    ['SET', 'l', '1', 'GET'],
    ['SET', 'm', '1', 'XX', 'GET'],
    ['EXISTS', 'm'],
    ['SETNX', 'k', '9'],
    ['SETNX', 'n', '9'],
    ['GETSET', 'n', '10'],
    ['GETSET', 'o', '1'],
    ['GETDEL', 'o'],
    ['GETDEL', 'o'],
    ['set', 'k', '7', 'nx', 'get'],
  ],
  'strings: syntax': [
    ['SET', 'k', '1', 'EX'],
    ['SET', 'k', '1', 'EX', '0'],
    ['SET', 'k', '1', 'EX', '-1'],
    ['SET', 'k', '1', 'EX', 'x'],
    ['SET', 'k', '1', 'EX', '1', 'PX', '1'],
    ['SET', 'k', '1', 'NX', 'XX'],
    ['SET', 'k', '1', 'KEEPTTL', 'EX', '1'],
    ['SET', 'k', '1', 'EX', '1', 'KEEPTTL'],
    ['SET', 'k', '1', 'EX', '9223372036854775807'],
    ['SET', 'k', '1', 'FOO'],
    ['SETEX', 'k', '0', '1'],
    ['SETEX', 'k', 'x', '1'],
    ['PSETEX', 'k', '-1', '1'],
    ['EXISTS', 'k'],
    ['MSET', 'a'],
    ['MSET', 'a', '1', 'b'],
    ['SET', 'a'],
    ['GET'],
    ['GET', 'a', 'b'],
  ],
  'strings: many keys': [
    ['MSET', 'a', '1', 'b', '2', 'a', '3'],
    ['MGET', 'a', 'b', 'c', 'a'],
    ['EXISTS', 'a', 'b', 'c', 'a'],
    ['DEL', 'a', 'a', 'c'],
    ['UNLINK', 'b', 'c'],
    ['MGET', 'a', 'b'],
    ['DBSIZE'],
  ],
  'strings: append': [
    ['APPEND', 'k', 'ab'],
    ['APPEND', 'k', ''],
    ['APPEND', 'k', 'cd'],
    ['GET', 'k'],
    ['SET', 'n', '1'],
    ['INCR', 'n'],
    ['APPEND', 'n', '0'],
    ['INCR', 'n'],
    ['STRLEN', 'n'],
  ],
  counters: [
    ['INCR', 'n'],
    ['INCRBY', 'n', '41'],
    ['GET', 'n'],
    ['DECR', 'n'],
    ['DECRBY', 'n', '-1'],
    ['DECRBY', 'n', '0'],
    ['TYPE', 'n'],
    ['INCRBY', 'n', 'x'],
    ['INCRBY', 'n', '1.5'],
    ['INCRBY', 'n', ' 1'],
    ['INCRBY', 'n', '01'],
    ['INCRBY', 'n', '9223372036854775808'],
    ['SET', 's', 'abc'],
    ['INCR', 's'],
    ['SET', 's', ''],
    ['INCR', 's'],
    ['SET', 's', '-5'],
    ['INCR', 's'],
    ['SET', 's', '10', 'EX', '100'],
    ['INCR', 's'],
    ['TTL', 's'],
    ['DECRBY', 'm', '7'],
    ['STRLEN', 'm'],
    ['SET', 'm', 'text'],
    ['GET', 'm'],
    ['INCR'],
    ['INCRBY', 'n'],
  ],
  expiry: [
    ['TTL', 'k'],
    ['PTTL', 'k'],
    ['EXPIRE', 'k', '10'],
    ['SET', 'k', '1'],
    ['TTL', 'k'],
    ['PTTL', 'k'],
    ['EXPIRETIME', 'k'],
    ['PEXPIRETIME', 'k'],
    ['EXPIRE', 'k', '100'],
    ['TTL', 'k'],
    ['SET', 'k', '2', 'KEEPTTL'],
    ['TTL', 'k'],
    ['APPEND', 'k', '0'],
    ['TTL', 'k'],
    ['PERSIST', 'k'],
    ['PERSIST', 'k'],
    ['PERSIST', 'none'],
    ['TTL', 'k'],
    ['PEXPIRE', 'k', '200499'],
    ['TTL', 'k'],
    ['SET', 'k', '3'],
    ['TTL', 'k'],
    ['EXPIREAT', 'k', '33177117420'],
    ['EXPIRETIME', 'k'],
    ['PEXPIREAT', 'k', '33177117420500'],
    ['EXPIRETIME', 'k'],
    ['PEXPIRETIME', 'k'],
    ['SETEX', 'k', '50', 'v'],
    ['TTL', 'k'],
    ['PSETEX', 'k', '60000', 'w'],
    ['TTL', 'k'],
    ['SET', 'k', 'x', 'EXAT', '33177117420'],
    ['PEXPIRETIME', 'k'],
    ['SET', 'k', 'x', 'PXAT', '33177117420123'],
    ['PEXPIRETIME', 'k'],
    ['GETSET', 'k', 'y'],
    ['TTL', 'k'],
    ['EXPIRE', 'k', '0'],
    ['EXISTS', 'k'],
    ['SET', 'k', '1'],
    ['EXPIRE', 'k', '-5'],
    ['GET', 'k'],
    ['EXPIRE', 'k', '-5'],
    ['SET', 'k', '1', 'PXAT', '1'],
    ['GET', 'k'],
    ['DEL', 'k'],
  ],
  'expiry: conditions and syntax': [
    ['SET', 'k', '1'],
    ['EXPIRE', 'k', '100', 'XX'],
    ['EXPIRE', 'k', '100', 'GT'],
    ['EXPIRE', 'k', '100', 'LT'],
    ['EXPIRE', 'k', '200', 'NX'],
    ['EXPIRE', 'k', '200', 'LT'],
    ['EXPIRE', 'k', '200', 'GT'],
    ['TTL', 'k'],
    ['EXPIRE', 'k', '300', 'XX', 'GT'],
    ['TTL', 'k'],
    ['PERSIST', 'k'],
    ['EXPIRE', 'k', '300', 'nx'],
    ['EXPIRE', 'none', '300', 'NX'],
    ['EXPIRE', 'k', 'x'],
    ['EXPIRE', 'k', '1', 'FOO'],
    ['EXPIRE', 'k', '1', 'NX', 'XX'],
    ['EXPIRE', 'k', '1', 'GT', 'LT'],
    ['EXPIRE', 'k', '9223372036854775807'],
    ['PEXPIRE', 'k', '9223372036854775807'],
    ['EXPIRE', 'k'],
    ['TTL', 'k'],
  ],
  'keys: type, scan and patterns': [
    ['TYPE', 'none'],
    ['SCAN', '0'],
    ['KEYS', '*'],
    ['MSET', 'k1', '1', 'k2', '2', 'k3', '3', '*', '4', 'a\\', '5', 'a', '6', 'é', '7', 'a[', '8'],
    ['TYPE', 'k1'],
    ['DBSIZE'],
    ...GLOBS.map((pattern) => ['KEYS', pattern]),
    ['SCAN', '0', 'MATCH', 'k*', 'COUNT', '100'],
    ['SCAN', '0', 'TYPE', 'string', 'COUNT', '100'],
    ['SCAN', '0', 'TYPE', 'list', 'COUNT', '100'],
    ['SCAN', '0', 'COUNT', '1000', 'MATCH', 'k1'],
    ['SCAN', 'x'],
    ['SCAN', '1x'],
    ['SCAN', '18446744073709551616'],
    ['SCAN', '0', 'COUNT', '0'],
    ['SCAN', '0', 'COUNT', 'x'],
    ['SCAN', '0', 'MATCH'],
    ['SCAN', '0', 'FOO', 'x'],
    ['KEYS'],
    ['DBSIZE', 'x'],
  ],
  sets: [
    ['SADD', 's', 'a', 'b', 'a', 'c'],
    ['SADD', 's', 'a', 'd'],
    ['SADD', 's', 'a'],
    ['SCARD', 's'],
    ['SCARD', 'none'],
    ['SMEMBERS', 's'],
    ['SMEMBERS', 'none'],
    ['SISMEMBER', 's', 'a'],
    ['SISMEMBER', 's', 'x'],
    ['SISMEMBER', 'none', 'a'],
    ['SMISMEMBER', 's', 'a', 'x', 'a', 'c'],
    ['SMISMEMBER', 'none', 'a', 'b'],
    ['SREM', 's', 'a', 'x', 'a'],
    ['SREM', 's', 'x'],
    ['SREM', 'none', 'x'],
    ['SMEMBERS', 's'],
    ['SADD', 's', '', 'bin\0\r\n\xff', '7'],
    ['SISMEMBER', 's', ''],
    ['SISMEMBER', 's', 'bin\0\r\n\xff'],
    ['SMEMBERS', 's'],
    ['TYPE', 's'],
    ['EXISTS', 's'],
    ['EXPIRE', 's', '100'],
    ['TTL', 's'],
    ['SADD', 's', 'later'],
    ['TTL', 's'],
    ['PERSIST', 's'],
    ['TTL', 's'],
    ['SREM', 's', 'b', 'c', 'd', '', 'bin\0\r\n\xff', '7'],
    ['SREM', 's', 'later'],
    ['EXISTS', 's'],
    ['TYPE', 's'],
    ['DBSIZE'],
    ['SADD', 's', 'again'],
    ['TTL', 's'],
    ['DEL', 's'],
    ['SMEMBERS', 's'],
    ['SADD', 's', 'x'],
    ['PEXPIREAT', 's', '1'],
    ['SMEMBERS', 's'],
  ],
  'sets: scan and syntax': [
    ['SADD', 's', 'aa', 'ab', 'bb'],
    ['SSCAN', 's', '0'],
    ['SSCAN', 's', '0', 'COUNT', '100'],
    ['SSCAN', 's', '0', 'MATCH', 'a*', 'COUNT', '100'],
    ['SSCAN', 's', '0', 'MATCH', 'x*'],
    ['SSCAN', 'none', '0'],
    ['SSCAN', 'none', '0', 'FOO'],
    ['SSCAN', 's', 'x'],
    ['SSCAN', 'none', 'x'],
    ['SSCAN', 's', '0', 'COUNT', '0'],
    ['SSCAN', 's', '0', 'COUNT', 'x'],
    ['SSCAN', 's', '0', 'MATCH'],
    ['SSCAN', 's', '0', 'TYPE', 'string'],
    ['SSCAN', 's'],
    ['SADD', 's'],
    ['SADD'],
    ['SREM', 's'],
    ['SMEMBERS'],
    ['SMEMBERS', 's', 'x'],
    ['SCARD'],
    ['SCARD', 's', 'x'],
    ['SISMEMBER', 's'],
    ['SISMEMBER', 's', 'a', 'b'],
    ['SMISMEMBER', 's'],
  ],
  hashes: [
    ['HSET', 'h', 'a', '1', 'b', '2'],
    ['HSET', 'h', 'a', '3', 'c', '4', 'c', '5'],
    ['HGET', 'h', 'a'],
    ['HGET', 'h', 'x'],
    ['HGET', 'none', 'a'],
    ['HMGET', 'h', 'a', 'x', 'c', 'a'],
    ['HMGET', 'none', 'a', 'b'],
    ['HGETALL', 'h'],
    ['HGETALL', 'none'],
    ['HKEYS', 'h'],
    ['HKEYS', 'none'],
    ['HVALS', 'h'],
    ['HVALS', 'none'],
    ['HLEN', 'h'],
    ['HLEN', 'none'],
    ['HEXISTS', 'h', 'a'],
    ['HEXISTS', 'h', 'x'],
    ['HEXISTS', 'none', 'a'],
    ['HSTRLEN', 'h', 'a'],
    ['HSTRLEN', 'h', 'x'],
    ['HSTRLEN', 'none', 'a'],
    ['HMSET', 'h', 'd', 'four', 'e', ''],
    ['HSTRLEN', 'h', 'd'],
    ['HGET', 'h', 'e'],
    ['HDEL', 'h', 'a', 'x', 'a'],
    ['HDEL', 'h', 'x'],
    ['HDEL', 'none', 'x'],
    ['HGETALL', 'h'],
    ['HSET', 'h', '', 'empty', 'bin\0\r\n\xff', 'bin\0\r\n\xff'],
    ['HGET', 'h', ''],
    ['HGET', 'h', 'bin\0\r\n\xff'],
    ['HGETALL', 'h'],
    ['TYPE', 'h'],
    ['EXISTS', 'h'],
    ['EXPIRE', 'h', '100'],
    ['TTL', 'h'],
    ['HSET', 'h', 'later', '1'],
    ['TTL', 'h'],
    ['PERSIST', 'h'],
    ['TTL', 'h'],
    ['HDEL', 'h', 'b', 'c', 'd', 'e', '', 'bin\0\r\n\xff'],
    ['HDEL', 'h', 'later'],
    ['EXISTS', 'h'],
    ['TYPE', 'h'],
    ['DBSIZE'],
    ['HSET', 'h', 'again', '1'],
    ['TTL', 'h'],
    ['UNLINK', 'h'],
    ['HGETALL', 'h'],
  ],
  'hashes: counters': [
    ['HINCRBY', 'h', 'n', '5'],
    ['HINCRBY', 'h', 'n', '-7'],
    ['HGET', 'h', 'n'],
    ['HSET', 'h', 'n', '10'],
    ['HINCRBY', 'h', 'n', '1'],
    ['HINCRBY', 'h', 'm', '0'],
    ['HGETALL', 'h'],
    ['HSTRLEN', 'h', 'n'],
    ['HSET', 'h', 's', 'abc', 'f', '1.5', 'e', ''],
    ['HINCRBY', 'h', 's', '1'],
    ['HINCRBY', 'h', 'f', '1'],
    ['HINCRBY', 'h', 'e', '1'],
    ['HINCRBY', 'h', 'n', 'x'],
    ['HINCRBY', 'h', 'n', '1.5'],
    ['HINCRBY', 'h', 'n', '9223372036854775808'],
    ['HDEL', 'h', 'n'],
    ['HINCRBY', 'h', 'n', '2'],
    ['HINCRBY', 'h', 'n'],
    ['HINCRBY', 'h', 'n', '1', '2'],
  ],
  'hashes: scan and syntax': [
    ['HSET', 'h', 'aa', '1', 'ab', '2', 'bb', '3'],
    ['HSCAN', 'h', '0'],
    ['HSCAN', 'h', '0', 'MATCH', 'a*', 'COUNT', '100'],
    ['HSCAN', 'h', '0', 'MATCH', 'x*'],
    ['HSCAN', 'none', '0'],
    ['HSCAN', 'none', '0', 'FOO'],
    ['HSCAN', 'h', 'x'],
    ['HSCAN', 'h', '0', 'COUNT', '0'],
    ['HSCAN', 'h', '0', 'COUNT', 'x'],
    ['HSCAN', 'h', '0', 'MATCH'],
    ['HSCAN', 'h', '0', 'TYPE', 'string'],
    ['HSCAN', 'h'],
    ['HSET', 'h'],
    ['HSET', 'h', 'a'],
    ['HSET', 'h', 'a', '1', 'b'],
    ['HMSET', 'h', 'a'],
    ['HMSET', 'h', 'a', '1', 'b'],
    ['HGET', 'h'],
    ['HGET', 'h', 'a', 'b'],
    ['HMGET', 'h'],
    ['HDEL', 'h'],
    ['HLEN'],
    ['HKEYS'],
    ['HVALS'],
    ['HGETALL'],
    ['HGETALL', 'h', 'x'],
    ['HEXISTS', 'h'],
    ['HSTRLEN', 'h'],
    ['HLEN', 'h'],
  ],
  'wrong types: strings': [
    ['SET', 'k', '1'],
    ...SET_COMMANDS_ON_K,
    ...HASH_COMMANDS_ON_K,
    ['INCR', 'k'],
    ...SET_COMMANDS_ON_K,
    ...HASH_COMMANDS_ON_K,
    ['GET', 'k'],
  ],
  'wrong types: sets': [
    ['SADD', 'k', '1'],
    ...STRING_COMMANDS_ON_K,
    ...HASH_COMMANDS_ON_K,
    ['SMEMBERS', 'k'],
    ['MGET', 'k', 'none'],
    ['SETNX', 'k', 'v'],
    ['SET', 'k', 'v', 'NX'],
    ['SMEMBERS', 'k'],
    ['SET', 'k', 'v', 'XX'],
    ['GET', 'k'],
    ['DEL', 'k'],
    ['SADD', 'k', '1'],
    ['SET', 'k', 'v'],
    ['TYPE', 'k'],
    ['DEL', 'k'],
    ['SADD', 'k', '1'],
    ['MSET', 'k', 'v', 'l', 'w'],
    ['TYPE', 'k'],
    ['DEL', 'k'],
    ['SADD', 'k', '1'],
    ['EXPIRE', 'k', '100'],
    ['SET', 'k', 'v', 'KEEPTTL'],
    ['TTL', 'k'],
    ['SADD', 'k', '1'],
    ['DEL', 'k'],
    ['SADD', 'k', '1'],
    ['SETEX', 'k', '100', 'v'],
    ['TYPE', 'k'],
  ],
  'wrong types: hashes': [
    ['HSET', 'k', 'f', '1'],
    ...STRING_COMMANDS_ON_K,
    ...SET_COMMANDS_ON_K,
    ['HGETALL', 'k'],
    ['MGET', 'k', 'none'],
    ['SETNX', 'k', 'v'],
    ['SET', 'k', 'v'],
    ['TYPE', 'k'],
    ['GET', 'k'],
    ['DEL', 'k'],
    ['HSET', 'k', 'f', '1'],
    ['TYPE', 'k'],
  ],
  'keys of every type': [
    ['MSET', 'a', '1', 'b', 'x'],
    ['INCR', 'n'],
    ['SADD', 's', '1'],
    ['HSET', 'h', 'f', '1'],
    ['EXISTS', 'a', 'n', 's', 'h', 'none'],
    ['DBSIZE'],
    ['KEYS', '*'],
    ['SCAN', '0', 'COUNT', '100'],
    ['SCAN', '0', 'COUNT', '100', 'TYPE', 'string'],
    ['SCAN', '0', 'COUNT', '100', 'TYPE', 'set'],
    ['SCAN', '0', 'COUNT', '100', 'TYPE', 'HASH'],
    ['SCAN', '0', 'COUNT', '100', 'TYPE', 'zset', 'MATCH', '*'],
    ['DEL', 'a', 'n', 's', 'h', 'none'],
    ['KEYS', '*'],
  ],
  connection: [
    ['PING'],
    ['PING', 'hi'],
    ['PING', 'a', 'b'],
    ['ECHO', 'hi'],
    ['ECHO'],
    ['SELECT', '0'],
    ['SELECT', '16'],
    ['SELECT', 'x'],
    ['AUTH', 'x'],
    ['AUTH', 'default', 'x'],
    ['AUTH', 'bob', 'x'],
    ['AUTH', 'a', 'b', 'c'],
    ['HELLO'],
    ['HELLO', '4'],
    ['HELLO', 'x'],
    ['HELLO', '3', 'FOO'],
    ['HELLO', '3', 'AUTH', 'bob', 'x'],
    ['HELLO', '3', 'AUTH', 'default'],
    ['HELLO', '3', 'SETNAME', 'a b'],
    ['CLIENT', 'GETNAME'],
    ['HELLO', '3', 'AUTH', 'default', 'x', 'SETNAME', 'me'],
    ['CLIENT', 'GETNAME'],
    ['GET', 'none'],
    ['RESET'],
    ['GET', 'none'],
    ['CLIENT', 'GETNAME'],
    ['RESET', 'x'],
    ['QUIT'],
  ],
  client: [
    ['CLIENT'],
    ['CLIENT', 'FOO'],
    ['CLIENT', 'ID', 'x'],
    ['CLIENT', 'SETNAME', 'a b'],
    ['CLIENT', 'SETNAME', 'abc'],
    ['CLIENT', 'GETNAME'],
    ['CLIENT', 'SETNAME', ''],
    ['CLIENT', 'GETNAME'],
    ['CLIENT', 'NO-EVICT', 'x'],
    ['CLIENT', 'NO-EVICT', 'on'],
    ['CLIENT', 'LIST', 'TYPE', 'x'],
    ['CLIENT', 'LIST', 'TYPE', 'pubsub'],
    ['CLIENT', 'LIST', 'ID', 'x'],
    ['CLIENT', 'LIST', 'FOO'],
    ['CLIENT', 'HELP', 'x'],
  ],
  'server and unknown commands': [
    ['CONFIG', 'GET'],
    ['CONFIG', 'GET', 'save'],
    ['CONFIG', 'GET', 'maxmemor?'],
    ['CONFIG', 'GET', 'nosuch'],
    ['CONFIG', 'FOO'],
    ['CONFIG'],
    ['INFO', 'nosuch'],
    ['COMMAND', 'INFO', 'nosuch'],
    ['COMMAND', 'DOCS', 'nosuch'],
    ['COMMAND', 'FOO'],
    ['COMMAND', 'COUNT', 'x'],
    ['COMMAND', 'LIST', 'FOO'],
    ['foo'],
    ['foo', 'a', 'b'],
    ['foo\r\nbar', 'a'.repeat(200), 'b'],
    ['x'.repeat(200), 'a', 'b\nc'],
    ['foo', 'a'.repeat(100), 'b'.repeat(100), 'c'],
    [''],
  ],
};

/** One client sends, then the given numbers of replies and messages are read from each. */
type Step = readonly [sender: string, command: readonly string[], reads: Readonly<Record<string, number>>];

/** Between several clients, by letter. */
const CONVERSATIONS: Readonly<Record<string, readonly Step[]>> = {
  'pub/sub: channels and patterns': [
    ['a', ['SUBSCRIBE', 'x', 'y', 'x'], { a: 3 }],
    ['a', ['PSUBSCRIBE', 'x*', '*'], { a: 2 }],
    ['b', ['PUBLISH', 'x', 'one'], { a: 3, b: 1 }],
    ['b', ['PUBLISH', 'z', 'two'], { a: 1, b: 1 }],
    ['b', ['PUBLISH', 'y', 'bin\0\r\n\xff'], { a: 2, b: 1 }],
    ['c', ['SUBSCRIBE', 'x'], { c: 1 }],
    ['b', ['PUBSUB', 'NUMSUB', 'x', 'y', 'none'], { b: 1 }],
    ['b', ['PUBSUB', 'NUMSUB'], { b: 1 }],
    ['b', ['PUBSUB', 'NUMPAT'], { b: 1 }],
    ['b', ['PUBSUB', 'CHANNELS', 'y*'], { b: 1 }],
    ['b', ['PUBSUB', 'CHANNELS', 'n*'], { b: 1 }],
    ['b', ['PUBLISH', 'x', 'three'], { a: 3, b: 1, c: 1 }],
    ['a', ['UNSUBSCRIBE', 'y', 'none'], { a: 2 }],
    ['a', ['PUNSUBSCRIBE', '*'], { a: 1 }],
    ['b', ['PUBLISH', 'y', 'nobody'], { b: 1 }],
    ['a', ['UNSUBSCRIBE'], { a: 1 }],
    ['a', ['UNSUBSCRIBE'], { a: 1 }],
    ['a', ['PUNSUBSCRIBE'], { a: 1 }],
    ['a', ['PUNSUBSCRIBE'], { a: 1 }],
    ['a', ['GET', 'none'], { a: 1 }],
    ['b', ['PUBSUB', 'NUMPAT'], { b: 1 }],
    ['b', ['PUBLISH', '', ''], { b: 1 }],
    ['c', ['SUBSCRIBE', ''], { c: 1 }],
    ['b', ['PUBLISH', '', ''], { b: 1, c: 1 }],
    ['c', ['RESET'], { c: 1 }],
    ['b', ['PUBLISH', 'x', 'nobody'], { b: 1 }],
  ],
  'pub/sub: what a subscriber may do': [
    ['a', ['SUBSCRIBE', 'x'], { a: 1 }],
    ['a', ['PING'], { a: 1 }],
    ['a', ['PING', 'hi'], { a: 1 }],
    ['a', ['GET', 'k'], { a: 1 }],
    ['a', ['GET'], { a: 1 }],
    ['a', ['NOSUCH'], { a: 1 }],
    ['a', ['PUBSUB', 'NUMPAT'], { a: 1 }],
    ['a', ['CLIENT', 'GETNAME'], { a: 1 }],
    ['a', ['UNSUBSCRIBE', 'x'], { a: 1 }],
    ['a', ['PING'], { a: 1 }],
    ['a', ['GET', 'k'], { a: 1 }],
    ['a', ['PSUBSCRIBE', 'x'], { a: 1 }],
    ['a', ['GET', 'k'], { a: 1 }],
    ['a', ['RESET'], { a: 1 }],
    ['a', ['GET', 'k'], { a: 1 }],
    ['a', ['SUBSCRIBE', 'x'], { a: 1 }],
    ['a', ['QUIT'], { a: 1 }],
  ],
  'pub/sub: errors': [
    ['a', ['SUBSCRIBE'], { a: 1 }],
    ['a', ['PSUBSCRIBE'], { a: 1 }],
    ['a', ['PUBLISH'], { a: 1 }],
    ['a', ['PUBLISH', 'x'], { a: 1 }],
    ['a', ['PUBLISH', 'x', 'y', 'z'], { a: 1 }],
    ['a', ['PUBSUB'], { a: 1 }],
    ['a', ['PUBSUB', 'FOO'], { a: 1 }],
    ['a', ['PUBSUB', 'NUMPAT', 'x'], { a: 1 }],
    ['a', ['PUBSUB', 'CHANNELS', 'x', 'y'], { a: 1 }],
    ['a', ['PUBSUB', 'CHANNELS'], { a: 1 }],
  ],
};

/** What a RESP3 client alone may do: everything, with messages in between. */
const RESP3_CONVERSATIONS: Readonly<Record<string, readonly Step[]>> = {
  'pub/sub: a subscriber that publishes to itself': [
    ['a', ['SUBSCRIBE', 'x'], { a: 1 }],
    ['a', ['PUBLISH', 'x', 'mine'], { a: 2 }],
    ['a', ['SET', 'k', '1'], { a: 1 }],
    ['a', ['HELLO', '2'], { a: 1 }],
    ['a', ['GET', 'k'], { a: 1 }],
    ['b', ['PUBLISH', 'x', 'again'], { a: 1, b: 1 }],
    ['a', ['HELLO', '3'], { a: 1 }],
  ],
};

/** Bytes that end with the connection closed; everything that came back before. */
const FATAL_INPUTS: readonly string[] = [
  '*abc\r\n',
  '*1\r\n:3\r\n',
  '*1\r\n$-1\r\n',
  '*1\r\n$abc\r\n',
  '*1\r\n$999999999999\r\n',
  '*3000000000\r\n',
  'PING\r\nPING "abc\r\n',
  'PING "abc"d\r\n',
  '*1\r\n\xff3\r\n',
  'POST / HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
  'x'.repeat(70_000),
  `*${'1'.repeat(70_000)}`,
  `*1\r\n$${'1'.repeat(70_000)}`,
  'ECHO "\\x41\\n\\q"\r\nQUIT\r\n',
  "\r\nECHO 'a\\'b\\n'\nQUIT\r\n",
  '*-1\r\n*0\r\nPING\r\nquit\r\n',
  // Pipelines, with lines in between and changes of the protocol on the way.
  'SADD s "a b" c\r\nSISMEMBER s "a b"\r\nHSET h f \'v w\' g 1\r\nHINCRBY h g 4\r\nHGET h f\r\nGET s\r\nQUIT\r\nGET s\r\n',
  'SUBSCRIBE x\r\nPING\r\nGET k\r\nUNSUBSCRIBE\r\nGET k\r\nSUBSCRIBE x\r\nRESET\r\nGET k\r\nQUIT\r\n',
  'HSET h f v\r\nHELLO 3 SETNAME me\r\nHGETALL h\r\n*2\r\n$7\r\nHGETALL\r\n$4\r\nnone\r\nSUBSCRIBE x\r\nPUBLISH x hi\r\nPING\r\nHELLO 2\r\nQUIT\r\n',
];

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

async function converse(port: number, steps: readonly Step[], version: number): Promise<string[]> {
  const clients = new Map<string, RespClient>();
  const heard: string[] = [];
  for (const [sender, command, reads] of steps) {
    for (const name of [sender, ...Object.keys(reads)]) {
      if (clients.has(name)) continue;
      const client = await RespClient.open(port);
      clients.set(name, client);
      if (version === 3) await client.call('HELLO', '3');
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

/** Name, arity, flags, first, last, step and ACL categories of commands. */
export async function commandInfo(port: number, names: readonly string[]): Promise<Record<string, RespValue>> {
  const client = await RespClient.open(port);
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
