import { Prng } from '../lib/prng.ts';
import type { TokenBucket } from '../lib/token-bucket.ts';
import type { Clock } from '../ports/clock.ts';
import { type HubLink, NOT_SENT } from '../ports/hub-link.ts';
import type { HubStore, ObjectName, SiteRecord } from '../ports/hub-store.ts';
import type { Log } from '../ports/log.ts';
import type { Chunk } from '../protocol/uplink/chunk.ts';
import type { HubLinkEffect, HubLinkInput } from '../protocol/uplink/link.ts';
import {
  type ChainedSite as Described,
  SiteUplink,
  type SiteUplinkOptions,
  type SiteUplinkState,
} from '../protocol/uplink/site-uplink.ts';
import type { HubTransaction } from '../protocol/uplink/transaction.ts';
import type { Slots } from './slots.ts';

export interface ChainedSiteParts {
  readonly store: HubStore;
  readonly clock: Clock;
  readonly log: Log;
  /** 16 random lower-case hex digits. */
  readonly random: () => string;
  readonly link: HubLink;
  /** As the site has told last. */
  readonly report: SiteUplinkOptions['report'];
  readonly pace: TokenBucket;
  /** For transactions: shared with the other sites of the hub. */
  readonly slots: Slots;
  readonly chunk: Chunk;
  /** The hub above has written these keys of the shard. */
  readonly onTaken: (shard: number, names: readonly ObjectName[]) => void;
}

/** Runs what reconciles one site of this hub with the hub above, from its first hello until it is removed. */
export class ChainedSite {
  readonly record: SiteRecord;
  private readonly parts: ChainedSiteParts;
  private readonly core: SiteUplink;
  private cancel: (() => void) | null = null;
  private isStopped = false;
  private isStoreAway = false;

  constructor(parts: ChainedSiteParts, record: SiteRecord, described: Described) {
    this.parts = parts;
    this.record = record;
    const { clock, random, pace, chunk, onTaken, report } = parts;
    this.core = new SiteUplink(
      {
        prng: new Prng(Number.parseInt(random().slice(0, 8), 16)),
        report,
        pace,
        chunk,
        onTaken,
        run: (transaction, use) => void this.transact(transaction, use),
        revision: random,
        use: (effect) => this.execute(effect),
        onDue: () => this.arm(),
      },
      described,
      clock.now(),
    );
    this.arm();
  }

  state(): SiteUplinkState {
    return this.core.state(this.parts.clock.now());
  }

  carry(isCarrying: boolean): void {
    this.core.carry(isCarrying, this.parts.clock.now());
  }

  describe(described: Described): void {
    this.core.describe(described, this.parts.clock.now());
  }

  noteChanged(shards: readonly number[]): void {
    this.core.noteChanged(shards, this.parts.clock.now());
  }

  stop(): void {
    this.isStopped = true;
    this.cancel?.();
    this.parts.link.close();
  }

  private async transact<T>(transaction: () => HubTransaction<T>, use: (result: T | null) => void): Promise<void> {
    const { store, slots, log } = this.parts;
    const { name: site } = this.record;
    let result: T | null = null;
    try {
      result = await slots.run(() => store.transact(site, transaction));
      if (this.isStoreAway) log.info('what is exchanged with the hub above goes on', { site });
      this.isStoreAway = false;
    } catch (error) {
      if (!this.isStoreAway && !this.isStopped)
        log.warn('what is exchanged with the hub above waits for the store', { site, error: String(error) });
      this.isStoreAway = true;
    }
    if (!this.isStopped) use(result);
  }

  private execute(effect: HubLinkEffect): void {
    const { link } = this.parts;
    switch (effect.type) {
      case 'hub-open':
        return link.open({
          handleUp: () => this.handle({ type: 'hub-up' }),
          handleDown: (reason, detail) => this.handle({ type: 'hub-down', reason, detail }),
          handleReply: (id, reply) => this.handle({ type: 'hub-reply', id, reply }),
          handleNews: ({ shards }) => this.handle({ type: 'hub-news', shards }),
        });
      case 'hub-close':
        return link.close();
      case 'hub-send':
        if (link.send(effect.id, effect.request) === 0)
          this.parts.clock.soon(() => this.handle({ type: 'hub-reply', id: effect.id, reply: NOT_SENT }));
    }
  }

  private handle(input: HubLinkInput): void {
    if (!this.isStopped) this.core.handleLink(input, this.parts.clock.now());
  }

  private arm(): void {
    if (this.isStopped) return;
    const { clock } = this.parts;
    this.cancel?.();
    this.cancel = clock.after(Math.max(0, this.core.nextDeadline() - clock.now().monoMs), () => {
      this.core.handleTimeout(clock.now());
      this.arm();
    });
  }
}
