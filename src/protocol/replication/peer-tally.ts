import type { NodeId } from '../machine.ts';

/** What became of requests to one peer since the last look. */
export interface PeerOutcomes {
  readonly peer: NodeId;
  readonly answered: number;
  /** Refused, or late beyond the replica timeout. */
  readonly failed: number;
}

/** Counts how peers serve requests for data; membership judges their health by it. */
export class PeerTally {
  private counts = new Map<NodeId, { answered: number; failed: number }>();

  get isEmpty(): boolean {
    return this.counts.size === 0;
  }

  answered(peer: NodeId): void {
    this.of(peer).answered += 1;
  }

  failed(peer: NodeId): void {
    this.of(peer).failed += 1;
  }

  /** The counts since the last call. */
  take(): PeerOutcomes[] {
    const taken = [...this.counts].map(([peer, counts]) => ({ peer, ...counts }));
    this.counts.clear();
    return taken;
  }

  private of(peer: NodeId): { answered: number; failed: number } {
    let counts = this.counts.get(peer);
    if (counts === undefined) {
      counts = { answered: 0, failed: 0 };
      this.counts.set(peer, counts);
    }
    return counts;
  }
}
