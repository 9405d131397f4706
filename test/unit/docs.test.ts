import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { BATCH_CHECKED_BYTES_MAX, BATCH_OPERATIONS_MAX, TTL_SECONDS_MAX } from '../../src/api/http/limits.ts';
import type { CommandTable } from '../../src/api/resp/command.ts';
import { failureReply } from '../../src/api/resp/errors.ts';
import { STRONG_COMMANDS } from '../../src/api/resp/strong/command-table.ts';
import { allCommands, type CommandNode, commandTree } from '../../src/cli/command-tree.ts';
import { EXIT_STATUSES } from '../../src/cli/errors.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { HUB_KEYS } from '../../src/config/hub-keys.ts';
import { CONFIG_KEYS, OTHER_VARIABLES } from '../../src/config/keys.ts';
import { HubCounters } from '../../src/hub/hub-counters.ts';
import { hubMetrics } from '../../src/hub/hub-metrics.ts';
import { FAILURE_CODES, type FailureCode, failure } from '../../src/lib/failure.ts';
import { EVENT_LEVELS } from '../../src/runtime/event-levels.ts';
import { nodeMetrics } from '../../src/runtime/node-metrics.ts';
import { startHarness } from './api/http/harness.ts';
import { startHubHarness } from './api/hub/harness.ts';

const root = resolve(import.meta.dirname, '../..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const documents = ['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md'].map((name) => ({
  name,
  text: readFileSync(join(root, name), 'utf8'),
}));

type Row = Readonly<Record<string, string>>;

/** All rows of the README's tables whose first column has this title; cells without their back-ticks. */
function rowsOf(firstColumn: string): Row[] {
  const rows: Row[] = [];
  let head: readonly string[] | null = null;
  for (const line of readme.split('\n')) {
    if (!line.startsWith('|')) head = null;
    else if (head === null) head = cellsOf(line);
    else if (!/^\|[-|]+\|$/.test(line) && head[0] === firstColumn) {
      const cells = cellsOf(line);
      rows.push(Object.fromEntries(head.map((title, i) => [title, cells[i] ?? ''])));
    }
  }
  return rows;
}

function cellsOf(line: string): string[] {
  return line
    .slice(1, -1)
    .split('|')
    .map((cell) => cell.trim());
}

/** What stands between back-ticks. */
function codeOf(cell: string | undefined): string[] {
  return [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, code]) => code as string);
}

function plain(cell: string | undefined): string {
  const text = (cell ?? '').replaceAll('`', '');
  return text === '–' ? '' : text;
}

const EMPTY_SNAPSHOT: Parameters<typeof nodeMetrics>[0] = {
  version: '1.2.3',
  name: 'node',
  uptimeSeconds: 0,
  members: [],
  membership: { localHealth: 0, forgedClaims: 0 },
  ringEpoch: 0,
  leader: {
    leader: null,
    peerId: null,
    self: false,
    term: 0,
    quorate: false,
    leaseRemainingMs: 0,
    fencingToken: null,
    votes: 0,
    view: 0,
  },
  level: 'connected',
  components: [],
  uplink: null,
  clock: { correctionMs: 0, pending: false, doubtfulSinceMs: null },
  replication: {
    shards: { owned: 0, complete: 0, transferring: 0, behind: 0 },
    hints: { records: 0, bytes: 0, dropped: 0 },
    cache: { cells: 0, bytes: 0 },
    inFlight: 0,
    conflicts: 0,
    counters: {
      writes: 0,
      writesSloppy: 0,
      writesFailed: 0,
      reads: 0,
      readsIncomplete: 0,
      readRepairs: 0,
      forwards: 0,
      hintsStored: 0,
      hintsDelivered: 0,
      hintsDropped: 0,
      syncRounds: 0,
      syncObjectsSent: 0,
      syncObjectsReceived: 0,
      comparisons: 0,
      indexRowsStripped: 0,
      expired: 0,
      driftRefused: 0,
      restamped: 0,
      conflicts: 0,
    },
  },
  registers: null,
  disk: { usedBytes: 0, freeBytes: 0, readOnly: false },
  driver: { turns: 0, inputs: 0, framesReceived: 0, framesRefused: 0, messagesUnknown: 0, messagesOversized: 0 },
  transport: {},
  refusals: new Map(),
  sent: new Map(),
  care: { records: 0, bytes: 0, passes: 0, lastEndedMs: 0, corrupt: 0 },
  pubSub: { sent: 0, received: 0, dropped: 0, refused: 0 },
  process: { residentBytes: 0, cpuSeconds: 0 },
};

const EMPTY_HUB_SNAPSHOT: Parameters<typeof hubMetrics>[0] = {
  version: '1.2.3',
  name: 'hub',
  uptimeSeconds: 0,
  process: { residentBytes: 0, cpuSeconds: 0 },
  sites: [],
  sessions: 0,
  uplink: null,
  traffic: { sentBytes: 0, receivedBytes: 0 },
  counters: new HubCounters(),
};

describe('the README', () => {
  it.each([
    ['key', CONFIG_KEYS],
    ['key of a hub', HUB_KEYS],
  ])('has every %s with its flag, variable and default', (column, keys) => {
    const documented = rowsOf(column).filter((row) => 'variable' in row);
    expect(
      documented.map((row) => ({
        key: plain(row[column]),
        flag: plain(row['flag']),
        variable: plain(row['variable']),
        default: plain(row['default']),
      })),
    ).toEqual(
      keys.map(({ key, flag, placeholder, variable, default: fallback }) => ({
        key,
        flag: flag === null ? '' : `${flag} ${placeholder}`,
        variable,
        default: fallback,
      })),
    );
  });

  it('has every error code with its status and its Redis reply', () => {
    const documented = rowsOf('code').map((row) => [plain(row['code']), Number(row['HTTP']), plain(row['Redis'])]);
    const codes = Object.entries(FAILURE_CODES).map(([code, status]) => {
      const [redis] = failureReply(failure(code as FailureCode, 'because')).text.split(' ');
      return [code, status, redis];
    });
    expect(documented).toEqual(codes);
  });

  it.each([
    ['metric', nodeMetrics(EMPTY_SNAPSHOT)],
    ['metric of a hub', hubMetrics(EMPTY_HUB_SNAPSHOT)],
  ])('has every %s with its type', (column, known) => {
    const documented = rowsOf(column).map((row) => `${plain(row[column])} ${row['type']}`);
    const metrics = known.map(({ name, type }) => `${name} ${type}`);
    expect(documented.sort()).toEqual(metrics.sort());
  });

  it.each([
    ['route', startHarness],
    ['route of a hub', startHubHarness],
  ])('has every HTTP %s', async (column, start) => {
    const harness = await start();
    const api = (await (await harness.fetch('/openapi.json')).json()) as {
      paths: Record<string, Record<string, unknown>>;
    };
    const routes = Object.entries(api.paths).flatMap(([path, methods]) =>
      Object.keys(methods)
        .filter((method) => method !== 'head')
        .map((method) => `${method.toUpperCase()} ${path}`),
    );
    // The description does not describe itself.
    const self = ['GET /docs', 'GET /openapi.json'];
    const documented = rowsOf(column).map((row) => plain(row[column]));
    expect(documented.sort()).toEqual([...new Set([...routes, ...self])].sort());
  });

  it('has every command of the command line, with options that exist', () => {
    const leaves = allCommands(tree()).filter(({ commands, words }) => commands.length === 0 && words.length > 0);
    const byName = new Map(leaves.map((leaf) => [leaf.words.join(' '), leaf]));
    const documented = rowsOf('command').map((row) => ({ name: commandName(plain(row['command'])), row }));
    expect(documented.map(({ name }) => name).sort()).toEqual([...byName.keys()].sort());
    for (const { name, row } of documented) {
      const known = byName.get(name)?.options.flatMap((option) => option.names) ?? [];
      const used = codeOf(row['does']).flatMap((code) => code.match(/^--[a-z-]+/) ?? []);
      expect(known, name).toEqual(expect.arrayContaining(used));
    }
  });

  it('has every command of the Redis protocol', () => {
    const documented = rowsOf('family').flatMap((row) => codeOf(row['commands']));
    expect(documented.sort()).toEqual(redisCommands(STRONG_COMMANDS).sort());
  });

  it('has the limits of the API', () => {
    const limits = Object.fromEntries(rowsOf('what').map((row) => [row['what'], row['limit']]));
    expect(limits['time to live']).toContain(`1 to ${TTL_SECONDS_MAX.toLocaleString('en')} s`);
    expect(limits['operations in a batch']).toBe(BATCH_OPERATIONS_MAX.toLocaleString('en'));
    expect(readme).toContain(`\`Content-Length\` is ${BATCH_CHECKED_BYTES_MAX / 1024 / 1024} MiB or less`);
  });

  it('has every exit status', () => {
    expect(rowsOf('exit').map((row) => [Number(row['exit']), plain(row['meaning'])])).toEqual(EXIT_STATUSES);
  });

  it('has every event with the level at which it is logged', () => {
    expect(Object.fromEntries(rowsOf('event').map((row) => [plain(row['event']), row['log']]))).toEqual(EVENT_LEVELS);
  });
});

describe.each(documents)('$name', ({ text }) => {
  it('links only to files that exist', () => {
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link]) => link as string);
    expect(links.filter((link) => !existsSync(join(root, link)))).toEqual([]);
  });

  it('names only files, folders and scripts that exist', () => {
    const paths = [...text.matchAll(/`((?:src|test|scripts)\/[\w./-]*\w\/?)/g)].map(([, path]) => path as string);
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    const scripts = [...text.matchAll(/npm run ([\w:]+)/g)].map(([, script]) => script as string);
    expect(scripts.filter((script) => !(script in packageJson.scripts))).toEqual([]);
  });

  it('mentions only configuration keys and variables that exist', () => {
    const keys = [...text.matchAll(/`(tuning\.\w+)/g)].map(([, key]) => key as string);
    const variables = [...text.matchAll(/\bHOLDFAST_[A-Z_]*[A-Z]/g)].map(([variable]) => variable);
    const known = [...CONFIG_KEYS, ...HUB_KEYS].flatMap(({ key, variable }) => [key, variable]);
    expect([...known, ...OTHER_VARIABLES]).toEqual(expect.arrayContaining([...keys, ...variables]));
  });
});

function tree(): CommandNode {
  const unused = (): never => {
    throw new Error('nothing is run');
  };
  const program = buildProgram({
    version: packageJson.version,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    isTTY: false,
    env: {},
    cwd: root,
    hostName: 'host',
    fetch: globalThis.fetch,
    now: () => 0,
    monotonicMs: () => 0,
    sleep: unused,
    onInterrupt: unused,
    spawn: unused,
    startNode: unused,
    startHub: unused,
    runDemo: unused,
  });
  return commandTree(program);
}

/** `bucket create` of `holdfast bucket create NAME`. */
function commandName(usage: string): string {
  return usage
    .split(' ')
    .slice(1)
    .filter((word) => /^[a-z][a-z-]*$/.test(word))
    .join(' ');
}

/** In upper case; subcommands as `CLIENT ID`. A container that does nothing by itself is not a command. */
function redisCommands(table: CommandTable): string[] {
  const names = [...table.keys()].filter((name) => name === name.toUpperCase());
  return names.flatMap((name) => {
    const subcommands = table.get(name)?.subcommands ?? null;
    if (subcommands === null) return [name];
    const inner = redisCommands(subcommands).map((subcommand) => `${name} ${subcommand}`);
    return table.get(name)?.arity === -1 ? [name, ...inner] : inner;
  });
}
