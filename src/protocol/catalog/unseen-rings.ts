import type { NodeId } from '../machine.ts';
import { changesOf, type RingPlace, type RingRecord } from './ring-record.ts';

/** By node id. */
export type RingRecords = ReadonlyMap<NodeId, RingRecord>;

/**
 * Between two catalogs there may have been rings that this node has not seen: in one of them a shard may have been
 * others', although it is this node's in the first and the last. The answer is the ring that takes most from this node,
 * with everybody who came or went and the others at their heaviest: what is this node's there too has been its own all the
 * time. Null: no ring was missed; `unknown`: any shard may have been away.
 */
export function greediestRing(
  self: NodeId,
  before: RingRecords,
  after: RingRecords,
): readonly RingPlace[] | 'unknown' | null {
  let steps = 0;
  let isVague = false;
  for (const record of after.values()) {
    const old = before.get(record.id);
    steps += old === undefined ? 1 + record.place.version : changesOf(record) - changesOf(old);
    if (old === undefined) continue;
    if (record.id === self && wasAway(old, record)) return 'unknown';
    isVague ||= zoneOf(old) !== zoneOf(record) || weighedTwice(old, record);
  }
  if (steps < 2) return null;
  return isVague ? 'unknown' : [...after.values()].map((record) => greediest(self, before.get(record.id), record));
}

type Placed = Pick<RingPlace, 'id' | 'in'>;

/** Of two rings that become one, whether the first has more members than the others who come; of equals one side does. */
export function outnumbers(olds: readonly Placed[], ring: readonly Placed[]): boolean {
  const isOld = (one: Placed): boolean => olds.some(({ id, in: isIn }) => isIn && id === one.id);
  const ins = ring.filter((one) => one.in);
  const joined = ins.filter((one) => !isOld(one));
  const members = olds.filter((one) => one.in);
  if (joined.length !== members.length) return joined.length < members.length;
  return smallest(members) < smallest(joined);
}

function smallest(members: readonly Placed[]): NodeId {
  return members.reduce((least, { id }) => (id < least ? id : least), members[0]?.id ?? '');
}

/** In then and now, and out in between. */
function wasAway(old: RingRecord, { place }: RingRecord): boolean {
  return old.place.value === 'in' && place.value === 'in' && old.place.version !== place.version;
}

/** What it weighed in between is not known, nor where it was. */
function weighedTwice(old: RingRecord, { own, weight, zone }: RingRecord): boolean {
  return own.version + weight.version + zone.version > old.own.version + old.weight.version + old.zone.version + 1;
}

function greediest(self: NodeId, old: RingRecord | undefined, record: RingRecord): RingPlace {
  const { id, place } = record;
  const weights = [weightOf(record), weightOf(old ?? record)];
  const wasIn = old === undefined || old.place.value === 'in' || place.version > old.place.version + 1;
  const isIn = place.value === 'in' || wasIn;
  const weight = id === self ? Math.min(...weights) : Math.max(...weights);
  return { id, place: isIn ? 'in' : 'out', in: isIn, weight, zone: zoneOf(record) };
}

function weightOf({ weight, own }: RingRecord): number {
  return weight.value ?? own.weight;
}

function zoneOf({ zone, own }: RingRecord): string {
  return zone.value ?? own.zone;
}
