import { setTimeout as delay } from 'node:timers/promises';
import type { Electorate, Lead, Voter } from './electorate.ts';
import type { Processes, Started } from './processes.ts';

/** Each survivor is asked for its leader so often. */
const ASK_MS = 20;
/** A write that hangs does not hold up the next one. */
const WRITE_MS = 50;
const LED_TIMEOUT_MS = 60_000;
/** After the cluster is whole again, for what joining sets off. */
const SETTLE_MS = 3_000;
/** Longer than the interval between renewals or heartbeats: a leader dies at any moment between two of them. */
const PHASE_MS = 1_000;

/** From SIGKILL of the leader; ms. */
export interface FailoverTimes {
  /** Until a survivor has another leader. */
  readonly led: number;
  /** Until all survivors have the same. */
  readonly followed: number;
  /** Until a write that began after the kill is acknowledged by a survivor. */
  readonly written: number;
}

/** A running cluster whose leader is killed again and again. */
export class Failover {
  private readonly electorate: Electorate;
  private readonly processes: Processes;
  private readonly running = new Map<Voter, Started>();

  constructor(electorate: Electorate, processes: Processes) {
    this.electorate = electorate;
    this.processes = processes;
  }

  async start(): Promise<void> {
    for (const voter of this.electorate.voters) this.running.set(voter, voter.start());
    await this.settle();
  }

  /** Whom all follow. */
  async leader(): Promise<Voter> {
    const { voters } = this.electorate;
    let found: Voter | undefined;
    await this.processes.waitUntil('a leader of all', LED_TIMEOUT_MS, async () => {
      const leads = await Promise.all(voters.map((voter) => voter.lead()));
      found = voters[leads.findIndex(({ self, leader }) => self === leader)];
      return found !== undefined && new Set(leads.map(({ leader }) => leader)).size === 1;
    });
    return found as Voter;
  }

  /** The killed leader is started again, and the cluster is whole when this returns. */
  async killLeader(): Promise<FailoverTimes> {
    return await this.killLeaderDuring(async (survivors, kill, self) => {
      await delay(Math.random() * PHASE_MS);
      const fromMs = performance.now();
      await kill();
      const [times, writtenMs] = await Promise.all([
        this.untilFollowed(survivors, self, fromMs),
        writtenAtMs(survivors),
      ]);
      return { ...times, written: writtenMs - fromMs };
    });
  }

  /** The same with a measurement that says when the leader, `self`, is killed. */
  async killLeaderDuring<T>(
    measure: (survivors: readonly Voter[], kill: () => Promise<void>, self: string) => Promise<T>,
  ): Promise<T> {
    const former = await this.leader();
    const { self } = await former.lead();
    const survivors = this.electorate.voters.filter((voter) => voter !== former);
    const kill = (): Promise<void> => this.processes.kill(this.running.get(former) as Started);
    const measured = await measure(survivors, kill, self);
    this.running.set(former, former.start());
    await this.settle();
    return measured;
  }

  private async settle(): Promise<void> {
    await this.electorate.untilSettled();
    await this.leader();
    await delay(SETTLE_MS);
  }

  private async untilFollowed(
    survivors: readonly Voter[],
    former: string,
    fromMs: number,
  ): Promise<Pick<FailoverTimes, 'led' | 'followed'>> {
    const last = new Map<Voter, string | null>();
    let ledMs = Number.NaN;
    let followedMs = Number.NaN;
    const ask = async (voter: Voter): Promise<void> => {
      while (Number.isNaN(followedMs)) {
        const { leader } = await voter.lead().catch((): Lead => ({ self: '', leader: null }));
        last.set(voter, leader === former ? null : leader);
        if (leader !== null && leader !== former && Number.isNaN(ledMs)) ledMs = performance.now();
        const isFollowed = last.size === survivors.length && leader !== null && new Set(last.values()).size === 1;
        if (isFollowed && leader !== former) followedMs = performance.now();
        else if (performance.now() - fromMs > LED_TIMEOUT_MS) throw new Error(`no leader within ${LED_TIMEOUT_MS} ms`);
        else await delay(ASK_MS);
      }
    };
    await Promise.all(survivors.map(ask));
    return { led: ledMs - fromMs, followed: followedMs - fromMs };
  }
}

/** Writes through one survivor after the other, each a key of its own, until one is acknowledged. */
async function writtenAtMs(survivors: readonly Voter[]): Promise<number> {
  const startedMs = performance.now();
  let atMs = Number.NaN;
  for (let i = 0; Number.isNaN(atMs); i++) {
    const voter = survivors[i % survivors.length] as Voter;
    void voter.write(`failover-${i}`).then(
      (isDone) => {
        if (isDone && Number.isNaN(atMs)) atMs = performance.now();
      },
      () => undefined,
    );
    if (performance.now() - startedMs > LED_TIMEOUT_MS) throw new Error(`no write within ${LED_TIMEOUT_MS} ms`);
    await delay(WRITE_MS);
  }
  return atMs;
}
