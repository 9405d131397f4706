import type { NodeId } from '../../../src/protocol/machine.ts';
import type { MemberUpdate } from '../../../src/protocol/membership/message.ts';
import { type Checker, Problems } from './checker.ts';

/** What a member has said of itself: addresses by incarnation, and the incarnations at which it has left. */
interface Said {
  readonly alive: Map<number, string>;
  readonly left: Set<number>;
}

/** Only a member itself says that it lives, where, or that it leaves: nobody believes anything else of it. */
export function claimsChecker(): Checker {
  const problems = new Problems('claims');
  const saidBy = new Map<NodeId, Said>();

  const note = (update: MemberUpdate): void => {
    let said = saidBy.get(update.id);
    if (said === undefined) {
      said = { alive: new Map(), left: new Set() };
      saidBy.set(update.id, said);
    }
    if (update.state === 'alive') said.alive.set(update.incarnation, update.profile.addresses.join());
    else if (update.state === 'left') said.left.add(update.incarnation);
  };

  return {
    name: 'claims',
    message: (from, _to, message) => {
      if (!('updates' in message)) return;
      for (const update of message.updates) {
        if (update.id === from.id && (update.state === 'alive' || update.state === 'left')) note(update);
      }
    },
    event: (observer, event) => {
      if (event.type !== 'member-changed' || event.member.id === observer.id) return;
      const { id, state, incarnation, profile } = event.member;
      const said = saidBy.get(id);
      const text = `${observer.name} believes ${profile.name} ${state} at ${incarnation}`;
      if (state === 'left' && said?.left.has(incarnation) !== true) problems.add(`${text}, which it never said`);
      if (state !== 'alive') return;
      const addresses = said?.alive.get(incarnation);
      if (addresses === undefined) problems.add(`${text}, which it never said`);
      else if (addresses !== profile.addresses.join()) problems.add(`${text} under an address that it never named`);
    },
    check: () => problems.all(),
  };
}
