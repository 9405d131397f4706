/**
 * What anti-entropy costs: three nodes hold n keys each; one is stopped while d of them are overwritten at the others,
 * and goes on. With as many copies as nodes there are no fallbacks, so no hints: all that it missed comes by
 * anti-entropy. The cost has to follow d, not n.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { putBatch } from '../../test/support/batches.ts';
import { machineLine, whole } from './figures.ts';
import { type HoldfastNode, SOURCES, startNodes } from './holdfast.ts';
import { Processes } from './processes.ts';
import { difference, metrics, type Sent, traffic } from './traffic.ts';
import { BenchUsageError, numberOption } from './usage.ts';

const NODES = 3;
const BUCKET = 'default';
/** The messages of anti-entropy. */
const SYNC = 'sync-';
const VALUE_BYTES = 256;
const BATCH_LINES = 1000;
const BATCHES_AT_ONCE = 6;
const SETTLE_TIMEOUT_MS = 600_000;
const REPAIR_TIMEOUT_MS = 120_000;
const POLL_MS = 20;
const AFTERMATH_MS = 2000;
/** Without differences nothing but digests is sent; this long after the load the index has been compacted. */
const QUIET_MS = 15_000;

interface Row {
  readonly keys: number;
  readonly differing: number;
  readonly loadSeconds: number;
  /** From the moment the stopped node goes on until it answers every differing key rightly by itself. */
  readonly equalAfterMs: number;
  /** Until it is connected again; the rest is repair. */
  readonly connectedAfterMs: number;
  /** Keys and values that differed. */
  readonly objectBytes: number;
  readonly syncBytes: number;
  /** 1.2 times the objects and 2 kB, for each of the two owners that the stopped node was brought up by. */
  readonly allowedBytes: number;
  readonly byType: Readonly<Record<string, Sent>>;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false },
      keys: { type: 'string', default: '10000,100000,1000000' },
      differing: { type: 'string', default: '100' },
      directory: { type: 'string', default: tmpdir() },
      program: { type: 'string', default: SOURCES },
    },
  });
  const sizes = values.keys.split(',').map((text) => Math.floor(numberOption('keys', text, 100, 100_000_000)));
  const differing = Math.floor(numberOption('differing', values.differing, 1, 100_000));
  if (sizes.some((keys) => keys < differing)) throw new BenchUsageError('--differing is at most --keys');
  const loadAverageBefore = loadavg();
  process.stderr.write(`${machineLine()}\n`);
  const rows: Row[] = [];
  for (const keys of sizes) {
    const directory = await mkdtemp(join(values.directory, 'holdfast-bench-'));
    const processes = new Processes();
    try {
      const nodes = await startNodes({ processes, directory }, NODES, {
        file: resolve(values.program),
        nodeArguments: [],
      });
      rows.push(await measure(nodes, keys, differing));
    } finally {
      await processes.stopAll();
      await rm(directory, { recursive: true, force: true });
    }
  }
  const report = { differing, valueBytes: VALUE_BYTES, loadAverageBefore, loadAverageAfter: loadavg(), rows };
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${table(rows)}\n${machineLine()}\n`);
}

async function measure(nodes: readonly HoldfastNode[], keys: number, differing: number): Promise<Row> {
  const [first, second, third] = nodes as readonly [HoldfastNode, HoldfastNode, HoldfastNode];
  const startMs = performance.now();
  await load(nodes, keys);
  const loadSeconds = (performance.now() - startMs) / 1000;
  process.stderr.write(`${whole(keys)} keys written in ${loadSeconds.toFixed(1)} s\n`);
  await untilQuiet(nodes);

  process.kill(third.pid, 'SIGSTOP');
  let changed: Map<string, Buffer>;
  try {
    await waitFor('the stopped node is noticed', SETTLE_TIMEOUT_MS, async () => {
      const seen = await Promise.all([first, second].map(alive));
      return seen.every((count) => count === NODES - 1);
    });
    changed = await overwrite([first, second], keys, differing);
    await untilQuiet([first, second]);
  } finally {
    process.kill(third.pid, 'SIGCONT');
  }
  const before = await traffic(nodes, SYNC);
  const resumedMs = performance.now();
  let connectedAfterMs = Number.NaN;
  let left = [...changed];
  await waitFor('the stopped node has what it missed', REPAIR_TIMEOUT_MS, async () => {
    if (Number.isNaN(connectedAfterMs) && (await alive(first)) === NODES) {
      connectedAfterMs = performance.now() - resumedMs;
    }
    left = await stillOld(third, left);
    return left.length === 0;
  });
  const equalAfterMs = performance.now() - resumedMs;
  // What else it sets off counts as well; the idle rounds after that do not.
  await delay(AFTERMATH_MS);
  const spent = difference(before, await traffic(nodes, SYNC));
  const objectBytes = [...changed].reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  return {
    keys,
    differing,
    loadSeconds,
    equalAfterMs,
    connectedAfterMs,
    objectBytes,
    syncBytes: [...spent.values()].reduce((sum, { bytes }) => sum + bytes, 0),
    allowedBytes: (NODES - 1) * (1.2 * objectBytes + 2000),
    byType: Object.fromEntries([...spent].sort((a, b) => b[1].bytes - a[1].bytes)),
  };
}

async function load(nodes: readonly HoldfastNode[], keys: number): Promise<void> {
  let next = 0;
  const worker = async (i: number): Promise<void> => {
    while (next < keys) {
      const from = next;
      next += BATCH_LINES;
      const entries = Array.from({ length: Math.min(BATCH_LINES, keys - from) }, (_, at) => keyText(from + at));
      await putAllOf(
        nodes[i % nodes.length] as HoldfastNode,
        entries.map((key) => [key, randomBytes(VALUE_BYTES)]),
      );
    }
  };
  await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, (_, i) => worker(i)));
}

/** Overwrites keys spread over all; returns their values. */
async function overwrite(
  nodes: readonly HoldfastNode[],
  keys: number,
  differing: number,
): Promise<Map<string, Buffer>> {
  const step = Math.floor(keys / differing);
  const changed = new Map(Array.from({ length: differing }, (_, i) => [keyText(i * step), randomBytes(VALUE_BYTES)]));
  const all = [...changed];
  const half = Math.ceil(all.length / nodes.length);
  await Promise.all(nodes.map((node, i) => putAllOf(node, all.slice(i * half, (i + 1) * half))));
  return changed;
}

/** Those of the entries that the node, asked alone, does not hold yet. */
async function stillOld(node: HoldfastNode, entries: readonly [string, Buffer][]): Promise<[string, Buffer][]> {
  const old = await Promise.all(
    entries.map(async ([key, value]) => {
      const answer = await fetch(`${node.url}/v1/kv/${BUCKET}/${key}?r=one`);
      return answer.status !== 200 || !value.equals(Buffer.from(await answer.arrayBuffer()));
    }),
  );
  return entries.filter((_, i) => old[i]);
}

async function putAllOf({ url }: HoldfastNode, writes: readonly (readonly [string, Buffer])[]): Promise<void> {
  const { left, why } = await putBatch(url, BUCKET, writes);
  if (left.length > 0) throw new Error(`${left.length} of ${writes.length} puts were not acknowledged: ${why}`);
}

async function alive(node: HoldfastNode): Promise<number> {
  const { members } = (await (await fetch(`${node.url}/v1/status`)).json()) as { members: { alive: number } };
  return members.alive;
}

/** Nothing has been synced, written or compacted for a while. */
async function untilQuiet(nodes: readonly HoldfastNode[]): Promise<void> {
  let last = '';
  let sinceMs = performance.now();
  await waitFor('the nodes are quiet', SETTLE_TIMEOUT_MS, async () => {
    await delay(500);
    const now = (await Promise.all(nodes.map(activity))).join(' ');
    if (now !== last) sinceMs = performance.now();
    last = now;
    return performance.now() - sinceMs > QUIET_MS;
  });
}

async function activity(node: HoldfastNode): Promise<string> {
  const text = await metrics(node);
  const names = ['holdfast_sync_objects_sent_total', 'holdfast_index_rows_stripped_total', 'holdfast_writes_total'];
  return names.map((name) => new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? '').join('/');
}

async function waitFor(what: string, timeoutMs: number, condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await delay(POLL_MS);
  }
}

function keyText(index: number): string {
  return `sensor-${String(index).padStart(8, '0')}`;
}

function table(rows: readonly Row[]): string {
  const output = new Table({
    head: ['keys', 'differing', 'equal after', 'connected after', 'objects B', 'sync B', 'allowed B', 'by type'],
    colAligns: ['right', 'right', 'right', 'right', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [] },
  });
  for (const row of rows) {
    output.push([
      whole(row.keys),
      whole(row.differing),
      `${whole(row.equalAfterMs)} ms`,
      `${whole(row.connectedAfterMs)} ms`,
      whole(row.objectBytes),
      whole(row.syncBytes),
      whole(row.allowedBytes),
      Object.entries(row.byType)
        .map(([type, { messages, bytes }]) => `${type}: ${whole(bytes)} B in ${whole(messages)}`)
        .join('\n'),
    ]);
  }
  return output.toString();
}
