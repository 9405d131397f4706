import type { NodeId } from '../../../src/protocol/machine.ts';
import type { CoreNetwork, MembershipCore } from '../../support/core-network.ts';

export interface CrashLatency {
  /** Until the first other member holds a victim dead; of the slowest victim. NaN: never in time. */
  readonly firstMs: number;
  /** Until all others hold all victims dead. */
  readonly allMs: number;
  /** Members declared dead that were not victims, counted as in Lifeguard. */
  readonly falsePositives: number;
}

/**
 * Ends `victims` at once: `kill` closes their connections as a kernel does, `block` leaves them open and silent.
 */
export function measureCrash(
  network: CoreNetwork<MembershipCore>,
  victims: readonly NodeId[],
  how: 'kill' | 'block',
  withinMs: number,
): CrashLatency {
  const startMs = network.nowMs;
  const dying = new Set(victims);
  const first = new Map<NodeId, number>();
  let falsePositives = 0;
  let missing = (network.running().length - dying.size) * dying.size;
  network.onChange = ({ id, node, state, previous, atMs }) => {
    if (dying.has(node)) return false;
    if (!dying.has(id)) falsePositives += state === 'dead' ? 1 : 0;
    else if (state === 'dead') {
      missing -= 1;
      if (!first.has(id)) first.set(id, atMs - startMs);
    } else if (previous === 'dead') missing += 1;
    return false;
  };
  for (const id of victims) {
    if (how === 'kill') network.kill(id);
    else network.pause(id, withinMs * 2);
  }
  const allMs = network.runUntil(() => missing === 0, withinMs) ?? Number.NaN;
  network.onChange = undefined;
  const firstMs = first.size === dying.size ? Math.max(...first.values()) : Number.NaN;
  return { firstMs, allMs, falsePositives };
}
