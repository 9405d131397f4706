import { Prng } from '../../src/lib/prng.ts';
import { TokenBucket } from '../../src/lib/token-bucket.ts';
import type { Instant } from '../../src/protocol/machine.ts';
import { chunkAt } from '../../src/protocol/uplink/chunk.ts';
import type { HubLinkEffect } from '../../src/protocol/uplink/link.ts';
import { type ChainedSite, SiteUplink, type SiteUplinkState } from '../../src/protocol/uplink/site-uplink.ts';
import type { HubTransaction } from '../../src/protocol/uplink/transaction.ts';
import type { VirtualClock } from './virtual-clock.ts';
import type { VirtualHub } from './virtual-hub.ts';

/** From a question of the process to its store to the answer, at most. */
const STORE_MS = 20;
/** Transactions of which the store says that it is away, half of them after it has done them. */
const STORE_AWAY = 0.02;
const DESCRIBE_MS = 1000;

export interface VirtualUplinkOptions {
  readonly clock: VirtualClock;
  readonly seed: number;
  /** The hub that has a hub, and that hub. */
  readonly lower: VirtualHub;
  readonly upper: VirtualHub;
  readonly shards: number;
  /** Ids of all shards of the site. */
  readonly shardIds: () => readonly number[];
}

/** What of a hub's process reconciles its one site with the hub above, in virtual time. It ends and begins with the process. */
export class VirtualUplink {
  private readonly options: VirtualUplinkOptions;
  private readonly prng: Prng;
  private core: SiteUplink | null = null;
  /** Of what was scheduled: a process that has ended does nothing more. */
  private run = 0;
  private armed = 0;

  constructor(options: VirtualUplinkOptions) {
    this.options = options;
    this.prng = new Prng(options.seed);
    const { lower } = options;
    lower.isChained = true;
    lower.onChanged = (shards) => this.core?.noteChanged(shards, this.now());
    lower.onProcess = (isUp) => (isUp ? this.begin() : this.end());
    this.begin();
  }

  state(): SiteUplinkState | null {
    return this.core?.state(this.now()) ?? null;
  }

  private begin(): void {
    const { lower } = this.options;
    const later = (use: () => void): void => this.later(this.prng.float() * STORE_MS, use);
    this.core = new SiteUplink(
      {
        prng: new Prng(this.prng.uint32()),
        report: () => ({ leader: null, quorate: false, members: [], backlogEvents: 0, oldestMs: 0 }),
        pace: new TokenBucket(0),
        chunk: chunkAt(0),
        run: (transaction, use) => later(() => this.transact(transaction, (result) => later(() => use(result)))),
        revision: () => lower.draw(),
        use: (effect) => this.execute(effect),
        onTaken: (shard) => lower.tellNews([shard]),
        onDue: () => this.arm(),
      },
      this.site(),
      this.now(),
    );
    this.core.carry(true, this.now());
    this.describe();
  }

  private end(): void {
    this.run++;
    this.core = null;
    this.options.upper.close(this);
  }

  private describe(): void {
    this.core?.describe(this.site(), this.now());
    this.later(DESCRIBE_MS, () => this.describe());
  }

  private site(): ChainedSite {
    const { lower, shards, shardIds } = this.options;
    return {
      clusterId: 'cluster',
      shards,
      buckets: [...lower.buckets.values()],
      actors: [],
      shardIds: shardIds(),
    };
  }

  private transact<T>(transaction: () => HubTransaction<T>, use: (result: T | null) => void): void {
    const draw = this.prng.float();
    if (draw < STORE_AWAY / 2) {
      use(null);
      return;
    }
    const result = this.options.lower.run(transaction());
    use(draw < STORE_AWAY ? null : result);
  }

  private execute(effect: HubLinkEffect): void {
    const { upper } = this.options;
    const { run } = this;
    switch (effect.type) {
      case 'hub-open':
        return upper.open(this, (input) => {
          if (run === this.run) this.core?.handleLink(input, this.now());
        });
      case 'hub-close':
        return upper.close(this);
      case 'hub-send':
        return upper.send(this, effect.id, effect.request);
    }
  }

  private arm(): void {
    const armed = ++this.armed;
    const delayMs = Math.max(0, (this.core?.nextDeadline() ?? 0) - this.options.clock.nowMs);
    this.later(delayMs, () => {
      if (armed !== this.armed) return;
      this.core?.handleTimeout(this.now());
      this.arm();
    });
  }

  private later(delayMs: number, use: () => void): void {
    const { run } = this;
    this.options.clock.after(delayMs, () => {
      if (run === this.run) use();
    });
  }

  private now(): Instant {
    return { monoMs: this.options.clock.nowMs, wallMs: this.options.lower.wallMs };
  }
}
