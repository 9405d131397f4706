import { Prng } from '../../../src/lib/prng.ts';
import type { NodeId } from '../../../src/protocol/machine.ts';
import { CoreNetwork, type MembershipCore } from '../../support/core-network.ts';
import { MembershipNetwork } from '../../support/membership-network.ts';
import { Swim } from '../swim/swim.ts';

/** Who is compared: plain SWIM, and the membership core of this project with its defaults. */
export const PROTOCOLS = {
  swim: (seed: number, size: number): CoreNetwork<MembershipCore> =>
    formed(new CoreNetwork<MembershipCore>({ seed, connectionless: true }, ({ id, prng }) => new Swim(id, prng)), size),
  holdfast: (seed: number, size: number): CoreNetwork<MembershipCore> => formed(new MembershipNetwork({ seed }), size),
} as const;

export type Protocol = keyof typeof PROTOCOLS;

/**
 * How a member is anomalous. `blocked`: as in Lifeguard's experiment, see CoreNetwork.block. `stalled`: its messages
 * are held back in both directions while the process runs on, as on a link that goes away and comes back.
 */
export type Blocking = 'blocked' | 'stalled';

export interface Cell {
  /** C: members that are anomalous at the same time. */
  readonly concurrent: number;
  /** D: how long they are blocked. */
  readonly durationMs: number;
  /** I: how long they run in between. */
  readonly intervalMs: number;
  readonly blocking: Blocking;
}

export interface CellResult {
  /** Members declared dead that were never blocked, once for each member that came to believe it. */
  readonly falsePositives: number;
  /** Those of them that members believed which were never blocked themselves. */
  readonly atHealthy: number;
  readonly simulatedMs: number;
}

/** Time for the cluster to settle before, and for what was caused to show after. */
const QUIET_MS = 15_000;
/** Blocks begin for so long. */
const ACTIVE_MS = 120_000;

/** One run of Lifeguard's interval experiment (Dadgar, Phillips, Currey 2018). */
export function runCell(protocol: Protocol, cell: Cell, seed: number, size = 128, activeMs = ACTIVE_MS): CellResult {
  const network = PROTOCOLS[protocol](seed, size);
  network.run(QUIET_MS);
  const anomalous = new Set(new Prng(seed).shuffle(network.ids()).slice(0, cell.concurrent));
  let falsePositives = 0;
  let atHealthy = 0;
  network.onChange = ({ id, node, state, previous }) => {
    if (state !== 'dead' || previous === 'dead' || anomalous.has(id)) return false;
    falsePositives += 1;
    if (!anomalous.has(node)) atHealthy += 1;
    return false;
  };
  const endMs = network.nowMs + activeMs;
  while (network.nowMs < endMs) {
    for (const id of anomalous) block(network, id, cell);
    network.run(cell.durationMs + cell.intervalMs);
  }
  network.run(QUIET_MS);
  return { falsePositives, atHealthy, simulatedMs: network.nowMs };
}

function block(network: CoreNetwork<MembershipCore>, id: NodeId, { blocking, durationMs }: Cell): void {
  if (blocking === 'blocked') network.block(id, durationMs);
  else network.stall(id, durationMs);
}

function formed(network: CoreNetwork<MembershipCore>, size: number): CoreNetwork<MembershipCore> {
  network.formCluster(size);
  return network;
}
