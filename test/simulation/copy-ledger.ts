import type { Dot } from '../../src/protocol/causal/dot.ts';
import { nameId, type ObjectName } from '../../src/protocol/replication/record.ts';
import type { SimNode } from './sim-node.ts';
import type { VirtualDisk } from './virtual-disk.ts';

interface Acknowledged {
  readonly shard: number;
  readonly name: ObjectName;
  readonly dot: Dot;
  /** The disks that had it when it was acknowledged, and are still there. */
  holders: Set<VirtualDisk>;
  readonly onLost: () => void;
}

/**
 * Which disks hold each acknowledged event. "No acknowledged write is lost unless all W disks are": an event may be
 * forgotten only when the last disk that had it at its acknowledgement is gone, and no other has got it meanwhile.
 */
export class CopyLedger {
  /** Disks and records lost up to now. */
  losses = 0;
  /** Told of each loss. */
  onLoss: () => void = () => undefined;
  private readonly nodes: readonly SimNode[];
  private readonly events = new Set<Acknowledged>();

  constructor(nodes: readonly SimNode[]) {
    this.nodes = nodes;
  }

  /** Notes an acknowledged event; returns how many disks hold it. `onLost`: all of them are lost, it need not survive. */
  add(shard: number, name: ObjectName, dot: Dot, onLost: () => void): number {
    const holders = this.holdersOf(shard, name, dot);
    this.events.add({ shard, name, dot, holders, onLost });
    return holders.size;
  }

  /** The disk of a node is gone, or its record of one key. To be called when it is no longer the node's. */
  lose(disk: VirtualDisk, name?: ObjectName): void {
    this.losses++;
    for (const event of this.events) {
      if (name !== undefined && (name.key !== event.name.key || name.bucket !== event.name.bucket)) continue;
      if (!event.holders.delete(disk) || event.holders.size > 0) continue;
      event.holders = this.holdersOf(event.shard, event.name, event.dot);
      if (event.holders.size > 0) continue;
      this.events.delete(event);
      event.onLost();
    }
    this.onLoss();
  }

  /**
   * True when the disk alone holds some event that others had at its acknowledgement: a fallback has handed its copy
   * over to it, say, and let go of its own. To lose that disk as well would be one loss too many. What an owner has
   * stored, fallbacks and former owners are about to let go of: its word may be on its way to them.
   */
  isLastHolder(disk: VirtualDisk): boolean {
    for (const { shard, name, dot, holders } of this.events) {
      if (holders.size === 0 || (holders.size === 1 && holders.has(disk)) || !disk.holds(shard, name, dot)) continue;
      const others = this.nodes.filter((node) => node.disk !== disk && holds(node, shard, name, dot));
      const isStored = disk.hasReplicated(shard, name, dot);
      if (others.every((node) => isStored && !keeps(node, shard, name, dot))) return true;
    }
    return false;
  }

  private holdersOf(shard: number, name: ObjectName, dot: Dot): Set<VirtualDisk> {
    const holders = new Set<VirtualDisk>();
    for (const node of this.nodes) if (holds(node, shard, name, dot)) holders.add(node.disk);
    return holders;
  }
}

/** A replica or hint that was handed over and let go of is gone, also while a slow disk still has it. */
function holds({ disk, running }: SimNode, shard: number, name: ObjectName, dot: Dot): boolean {
  if (running === null) return disk.holds(shard, name, dot);
  const { clearing, core } = (running.node as unknown as Inside).replication;
  const cell = core.cells.cells.get(nameId(name));
  const isLetGo = cell !== undefined && cell.waiting === null && cell.hint === null;
  if (!isLetGo && disk.hasHinted(shard, name, dot)) return true;
  return !clearing.has(shard) && disk.hasReplicated(shard, name, dot);
}

/** It has a replica, and nobody can tell it to let go of that. */
function keeps({ disk, running }: SimNode, shard: number, name: ObjectName, dot: Dot): boolean {
  if (!disk.hasReplicated(shard, name, dot)) return false;
  if (running === null) return true;
  return (running.node as unknown as Inside).replication.core.shards.find(shard)?.owned === true;
}

/** The part of a node's private state that knows. */
interface Inside {
  readonly replication: {
    readonly clearing: ReadonlySet<number>;
    readonly core: {
      readonly shards: { find(shard: number): { readonly owned: boolean } | undefined };
      readonly cells: { readonly cells: ReadonlyMap<string, { readonly waiting: unknown; readonly hint: unknown }> };
    };
  };
}
