import { hlcWallMs, isPlausible } from '../../../src/lib/hlc.ts';
import { believed } from '../../../src/protocol/causal/mark.ts';
import type { NodeId } from '../../../src/protocol/machine.ts';
import type { SimCluster } from '../cluster.ts';
import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import { Requests } from './requests.ts';

/** `maxClockDriftMs` in `SimCluster`, and as much as a message may take on its way. */
const AHEAD_MAX_MS = 60_000 + 5000;
/** A step of a clock; less is its drift. */
const STEP_MS = 1000;

/** The clock that a node works with. */
interface Working {
  errorMs: number;
  /** When it was last set. */
  setMs: number;
}

/** No replica takes a delta whose stamp is far ahead of the clock that it works with. */
export function stampsChecker(cluster: Pick<SimCluster, 'nodes' | 'clock'>): Checker {
  const problems = new Problems('stamps');
  const open = new Requests<{ readonly stampMs: number; readonly sentMs: number }>();
  const working = new Map<SimNode, Working>();
  const find = (id: NodeId): SimNode | undefined => cluster.nodes.find((node) => node.id === id);
  const look = (node: SimNode): Working | null => {
    const wallMs = node.running?.node.wallMs(node.clock.now());
    if (wallMs === undefined) return null;
    const errorMs = wallMs - cluster.clock.nowMs;
    let known = working.get(node);
    if (known === undefined || Math.abs(known.errorMs - errorMs) > STEP_MS) {
      known = { errorMs, setMs: cluster.clock.nowMs };
      working.set(node, known);
    }
    known.errorMs = errorMs;
    return isPlausible(wallMs) ? known : null;
  };
  const isFarAhead = ({ errorMs }: Working, stampMs: number): boolean =>
    stampMs - errorMs - cluster.clock.nowMs > AHEAD_MAX_MS;
  return {
    name: 'stamps',
    turn: (node) => void look(node),
    message: (from, to, message) => {
      if (message.type === 'replicate') {
        const receiver = find(to);
        const clock = receiver === undefined ? null : look(receiver);
        const stampMs = Math.max(0, ...believed(message.entries).map(({ hlc }) => hlcWallMs(hlc)));
        if (clock === null || !isFarAhead(clock, stampMs)) return;
        open.note(from.id, to, message.id, { stampMs, sentMs: cluster.clock.nowMs });
      } else if (message.type === 'replicate-ack' && message.status !== 'refused') {
        const delta = open.find(to, from.id, message.id);
        const clock = look(from);
        // A clock that was set meanwhile may have been right when the delta came.
        if (delta === undefined || clock === null || clock.setMs > delta.sentMs) return;
        if (isFarAhead(clock, delta.stampMs)) {
          problems.add(`${from.name} has taken a delta stamped ${new Date(delta.stampMs).toISOString()}`);
        }
      }
    },
    check: () => problems.all(),
  };
}
