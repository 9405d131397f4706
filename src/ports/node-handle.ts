import type { Failure } from '../lib/failure.ts';
import type { BucketConfig } from '../protocol/catalog/record.ts';
import type { Place, RingChange } from '../protocol/catalog/ring-record.ts';
import type { NodeReplyOf, NodeRequest } from '../protocol/node/request.ts';

export type { BucketConfig } from '../protocol/catalog/record.ts';
export type { RingChange } from '../protocol/catalog/ring-record.ts';

import type { Entries, Entry } from '../protocol/causal/entry.ts';
import type { MemberState } from '../protocol/membership/member.ts';
import type { ConflictKey } from '../protocol/replication/record.ts';
import type { ConflictsQuery } from '../protocol/replication/request.ts';
import type { PubSub } from './pub-sub.ts';

export type { Failure } from '../lib/failure.ts';
export { collectionSize, hasMember, readField, readMap, readSet } from '../protocol/causal/collection.ts';
export { CausalContext } from '../protocol/causal/context.ts';
export type { Dot } from '../protocol/causal/dot.ts';
export { dotText } from '../protocol/causal/dot.ts';
export type { ConflictPolicy, Entries, Entry, Family } from '../protocol/causal/entry.ts';
export { COLLECTION_BYTES_MAX, COLLECTION_ENTRIES_MAX, familyOf, VALUE_BYTES_MAX } from '../protocol/causal/entry.ts';
export type { Mutation } from '../protocol/causal/mutation.ts';
export { readCounter, readValue, valueType, winner } from '../protocol/causal/value.ts';
export type { NodeReplyOf, NodeRequest } from '../protocol/node/request.ts';
export { LOCKS_BUCKET } from '../protocol/node/request.ts';
export type { Ballot } from '../protocol/register/ballot.ts';
export { ballotText, parseBallot, sameBallot } from '../protocol/register/ballot.ts';
export type { Condition, RegisterContent } from '../protocol/register/value.ts';
export type { ConflictKey } from '../protocol/replication/record.ts';
export type {
  ConfirmReply,
  ConflictsQuery,
  GetReply,
  Level,
  ListItem,
  ListReply,
  MutateReply,
  SessionContext,
} from '../protocol/replication/request.ts';
export { CONFLICTS_LIMIT_MAX } from '../protocol/replication/request.ts';
export { SHARD_ID_MAX } from '../protocol/ring/shard.ts';

export interface NodeStatus {
  readonly name: string;
  readonly peerId: string;
  readonly clusterId: string;
  readonly version: string;
  readonly bootEpoch: number;
  readonly uptimeSeconds: number;
  /** Why the node serves no requests; null where it does. */
  readonly notReady: string | null;
  readonly level: 'connected' | 'degraded' | 'island';
  /** ISO 8601; null where the clock was never set. */
  readonly levelSince: string | null;
  /** Name of the leader; null: this node knows of none. */
  readonly leader: string | null;
  /** Of that leader or the last one; it never falls. */
  readonly term: number;
  /** The leader's lease is one of a majority of the ring's members. */
  readonly quorate: boolean;
  readonly members: Readonly<Record<MemberState, number>>;
  readonly ringEpoch: number;
  /** This node's own place in the ring. */
  readonly ringPlace: Place;
  /** `behind`: owned ones of which another owner that is up has, or may have, more. */
  readonly shards: {
    readonly owned: number;
    readonly complete: number;
    readonly transferring: number;
    readonly behind: number;
  };
  /**
   * `headroomBytes`: free space below which writes are refused; `readOnly`: they are. `recordsLost`: how it has lost
   * records before this start that nobody can name, else null.
   */
  readonly disk: {
    readonly usedBytes: number;
    readonly freeBytes: number;
    readonly headroomBytes: number;
    readonly readOnly: boolean;
    readonly recordsLost: string | null;
  };
  /** The pass under way, or the last one, over all records; and the bad ones found since the start, by it or by reads. */
  readonly scrub: {
    readonly running: boolean;
    readonly records: number;
    readonly bytes: number;
    readonly lastFinishedAt: string | null;
    readonly corruptRecords: number;
  };
  /** Writes waiting here for owners that are away. */
  readonly hints: { readonly records: number; readonly bytes: number; readonly dropped: number };
  /**
   * `offsetMs`: how far ahead this machine's clock is of the cluster's time, where a majority says that it is wrong;
   * else 0. `confirmed`: enough other nodes agree on the time that this node works with.
   */
  readonly clock: { readonly offsetMs: number; readonly confirmed: boolean };
  /** Null: there is no hub. */
  readonly hub: HubView | null;
}

export interface MemberView {
  readonly name: string;
  readonly peerId: string;
  readonly state: MemberState;
  readonly health: 'healthy' | 'degraded';
  readonly incarnation: number;
  /** The one that counts for placement: what an operator has set, else the member's own. */
  readonly zone: string;
  /** What the member itself is configured with. */
  readonly ownZone: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly score: number;
  readonly rttMs: number | null;
  /** True where the round-trip time is predicted from coordinates, because this node does not probe that member. */
  readonly rttEstimated: boolean;
  /** Unanswered ones of the last 16 probes. */
  readonly missedProbes: number;
  /** Share of recent requests for data that it refused or answered late, 0 to 1. */
  readonly errorRate: number;
  /** ISO 8601 time of the last state change that this node saw; null while it saw none since its start, or by no clock. */
  readonly since: string | null;
  readonly self: boolean;
}

/** Who leads the members that this node holds alive; a leader of null: nobody, as far as it knows. */
export interface LeaderView {
  readonly leader: string | null;
  readonly peerId: string | null;
  /** This node is the leader. */
  readonly self: boolean;
  /** Of that leader or the last one; it never falls. */
  readonly term: number;
  /** Granted by a majority of the ring's members: there is no other such leader. */
  readonly quorate: boolean;
  readonly leaseRemainingMs: number;
  /** To be shown along with what is done in the leader's name, and checked by `fence`; null without a leader. */
  readonly fencingToken: number | null;
  /** Grants that the lease rests on, and members of the leader's view. */
  readonly votes: number;
  readonly view: number;
}

/** How this node's site is reconciled with its hub. */
export interface HubView {
  /** The multiaddr that this node is configured with. */
  readonly address: string;
  /** The site's name, as the token says. */
  readonly site: string;
  /** Some member that this node reaches has a session with the hub. */
  readonly connected: boolean;
  /** This node has it. */
  readonly carrying: boolean;
  /** Why this node's own last attempt to reach the hub failed; null: it has not tried, or reached it. */
  readonly problem: string | null;
  /**
   * Of the shards that this node answers for; and of the whole island, as its leader last summed it up. `events`: writes and
   * deletes that the hub is not known to count. `oldestSeconds`: for how long the oldest of them has been known to be missing there.
   */
  readonly backlog: HubBacklog;
  readonly islandBacklog: HubBacklog;
  /** ISO 8601: when the hub was last known to lack nothing of this node's; null: not since its start. */
  readonly lastSyncAt: string | null;
  /** Writes that lost against concurrent ones, as this node has noticed and keeps them. */
  readonly conflicts: number;
}

export interface HubBacklog {
  readonly events: number;
  readonly oldestSeconds: number;
}

/** Writes that lost against concurrent ones, as all members have noticed that answered. */
export interface ConflictsView {
  /** The latest lost write first. */
  readonly conflicts: readonly ConflictView[];
  /** There are more after the last one. */
  readonly more: boolean;
  /** Names of members that did not answer: they may know of others. */
  readonly missing: readonly string[];
}

export interface ConflictView {
  /** Names the lost write. */
  readonly loserKey: ConflictKey;
  readonly bucket: string;
  readonly key: string;
  readonly winner: WriteView;
  readonly loser: WriteView;
  /** When the first of the members noticed, Unix ms. */
  readonly atMs: number;
}

/** A write that won or lost. */
export interface WriteView {
  readonly entry: Entry;
  /** Name of the node that wrote it, its actor id where that is not known, or `hub`. */
  readonly by: string;
  /** Length of a value that was too long to be kept; null: the entry has it. */
  readonly leftOutBytes: number | null;
}

/** How the ring is cut, as far as this node can see. */
export interface IslandsView {
  readonly level: NodeStatus['level'];
  /** ISO 8601; null where the clock was never set. */
  readonly levelSince: string | null;
  /** This node's own first, then the others in the order in which they were lost. */
  readonly components: readonly ComponentView[];
}

/**
 * This node and whom it reaches; or members that it does not reach, and has lost within ten seconds of each other. How
 * those are connected among themselves it cannot see.
 */
export interface ComponentView {
  readonly self: boolean;
  readonly members: readonly ComponentMemberView[];
  /** Null: none that this node knows of. */
  readonly leader: string | null;
  /** Of that leader or the last one; null beyond a cut. */
  readonly term: number | null;
  /** Null beyond a cut. */
  readonly quorate: boolean | null;
  /**
   * ISO 8601: when somebody last came or went; of others than this node's own, when the last of them was lost. Null where
   * none of them was reached since this node's start, or the clock was never set.
   */
  readonly since: string | null;
}

export interface ComponentMemberView {
  readonly name: string;
  readonly peerId: string;
  /** As the membership sees it; null where this node knows the member from the ring alone. */
  readonly state: MemberState | null;
  readonly place: Place;
  /** ISO 8601: since when it has been reached, or been lost; null as above. */
  readonly since: string | null;
}

export interface RingMemberView {
  readonly name: string;
  readonly peerId: string;
  /** As the membership sees it; null where this node knows the member from the ring alone. */
  readonly state: MemberState | null;
  /** Owns shards. */
  readonly in: boolean;
  /** What operators have decided; `removed` is out for good. */
  readonly place: Place;
  readonly weight: number;
  readonly zone: string;
  /** Shards of which it is an owner. */
  readonly shards: number;
}

/** `changed`: false where all was so already, and the ring is as it was. */
export interface RingChangeView extends RingMemberView {
  readonly changed: boolean;
}

/** Who decides about strong buckets without the lost, and what that costs. */
export interface RefoundView {
  readonly dryRun: boolean;
  /** Of the electorate. */
  readonly epoch: number;
  readonly electors: readonly string[];
  readonly lost: readonly string[];
  /** Shards of strong buckets. */
  readonly shards: number;
  /** Of these, those of which a majority of the acceptors is lost: their latest values may be gone. */
  readonly atRisk: number;
  /** Of these, those of which no acceptor is left: all their values are gone. */
  readonly emptied: number;
}

export interface RingView {
  readonly epoch: number;
  readonly shards: number;
  readonly replicas: number;
  readonly members: readonly RingMemberView[];
  /**
   * What this node has still to take over or to hand over, in shards, and how many it has done since the ring changed;
   * null when it is at rest.
   */
  readonly changing: { readonly shards: number; readonly moved: number } | null;
  /** Who decides about strong buckets; null: nobody has asked for one yet. */
  readonly electorate: ElectorateView | null;
  /** Placements that buckets have of their own: each has as many shards again, and owners of its own. */
  readonly placements: readonly PlacementView[];
}

/** The ring of strong buckets, as a majority of it has agreed. It follows the members that are in, a step at a time. */
export interface ElectorateView {
  readonly epoch: number;
  /** Names of those that decide. */
  readonly electors: readonly string[];
  /** Names of those before them, of whom a majority is needed as well; null when it is at rest. */
  readonly previous: readonly string[] | null;
}

/** Who holds the buckets of one placement. */
export interface PlacementView {
  readonly replicas: number;
  readonly preferredZones: readonly string[];
  readonly buckets: readonly string[];
  /** Members that are in, and the shards of this placement that each owns. */
  readonly members: readonly { readonly name: string; readonly peerId: string; readonly shards: number }[];
}

export interface LocateView {
  readonly shard: number;
  readonly owners: readonly string[];
  readonly fallbacks: readonly string[];
}

export interface BucketView extends Omit<BucketConfig, 'replicas'> {
  readonly name: string;
  /** Owners of each key. */
  readonly replicas: number;
}

/** Something an operator may want to know; `seq` counts up from 1 within one run of the process. */
export interface ClusterEvent {
  readonly seq: number;
  /** ISO 8601. */
  readonly time: string;
  /** `member-alive`, `ring-changed`, `records-lost`, …: the README lists them all. */
  readonly type: string;
  readonly data: Readonly<Record<string, string | number | boolean>>;
}

export interface EventFeed {
  /** Names this run of the process; an id of another run cannot be resumed. */
  readonly run: string;
  /** Retained events after `seq` (0: all that are retained); null when some of them are gone. */
  after(seq: number): readonly ClusterEvent[] | null;
  /** Calls back for each new event; returns a function that ends it. */
  subscribe(listener: (event: ClusterEvent) => void): () => void;
}

/** One change of a key, as seen by an owner. The same change is delivered once. */
export interface ChangeEvent {
  readonly seq: number;
  readonly bucket: string;
  readonly key: string;
  /** Live entries after the change; empty: deleted. */
  readonly entries: Entries;
}

/** Which announcements a client that has read a whole bucket relies on from then on; opaque. */
export type Coverage = ReadonlyMap<string, number>;

export interface ChangeFeed {
  readonly run: string;
  /** Retained changes of the bucket after `seq`; null when some of them are gone: the client must read the whole state. */
  after(bucket: string, seq: number): readonly ChangeEvent[] | null;
  /** The latest `seq`; where a new watch starts. */
  readonly latest: number;
  subscribe(bucket: string, prefix: string, listener: (change: ChangeEvent) => void): () => void;
  /** Who tells of every change in the bucket now. */
  coverage(bucket: string): Coverage;
  /** True while some have not confirmed yet that they do. */
  isSettling(bucket: string): boolean;
  /** True when a client that relies on these may have missed a change. */
  isStale(bucket: string, coverage: Coverage): boolean;
  /** Calls back whenever the answers of these may have changed; returns a function that ends it. */
  onCoverage(listener: () => void): () => void;
  /** Keeps what a client relies on, for when it comes back; a number above 0 that names it. */
  keepCoverage(coverage: Coverage): number;
  /** What was kept under the number; null when it is forgotten. */
  keptCoverage(id: number): Coverage | null;
}

/** `protocol`: what came was not the protocol. `slow-client`: a client did not read what it was sent. */
export type RefusalReason = Failure['code'] | 'protocol' | 'slow-client';

/** What the interfaces (HTTP, RESP) may ask of the node. Failures are thrown as HoldfastError. */
export interface NodeHandle {
  readonly ready: boolean;
  request<R extends NodeRequest>(request: R): Promise<NodeReplyOf<R>>;
  status(): Promise<NodeStatus>;
  members(): readonly MemberView[];
  leader(): LeaderView;
  islands(): IslandsView;
  /** Null: there is no hub. */
  hub(): HubView | null;
  /** Failures: `bucket-not-found`, `too-many-requests`. */
  conflicts(query: ConflictsQuery): Promise<ConflictsView>;
  /**
   * Whether a leader's token is still good here; once it is, no older one is. `leader`: name or peer id. Failures:
   * `stale-token`, `member-not-found`, `bad-request`.
   */
  fence(leader: string, token: number): Promise<LeaderView>;
  ring(): RingView;
  /**
   * An operator's command about the member of this name or peer id. `from`: the asker's address, for events. Failures:
   * `member-not-found`, `last-member`, `bad-request`.
   */
  changeRing(member: string, change: RingChange, from: string): Promise<RingChangeView>;
  /**
   * An operator's word that a majority of those who decide about strong buckets is lost for good: the others go on without
   * them. `lost`: names or peer ids; `from`: the asker's address, for events; `dryRun`: only tells what it would mean. Failures:
   * `refound-refused` (its data has the `reason`), `member-not-found`, `last-member`, `bad-request`.
   */
  refound(lost: readonly string[], from: string, dryRun: boolean): Promise<RefoundView>;
  locate(bucket: string, key: string): LocateView;
  buckets(): readonly BucketView[];
  /** Undefined when there is no such bucket. */
  bucket(name: string): BucketView | undefined;
  /** Creating a bucket that exists with the same settings succeeds; with others it fails with `bucket-exists`. */
  createBucket(name: string, config: BucketConfig): Promise<BucketView>;
  readonly events: EventFeed;
  readonly changes: ChangeFeed;
  readonly pubSub: PubSub;
  /** Prometheus text format. */
  metrics(): Promise<string>;
  /** The cluster's wall clock in Unix ms, for expiries. */
  wallMs(): number;
  /** Counts a refused or malformed request of an interface, for metrics. */
  countRefusal(listener: 'http' | 'resp', reason: RefusalReason): void;
}
