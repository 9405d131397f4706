import type { NodeId } from '../../../src/protocol/machine.ts';
import type { Member } from '../../../src/protocol/membership/member.ts';
import type { PeerMessage } from '../../../src/protocol/node/message.ts';
import type { SimNode } from '../sim-node.ts';
import type { VirtualDisk } from '../virtual-disk.ts';
import { type Checker, Problems } from './checker.ts';

/** One observer's view of one member, in one run of the observer's process. */
interface Seen {
  incarnation: number;
  /** The incarnation at which it was last seen dead or left; -1: never. */
  goneAt: number;
  /** As it was then; members are never altered. */
  last: Member | null;
}

interface Announced {
  readonly incarnation: number;
  readonly runs: number;
  readonly disk: VirtualDisk;
}

interface View {
  readonly runs: number;
  readonly members: Map<NodeId, Seen>;
}

/**
 * What is over stays over: incarnations in a view never fall, nobody seen dead or left at an incarnation is seen alive
 * again at the same one, and a process that starts goes beyond all that the member has ever announced, synced or not.
 */
export function incarnationsChecker(): Checker {
  const problems = new Problems('incarnations');
  const views = new Map<NodeId, View>();
  /** The highest incarnation that each member has said of itself, and in which run of its process on which disk. */
  const announced = new Map<NodeId, Announced>();

  const look = (observer: SimNode, member: Member): void => {
    const seen = seenBy(views, observer, member);
    if (seen.last === member) return;
    seen.last = member;
    const text = `${observer.name} sees ${member.profile.name} ${member.state} at ${member.incarnation}`;
    if (member.incarnation < seen.incarnation) problems.add(`${text} after ${seen.incarnation}`);
    const isGone = member.state === 'dead' || member.state === 'left';
    if (isGone) seen.goneAt = member.incarnation;
    else if (member.incarnation <= seen.goneAt) problems.add(`${text} after it was gone at ${seen.goneAt}`);
    seen.incarnation = member.incarnation;
  };

  return {
    name: 'incarnations',
    event: (observer, event) => {
      if (event.type === 'member-changed' && event.member.id !== observer.id) look(observer, event.member);
    },
    turn: (observer) => {
      for (const member of observer.running?.node.members() ?? []) {
        if (member.id !== observer.id) look(observer, member);
      }
    },
    message: (from, _to, message) => {
      const incarnation = ownClaim(from.id, message);
      if (incarnation === undefined) return;
      const { runs } = from;
      const { disk } = from;
      const before = announced.get(from.id);
      // Of a disk that is lost nothing can be remembered; the others tell.
      if (before === undefined || before.disk !== disk || incarnation > before.incarnation) {
        announced.set(from.id, { incarnation, runs, disk });
      } else if (before.runs !== runs) {
        problems.add(`${from.name} announces ${incarnation} after a restart, and had announced ${before.incarnation}`);
      }
    },
    check: () => problems.all(),
  };
}

function seenBy(views: Map<NodeId, View>, observer: SimNode, member: Member): Seen {
  let view = views.get(observer.id);
  if (view === undefined || view.runs !== observer.runs) {
    view = { runs: observer.runs, members: new Map() };
    views.set(observer.id, view);
  }
  let seen = view.members.get(member.id);
  if (seen === undefined) {
    seen = { incarnation: member.incarnation, goneAt: -1, last: null };
    view.members.set(member.id, seen);
  }
  return seen;
}

/** The incarnation that the sender claims for itself in a message, where it does. */
function ownClaim(sender: NodeId, message: PeerMessage): number | undefined {
  if (!('updates' in message)) return undefined;
  for (const update of message.updates) {
    if (update.id === sender && (update.state === 'alive' || update.state === 'left')) return update.incarnation;
  }
  return undefined;
}
