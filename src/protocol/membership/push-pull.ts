import type { MemberState } from './member.ts';
import type { BucketDigest, MemberUpdate } from './message.ts';
import { MEMBERSHIP_LIMITS } from './message.ts';

/**
 * Push-pull by digests: views that agree cost a few bytes a bucket, views that differ exchange the buckets
 * that do. Members that left are not part of a digest, because each node forgets them at its own time; they
 * still travel in a bucket that is exchanged.
 */
const BUCKETS = 256;

/** One line of a view. */
export interface ViewEntry {
  readonly idHash: number;
  readonly update: MemberUpdate;
}

/** A view sorted into buckets. */
export class BucketedView {
  private readonly buckets = new Map<number, ViewEntry[]>();

  constructor(entries: Iterable<ViewEntry>) {
    for (const entry of entries) {
      const bucket = entry.idHash % BUCKETS;
      const list = this.buckets.get(bucket);
      if (list === undefined) this.buckets.set(bucket, [entry]);
      else list.push(entry);
    }
  }

  /** Non-empty buckets in ascending order. */
  digests(): BucketDigest[] {
    const digests: BucketDigest[] = [];
    for (const [bucket, entries] of this.buckets) {
      const counted = entries.filter((entry) => entry.update.state !== 'left');
      if (counted.length > 0) digests.push({ bucket, digest: digestOf(counted) });
    }
    return digests.sort((a, b) => a.bucket - b.bucket);
  }

  /** Buckets in which the other's digests differ from ours, either way round. */
  differing(theirs: readonly BucketDigest[]): number[] {
    const differing = new Map(this.digests().map(({ bucket, digest }) => [bucket, digest]));
    for (const { bucket, digest } of theirs) {
      if (differing.get(bucket) === digest) differing.delete(bucket);
      else if (Number.isInteger(bucket) && bucket >= 0 && bucket < BUCKETS) differing.set(bucket, digest);
    }
    return [...differing.keys()].sort((a, b) => a - b);
  }

  updates(bucket: number): MemberUpdate[] {
    return (this.buckets.get(bucket) ?? []).map((entry) => entry.update);
  }

  /** What we know better than `theirs` in these buckets; of members that left only what contradicts them. */
  better(buckets: readonly number[], theirs: readonly MemberUpdate[]): MemberUpdate[] {
    const known = new Map(theirs.map((update) => [update.id, update]));
    const better: MemberUpdate[] = [];
    for (const bucket of new Set(buckets)) {
      for (const ours of this.updates(bucket)) {
        const other = known.get(ours.id);
        if (other === undefined ? ours.state !== 'left' : isNewer(ours, other)) better.push(ours);
      }
    }
    return better;
  }
}

/** Whole buckets packed into messages of about the target number of updates. */
export function packBuckets(
  view: BucketedView,
  buckets: readonly number[],
): { readonly buckets: number[]; readonly updates: MemberUpdate[] }[] {
  const messages: { buckets: number[]; updates: MemberUpdate[] }[] = [];
  let open: { buckets: number[]; updates: MemberUpdate[] } | undefined;
  for (const bucket of buckets) {
    if (open === undefined || open.updates.length >= MEMBERSHIP_LIMITS.pushPullUpdatesTarget) {
      open = { buckets: [], updates: [] };
      messages.push(open);
    }
    open.buckets.push(bucket);
    open.updates.push(...view.updates(bucket).slice(0, MEMBERSHIP_LIMITS.updatesPerMessageMax - open.updates.length));
  }
  return messages;
}

const STATE_RANK: Readonly<Record<MemberState, number>> = { alive: 0, suspect: 1, dead: 2, left: 3 };

function isNewer(ours: MemberUpdate, theirs: MemberUpdate): boolean {
  if (ours.incarnation !== theirs.incarnation) return ours.incarnation > theirs.incarnation;
  return STATE_RANK[ours.state] > STATE_RANK[theirs.state];
}

/** Independent of order; equal for equal (id, state, incarnation). */
function digestOf(entries: readonly ViewEntry[]): number {
  let sum = 0;
  for (const { idHash, update } of entries) {
    let h = Math.imul(idHash ^ (update.incarnation >>> 0), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15) ^ Math.floor(update.incarnation / 0x1_0000_0000), 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 13) ^ (STATE_RANK[update.state] + 1), 0x27d4eb2f);
    sum = (sum + (h ^ (h >>> 16))) >>> 0;
  }
  return sum;
}
