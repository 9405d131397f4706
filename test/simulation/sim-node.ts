import type { NodeId } from '../../src/protocol/machine.ts';
import type { BucketOutcome, NodeInput, RingOutcome } from '../../src/protocol/node/effect.ts';
import type { Node } from '../../src/protocol/node/node.ts';
import type { RefoundOutcome } from '../../src/protocol/node/refounding.ts';
import type { NodeReply } from '../../src/protocol/node/request.ts';
import type { ConflictsReply, FailedReply } from '../../src/protocol/replication/request.ts';
import type { FrameWriter } from '../../src/wire/message.ts';
import type { CommitQueue } from './commit-queue.ts';
import type { DiskWork } from './disk-work.ts';
import type { NodeClock } from './node-clock.ts';
import type { VirtualDisk } from './virtual-disk.ts';

/** One established connection; the same object at both ends. */
export interface Connection {
  /** The end that dialled. */
  readonly from: SimNode;
  readonly to: SimNode;
}

/** A dial under way. */
export interface Dial {
  /** The protocol asked for it, and is told of a failure. */
  requested: boolean;
  /** The other side has accepted it. */
  accepted: boolean;
  ended: boolean;
}

/** One direction between two nodes. */
export interface Link {
  readonly from: SimNode;
  readonly to: SimNode;
  readonly back: Link;
  /** Faults that block it now, and since when. */
  blocks: number;
  blockedMs: number;
  /** Bad weather of its own, on top of what holds everywhere. */
  loss: number;
  latencyMaxMs: number;
  dial: Dial | null;
  /** When the last frame on each lane arrives: the next one does not overtake it. */
  readonly laneMs: [number, number, number];
  /** What the present turn sends on each lane. */
  readonly frames: [FrameWriter, FrameWriter, FrameWriter];
}

/** One run of the process. */
export interface Running {
  readonly node: Node;
  readonly commits: CommitQueue;
  readonly disk: DiskWork;
  readonly startedMs: number;
  /** The connections that it has been told of. */
  readonly peers: Map<NodeId, Connection>;
  /** Addresses by which it would dial its peers again. */
  readonly addresses: Map<NodeId, Set<string>>;
  /** When its timer fires, in true time, and for which deadline of its own clock. */
  timer: { readonly atMs: number; readonly deadlineMs: number } | null;
  readonly inbox: NodeInput[];
  readonly replies: Map<number, (reply: NodeReply) => void>;
  readonly conflictsReplies: Map<number, (reply: ConflictsReply | FailedReply) => void>;
  readonly refoundReplies: Map<number, (outcome: RefoundOutcome) => void>;
  readonly ringReplies: Map<number, (outcome: RingOutcome) => void>;
  readonly bucketReplies: Map<number, (outcome: BucketOutcome) => void>;
  readonly fenceReplies: Map<number, (accepted: boolean) => void>;
  /** A turn is under way: what is posted meanwhile belongs to it. */
  turning: boolean;
  /** What waits while the process is stopped or blocked; null while it runs. */
  held: (() => void)[] | null;
  /** When it was last held up. */
  resumedMs: number;
  timerIsDue: boolean;
}

/** One machine: it outlives its process, and may lose its disk. */
export interface SimNode {
  readonly index: number;
  readonly id: NodeId;
  readonly name: string;
  readonly clock: NodeClock;
  /** Links to the others, in order of their index. */
  readonly links: Map<NodeId, Link>;
  disk: VirtualDisk;
  address: string;
  /** Wire versions that it speaks. */
  versions: { readonly min: number; readonly max: number };
  /** Faults of the disk that hold now. */
  readonly troubles: { refusing: number; low: number; readonly syncMaxMs: number[] };
  running: Running | null;
  runs: number;
}
