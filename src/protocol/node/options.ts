import type { Prng } from '../../lib/prng.ts';
import type { CatalogState } from '../catalog/record.ts';
import type { ActorId } from '../causal/dot.ts';
import type { VoteRecord } from '../election/options.ts';
import type { ElectorateRecord } from '../electorate/keeper.ts';
import type { NodeId } from '../machine.ts';
import type { ClaimAuthority } from '../membership/claim.ts';
import type { MemberProfile } from '../membership/member.ts';
import type { KnownMember, MembershipTiming } from '../membership/options.ts';
import type { RestoredRegisters } from '../register/registers.ts';
import type { ReplicationOptions } from '../replication/core.ts';
import type { RestoredReplication } from '../replication/replication.ts';
import type { HubOptions } from './uplink-effect.ts';

export interface NodeOptions {
  readonly self: NodeId;
  readonly actor: ActorId;
  readonly profile: MemberProfile;
  readonly incarnation: number;
  /** The persisted address book. */
  readonly known: readonly KnownMember[];
  readonly catalog: CatalogState;
  /** The node has run before, and the disk has no catalog any more. */
  readonly lostCatalog: boolean;
  /** The last vote in an election, and whether one may have been forgotten: true of a node that has run before. */
  readonly vote: VoteRecord;
  readonly mayHaveVoted: boolean;
  readonly shards: number;
  readonly replicas: number;
  /** How long a member is gone before the leader takes it out of the ring; 0: it never is. */
  readonly outAfterMs: number;
  readonly membership: Partial<MembershipTiming>;
  readonly replication: Omit<ReplicationOptions, 'self' | 'actor' | 'prng' | 'isWatched' | 'hasHub'>;
  readonly restored: RestoredReplication;
  readonly restoredRegisters: RestoredRegisters;
  readonly electorate: ElectorateRecord;
  /** 16 hex digits that no other run of any node has. */
  readonly proposerId: string;
  /** Null: there is none to reconcile with. */
  readonly hub: HubOptions | null;
  readonly claims: ClaimAuthority;
  readonly prng: Prng;
}
