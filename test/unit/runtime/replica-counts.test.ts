import { describe, expect, it } from 'vitest';
import type { MemberState } from '../../../src/protocol/membership/member.ts';
import { ReplicaCounts, replicasCapability } from '../../../src/runtime/replica-counts.ts';
import { profileOf } from '../../support/membership-network.ts';

const member = (capabilities: readonly string[], state: MemberState = 'alive', id = 'a') => ({
  id,
  state,
  profile: { ...profileOf(id), capabilities },
});
const says = (replicas: number, state?: MemberState) => member([replicasCapability(replicas)], state);

describe('a member with another number of copies', () => {
  it('is told once, and again when it changes or comes back with it', () => {
    const counts = new ReplicaCounts(3);
    expect(counts.differenceOf(says(3))).toBeNull();
    expect(counts.differenceOf(says(1))).toBe(1);
    expect(counts.differenceOf(says(1))).toBeNull();
    expect(counts.differenceOf(member([replicasCapability(1)], 'alive', 'b'))).toBe(1);
    expect(counts.differenceOf(says(5))).toBe(5);
    expect(counts.differenceOf(says(3))).toBeNull();
    expect(counts.differenceOf(says(5))).toBe(5);
  });

  it('is not told while it is gone, or of a version that does not say', () => {
    const counts = new ReplicaCounts(3);
    expect(counts.differenceOf(says(1, 'dead'))).toBeNull();
    expect(counts.differenceOf(says(1, 'left'))).toBeNull();
    expect(counts.differenceOf(member([]))).toBeNull();
    expect(counts.differenceOf(member(['other', 'replicas=many']))).toBeNull();
    expect(counts.differenceOf(says(1, 'suspect'))).toBe(1);
  });
});
