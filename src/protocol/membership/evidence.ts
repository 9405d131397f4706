import type { Coordinate } from './coordinate.ts';
import type { MemberProfile } from './member.ts';
import type { MemberRecord } from './member-table.ts';
import type { AccusationUpdate, MemberUpdate } from './message.ts';
import { MEMBERSHIP_LIMITS } from './message.ts';

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
export function judge(record: MemberRecord | undefined, update: MemberUpdate, source: EvidenceSource): Verdict {
  if (isAccusation(update) && isTooFarAhead(record, update)) return 'ignored';
  if (record === undefined || record.claim === null) return judgeUnknown(record !== undefined, update);
  if (isAccusation(update) && isUnproven(record, update)) return 'ignored';
  switch (update.state) {
    case 'alive':
      return judgeAlive(record, update.incarnation);
    case 'suspect':
      return judgeSuspect(record, update.incarnation);
    case 'dead':
      return judgeDead(record, update.incarnation, source);
    case 'left':
      return judgeLeft(record, update.incarnation);
  }
}

function judgeUnknown(isInAddressBook: boolean, update: MemberUpdate): Verdict {
  switch (update.state) {
    case 'alive':
      return 'alive';
    case 'suspect':
    case 'dead':
      // Without its own words it could be neither dialled nor shown.
      return update.alive !== undefined ? update.state : 'ignored';
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
  if ((record.alive?.incarnation ?? 0) < incarnation) return 'profile';
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

/** Signed by the member itself, so it counts whoever passed it on. */
function judgeLeft(record: MemberRecord, incarnation: number): Verdict {
  const { member } = record;
  if (incarnation < member.incarnation) return 'stale';
  return incarnation === member.incarnation && member.state === 'left' ? 'ignored' : 'left';
}

export function isAccusation(update: MemberUpdate): update is AccusationUpdate {
  return update.state === 'suspect' || update.state === 'dead';
}

/** Only its own words lead a member out of `left`: a later accusation needs to carry them. */
function isUnproven({ member }: MemberRecord, { incarnation, alive }: AccusationUpdate): boolean {
  return member.state === 'left' && incarnation > member.incarnation && (alive?.incarnation ?? 0) <= member.incarnation;
}

/** A member can't be accused far beyond what it is known to have said: it would never get to refute that. */
function isTooFarAhead(record: MemberRecord | undefined, update: AccusationUpdate): boolean {
  const said = Math.max(
    record?.alive?.incarnation ?? 0,
    record?.claim?.incarnation ?? 0,
    update.alive?.incarnation ?? 0,
  );
  return said > 0 && update.incarnation > said + MEMBERSHIP_LIMITS.accusationLeadMax;
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
      isSameCoordinate(a.coordinate, b.coordinate) &&
      isSameList(a.capabilities, b.capabilities) &&
      isSameList(a.addresses, b.addresses) &&
      isSameLabels(a.labels, b.labels))
  );
}

function isSameCoordinate(a: Coordinate | null, b: Coordinate | null): boolean {
  if (a === null || b === null) return a === b;
  return a.x === b.x && a.y === b.y && a.z === b.z && a.height === b.height && a.error === b.error;
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

function isSameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
