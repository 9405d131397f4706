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

type Hook = keyof SimObserver;
type Listening<H extends Hook> = SimObserver & Required<Pick<SimObserver, H>>;

/** All that watch a run, by what they listen to: most are told of little, and turns and messages are many. */
export class Observers {
  readonly ofMessages: Listening<'message'>[] = [];
  readonly ofEvents: Listening<'event'>[] = [];
  readonly ofChanges: Listening<'changed'>[] = [];
  readonly ofCoverage: Listening<'coverage'>[] = [];
  readonly ofFaults: Listening<'fault'>[] = [];
  readonly ofTurns: Listening<'turn'>[] = [];

  push(...observers: readonly SimObserver[]): void {
    for (const observer of observers) {
      if (listensTo('message', observer)) this.ofMessages.push(observer);
      if (listensTo('event', observer)) this.ofEvents.push(observer);
      if (listensTo('changed', observer)) this.ofChanges.push(observer);
      if (listensTo('coverage', observer)) this.ofCoverage.push(observer);
      if (listensTo('fault', observer)) this.ofFaults.push(observer);
      if (listensTo('turn', observer)) this.ofTurns.push(observer);
    }
  }
}

function listensTo<H extends Hook>(hook: H, observer: SimObserver): observer is Listening<H> {
  return observer[hook] !== undefined;
}
