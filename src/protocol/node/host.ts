import type { Catalog } from '../catalog/catalog.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { ReplicationEffect } from '../replication/effect.ts';
import type { Replication } from '../replication/replication.ts';
import type { NodeEffect } from './effect.ts';
import type { PeerMessage } from './message.ts';
import type { RingState } from './ring-state.ts';

/** What a node offers to those of its parts that work with replication from outside. */
export interface NodeHost {
  readonly rings: RingState;
  readonly catalog: Catalog;
  readonly send: (to: NodeId, message: PeerMessage) => void;
  readonly use: (effect: NodeEffect) => void;
  /** Runs it in a turn of replication. */
  readonly replicate: (use: (replication: Replication, now: Instant) => ReplicationEffect[]) => void;
  /** Runs it after this turn of replication, within which it may have been asked for. */
  readonly later: (run: () => void) => void;
}
