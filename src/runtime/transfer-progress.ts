import type { RingView } from '../ports/node-handle.ts';

/** How far a change of the ring has come on this node: what is on its way now, beside the most there was. */
export class TransferProgress {
  private most = 0;

  /** To be called with the present number whenever it may have grown, and to read the progress. */
  observe(transferring: number): RingView['changing'] {
    this.most = transferring === 0 ? 0 : Math.max(this.most, transferring);
    return transferring === 0 ? null : { shards: transferring, moved: this.most - transferring };
  }
}
