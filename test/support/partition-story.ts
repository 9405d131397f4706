import { readFileSync } from 'node:fs';
import { type PausableNode, readRunningDisks, replicaDifferences } from './disk-check.ts';
import type { HttpClient } from './http-client.ts';
import { aliveCounts, clientsOf } from './mesh-join.ts';
import { NetnsCluster, type NetnsNode } from './netns-cluster.ts';
import { until } from './until.ts';
import { WriteLoad } from './write-load.ts';

const SIDE_A = [1, 2] as const;
const SIDE_B = [3, 4, 5] as const;
const TIMEOUT_MS = 120_000;
/** Keys whose merge is timed. */
const SAMPLE_MAX = 120;

export interface PartitionOptions {
  /** Keys written before the partition; half of those with an owner on the small side are deleted there. */
  readonly before: number;
  /** Keys written on each side while it lasts. */
  readonly during: number;
}

export interface PartitionReport {
  readonly deleted: number;
  /** From the cut until each side holds exactly itself alive. */
  readonly detectedAfterMs: number;
  /** From the heal until a sample of the keys of both sides is read right through every node. */
  readonly readableAfterMs: number;
  readonly viewsAfterMs: number;
  /** From the heal until all owners of every shard are equal on disk. */
  readonly equalAfterMs: number;
  /** What differed last before all were equal. */
  readonly lastDifferences: readonly string[];
  /** Wrong answers after all that, every key read through every node: lost writes and deletes undone. */
  readonly wrong: readonly string[];
}

/** Five nodes in namespaces, cut 2 | 3 under writes on both sides and deletes on one, then healed. */
export class PartitionStory {
  readonly cluster: NetnsCluster;
  private readonly nodes: readonly NetnsNode[];
  private readonly clients: readonly HttpClient[];
  private readonly options: PartitionOptions;

  constructor(cluster: NetnsCluster, options: PartitionOptions) {
    this.cluster = cluster;
    this.options = options;
    this.nodes = cluster.status().nodes;
    this.clients = clientsOf(this.nodes);
  }

  static up(options: PartitionOptions): PartitionStory {
    return new PartitionStory(NetnsCluster.up({ nodes: 5, seeds: 'off', mdns: 'on' }), options);
  }

  async run(): Promise<PartitionReport> {
    const { clients } = this;
    await this.untilAlive([5, 5, 5, 5, 5]);
    await this.untilShardsComplete();
    const before = await this.write(clients, 'before/', this.options.before);
    const cutMs = performance.now();
    this.cluster.partition(SIDE_A, SIDE_B);
    await this.untilAlive([2, 2, 3, 3, 3]);
    const detectedAfterMs = performance.now() - cutMs;
    const deletable = await this.ownedBy(SIDE_A, keysOf(before));
    const deleted = deletable.slice(0, Math.ceil(deletable.length / 2));
    const [sideA, sideB] = await Promise.all([
      this.write(clients.slice(0, 2), 'a/', this.options.during),
      this.write(clients.slice(2), 'b/', this.options.during),
      this.removeAll(deleted),
    ]);
    const healMs = performance.now();
    this.cluster.heal();
    const gone = new Set(deleted);
    const wanted = [...before.expectations(), ...sideA.expectations(), ...sideB.expectations()].map(
      ({ key, allowed }) => ({ key, allowed: gone.has(key) ? [null] : allowed }),
    );
    // Reading every key through every node would take longer than the merge: a part of them is timed, all are checked.
    await this.untilReadable(wanted.filter((_, i) => i % Math.ceil(wanted.length / SAMPLE_MAX) === 0));
    const readableAfterMs = performance.now() - healMs;
    await this.untilAlive([5, 5, 5, 5, 5]);
    const viewsAfterMs = performance.now() - healMs;
    const lastDifferences = await this.untilEqual();
    const equalAfterMs = performance.now() - healMs;
    const wrong: string[] = [];
    await this.forEach(wanted, async (want) => void wrong.push(...(await this.wrongAnswers([want]))));
    return {
      deleted: deleted.length,
      detectedAfterMs,
      readableAfterMs,
      viewsAfterMs,
      equalAfterMs,
      lastDifferences,
      wrong,
    };
  }

  /** The last lines of every node's log. */
  logs(): string {
    return this.nodes
      .map(({ name, log }) => `--- ${name}\n${readFileSync(log, 'utf8').trimEnd().split('\n').slice(-40).join('\n')}`)
      .join('\n');
  }

  down(): void {
    for (const client of this.clients) client.close();
    this.cluster.down();
  }

  private async write(clients: readonly HttpClient[], prefix: string, count: number): Promise<WriteLoad> {
    const load = new WriteLoad({ clients, prefix, workers: 16 });
    load.start();
    await load.untilTotal(count);
    await load.stop();
    return load;
  }

  private async untilAlive(expected: readonly number[]): Promise<void> {
    let seen: (number | null)[] = [];
    await until(
      `members alive ${JSON.stringify(expected)}`,
      async () => {
        seen = await aliveCounts(this.clients);
        return expected.every((count, i) => seen[i] === count);
      },
      TIMEOUT_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; seen ${JSON.stringify(seen)}`, { cause: error });
    });
  }

  private async untilShardsComplete(): Promise<void> {
    const complete = async (client: HttpClient): Promise<boolean> => {
      const { shards } = await client.json<{ shards: Record<string, number> }>('/v1/status');
      return shards.complete === shards.owned && shards.transferring === 0;
    };
    await until(
      'all shards are complete',
      async () => (await Promise.all(this.clients.map(complete))).every(Boolean),
      TIMEOUT_MS,
    );
  }

  /** Keys with an owner among some nodes: where there is none, a delete has nothing that it could see. */
  private async ownedBy(side: readonly number[], keys: readonly string[]): Promise<string[]> {
    const names = side.map((number) => `n${number}`);
    const owned: string[] = [];
    await this.forEach(keys, async (key, i) => {
      const path = `/v1/ring/locate?bucket=default&key=${encodeURIComponent(key)}`;
      const { owners } = await this.client(i).json<{ owners: string[] }>(path);
      if (owners.some((owner) => names.includes(owner))) owned.push(key);
    });
    return owned;
  }

  private async removeAll(keys: readonly string[]): Promise<void> {
    await this.forEach(keys, async (key, i) => {
      const client = this.clients[i % SIDE_A.length] as HttpClient;
      const found = await client.send('GET', `${path(key)}?r=one`);
      const context = found.headers['holdfast-context'];
      if (found.status !== 200 || typeof context !== 'string') throw new Error(`GET ${key}: ${found.status}`);
      const { status, headers, text } = await client.send('DELETE', path(key), {
        headers: { 'holdfast-context': context },
      });
      if (status !== 204 || headers.etag === undefined) throw new Error(`DELETE ${key}: ${status} ${text}`);
    });
  }

  private async untilReadable(wanted: readonly Wanted[]): Promise<void> {
    let open = wanted;
    let wrong: string[] = [];
    await until(
      'every key of both sides is read right through every node',
      async () => {
        // What was right once everywhere is not asked again in the next pass.
        const stillWrong: Wanted[] = [];
        wrong = [];
        await this.forEach(open, async (want) => {
          const lines = await this.wrongAnswers([want]);
          if (lines.length > 0) stillWrong.push(want);
          wrong.push(...lines);
        });
        open = stillWrong;
        return open.length === 0;
      },
      TIMEOUT_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${wrong.slice(0, 20).join('\n')}`, { cause: error });
    });
  }

  /** Reads keys through every node at quorum. */
  private async wrongAnswers(wanted: readonly Wanted[]): Promise<string[]> {
    const wrong: string[] = [];
    for (const { key, allowed } of wanted) {
      await Promise.all(
        this.clients.map(async (client, i) => {
          const answer = await client.send('GET', path(key)).catch(() => null);
          const value = answer?.status === 200 ? answer.text : answer?.status === 404 ? null : undefined;
          const complete = answer?.headers['holdfast-complete'] !== 'false';
          if (value === undefined || !complete || !allowed.includes(value)) {
            wrong.push(
              `${key} through n${i + 1}: ${answer?.status ?? 'no answer'} ${value ?? ''} complete=${complete}`,
            );
          }
        }),
      );
    }
    return wrong;
  }

  private async untilEqual(): Promise<string[]> {
    const status = this.cluster.status().nodes;
    const peerIds = await Promise.all(
      this.clients.map(async (client) => (await client.json<{ peerId: string }>('/v1/status')).peerId),
    );
    const pausable = status.map(
      ({ name, dataDir, pid }): PausableNode => ({
        name,
        dataDir,
        signal: (signal) => {
          if (pid === null) throw new Error(`${name} does not run`);
          process.kill(pid, signal);
        },
      }),
    );
    let last: string[] = [];
    await until(
      'all owners of every shard are equal on disk',
      async () => {
        const differences = replicaDifferences(await readRunningDisks(pausable, peerIds));
        if (differences.length > 0) last = differences;
        return differences.length === 0;
      },
      TIMEOUT_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${last.join('\n')}`, { cause: error });
    });
    return last;
  }

  private client(i: number): HttpClient {
    return this.clients[i % this.clients.length] as HttpClient;
  }

  /** Runs some at once, in order of the items. */
  private async forEach<T>(items: readonly T[], use: (item: T, index: number) => Promise<void>): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let i = next++; i < items.length; i = next++) await use(items[i] as T, i);
    };
    await Promise.all(Array.from({ length: 8 }, worker));
  }
}

interface Wanted {
  readonly key: string;
  readonly allowed: readonly (string | null)[];
}

function keysOf(load: WriteLoad): string[] {
  return load.expectations().map(({ key }) => key);
}

function path(key: string): string {
  return `/v1/kv/default/${encodeURIComponent(key)}`;
}
