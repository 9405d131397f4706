import type { Node } from '../../../src/protocol/node/node.ts';
import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import type { Truth } from './truth.ts';

/** A queue or map inside of a node. */
interface Bound {
  /** Private fields from the node down to a Map, Set, array or number. */
  readonly path: string;
  /** The most there may ever be. */
  readonly most: number;
  /** The most that may be left once everything is quiet; more may be under way, but not all the time. */
  readonly left: number;
}

/** The size of one of them in one run of a node. */
interface Gauge {
  readonly runs: number;
  /** When it last was as empty as it should become. */
  emptyMs: number;
}

/** Not in step with anything that happens once a second, or once in a part of one. */
const STEP_MS = 730;
/** What has not been empty for so long at the end is not going to be. */
const STUCK_MS = 10_000;
/** Probes that the steady state has under way, each a round trip long. */
const PROBES_LEFT = 3;

const BOUNDS: readonly Bound[] = [
  { path: 'replication.admissions.inFlight', most: 1000, left: 0 },
  { path: 'replication.scans', most: 1000, left: 0 },
  { path: 'replication.clearing', most: 256, left: 0 },
  { path: 'replication.partings', most: 64, left: 0 },
  { path: 'replication.journal.waiting', most: 2000, left: 0 },
  { path: 'replication.core.cells.reads', most: 1000, left: 0 },
  { path: 'replication.writer.writes', most: 1000, left: 0 },
  { path: 'replication.reader.reads', most: 1000, left: 0 },
  { path: 'replication.forwarder.forwarded', most: 1000, left: 0 },
  { path: 'replication.lister.listings', most: 1000, left: 0 },
  { path: 'replication.hints.records', most: 10_000, left: 0 },
  { path: 'replication.hints.perTarget', most: 64, left: 0 },
  { path: 'replication.handoff.rounds', most: 64, left: 0 },
  { path: 'replication.handoff.due', most: 64, left: 0 },
  { path: 'replication.handoff.waits', most: 64, left: 0 },
  { path: 'replication.handoff.deliveries', most: 1000, left: 0 },
  { path: 'replication.handoff.questions', most: 64, left: 0 },
  { path: 'replication.antiEntropy.sender.sessions', most: 512, left: 0 },
  { path: 'replication.antiEntropy.sender.queue.wanted', most: 64, left: 0 },
  { path: 'replication.antiEntropy.sender.gathered', most: 64, left: 0 },
  { path: 'replication.antiEntropy.outbox.gathered', most: 64, left: 0 },
  { path: 'replication.antiEntropy.inquiries.open', most: 256, left: 0 },
  { path: 'replication.antiEntropy.inquiries.waiting', most: 64, left: 0 },
  { path: 'replication.antiEntropy.digests.again', most: 64, left: 0 },
  { path: 'replication.antiEntropy.fetcher.partial', most: 64, left: 0 },
  { path: 'replication.antiEntropy.parts.gathered', most: 256, left: 0 },
  { path: 'replication.stripper.noted', most: 256, left: 0 },
  { path: 'membership.suspicions.running', most: 64, left: 0 },
  { path: 'membership.dissemination.count', most: 512, left: 0 },
  { path: 'membership.prober.probes', most: 64, left: PROBES_LEFT },
  { path: 'membership.prober.relayed', most: 256, left: 0 },
];

/** Queues and maps stay bounded while things go wrong, and empty themselves once nothing does. */
export function boundsChecker(truth: Truth, bounds: readonly Bound[] = BOUNDS): Checker {
  const problems = new Problems('bounds');
  const gauges = new Map(bounds.map(({ path }) => [path, new Map<SimNode, Gauge>()]));
  const fields = new Map(bounds.map(({ path }) => [path, path.split('.')]));
  let nextMs = 0;

  const gaugeOf = (node: SimNode, path: string): Gauge => {
    const byNode = gauges.get(path) as Map<SimNode, Gauge>;
    let gauge = byNode.get(node);
    if (gauge === undefined || gauge.runs !== node.runs) {
      gauge = { runs: node.runs, emptyMs: truth.clock.nowMs };
      byNode.set(node, gauge);
    }
    return gauge;
  };
  const sizeOf = (node: Node, path: string): number => sizeAt(node, path, fields.get(path) as readonly string[]);
  const look = (): void => {
    for (const node of truth.nodes) {
      if (node.running === null) continue;
      for (const { path, most, left } of bounds) {
        const size = sizeOf(node.running.node, path);
        if (size > most) problems.add(`${path} of ${node.name} has grown beyond ${most}`);
        const gauge = gaugeOf(node, path);
        if (size <= left) gauge.emptyMs = truth.clock.nowMs;
      }
    }
  };

  return {
    name: 'bounds',
    turn: () => {
      if (truth.clock.nowMs < nextMs) return;
      nextMs = truth.clock.nowMs + STEP_MS;
      look();
    },
    check: () => {
      look();
      for (const node of truth.nodes) {
        if (node.running === null) continue;
        for (const { path } of bounds) {
          if (truth.clock.nowMs - gaugeOf(node, path).emptyMs < STUCK_MS) continue;
          problems.add(`${sizeOf(node.running.node, path)} are left in ${path} of ${node.name}`);
        }
      }
      return problems.all();
    },
  };
}

/** The size of what private fields lead to; throws where a field was renamed, so that no bound is lost unnoticed. */
function sizeAt(node: Node, path: string, fields: readonly string[]): number {
  let value: unknown = node;
  for (const field of fields) {
    if (typeof value !== 'object' || value === null || !(field in value)) throw new Error(`a node has no ${path}`);
    value = (value as Readonly<Record<string, unknown>>)[field];
  }
  if (typeof value === 'number') return value;
  if (value instanceof Map || value instanceof Set) return value.size;
  if (Array.isArray(value)) return value.length;
  throw new Error(`${path} of a node has no size`);
}
