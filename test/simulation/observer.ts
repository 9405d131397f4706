import type { Entries } from '../../src/protocol/causal/entry.ts';
import type { NodeId } from '../../src/protocol/machine.ts';
import type { NodeEvent } from '../../src/protocol/node/effect.ts';
import type { PeerMessage } from '../../src/protocol/node/message.ts';
import type { SimNode } from './sim-node.ts';

/** Watches a run. All called synchronously by the cluster; none may change anything. */
export interface SimObserver {
  /** Every message put on the wire, with the bytes it takes in its frame; also those that get lost. */
  message?(from: SimNode, to: NodeId, message: PeerMessage, bytes: number): void;
  /** What a core tells the operator. */
  event?(node: SimNode, event: NodeEvent): void;
  /** Clients that watch at the node are told of a change. */
  changed?(node: SimNode, change: { readonly bucket: string; readonly key: string; readonly entries: Entries }): void;
  /** What its clients rely on to be told has changed. */
  coverage?(node: SimNode): void;
  /** A fault begins, or is passed over; one readable line. */
  fault?(text: string): void;
  /** After each turn of a core. */
  turn?(node: SimNode): void;
}
