import { type Failure, failure, HoldfastError } from '../../src/lib/failure.ts';
import { type Hlc, hlcNext } from '../../src/lib/hlc.ts';
import type {
  BucketConfig,
  BucketView,
  ChangeEvent,
  ChangeFeed,
  ClusterEvent,
  ComponentMemberView,
  ConflictPolicy,
  ConflictsQuery,
  ConflictsView,
  Coverage,
  Entries,
  EventFeed,
  GetReply,
  HubView,
  IslandsView,
  LeaderView,
  ListReply,
  LocateView,
  MemberView,
  MutateReply,
  Mutation,
  NodeHandle,
  NodeReplyOf,
  NodeRequest,
  NodeStatus,
  RefoundView,
  RingChange,
  RingChangeView,
  RingMemberView,
  RingView,
} from '../../src/ports/node-handle.ts';
import { CausalContext } from '../../src/ports/node-handle.ts';
import { concerned } from '../../src/protocol/causal/collection.ts';
import { VALUE_BYTES_MAX } from '../../src/protocol/causal/entry.ts';
import { mutate } from '../../src/protocol/causal/mutate.ts';
import type { MutationFailure } from '../../src/protocol/causal/outcome.ts';
import { liveEntries } from '../../src/protocol/causal/value.ts';
import {
  type GetRequest,
  type ListRequest,
  type MutateRequest,
  sessionOf,
} from '../../src/protocol/replication/request.ts';
import { GossipPubSub } from '../../src/runtime/gossip-pub-sub.ts';
import { FakeRegisters } from './fake-registers.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryNetwork } from './memory-transport.ts';
import { RecordingLog } from './recording-log.ts';

const ACTOR = '00000000000000aa';
const LIST_LIMIT_MAX = 1000;

const EVENTUAL = {
  consistency: 'eventual',
  conflict: 'lww',
  replicas: 3,
  preferredZones: [],
  sync: 'up',
  ttlSeconds: null,
  island: 'accept',
} as const;

export interface FakeNodeHandleOptions {
  /** Retained events and changes, each; older ones cannot be resumed from. */
  readonly retained?: number;
  readonly run?: string;
  readonly wallMs?: number;
}

/**
 * A whole cluster of one in memory: the answers of a real node (dots, contexts, siblings, expiry, feeds) without
 * disk or network. Its clock stands still until a test moves `clockMs`. Buckets `default` (lww), `notes` (siblings) and
 * `strong`.
 */
export class FakeNodeHandle implements NodeHandle {
  ready = true;
  clockMs: number;
  /** What the next replies say of the replicas. */
  acks = 1;
  owners = 1;
  quorum: 'strict' | 'sloppy' = 'strict';
  complete = true;
  /** Runs before each request: throw a HoldfastError to fail it, await something to hold it. */
  before: ((request: NodeRequest) => Promise<void> | void) | null = null;
  /** Nodes that have synced any write by now. */
  confirmed = 1;
  readonly refusals: string[] = [];
  readonly events: FakeEventFeed;
  readonly changes: FakeChangeFeed;

  private readonly configs = new Map<string, BucketView>();
  readonly conflictsQueries: ConflictsQuery[] = [];
  lostWrites: ConflictsView = { conflicts: [], more: false, missing: [] };
  readonly refoundings: { readonly lost: readonly string[]; readonly by: string }[] = [];
  /** What operators asked for. */
  readonly ringChanges: { readonly peerId: string; readonly change: RingChange; readonly by: string }[] = [];
  private readonly ringMembers: RingMemberView[] = [
    { name: 'fake', peerId: 'peer-fake', state: 'alive', in: true, place: 'in', weight: 1, zone: 'zone-1', shards: 1 },
    { name: 'other', peerId: 'peer-other', state: 'dead', in: true, place: 'in', weight: 1, zone: 'zone-2', shards: 1 },
  ];
  /** Stays at this node: there are no others. */
  readonly pubSub = new GossipPubSub(new MemoryNetwork().create('secret'), new ManualClock(), new RecordingLog());
  private readonly data = new Map<string, Map<string, Entries>>();
  private readonly registers = new FakeRegisters();
  private covered = new CausalContext();
  private counter = 0;
  private hlc: Hlc = 0;

  constructor(options: FakeNodeHandleOptions = {}) {
    this.clockMs = options.wallMs ?? Date.UTC(2026, 0, 1);
    const run = options.run ?? 'run1';
    const retained = options.retained ?? 100;
    this.events = new FakeEventFeed(run, retained);
    this.changes = new FakeChangeFeed(run, retained);
    this.addBucket({ ...EVENTUAL, name: 'default' });
    this.addBucket({ ...EVENTUAL, name: 'strong', consistency: 'strong', sync: 'none' });
    this.addBucket({ ...EVENTUAL, name: 'notes', conflict: 'siblings', sync: 'none' });
  }

  async request<R extends NodeRequest>(request: R): Promise<NodeReplyOf<R>> {
    if (this.before !== null) await this.before(request);
    if (!this.ready) throw new HoldfastError(failure('not-ready', 'the node is not serving yet'));
    return this.answer(request) as NodeReplyOf<R>;
  }

  private answer(request: NodeRequest): NodeReplyOf<NodeRequest> {
    switch (request.type) {
      case 'strong-get':
      case 'strong-put':
      case 'strong-delete':
        return this.registers.answer(request, this.clockMs);
      case 'confirm':
        return { type: 'confirm', nodes: this.confirmed, owners: this.owners };
      case 'mutate':
        return this.mutate(request);
      case 'get':
        return this.read(request);
      case 'list':
        return this.list(request);
    }
  }

  /**
   * Writes as another node would that had seen only `context` (default: nothing), so that the result is
   * concurrent with what is here.
   */
  writeConcurrently(bucket: string, key: string, value: string, context = new CausalContext()): void {
    const mutation: Mutation = {
      type: 'put',
      value: new TextEncoder().encode(value),
      contentType: 'text/plain',
      expiresAtMs: 0,
      onlyIf: null,
    };
    this.mutate({ type: 'mutate', bucket, key, mutation, level: 'one', context: sessionOf(context) });
  }

  async status(): Promise<NodeStatus> {
    return {
      name: 'fake',
      peerId: 'peer-fake',
      clusterId: 'cluster-fake',
      version: '0.0.0',
      bootEpoch: 1,
      uptimeSeconds: 1,
      notReady: null,
      level: 'connected',
      levelSince: '2026-01-01T00:00:00.000Z',
      leader: 'fake',
      term: 3,
      quorate: true,
      members: { alive: 1, suspect: 0, dead: 0, left: 0 },
      ringEpoch: 1,
      ringPlace: 'in',
      shards: { owned: 1, complete: 1, transferring: 0, behind: 0 },
      disk: { usedBytes: 0, freeBytes: 1_000_000, headroomBytes: 1_000, readOnly: false, recordsLost: null },
      scrub: { running: false, records: 0, bytes: 0, lastFinishedAt: null, corruptRecords: 0 },
      hints: { records: 0, bytes: 0, dropped: 0 },
      clock: { offsetMs: 0, confirmed: true },
      hub: this.hub(),
    };
  }

  members(): readonly MemberView[] {
    return [
      {
        name: 'fake',
        peerId: 'peer-fake',
        state: 'alive',
        health: 'healthy',
        incarnation: 1,
        zone: 'zone-1',
        ownZone: 'zone-1',
        labels: {},
        addresses: ['/ip4/127.0.0.1/tcp/7400'],
        score: 1,
        rttMs: null,
        rttEstimated: false,
        missedProbes: 0,
        errorRate: 0,
        since: new Date(this.clockMs).toISOString(),
        self: true,
      },
    ];
  }

  leader(): LeaderView {
    return {
      leader: 'fake',
      peerId: 'peer-fake',
      self: true,
      term: 3,
      quorate: true,
      leaseRemainingMs: 1500,
      fencingToken: 3,
      votes: 1,
      view: 1,
    };
  }

  hub(): HubView {
    return {
      address: '/dns4/hub.example/tcp/7500',
      site: 'plant-7',
      connected: true,
      carrying: false,
      problem: null,
      backlog: { events: 0, oldestSeconds: 0 },
      islandBacklog: { events: 12, oldestSeconds: 3.4 },
      lastSyncAt: new Date(this.clockMs).toISOString(),
      conflicts: 3,
    };
  }

  conflicts(query: ConflictsQuery): Promise<ConflictsView> {
    this.conflictsQueries.push(query);
    return Promise.resolve(this.lostWrites);
  }

  islands(): IslandsView {
    const since = new Date(this.clockMs).toISOString();
    const [fake, other] = this.ringMembers.map(({ name, peerId, state, place }) => ({
      name,
      peerId,
      state,
      place,
      since,
    })) as [ComponentMemberView, ComponentMemberView];
    const { leader, term, quorate } = this.leader();
    return {
      level: 'island',
      levelSince: since,
      components: [
        { self: true, members: [fake], leader, term, quorate, since },
        { self: false, members: [other], leader: null, term: null, quorate: null, since },
      ],
    };
  }

  async fence(leader: string, token: number): Promise<LeaderView> {
    if (leader !== 'fake') throw new HoldfastError(failure('member-not-found', `no member ${leader}`));
    if (token < 3) throw new HoldfastError(failure('stale-token', 'stale', { data: { token, term: 3 } }));
    return this.leader();
  }

  ring(): RingView {
    return {
      epoch: this.ringChanges.length + 1,
      shards: 1,
      replicas: 1,
      members: [...this.ringMembers],
      changing: null,
      electorate: null,
      placements: [],
    };
  }

  /** As a ring of two members, of which each may be put anywhere but the last. */
  async changeRing(nameOrId: string, change: RingChange, by: string): Promise<RingChangeView> {
    const at = this.ringMembers.findIndex(({ name, peerId }) => name === nameOrId || peerId === nameOrId);
    const member = this.ringMembers[at];
    if (member === undefined) throw new HoldfastError(failure('member-not-found', `no member ${nameOrId}`));
    const place = change.place ?? member.place;
    if (place !== 'in' && !this.ringMembers.some((other) => other !== member && other.in)) {
      throw new HoldfastError(failure('last-member', 'the last member that is in'));
    }
    this.ringChanges.push({ peerId: member.peerId, change, by });
    const changed = {
      ...member,
      place,
      in: place === 'in',
      weight: change.weight ?? member.weight,
      zone: change.zone ?? member.zone,
    };
    this.ringMembers[at] = changed;
    return { ...changed, changed: JSON.stringify(changed) !== JSON.stringify(member) };
  }

  /** As a cluster that has lost `n2` and `n3` of three, with `n4` still there. */
  async refound(lost: readonly string[], by: string, dryRun: boolean): Promise<RefoundView> {
    const unknown = lost.find((name) => !['n2', 'n3', 'n4'].includes(name));
    if (unknown !== undefined) throw new HoldfastError(failure('member-not-found', `no member ${unknown}`));
    if (lost.includes('n4')) {
      const data = { reason: 'member-reachable' };
      throw new HoldfastError(failure('refound-refused', 'n4 can be reached from here: it is not lost', { data }));
    }
    if (!dryRun) this.refoundings.push({ lost, by });
    return { dryRun, epoch: 4, electors: ['fake', 'n4'], lost: [...lost], shards: 16, atRisk: 9, emptied: 2 };
  }

  locate(): LocateView {
    return { shard: 0, owners: ['fake'], fallbacks: [] };
  }

  buckets(): readonly BucketView[] {
    return [...this.configs.values()];
  }

  bucket(name: string): BucketView | undefined {
    return this.configs.get(name);
  }

  async createBucket(name: string, config: BucketConfig): Promise<BucketView> {
    const existing = this.configs.get(name);
    const view: BucketView = {
      name,
      consistency: config.consistency,
      conflict: config.conflict,
      replicas: config.replicas ?? EVENTUAL.replicas,
      preferredZones: config.preferredZones,
      sync: config.sync,
      ttlSeconds: config.ttlSeconds,
      island: config.island,
    };
    if (existing === undefined) return this.addBucket(view);
    if (JSON.stringify(existing) === JSON.stringify(view)) return existing;
    throw new HoldfastError(failure('bucket-exists', `bucket ${name} exists with other settings`));
  }

  async metrics(): Promise<string> {
    return '# TYPE holdfast_up gauge\nholdfast_up 1\n';
  }

  wallMs(): number {
    return this.clockMs;
  }

  countRefusal(listener: 'http' | 'resp', reason: string): void {
    this.refusals.push(`${listener} ${reason}`);
  }

  /** All data is gone, and what it had seen with it. */
  forget(): void {
    for (const keys of this.data.values()) keys.clear();
    this.registers.forget();
    this.covered = new CausalContext();
  }

  private addBucket(view: BucketView): BucketView {
    this.configs.set(view.name, view);
    this.data.set(view.name, new Map());
    return view;
  }

  private keysOf(bucket: string): Map<string, Entries> {
    const keys = this.data.get(bucket);
    if (keys === undefined) throw new HoldfastError(failure('bucket-not-found', `there is no bucket ${bucket}`));
    return keys;
  }

  private conflictOf(bucket: string): ConflictPolicy {
    return this.configs.get(bucket)?.conflict ?? 'lww';
  }

  private mutate(request: MutateRequest): MutateReply {
    const keys = this.keysOf(request.bucket);
    const conflict = this.conflictOf(request.bucket);
    const stored = keys.get(request.key) ?? [];
    const live = (entries: Entries): Entries => liveEntries(entries, this.clockMs, conflict);
    const dot = { actor: ACTOR, counter: this.counter + 1 };
    const hlc = hlcNext(this.hlc, this.clockMs);
    const { context } = request;
    const outcome = mutate(stored, request.mutation, {
      dot,
      ownFrom: 1,
      isComplete: true,
      hlc,
      wallMs: this.clockMs,
      context: context?.context ?? null,
      conflict,
    });
    const { acks, owners, quorum } = this;
    const shown = (entries: Entries): Entries => concerned(live(entries), request.mutation);
    const base = { type: 'mutate', bare: new CausalContext(), acks, owners, quorum, before: shown(stored) } as const;
    if (!outcome.applied) {
      if (outcome.failure !== null) throw new HoldfastError(MUTATION_FAILURES[outcome.failure]);
      return { ...base, applied: false, dot: null, context: contextOf(stored), after: base.before };
    }
    this.counter += outcome.dots.length;
    this.hlc = hlc;
    for (const each of outcome.dots) this.covered.add(each);
    if (outcome.after.length === 0) keys.delete(request.key);
    else keys.set(request.key, outcome.after);
    this.changes.emit(request.bucket, request.key, live(outcome.after));
    const covered = CausalContext.fromDots([...outcome.replaced, ...outcome.dots]);
    return { ...base, applied: true, dot, context: covered, after: shown(outcome.after) };
  }

  private read(request: GetRequest): GetReply {
    const stored = this.keysOf(request.bucket).get(request.key) ?? [];
    if (request.session !== null && !this.covered.covers(request.session.context)) {
      throw new HoldfastError(failure('session-unavailable', 'nobody has what the session has seen'));
    }
    return {
      type: 'get',
      entries: liveEntries(stored, this.clockMs, this.conflictOf(request.bucket)),
      context: stored.length === 0 ? this.covered.clone() : contextOf(stored),
      bare: new CausalContext(),
      complete: this.complete,
    };
  }

  private list(request: ListRequest): ListReply {
    if (request.limit < 1 || request.limit > LIST_LIMIT_MAX) {
      throw new HoldfastError(failure('bad-request', `limit must be 1 to ${LIST_LIMIT_MAX}`));
    }
    const matching = [...this.keysOf(request.bucket)]
      .map(([key, stored]) => {
        const entries = liveEntries(stored, this.clockMs, this.conflictOf(request.bucket));
        return { key, entries, context: request.snapshot ? contextOf(entries) : null, past: null };
      })
      .filter(({ key, entries }) => entries.length > 0 && key.startsWith(request.prefix))
      .filter(({ key }) => request.after === '' || compareUtf8(key, request.after) > 0)
      .sort((a, b) => compareUtf8(a.key, b.key));
    const items = matching.slice(0, request.limit);
    const more = matching.length > items.length;
    const resumeAfter = more ? (items.at(-1)?.key ?? '') : '';
    return { type: 'list', items, more, resumeAfter, complete: this.complete, answered: [SELF], contexts: [] };
  }
}

const MUTATION_FAILURES = {
  'not-a-number': failure('not-a-number', 'the value is not an integer'),
  'field-not-a-number': failure('not-a-number', 'the field is not an integer'),
  'wrong-type': failure('wrong-type', 'the key holds a value of another type'),
  'collection-too-large': failure('value-too-large', 'the set or map is too large'),
  overflow: failure('bad-value', 'the increment would leave the safe integers'),
  'value-too-large': failure('value-too-large', `a value is at most ${VALUE_BYTES_MAX} bytes`),
} satisfies Record<MutationFailure, Failure>;

function contextOf(entries: Entries): CausalContext {
  return CausalContext.fromDots(entries.map((entry) => entry.dot));
}

function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

const SELF = 'self';

class FakeEventFeed implements EventFeed {
  readonly run: string;
  private readonly retained: number;
  private readonly kept: ClusterEvent[] = [];
  private readonly listeners = new Set<(event: ClusterEvent) => void>();
  private seq = 0;

  constructor(run: string, retained: number) {
    this.run = run;
    this.retained = retained;
  }

  /** How many clients follow. */
  get subscribers(): number {
    return this.listeners.size;
  }

  emit(type: string, data: ClusterEvent['data'] = {}): ClusterEvent {
    this.seq += 1;
    const event: ClusterEvent = { seq: this.seq, time: '2026-01-01T00:00:00.000Z', type, data };
    this.kept.push(event);
    if (this.kept.length > this.retained) this.kept.shift();
    for (const listener of this.listeners) listener(event);
    return event;
  }

  after(seq: number): readonly ClusterEvent[] | null {
    if (seq === 0) return [...this.kept];
    const oldest = this.kept[0]?.seq ?? this.seq + 1;
    return seq < oldest - 1 ? null : this.kept.filter((event) => event.seq > seq);
  }

  subscribe(listener: (event: ClusterEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

class FakeChangeFeed implements ChangeFeed {
  readonly run: string;
  private readonly retained: number;
  private readonly kept: ChangeEvent[] = [];
  private readonly listeners = new Set<(change: ChangeEvent) => void>();
  private readonly coverageListeners = new Set<() => void>();
  private registration = 0;
  settling = false;
  latest = 0;

  constructor(run: string, retained: number) {
    this.run = run;
    this.retained = retained;
  }

  get subscribers(): number {
    return this.listeners.size;
  }

  emit(bucket: string, key: string, entries: Entries): void {
    this.latest += 1;
    const change: ChangeEvent = { seq: this.latest, bucket, key, entries };
    this.kept.push(change);
    if (this.kept.length > this.retained) this.kept.shift();
    for (const listener of this.listeners) listener(change);
  }

  after(bucket: string, seq: number): readonly ChangeEvent[] | null {
    const oldest = this.kept[0]?.seq ?? this.latest + 1;
    return seq < oldest - 1 ? null : this.kept.filter((change) => change.bucket === bucket && change.seq > seq);
  }

  coverage(): Coverage {
    return new Map([[SELF, this.registration]]);
  }

  isSettling(): boolean {
    return this.settling;
  }

  isStale(_bucket: string, coverage: Coverage): boolean {
    return coverage.get(SELF) !== this.registration;
  }

  onCoverage(listener: () => void): () => void {
    this.coverageListeners.add(listener);
    return () => this.coverageListeners.delete(listener);
  }

  keepCoverage(coverage: Coverage): number {
    return coverage.get(SELF) ?? 0;
  }

  keptCoverage(id: number): Coverage | null {
    return new Map([[SELF, id]]);
  }

  /** Others have confirmed something. */
  confirm(): void {
    for (const listener of this.coverageListeners) listener();
  }

  /** A change may have been lost on the way to the node. */
  lose(): void {
    this.registration += 1;
    for (const listener of this.coverageListeners) listener();
  }

  subscribe(bucket: string, prefix: string, listener: (change: ChangeEvent) => void): () => void {
    const filtered = (change: ChangeEvent): void => {
      if (change.bucket === bucket && change.key.startsWith(prefix)) listener(change);
    };
    this.listeners.add(filtered);
    return () => this.listeners.delete(filtered);
  }
}
