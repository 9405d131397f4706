import { idsOf } from '../../../src/protocol/electorate/electorate.ts';
import type { NodeId } from '../../../src/protocol/machine.ts';
import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import type { Truth } from './truth.ts';

/** A leader that has just been elected is known to all after a renewal. */
const NEWS_MS = 1500;

/** Whose grants make a leader quorate. */
interface Voters {
  /** Of the electorate; null: nobody has founded one, and the ring counts. */
  readonly founder: string | null;
  readonly ids: ReadonlySet<NodeId>;
}

/**
 * Never two leaders at one instant whose grants are those of a majority of the electors, nor two such leaders of one term.
 * Terms never fall at a node. At the end everybody follows one leader.
 */
export function leadersChecker(truth: Truth): Checker {
  const problems = new Problems('leaders');
  const byTerm = new Map<number, { readonly id: NodeId; readonly voters: Voters }[]>();
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
      if (!led.some((each) => each.id === node.id && isSame(each.voters, voters))) led.push({ id: node.id, voters });
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
 * True where majorities of both must have a member in common. Those of one electorate always do, however it changes. Before
 * there is one at both, rings count that operators may have changed by several members at one node of a partition; and two
 * electorates that were founded apart are two clusters (`electorates` says when that may be).
 */
function mustMeet(a: Voters, b: Voters): boolean {
  if (a.founder !== null && b.founder !== null) return a.founder === b.founder;
  return difference(a.ids, b.ids) <= 1;
}

function isSame(a: Voters, b: Voters): boolean {
  return a.founder === b.founder && difference(a.ids, b.ids) === 0;
}

function votersAt({ running }: SimNode): Voters {
  const electorate = running?.node.deciders.electorate ?? null;
  if (electorate !== null) return { founder: electorate.lineage.founder, ids: new Set(idsOf(electorate.electors)) };
  const places = running?.node.ringPlaces.filter((place) => place.in) ?? [];
  return { founder: null, ids: new Set(places.map(({ id }) => id)) };
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
