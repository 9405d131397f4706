import type { HttpClient } from './http-client.ts';
import type { NamespaceNodes } from './namespace-nodes.ts';
import { until } from './until.ts';
import { WriteLoad } from './write-load.ts';

const SIDE_A = [1, 2] as const;
const SIDE_B = [3, 4, 5] as const;
const TIMEOUT_MS = 120_000;
const WRITE_TIMEOUT_MS = 900_000;
/** Keys whose merge is timed. */
const SAMPLE_MAX = 120;
/** Between two passes over those that are not right yet: reading them all the time would slow the merge that is timed. */
const SAMPLE_PAUSE_MS = 250;
/** Keys among which those to be deleted are looked for. */
const DELETABLE_MAX = 4000;

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
  private readonly options: PartitionOptions;
  private readonly all: NamespaceNodes;

  constructor(all: NamespaceNodes, options: PartitionOptions) {
    this.all = all;
    this.options = options;
  }

  async run(): Promise<PartitionReport> {
    const { all } = this;
    const { clients, cluster } = all;
    await all.untilFormed();
    const before = await this.write(clients, 'before/', this.options.before);
    const cutMs = performance.now();
    cluster.partition(SIDE_A, SIDE_B);
    await all.untilAlive([2, 2, 3, 3, 3]);
    const detectedAfterMs = performance.now() - cutMs;
    const deletable = await this.ownedBy(SIDE_A, keysOf(before).slice(0, DELETABLE_MAX));
    const deleted = deletable.slice(0, Math.ceil(deletable.length / 2));
    const [sideA, sideB] = await Promise.all([
      this.write(clients.slice(0, 2), 'a/', this.options.during),
      this.write(clients.slice(2), 'b/', this.options.during),
      this.removeAll(deleted),
    ]);
    const healMs = performance.now();
    cluster.heal();
    const gone = new Set(deleted);
    const wanted = [...before.expectations(), ...sideA.expectations(), ...sideB.expectations()].map(
      ({ key, allowed }) => ({ key, allowed: gone.has(key) ? [null] : allowed }),
    );
    // Reading every key through every node would take longer than the merge: a part of them is timed, all are checked.
    await this.untilReadable(wanted.filter((_, i) => i % Math.ceil(wanted.length / SAMPLE_MAX) === 0));
    const readableAfterMs = performance.now() - healMs;
    await all.untilAlive([5, 5, 5, 5, 5]);
    const viewsAfterMs = performance.now() - healMs;
    const { atMs, lastDifferences } = await all.untilEqual();
    const equalAfterMs = atMs - healMs;
    const wrong: string[] = [];
    await this.all.forEach(wanted, async (want) => void wrong.push(...(await this.wrongAnswers(want))));
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

  private async write(clients: readonly HttpClient[], prefix: string, count: number): Promise<WriteLoad> {
    const load = new WriteLoad({ clients, prefix, workers: 16 });
    load.start();
    await load.untilTotal(count, WRITE_TIMEOUT_MS);
    await load.stop();
    return load;
  }

  /** Keys with an owner among some nodes: where there is none, a delete has nothing that it could see. */
  private async ownedBy(side: readonly number[], keys: readonly string[]): Promise<string[]> {
    const names = side.map((number) => `n${number}`);
    const owned: string[] = [];
    await this.all.forEach(keys, async (key, i) => {
      const path = `/v1/ring/locate?bucket=default&key=${encodeURIComponent(key)}`;
      const { owners } = await this.client(i).json<{ owners: string[] }>(path);
      if (owners.some((owner) => names.includes(owner))) owned.push(key);
    });
    return owned;
  }

  private async removeAll(keys: readonly string[]): Promise<void> {
    await this.all.forEach(keys, async (key, i) => {
      const client = this.all.clients[i % SIDE_A.length] as HttpClient;
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
        await this.all.forEach(open, async (want) => {
          const lines = await this.wrongAnswers(want);
          if (lines.length > 0) stillWrong.push(want);
          wrong.push(...lines);
        });
        open = stillWrong;
        return open.length === 0;
      },
      TIMEOUT_MS,
      SAMPLE_PAUSE_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${wrong.slice(0, 20).join('\n')}`, { cause: error });
    });
  }

  /** Reads a key through every node at quorum. */
  private async wrongAnswers({ key, allowed }: Wanted): Promise<string[]> {
    const wrong: string[] = [];
    await Promise.all(
      this.all.clients.map(async (client, i) => {
        const answer = await client.send('GET', path(key)).catch(() => null);
        const value = answer?.status === 200 ? answer.text : answer?.status === 404 ? null : undefined;
        const complete = answer?.headers['holdfast-complete'] !== 'false';
        if (value !== undefined && complete && allowed.includes(value)) return;
        wrong.push(`${key} through n${i + 1}: ${answer?.status ?? 'no answer'} ${value ?? ''} complete=${complete}`);
      }),
    );
    return wrong;
  }

  private client(i: number): HttpClient {
    return this.all.clients[i % this.all.clients.length] as HttpClient;
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
