import type { NodeId } from '../../../src/protocol/machine.ts';
import { mapIn } from './map-in.ts';

/** Requests under way that are remembered. */
const REQUESTS_MAX = 10_000;

/** What was asked, by who asked whom and the number of the request: answers do not repeat it. */
export class Requests<T> {
  private readonly byAsker = new Map<NodeId, Map<NodeId, Map<number, T>>>();
  private count = 0;

  note(from: NodeId, to: NodeId, id: number, asked: T): void {
    if (this.count++ >= REQUESTS_MAX) {
      this.byAsker.clear();
      this.count = 1;
    }
    mapIn(mapIn(this.byAsker, from), to).set(id, asked);
  }

  /** What `from` has asked `to`. */
  find(from: NodeId, to: NodeId, id: number): T | undefined {
    return this.byAsker.get(from)?.get(to)?.get(id);
  }
}
