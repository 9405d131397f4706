import type { NodeId } from '../../../src/protocol/machine.ts';
import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import type { Truth } from './truth.ts';

/** A leader that has just been elected is known to all after a renewal. */
const NEWS_MS = 1500;

/**
 * Never two leaders at one instant whose grants are those of a majority of the ring, nor two such leaders of one term. Terms
 * never fall at a node. At the end everybody follows one leader.
 */
export function leadersChecker(truth: Truth): Checker {
  const problems = new Problems('leaders');
  const byTerm = new Map<number, { readonly id: NodeId; readonly voters: ReadonlySet<NodeId> }[]>();
  const disks = new Map(truth.nodes.map((node) => [node, node.disk]));
  const lastTerms = new Map<SimNode, { readonly run: unknown; readonly term: number }>();
  let changedMs = 0;
  // Who was given an older copy of its disk, or an empty one, has forgotten its votes.
  const isForgetful = (): boolean => truth.nodes.some((node) => disks.get(node) !== node.disk);

  const checkQuorate = (node: SimNode): void => {
    const leadership = quorateLeadership(node);
    if (leadership === null) return;
    const { term } = leadership;
    if (!isForgetful()) {
      const voters = votersAt(node);
      const led = byTerm.get(term) ?? [];
      const other = led.find((each) => each.id !== node.id && mustMeet(each.voters, voters));
      if (other !== undefined) problems.add(`${node.name} leads in term ${term}, in which ${other.id} has led`);
      if (!led.some((each) => each.id === node.id && difference(each.voters, voters) === 0))
        led.push({ id: node.id, voters });
      byTerm.set(term, led);
    }
    for (const other of truth.nodes) {
      if (other === node || !mustMeet(votersAt(node), votersAt(other))) continue;
      const rival = quorateLeadership(other);
      if (rival === null) continue;
      const atMs = truth.clock.nowMs;
      problems.add(`${node.name} (term ${term}) and ${other.name} (term ${rival.term}) lead at ${atMs}, both quorate`);
    }
  };

  return {
    name: 'leaders',
    event: (_, event) => {
      if (event.type === 'leader-changed') changedMs = truth.clock.nowMs;
    },
    turn: (node) => {
      const { running } = node;
      if (running === null) return;
      const { term } = running.node;
      const last = lastTerms.get(node);
      if (last?.run === running && last.term > term)
        problems.add(`${node.name} fell from term ${last.term} to ${term}`);
      if (last?.run !== running || last.term !== term) lastTerms.set(node, { run: running, term });
      checkQuorate(node);
    },
    check: () => {
      if (truth.clock.nowMs - changedMs >= NEWS_MS) checkAgreement(truth, problems);
      else problems.add('the leader is still changing at the end');
      return problems.all();
    },
  };
}

function quorateLeadership(node: SimNode): { readonly term: number } | null {
  const leadership = node.running?.node.leadership(node.clock.now()) ?? null;
  return leadership?.leader === node.id && leadership.quorate ? leadership : null;
}

/**
 * True where majorities by the rings of both must have a member in common. Rings that operators have changed by several
 * members, at one node of a partition, need not.
 */
function mustMeet(a: ReadonlySet<NodeId>, b: ReadonlySet<NodeId>): boolean {
  return difference(a, b) <= 1;
}

function votersAt({ running }: SimNode): ReadonlySet<NodeId> {
  return new Set(running?.node.ringPlaces.filter((place) => place.in).map(({ id }) => id));
}

function checkAgreement({ nodes }: Truth, problems: Problems): void {
  const running = nodes.filter((node) => node.running !== null);
  const known = running.map((node) => ({ node, leadership: node.running?.node.leadership(node.clock.now()) ?? null }));
  for (const { node, leadership } of known) {
    if (leadership === null) problems.add(`${node.name} knows of no leader at the end`);
  }
  const leaders = new Set(known.map(({ leadership }) => `${leadership?.leader} in term ${leadership?.term}`));
  if (leaders.size > 1) problems.add(`not one leader at the end: ${[...leaders].join(', ')}`);
}

/** Members of one of them only. */
function difference(a: ReadonlySet<NodeId>, b: ReadonlySet<NodeId>): number {
  const isIn = (ids: ReadonlySet<NodeId>) => (id: NodeId) => ids.has(id);
  return a.size + b.size - 2 * [...a].filter(isIn(b)).length;
}
