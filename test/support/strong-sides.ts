import type { HttpClient } from './http-client.ts';
import type { NamespaceNodes } from './namespace-nodes.ts';
import { type ReadOutcome, StrongClient, type WriteOutcome } from './strong-client.ts';
import { until } from './until.ts';

const KEYS_A_SIDE = 4;
const TRIES_MAX = 500;
const TIMEOUT_MS = 60_000;
const PAUSE_MS = 50;

interface Write {
  readonly value: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** Not acknowledged, and may have been made: then it may be found at any time. */
  readonly isUnknown: boolean;
}

interface DividedKey {
  readonly key: string;
  /** The numbers of the nodes that have a majority of its owners among them. */
  readonly side: readonly number[];
  readonly writes: Write[];
}

interface Timed<T> {
  readonly outcome: T;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Strong keys whose owners a partition is going to divide: some have their majority on the one side, some on the other. */
export class StrongSides {
  /** What went wrong, a line each. */
  readonly wrong: string[] = [];
  /** The longest that a node took to answer about a key without a majority on its side. */
  slowestMs = 0;
  private readonly clients: ReadonlyMap<number, StrongClient>;
  private readonly keys: readonly DividedKey[];
  private count = 0;

  private constructor(clients: ReadonlyMap<number, StrongClient>, keys: readonly DividedKey[]) {
    this.clients = clients;
    this.keys = keys;
  }

  /** Chooses keys by their owners, while all nodes are there, and has every node write each of them. */
  static async choose(all: NamespaceNodes, sides: readonly (readonly number[])[]): Promise<StrongSides> {
    const numberOf = new Map(all.nodes.map(({ name, node }) => [name, node]));
    const [http] = all.clients as [HttpClient];
    const keys: DividedKey[] = [];
    for (let i = 0; i < TRIES_MAX && keys.length < sides.length * KEYS_A_SIDE; i++) {
      const key = `divided-${i}`;
      const { owners } = await http.json<{ owners: string[] }>(`/v1/ring/locate?bucket=strong&key=${key}`);
      const isMajority = (side: readonly number[]): boolean =>
        owners.filter((owner) => side.includes(numberOf.get(owner) ?? 0)).length * 2 > owners.length;
      const side = sides.find(isMajority);
      if (side === undefined || keys.filter((each) => each.side === side).length === KEYS_A_SIDE) continue;
      keys.push({ key, side, writes: [] });
    }
    if (keys.length < sides.length * KEYS_A_SIDE) throw new Error('no keys with a majority of owners on each side');
    const clients = new Map(all.nodes.map(({ node }, i) => [node, new StrongClient(all.clients[i] as HttpClient)]));
    const chosen = new StrongSides(clients, keys);
    await chosen.untilServed(() => true);
    return chosen;
  }

  /**
   * Writes and reads every key at every node. Where its side has no majority of the owners both must be refused by name.
   * The others may fail too while the nodes do not know yet whom they have lost.
   */
  async expectRefusals(): Promise<void> {
    await this.forEach(async (key, number) => {
      const [write, read] = await Promise.all([this.write(key, number), this.read(key, number)]);
      if (key.side.includes(number)) return;
      for (const { outcome, fromMs, toMs } of [write, read]) {
        this.slowestMs = Math.max(this.slowestMs, toMs - fromMs);
        const isRefused = outcome.type === 'refused' || outcome.type === 'unknown';
        if (isRefused && outcome.code === 'quorum-unavailable') continue;
        this.wrong.push(`n${number}, without a majority of the owners of ${key.key}: ${JSON.stringify(outcome)}`);
      }
    });
  }

  /** Waits until every key is written and read at every node that has a majority of its owners on its side. */
  async untilServed(isOn = ({ side }: DividedKey, number: number): boolean => side.includes(number)): Promise<void> {
    await this.forEach(async (key, number) => {
      if (!isOn(key, number)) return;
      let last = '';
      const isServed = async (): Promise<boolean> => {
        const outcomes = [(await this.write(key, number)).outcome, (await this.read(key, number)).outcome];
        last = JSON.stringify(outcomes);
        return outcomes.every(({ type }) => type === 'made' || type === 'read');
      };
      await until(`n${number} writes and reads ${key.key}`, isServed, TIMEOUT_MS, PAUSE_MS).catch((error: unknown) => {
        throw new Error(`${String(error)}; last ${last}`, { cause: error });
      });
    });
  }

  /** After the heal: every key reads equal at all nodes, as what was acknowledged, or may have been made, last. */
  async expectEqual(): Promise<void> {
    for (const key of this.keys) {
      const values = new Set<string | null>();
      for (const number of this.clients.keys()) {
        await until(
          `n${number} reads ${key.key}`,
          async () => {
            const { outcome } = await this.read(key, number);
            if (outcome.type === 'read') values.add(outcome.value);
            return outcome.type === 'read';
          },
          TIMEOUT_MS,
          PAUSE_MS,
        );
      }
      const allowed = lastOf(key.writes);
      if (values.size === 1 && [...values].every((value) => value !== null && allowed.includes(value))) continue;
      this.wrong.push(`${key.key} reads ${[...values].join(', ')} instead of ${allowed.join(' or ')}`);
    }
  }

  private async forEach(use: (key: DividedKey, number: number) => Promise<void>): Promise<void> {
    await Promise.all([...this.clients.keys()].flatMap((number) => this.keys.map((key) => use(key, number))));
  }

  private async write(key: DividedKey, number: number): Promise<Timed<WriteOutcome>> {
    const value = `n${number}-${++this.count}`;
    const timed = await this.timed(number, (client) => client.write(key.key, value));
    const { outcome, fromMs, toMs } = timed;
    if (outcome.type === 'made' || outcome.type === 'unknown') {
      key.writes.push({ value, fromMs, toMs, isUnknown: outcome.type === 'unknown' });
    }
    return timed;
  }

  private read(key: DividedKey, number: number): Promise<Timed<ReadOutcome>> {
    return this.timed(number, (client) => client.read(key.key));
  }

  private async timed<T>(number: number, ask: (client: StrongClient) => Promise<T>): Promise<Timed<T>> {
    const fromMs = performance.now();
    const outcome = await ask(this.clients.get(number) as StrongClient);
    return { outcome, fromMs, toMs: performance.now() };
  }
}

/** The values that may be the last: what was acknowledged before another write began, which was acknowledged too, is overwritten. */
function lastOf(writes: readonly Write[]): string[] {
  const latestMs = Math.max(...writes.filter(({ isUnknown }) => !isUnknown).map(({ fromMs }) => fromMs));
  return writes.filter(({ toMs, isUnknown }) => isUnknown || toMs > latestMs).map(({ value }) => value);
}
