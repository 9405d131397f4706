import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import type { Truth } from './truth.ts';

/** A node may change its profile at any time (its coordinate, its score); so long the news may be on its way. */
const GOSSIP_MS = 2000;

/**
 * At the end all views are equal and true: every running node holds exactly the running ones alive, each at the
 * incarnation, with the addresses and the boot epoch that it claims itself.
 */
export function viewsChecker(truth: Truth): Checker {
  const changedMs = new Map<SimNode, number>();
  const isFresh = (node: SimNode): boolean => truth.clock.nowMs - (changedMs.get(node) ?? -GOSSIP_MS) < GOSSIP_MS;
  return {
    name: 'views',
    event: (node, event) => {
      const isOwn = event.type === 'member-changed' && event.member.id === node.id;
      if (isOwn && event.previous === event.member.state) changedMs.set(node, truth.clock.nowMs);
    },
    check: () => {
      const problems = new Problems('views');
      for (const observer of truth.nodes) {
        if (observer.running === null) continue;
        for (const subject of truth.nodes) if (subject.runs > 0) compare(problems, observer, subject, isFresh(subject));
      }
      return problems.all();
    },
  };
}

function compare(problems: Problems, observer: SimNode, subject: SimNode, isFresh: boolean): void {
  const seen = observer.running?.node.member(subject.id);
  const own = subject.running?.node.member(subject.id);
  const names = `${observer.name} sees ${subject.name}`;
  if (own === undefined) {
    if (seen?.state === 'alive' || seen?.state === 'suspect') problems.add(`${names} ${seen.state}, which is down`);
    return;
  }
  if (seen === undefined) problems.add(`${names} not at all`);
  else if (seen.state !== 'alive') problems.add(`${names} ${seen.state} at ${seen.incarnation}, which runs`);
  else if (seen.incarnation !== own.incarnation) {
    if (!isFresh) problems.add(`${names} at incarnation ${seen.incarnation}, which is at ${own.incarnation}`);
  } else if (seen.profile.addresses.join() !== own.profile.addresses.join()) {
    problems.add(`${names} at ${seen.profile.addresses.join()}, which is at ${own.profile.addresses.join()}`);
  } else if (seen.profile.bootEpoch !== own.profile.bootEpoch) {
    problems.add(`${names} in boot ${seen.profile.bootEpoch}, which is in ${own.profile.bootEpoch}`);
  }
}
