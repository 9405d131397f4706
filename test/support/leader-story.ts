import { setTimeout as delay } from 'node:timers/promises';
import type { HttpClient } from './http-client.ts';
import type { NamespaceNodes } from './namespace-nodes.ts';
import type { NetnsNode } from './netns-cluster.ts';
import { SteadyWrites, type Writer } from './steady-writes.ts';
import { StrongClient } from './strong-client.ts';
import { StrongSides } from './strong-sides.ts';
import { until } from './until.ts';

export interface LeaderJson {
  readonly leader: string | null;
  readonly term: number;
  readonly quorate: boolean;
  readonly fencingToken: number | null;
}

/** A leader that some follow. */
type Led = LeaderJson & { readonly number: number };

const TIMEOUT_MS = 60_000;
const PAUSE_MS = 20;
/** Longer than any lease lasts. */
const STILL_MS = 4000;
const WRITERS_A_NODE = 2;
const WRITE_PAUSE_MS = 10;
const WRITTEN_KEYS = 499;
/** Before a leader is killed under writes, and after all follow another one. */
const WATCHED_MS = 2000;

/** Real nodes in namespaces, and who leads them. Nodes are named by their numbers, from 1. */
export class LeaderStory {
  private readonly all: NamespaceNodes;
  private readonly numbers: readonly number[];

  constructor(all: NamespaceNodes) {
    this.all = all;
    this.numbers = all.nodes.map(({ node }) => node);
  }

  /** Waits until all of these follow one leader among them, and returns it. */
  async untilLeader(numbers: readonly number[], quorate: boolean): Promise<Led> {
    let seen: readonly LeaderJson[] = [];
    let number = 0;
    await until(
      `${numbers.join()} follow one leader, ${quorate ? 'quorate' : 'not quorate'}`,
      async () => {
        seen = await Promise.all(numbers.map((each) => this.leaderAt(each)));
        const [first] = seen;
        number = this.all.nodes.find(({ name }) => name === first?.leader)?.node ?? 0;
        const isCommon = seen.every(({ leader, term }) => leader === first?.leader && term === first.term);
        return numbers.includes(number) && isCommon && seen.every((each) => each.quorate === quorate);
      },
      TIMEOUT_MS,
      PAUSE_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; seen ${JSON.stringify(seen)}`, { cause: error });
    });
    return { ...(seen[0] as LeaderJson), number };
  }

  /** Kills the leader; the time until all others follow another one. The killed one is started again. */
  async killLeader(): Promise<number> {
    const former = await this.untilLeader(this.numbers, true);
    const { next, tookMs } = await this.kill(former, this.pidOf(former.number));
    await this.bringBack(former, next);
    return tookMs;
  }

  /** Kills the leader while every other node has strong writers. The longest time in which none of their writes was acknowledged. */
  async killLeaderUnderWrites(): Promise<{ readonly silenceMs: number; readonly acknowledged: number }> {
    const former = await this.untilLeader(this.numbers, true);
    // Asking for it stops this process for a while, and with it the writers.
    const pid = this.pidOf(former.number);
    const writers = this.numbers
      .filter((number) => number !== former.number)
      .flatMap((number) => this.writersAt(number));
    // The first of all strong writes founds the electorate.
    await until('every writer writes', async () => (await Promise.all(writers.map((write) => write()))).every(Boolean));
    const writes = new SteadyWrites(writers, WRITE_PAUSE_MS);
    await delay(WATCHED_MS);
    const fromMs = performance.now();
    let killed: { readonly next: Led };
    try {
      killed = await this.kill(former, pid);
      await delay(WATCHED_MS);
    } finally {
      await writes.stop();
    }
    const untilMs = performance.now();
    await this.bringBack(former, killed.next);
    const acknowledged = writes.counts(fromMs, untilMs - fromMs, 1)[0] as number;
    return { silenceMs: writes.silenceMs(fromMs, untilMs), acknowledged };
  }

  /**
   * Cuts the cluster in two, the leader in the smaller part, and heals it. What went wrong, a line each; `electedMs`: from
   * the cut until both parts have a leader of their own; `servedMs`: until every strong key is written where a majority of
   * its owners is; `refusedMs`: the longest that a refusal of a strong read or write took.
   */
  async divide(): Promise<{
    readonly electedMs: number;
    readonly servedMs: number;
    readonly refusedMs: number;
    readonly mergedMs: number;
    readonly wrong: readonly string[];
  }> {
    const leader = await this.untilLeader(this.numbers, true);
    const others = this.numbers.filter((number) => number !== leader.number);
    const smaller = [leader.number, ...others.slice(0, Math.ceil(this.numbers.length / 2) - 2)];
    const larger = this.numbers.filter((number) => !smaller.includes(number));
    const strong = await StrongSides.choose(this.all, [smaller, larger]);
    const { wrong } = strong;
    const cutMs = performance.now();
    this.all.cluster.partition(smaller, larger);
    const sinceCut = async (wait: Promise<unknown>): Promise<number> => {
      await wait;
      return performance.now() - cutMs;
    };
    const led = Promise.all([this.untilLeader(smaller, false), this.untilLeader(larger, true)]);
    const servedMs = sinceCut(strong.expectRefusals().then(() => strong.untilServed()));
    const [electedMs, [minority, majority]] = await Promise.all([sinceCut(led), led, servedMs]);
    await this.expectIsland(smaller);
    await strong.expectRefusals();
    await strong.untilServed();
    for (const number of this.numbers) {
      const put = await this.clientOf(number).send('PUT', `/v1/kv/default/island-${number}`, { body: 'here' });
      if (put.status !== 204) wrong.push(`n${number} answers an eventual write in its part with ${put.status}`);
    }
    const healedMs = performance.now();
    await this.heal();
    const merged = await this.untilLeader(this.numbers, true);
    const mergedMs = performance.now() - healedMs;
    const before = Math.max(minority.term, majority.term);
    if (merged.term < before)
      wrong.push(`term ${merged.term} after the merge of ${minority.term} and ${majority.term}`);
    await strong.expectEqual();
    return { electedMs, servedMs: await servedMs, refusedMs: strong.slowestMs, mergedMs, wrong };
  }

  /** Cuts the link between two ends of a row of three, and counts how often the leader changes. */
  async chain(forMs: number): Promise<number> {
    const [a, b, c] = this.numbers as [number, number, number];
    this.all.cluster.oneway(a, c);
    this.all.cluster.oneway(c, a);
    const { leader } = await this.untilLeader([a, b, c], true);
    const changes = await this.changes([b], leader, forMs);
    await this.untilLeader([a, b, c], true);
    await this.heal();
    return changes;
  }

  /**
   * Loses what the leader sends to one of the others, then what that one sends to the leader, each for `forMs`; all must
   * follow one quorate leader at the end of either. How often the leader changed in both together.
   */
  async oneWay(forMs: number): Promise<number> {
    let changes = 0;
    for (const isFromLeader of [true, false]) {
      const former = await this.untilLeader(this.numbers, true);
      const other = this.numbers.find((number) => number !== former.number) as number;
      const [from, to] = isFromLeader ? [former.number, other] : [other, former.number];
      this.all.cluster.oneway(from, to);
      changes += await this.changes(this.numbers, former.leader, forMs);
      await this.untilLeader(this.numbers, true);
      await this.heal();
    }
    return changes;
  }

  /** Stops the leader for longer than its lease; what of its token was taken afterwards, a line each. */
  async stopLeader(): Promise<readonly string[]> {
    const former = await this.untilLeader(this.numbers, true);
    const others = this.numbers.filter((number) => number !== former.number);
    const pid = this.pidOf(former.number);
    const stoppedMs = performance.now();
    process.kill(pid, 'SIGSTOP');
    try {
      await this.untilLeader(others, true);
      await new Promise((resolve) => void setTimeout(resolve, Math.max(0, stoppedMs + STILL_MS - performance.now())));
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    const wrong: string[] = [];
    const body = JSON.stringify({ leader: former.leader, token: former.fencingToken });
    const headers = { 'content-type': 'application/json' };
    for (const number of others) {
      const { status, text } = await this.clientOf(number).send('POST', '/v1/leader/fence', { headers, body });
      if (status !== 409 || !text.includes('stale-token')) wrong.push(`n${number} takes the token: ${status} ${text}`);
    }
    const next = await this.untilLeader(this.numbers, true);
    if (next.number === former.number) wrong.push(`${former.leader} leads again`);
    return wrong;
  }

  /** Kills it, and waits until all others follow another one. */
  private async kill(former: Led, pid: number): Promise<{ readonly next: Led; readonly tookMs: number }> {
    const others = this.numbers.filter((number) => number !== former.number);
    const killedMs = performance.now();
    process.kill(pid, 'SIGKILL');
    const next = await this.untilLeader(others, true);
    const tookMs = performance.now() - killedMs;
    if (next.term <= former.term) throw new Error(`term ${next.term} follows ${former.term}`);
    return { next, tookMs };
  }

  /** Starts it again, which must leave the lead where it is. */
  private async bringBack(former: Led, next: Led): Promise<void> {
    this.all.cluster.start(former.number);
    await this.all.untilAlive(this.numbers.map(() => this.numbers.length));
    const kept = await this.untilLeader(this.numbers, true);
    if (kept.number !== next.number)
      throw new Error(`${kept.leader} took the lead from ${next.leader} when it came back`);
  }

  private writersAt(number: number): Writer[] {
    const client = new StrongClient(this.clientOf(number));
    let next = number;
    const write = async (): Promise<boolean> => {
      next += this.numbers.length;
      return (await client.write(`steady-${next % WRITTEN_KEYS}`, `n${number}`)).type === 'made';
    };
    return Array.from({ length: WRITERS_A_NODE }, () => write);
  }

  private async expectIsland(numbers: readonly number[]): Promise<void> {
    for (const number of numbers) {
      const client = this.clientOf(number);
      const isIsland = async (): Promise<boolean> =>
        (await client.json<{ level: string }>('/v1/status')).level === 'island';
      // Suspects count as here until they are dead.
      await until(`n${number} is on an island`, isIsland, TIMEOUT_MS, PAUSE_MS);
    }
  }

  /** How often the leader changes meanwhile, at the one of these that sees the most changes. */
  private async changes(numbers: readonly number[], leader: string | null, forMs: number): Promise<number> {
    const seen = numbers.map(() => ({ last: leader, changes: 0 }));
    const endMs = performance.now() + forMs;
    while (performance.now() < endMs) {
      const now = await Promise.all(numbers.map((number) => this.leaderAt(number)));
      for (const [i, each] of seen.entries()) {
        const next = now[i]?.leader ?? each.last;
        if (next !== each.last) each.changes++;
        each.last = next;
      }
      await new Promise((resolve) => void setTimeout(resolve, PAUSE_MS));
    }
    return Math.max(...seen.map((each) => each.changes));
  }

  private async heal(): Promise<void> {
    this.all.cluster.heal();
    await this.all.untilAlive(this.numbers.map(() => this.numbers.length));
  }

  private async leaderAt(number: number): Promise<LeaderJson> {
    return await this.clientOf(number).json<LeaderJson>('/v1/leader');
  }

  private clientOf(number: number): HttpClient {
    return this.all.clients[number - 1] as HttpClient;
  }

  /** Of the process as it runs now. */
  private pidOf(number: number): number {
    const { pid } = this.all.cluster.status().nodes[number - 1] as NetnsNode;
    if (pid === null) throw new Error(`n${number} does not run`);
    return pid;
  }
}
