import { assert } from '../../lib/assert.ts';
import type { NodeId } from '../machine.ts';
import type { Claim, ClaimAuthority } from './claim.ts';
import type { MemberProfile } from './member.ts';
import type { AliveUpdate, LeftUpdate } from './message.ts';
import { isProfileWithinLimits, MEMBERSHIP_LIMITS } from './message.ts';

/**
 * Incarnations are made durable in blocks, so that a refutation does not wait for the disk while a
 * suspicion runs. A restart continues after the block and so never repeats one.
 */
const BLOCK = 64;
/** The next block is asked for when so few are left. */
const RESERVE = 32;

/**
 * What this node says of itself: its incarnation, profile and whether it leaves. Nothing is announced before
 * an incarnation at least as high is on disk.
 */
export class SelfClaim {
  readonly id: NodeId;
  private readonly claims: ClaimAuthority;
  private ownIncarnation: number;
  private ownProfile: MemberProfile;
  private isLeaving = false;
  /** Everything up to here is on disk. */
  private durable: number;
  /** Everything up to here is on disk or on its way there. */
  private requested: number;
  private current: AliveUpdate | LeftUpdate | null = null;

  constructor(id: NodeId, profile: MemberProfile, incarnation: number, claims: ClaimAuthority) {
    assert(Number.isSafeInteger(incarnation) && incarnation >= 0, 'the persisted incarnation is an integer from 0');
    assert(isProfileWithinLimits(profile), 'the own profile keeps the membership limits');
    this.id = id;
    this.claims = claims;
    this.ownProfile = profile;
    this.ownIncarnation = incarnation + 1;
    this.durable = incarnation;
    this.requested = incarnation;
  }

  /** The latest incarnation, announced or not. */
  get incarnation(): number {
    return this.ownIncarnation;
  }

  get profile(): MemberProfile {
    return this.ownProfile;
  }

  get leaving(): boolean {
    return this.isLeaving;
  }

  /** What others may hear; null until the first incarnation of this start is durable. */
  get announced(): AliveUpdate | LeftUpdate | null {
    return this.current;
  }

  /** A new incarnation above `seen` and all earlier ones. */
  bump(seen = 0): void {
    this.ownIncarnation = Math.max(this.ownIncarnation, seen) + 1;
    assert(this.ownIncarnation < MEMBERSHIP_LIMITS.incarnationMax, 'incarnations do not run out');
  }

  updateProfile(patch: Partial<MemberProfile>): void {
    const profile = { ...this.ownProfile, ...patch };
    assert(isProfileWithinLimits(profile), 'the own profile keeps the membership limits');
    this.ownProfile = profile;
    this.bump();
  }

  leave(): void {
    this.isLeaving = true;
    this.bump();
  }

  handlePersisted(incarnation: number): void {
    this.durable = Math.max(this.durable, incarnation);
  }

  /** The incarnation to make durable next, undefined while there are enough. */
  pollPersist(): number | undefined {
    if (this.ownIncarnation + RESERVE <= this.requested) return undefined;
    this.requested = this.ownIncarnation + BLOCK;
    return this.requested;
  }

  /** The announcement when it changed and may be sent; undefined otherwise. */
  pollAnnouncement(): AliveUpdate | LeftUpdate | undefined {
    if (this.ownIncarnation > this.durable || this.current?.incarnation === this.ownIncarnation) return undefined;
    this.current = this.isLeaving
      ? this.signed({ state: 'left', id: this.id, incarnation: this.ownIncarnation })
      : this.signed({ state: 'alive', id: this.id, incarnation: this.ownIncarnation, profile: this.ownProfile });
    return this.current;
  }

  private signed<C extends Claim>(claim: C): C & { readonly signature: Uint8Array } {
    return { ...claim, signature: this.claims.sign(claim) };
  }
}
