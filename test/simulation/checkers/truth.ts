import type { NodeId } from '../../../src/protocol/machine.ts';
import type { SimNode } from '../sim-node.ts';

/** What is so, as the simulator knows it: what membership can only guess at. */
export interface Truth {
  readonly clock: { readonly nowMs: number };
  readonly nodes: readonly SimNode[];
  /** What holds on all links. */
  readonly weather: { readonly loss: number; readonly latencyMaxMs: number };
}

/** Above this share of lost messages nobody can be blamed for a wrong guess. */
const LOSS_MAX = 0.2;
/** One way. Beyond it a round trip takes longer than the time after which a probe goes through relays (400 ms). */
const LATENCY_MAX_MS = 200;

/** Its process runs and handles what comes: not stopped, its event loop not blocked, its disk taking writes. */
export function isResponsive({ running, troubles }: SimNode): boolean {
  return running !== null && running.held === null && troubles.refusing === 0;
}

/** Messages pass in both directions, most of them and soon, and both sides speak a common version. */
export function isLinked(truth: Truth, a: SimNode, b: SimNode): boolean {
  const isCommon = a.versions.min <= b.versions.max && b.versions.min <= a.versions.max;
  return isCommon && passes(truth, a, b) && passes(truth, b, a);
}

function passes({ weather }: Truth, from: SimNode, to: SimNode): boolean {
  const link = from.links.get(to.id);
  if (link === undefined || link.blocks > 0) return false;
  return (
    Math.max(weather.loss, link.loss) <= LOSS_MAX && Math.max(weather.latencyMaxMs, link.latencyMaxMs) <= LATENCY_MAX_MS
  );
}

/** Since when something has been so without a break; looked at in steps, so that breaks shorter than one may be missed. */
export class Spans {
  private readonly since = new Map<string, number>();

  note(id: string, isSo: boolean, nowMs: number): void {
    if (!isSo) this.since.delete(id);
    else if (!this.since.has(id)) this.since.set(id, nowMs);
  }

  /** How long it has been so; 0 when it is not. */
  lengthMs(id: string, nowMs: number): number {
    const since = this.since.get(id);
    return since === undefined ? 0 : nowMs - since;
  }
}

export function pairId(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
