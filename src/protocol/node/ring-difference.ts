import type { Place, RingPlace } from '../catalog/ring-record.ts';
import type { RingRecords } from '../catalog/unseen-rings.ts';
import type { NodeId } from '../machine.ts';

/** What became of one member's place in the ring. */
export interface RingDifference {
  readonly id: NodeId;
  readonly what: 'joined' | Place | 'weight' | 'zone';
  readonly weight: number;
  readonly zone: string;
  /** Who asked for it; '' where the node's own configuration did. */
  readonly by: string;
}

/** What tells two rings apart, both sorted by id: nothing when all own the same, for the same reasons. */
export function ringDifferences(
  before: readonly RingPlace[],
  after: readonly RingPlace[],
  recordsBefore: RingRecords,
  records: RingRecords,
): RingDifference[] {
  const olds = new Map(before.map((member) => [member.id, member]));
  return after.flatMap(({ id, place, in: isIn, weight, zone }) => {
    const old = olds.get(id);
    // Who was taken out may be in all the same, while nobody else is.
    const word = isIn ? 'in' : place;
    const said = recordsBefore.get(id);
    const record = records.get(id);
    const settings = { id, weight, zone };
    const asked = record?.place.by ?? '';
    if (old === undefined) return [{ ...settings, what: isIn ? 'joined' : word, by: asked } as const];
    const found: RingDifference[] = [];
    if (old.place !== place || old.in !== isIn) found.push({ ...settings, what: word, by: asked });
    // A word of an operator outlasts the member's own, also where it says the same today.
    const isNews = (thing: 'weight' | 'zone'): boolean => said?.[thing].value !== record?.[thing].value;
    if (old.weight !== weight || isNews('weight'))
      found.push({ ...settings, what: 'weight', by: record?.weight.by ?? '' });
    if (old.zone !== zone || isNews('zone')) found.push({ ...settings, what: 'zone', by: record?.zone.by ?? '' });
    return found;
  });
}
