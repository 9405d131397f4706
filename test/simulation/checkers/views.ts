import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import type { Truth } from './truth.ts';

/**
 * At the end all views are equal and true: every running node holds exactly the running ones alive, each at the
 * incarnation, with the addresses and the boot epoch that it claims itself.
 */
export function viewsChecker(truth: Truth): Checker {
  return {
    name: 'views',
    check: () => {
      const problems = new Problems('views');
      for (const observer of truth.nodes) {
        if (observer.running === null) continue;
        for (const subject of truth.nodes) if (subject.runs > 0) compare(problems, observer, subject);
      }
      return problems.all();
    },
  };
}

function compare(problems: Problems, observer: SimNode, subject: SimNode): void {
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
    problems.add(`${names} at incarnation ${seen.incarnation}, which is at ${own.incarnation}`);
  } else if (seen.profile.addresses.join() !== own.profile.addresses.join()) {
    problems.add(`${names} at ${seen.profile.addresses.join()}, which is at ${own.profile.addresses.join()}`);
  } else if (seen.profile.bootEpoch !== own.profile.bootEpoch) {
    problems.add(`${names} in boot ${seen.profile.bootEpoch}, which is in ${own.profile.bootEpoch}`);
  }
}
