import type { Dot, MutateReply } from '../../ports/node-handle.ts';
import { UNCONFIRMED_WRITES_MAX } from './limits.ts';

/** The latest write of a key, on fewer nodes than own the key as far as is known. */
export interface UnconfirmedWrite {
  readonly key: string;
  readonly dot: Dot;
  readonly nodes: number;
}

/** On how many nodes the writes of one connection are known to be synced, for WAIT. */
export class WriteLog {
  private readonly open = new Map<string, UnconfirmedWrite>();
  /** The fewest nodes of those that had to make room since the last answer, and of those that all owners have. */
  private forgotten = Number.POSITIVE_INFINITY;
  private confirmed = Number.POSITIVE_INFINITY;

  /** Undefined without any write. */
  get fewest(): number | undefined {
    let fewest = Math.min(this.forgotten, this.confirmed);
    for (const { nodes } of this.open.values()) fewest = Math.min(fewest, nodes);
    return fewest === Number.POSITIVE_INFINITY ? undefined : fewest;
  }

  /** Those that may yet reach more nodes, on fewer than `wanted`. */
  shortOf(wanted: number): UnconfirmedWrite[] {
    return [...this.open.values()].filter(({ nodes }) => nodes < wanted);
  }

  noteWrite(key: string, { dot, acks, owners }: MutateReply): void {
    if (dot === null) return;
    this.open.delete(key);
    if (acks >= owners) {
      this.confirmed = Math.min(this.confirmed, acks);
      return;
    }
    this.open.set(key, { key, dot, nodes: acks });
    if (this.open.size <= UNCONFIRMED_WRITES_MAX) return;
    const oldest = this.open.values().next().value as UnconfirmedWrite;
    this.open.delete(oldest.key);
    this.forgotten = Math.min(this.forgotten, oldest.nodes);
  }

  /** A later look found it on so many nodes. */
  noteNodes(write: UnconfirmedWrite, nodes: number, owners: number): void {
    // Written again meanwhile.
    if (this.open.get(write.key) !== write || nodes <= write.nodes) return;
    if (nodes < owners) {
      this.open.set(write.key, { ...write, nodes });
      return;
    }
    this.open.delete(write.key);
    this.confirmed = Math.min(this.confirmed, nodes);
  }

  /** What cannot change any more, or cannot be found out, has been told. */
  noteAnswered(): void {
    this.forgotten = Number.POSITIVE_INFINITY;
    this.confirmed = Number.POSITIVE_INFINITY;
  }
}
