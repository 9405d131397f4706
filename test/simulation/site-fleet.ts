import { requestBytes } from '../../src/hub/request-cost.ts';
import type { HubRefusedReply } from '../../src/protocol/uplink/message.ts';
import { SimCluster } from './cluster.ts';
import { VirtualClock } from './virtual-clock.ts';
import type { HubWork, VirtualHub } from './virtual-hub.ts';

const BUSY: HubRefusedReply = { type: 'hub-refused', code: 'busy', detail: 'the hub has too much in work' };

export interface FleetOptions {
  readonly seed: number;
  /** Nodes of each site. */
  readonly sites: readonly number[];
  readonly shards: number;
  /** Memory of requests that the hub has in work: beyond it, it refuses. */
  readonly hubBytesMax: number;
  /** Transactions at a time, and how long each takes. */
  readonly hubSlots: number;
  readonly hubWorkMs: number;
}

/** Many sites, each a cluster of its own, and one hub process for all of them, which does so much at a time. */
export class SiteFleet {
  readonly clock = new VirtualClock();
  readonly sites: readonly SimCluster[];
  /** When sessions began. */
  readonly openedMs: number[] = [];
  busyAnswers = 0;
  private readonly options: FleetOptions;
  private readonly waiting: (() => void)[] = [];
  private heldBytes = 0;
  private working = 0;

  constructor(options: FleetOptions) {
    const { seed, shards, sites } = options;
    this.options = options;
    this.sites = sites.map(
      (nodes, index) => new SimCluster({ seed: seed * 1000 + index, nodes, shards, hub: true, clock: this.clock }),
    );
    for (const hub of this.hubs) {
      hub.work = this.work;
      hub.onSession = () => void this.openedMs.push(this.clock.nowMs);
    }
  }

  /** What the one hub has of each site. */
  get hubs(): VirtualHub[] {
    return this.sites.map(({ hub }) => hub as VirtualHub);
  }

  run(forMs: number): void {
    this.clock.runUntil(this.clock.nowMs + forMs);
  }

  /** The highest number of sessions that began within one second since then. */
  openedInOneSecond(sinceMs: number): number {
    const times = this.openedMs.filter((atMs) => atMs >= sinceMs);
    return Math.max(0, ...times.map((atMs) => times.filter((other) => other >= atMs && other < atMs + 1000).length));
  }

  /** As `SiteRequests` does it: bounded memory, few transactions at a time, the others in the order in which they came. */
  private readonly work: HubWork = (request, use) => {
    const { hubBytesMax, hubSlots, hubWorkMs } = this.options;
    const bytes = requestBytes(request);
    if (this.heldBytes + bytes > hubBytesMax) {
      this.busyAnswers++;
      use(BUSY);
      return;
    }
    this.heldBytes += bytes;
    const begin = (): void => {
      this.working++;
      this.clock.after(hubWorkMs, () => {
        this.working--;
        this.heldBytes -= bytes;
        use(null);
        this.waiting.shift()?.();
      });
    };
    if (this.working < hubSlots) begin();
    else this.waiting.push(begin);
  };
}
