import type { NodeId } from '../machine.ts';
import type { MemberProfile } from './member.ts';
import type { MemberRecord } from './member-table.ts';
import type { MemberUpdate } from './message.ts';

/** Where a claim came from. In a push-pull it may be old, so a death in it is only ground for suspicion. */
export type EvidenceSource = 'gossip' | 'push-pull';

/**
 * What a claim about another member means, given what is known. `stale`: we know better, and the one who
 * claims it should hear so. `confirmation`: the suspicion is known, the accuser may be new. `profile`: the
 * state stands, but the profile of this incarnation was missing.
 */
export type Verdict = 'ignored' | 'stale' | 'alive' | 'profile' | 'suspect' | 'confirmation' | 'dead' | 'left';

/**
 * SWIM's order of precedence (Das, Gupta, Motivala 2002, section 4.2), with `left` and with dead members
 * that are kept: a higher incarnation wins; at equal ones the worse news does.
 */
export function judge(
  record: MemberRecord | undefined,
  update: MemberUpdate,
  sender: NodeId,
  source: EvidenceSource,
): Verdict {
  if (record === undefined || !record.confirmed) return judgeUnknown(record !== undefined, update);
  switch (update.state) {
    case 'alive':
      return judgeAlive(record, update.incarnation);
    case 'suspect':
      return judgeSuspect(record, update.incarnation);
    case 'dead':
      return judgeDead(record, update.incarnation, source);
    case 'left':
      return judgeLeft(record, update.incarnation, isOrigin(update, sender));
  }
}

function judgeUnknown(isInAddressBook: boolean, update: MemberUpdate): Verdict {
  switch (update.state) {
    case 'alive':
      return 'alive';
    case 'suspect':
    case 'dead':
      // Without a profile it could be neither dialled nor shown.
      return isInAddressBook || update.profile !== undefined ? update.state : 'ignored';
    case 'left':
      // Whoever is already gone need not become known, or it would be passed around for ever.
      return isInAddressBook ? 'left' : 'ignored';
  }
}

function judgeAlive(record: MemberRecord, incarnation: number): Verdict {
  const { member } = record;
  if (incarnation > member.incarnation) return 'alive';
  if (incarnation < member.incarnation) return 'stale';
  if (member.state === 'left') return 'stale';
  if (record.profileIncarnation < incarnation) return 'profile';
  return member.state === 'alive' ? 'ignored' : 'stale';
}

function judgeSuspect(record: MemberRecord, incarnation: number): Verdict {
  const { member } = record;
  if (incarnation > member.incarnation) return 'suspect';
  if (incarnation < member.incarnation) return 'stale';
  if (member.state === 'alive') return 'suspect';
  return member.state === 'suspect' ? 'confirmation' : 'ignored';
}

function judgeDead(record: MemberRecord, incarnation: number, source: EvidenceSource): Verdict {
  const { member } = record;
  if (incarnation < member.incarnation) return 'stale';
  if (incarnation === member.incarnation && (member.state === 'dead' || member.state === 'left')) return 'ignored';
  if (source === 'gossip' || member.state === 'dead' || member.state === 'left') return 'dead';
  return incarnation === member.incarnation && member.state === 'suspect' ? 'confirmation' : 'suspect';
}

/**
 * A relayed leave must carry an incarnation that we have not seen: only the member itself issues those.
 * (Until claims are signed, that and the admission of peers is all the proof there is.)
 */
function judgeLeft(record: MemberRecord, incarnation: number, fromOrigin: boolean): Verdict {
  const { member } = record;
  if (incarnation > member.incarnation) return 'left';
  if (member.state === 'left') return incarnation === member.incarnation ? 'ignored' : 'stale';
  if (fromOrigin && incarnation === member.incarnation) return 'left';
  return 'stale';
}

/** True when the claim comes straight from the one who made it; the place where a signature will count too. */
export function isOrigin(update: MemberUpdate, sender: NodeId): boolean {
  switch (update.state) {
    case 'alive':
    case 'left':
      return update.id === sender;
    case 'suspect':
    case 'dead':
      return update.from === sender;
  }
}

/** True when both say the same, so that nobody needs to hear of the difference. */
export function isSameProfile(a: MemberProfile, b: MemberProfile): boolean {
  return (
    a === b ||
    (a.name === b.name &&
      a.zone === b.zone &&
      a.versionMin === b.versionMin &&
      a.versionMax === b.versionMax &&
      a.bootEpoch === b.bootEpoch &&
      a.score === b.score &&
      a.weight === b.weight &&
      isSameList(a.capabilities, b.capabilities) &&
      isSameList(a.addresses, b.addresses) &&
      isSameLabels(a.labels, b.labels))
  );
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

function isSameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
