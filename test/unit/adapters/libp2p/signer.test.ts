import { describe, expect, it } from 'vitest';
import { createIdentity } from '../../../../src/adapters/libp2p/identity.ts';
import { createSigner } from '../../../../src/adapters/libp2p/signer.ts';
import type { MemberUpdate } from '../../../../src/protocol/membership/message.ts';
import { claimAuthority } from '../../../../src/runtime/claim-authority.ts';
import { profileOf } from '../../../support/membership-network.ts';

describe('claims signed with identities', () => {
  it('hold for their author, their content and their cluster only', async () => {
    const [a, b] = await Promise.all([createIdentity(), createIdentity()]);
    const profile = { ...profileOf('a'), labels: { site: 'x', 2: 'two', 1: 'one' } };
    const claim = { state: 'alive', id: a.peer, incarnation: 3, profile } as const;
    const update: MemberUpdate = { ...claim, signature: claimAuthority(createSigner(a), 'c1').sign(claim) };
    const others = claimAuthority(createSigner(b), 'c1');
    expect(others.verify(update)).toBe(true);
    expect(others.verify({ ...update, profile: { ...profile, labels: { 1: 'one', 2: 'two', site: 'x' } } })).toBe(true);
    expect(others.verify({ ...update, incarnation: 4 })).toBe(false);
    expect(others.verify({ ...update, profile: { ...profile, addresses: ['/ip4/10.6.6.6/tcp/1'] } })).toBe(false);
    expect(others.verify({ ...update, id: b.peer })).toBe(false);
    expect(others.verify({ ...update, signature: update.signature.slice(1) })).toBe(false);
    expect(claimAuthority(createSigner(b), 'c2').verify(update)).toBe(false);
  });

  it('are refused without an error where the author has no key', async () => {
    const authority = claimAuthority(createSigner(await createIdentity()), 'c1');
    const left = { state: 'left', incarnation: 1, signature: new Uint8Array(64) } as const;
    for (const id of ['nobody', '', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N']) {
      expect(authority.verify({ ...left, id })).toBe(false);
    }
  });

  it('bind an accusation to its accuser', async () => {
    const [a, b] = await Promise.all([createIdentity(), createIdentity()]);
    const claim = { state: 'suspect', id: 'x', incarnation: 3, from: a.peer } as const;
    const update: MemberUpdate = { ...claim, signature: claimAuthority(createSigner(a), 'c1').sign(claim) };
    const authority = claimAuthority(createSigner(b), 'c1');
    expect(authority.verify(update)).toBe(true);
    expect(authority.verify({ ...update, state: 'dead' })).toBe(false);
    expect(authority.verify({ ...update, from: b.peer })).toBe(false);
  });
});
