import { describe, expect, it } from 'vitest';
import { SelfClaim } from '../../../../src/protocol/membership/self-claim.ts';
import { profileOf } from '../../../support/membership-network.ts';
import { testClaims } from '../../../support/test-claims.ts';

describe('SelfClaim', () => {
  it('announces nothing before an incarnation as high is on disk', () => {
    const claim = new SelfClaim('x', profileOf('x'), 7, testClaims('x'));
    expect(claim.pollAnnouncement()).toBeUndefined();
    const persisted = claim.pollPersist() as number;
    expect(persisted).toBeGreaterThan(7);
    expect(claim.pollPersist()).toBeUndefined();
    expect(claim.pollAnnouncement()).toBeUndefined();
    claim.handlePersisted(persisted);
    expect(claim.pollAnnouncement()).toMatchObject({ state: 'alive', incarnation: 8 });
    expect(claim.pollAnnouncement()).toBeUndefined();
  });

  it('refutes at once from the block on disk, and waits when it is used up', () => {
    const claim = new SelfClaim('x', profileOf('x'), 0, testClaims('x'));
    claim.handlePersisted(claim.pollPersist() as number);
    claim.bump(5);
    expect(claim.pollAnnouncement()).toMatchObject({ incarnation: 6 });
    claim.bump(1000);
    expect(claim.pollAnnouncement()).toBeUndefined();
    const next = claim.pollPersist() as number;
    expect(next).toBeGreaterThanOrEqual(1001);
    claim.handlePersisted(next);
    expect(claim.pollAnnouncement()).toMatchObject({ incarnation: 1001 });
  });

  it('never repeats an incarnation after a restart, wherever it stopped', () => {
    const first = new SelfClaim('x', profileOf('x'), 0, testClaims('x'));
    const onDisk = first.pollPersist() as number;
    first.handlePersisted(onDisk);
    for (let i = 0; i < 200; i++) {
      first.bump();
      const announced = first.pollAnnouncement();
      if (announced !== undefined) expect(announced.incarnation).toBeLessThanOrEqual(onDisk);
    }
    expect(new SelfClaim('x', profileOf('x'), onDisk, testClaims('x')).incarnation).toBe(onDisk + 1);
  });

  it('refuses a profile outside the limits', () => {
    const claim = new SelfClaim('x', profileOf('x'), 0, testClaims('x'));
    expect(() => claim.updateProfile({ addresses: Array.from({ length: 17 }, () => '/ip4/10.0.0.1/tcp/1') })).toThrow();
    expect(claim.profile.addresses).toHaveLength(1);
  });
});
