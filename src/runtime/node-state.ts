import type { Storage, StorageWrite } from '../ports/storage.ts';
import type { CatalogState } from '../protocol/catalog/record.ts';
import { CausalContext } from '../protocol/causal/context.ts';
import type { ActorId } from '../protocol/causal/dot.ts';
import { NO_VOTE, type VoteRecord } from '../protocol/election/options.ts';
import { registerEpochOf } from '../protocol/electorate/electorate.ts';
import { type ElectorateRecord, NO_ELECTORATE } from '../protocol/electorate/keeper.ts';
import type { NodeId } from '../protocol/machine.ts';
import type { MemberProfile } from '../protocol/membership/member.ts';
import type { KnownMember } from '../protocol/membership/options.ts';
import type { RestoredRegisters } from '../protocol/register/registers.ts';
import { conflictBytes, type RestoredConflict } from '../protocol/replication/conflict-journal.ts';
import type { LostRow, ShardRecord } from '../protocol/replication/record.ts';
import type { RestoredReplication } from '../protocol/replication/replication.ts';
import { catalogState } from '../wire/catalog.ts';
import { memberProfile } from '../wire/claim.ts';
import {
  bytes,
  type Codec,
  DecodeError,
  decodeOne,
  encodeOne,
  integer,
  nullable,
  record,
  text,
} from '../wire/codec.ts';
import { electorateRecord } from '../wire/electorate-message.ts';
import { voteRecord } from '../wire/message.ts';
import {
  decodeConflictRow,
  decodeCounterRow,
  decodeDotRow,
  decodeFloorRow,
  decodeHintRow,
  decodeLostRow,
  decodeShardId,
  decodeShardRow,
  expiryRange,
  metaKey,
  metaNameIn,
  metaRange,
  recordOf,
  shardRange,
  tableRange,
} from '../wire/record.ts';
import { actorId } from '../wire/value.ts';
import { openRegisters } from './register-reader.ts';
import { BYTES_MAX, eachRow } from './rows.ts';
import { NEVER_SCRUBBED, type ScrubState } from './scrubber.ts';
import { salvageShards } from './shard-salvage.ts';

const MEMBER_PREFIX = 'member/';
/** There from the loss of the catalog until there is one again. */
const CATALOG_LOST_NAME = 'catalog-lost';
const ELECTORATE_NAME = 'electorate';
const FORMAT_VERSION = 1;
const number = integer();
const clusterIdText = text(64);
const RECORD_KEY_BYTES_MAX = 4096;
const scrubState: Codec<ScrubState> = record<ScrubState>({
  position: nullable(bytes(RECORD_KEY_BYTES_MAX)),
  records: number,
  bytes: number,
  lastEndedMs: number,
  startedMs: number,
});

/** What the data directory says of this node. */
export interface NodeState {
  readonly actor: ActorId;
  readonly bootEpoch: number;
  readonly incarnation: number;
  readonly catalog: CatalogState;
  /** The node has run before, and its catalog is gone. */
  readonly lostCatalog: boolean;
  readonly vote: VoteRecord;
  /** This node has run before, and may have voted. */
  readonly mayHaveVoted: boolean;
  readonly known: readonly KnownMember[];
  readonly replication: RestoredReplication;
  readonly registers: RestoredRegisters;
  readonly electorate: ElectorateRecord;
  readonly scrub: ScrubState;
  /** All records of the node itself, as they are on the disk now. */
  readonly meta: readonly StorageWrite[];
}

/** The data directory cannot be used as configured; the message names cause and fix. */
export class DataDirectoryError extends Error {
  override readonly name = 'DataDirectoryError';
}

/** What the data directory must agree with, for life. */
export interface ExpectedState {
  readonly clusterId: string;
  readonly shards: number;
  /** Draws a new actor id, for an empty disk. */
  readonly drawActor: () => ActorId;
  /** Records that turned out bad while the disk was read, up to now. */
  readonly corrupt: readonly { readonly key: Uint8Array }[];
  /**
   * The disk lost records that it cannot name: this node's counters may have gone back, so its old dots are over, and
   * its replicas may claim more than they hold, so they are rebuilt from what is there.
   */
  readonly renewActor: boolean;
  /** The node has an identity, so that what is not on the disk was lost. */
  readonly hasRun: boolean;
}

/** Null for an entry of the address book in a form of another version: it is a cache, and fills again. */
function addressOf(value: Uint8Array): MemberProfile | null {
  try {
    return decodeOne(memberProfile, value);
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

/**
 * Reads the node's state and counts this start: the new boot epoch, and on an empty disk a new actor id drawn
 * with `drawActor`, are synced before anything else happens.
 */
export async function openNodeState(storage: Storage, expected: ExpectedState): Promise<NodeState> {
  const { clusterId, shards, drawActor, renewActor, hasRun, corrupt } = expected;
  const meta = new Map<string, Uint8Array>();
  await eachRow(storage, metaRange(''), (row) => void meta.set(metaNameIn(row.key), row.value));
  const known: KnownMember[] = [];
  for (const [name, value] of meta) {
    if (!name.startsWith(MEMBER_PREFIX)) continue;
    const profile = addressOf(value);
    if (profile !== null) known.push({ id: name.slice(MEMBER_PREFIX.length), profile });
  }
  const format = read(meta, 'format', number);
  if (format !== null && format !== FORMAT_VERSION) {
    throw new DataDirectoryError(
      `the data directory has format ${format}, this version reads ${FORMAT_VERSION}; use the version that wrote it`,
    );
  }
  const storedCluster = read(meta, 'cluster-id', clusterIdText);
  if (storedCluster !== null && storedCluster !== clusterId) {
    throw new DataDirectoryError(
      `the data directory belongs to cluster ${storedCluster}, the secret to cluster ${clusterId}; use the cluster's own secret, or another directory`,
    );
  }
  const storedShards = read(meta, 'shards', number);
  if (storedShards !== null && storedShards !== shards) {
    throw new DataDirectoryError(
      `the cluster was created with ${storedShards} shards, the configuration says ${shards}; set tuning.shards to ${storedShards}`,
    );
  }
  const storedActor = read(meta, 'actor', actorId);
  const replication = await openReplication(storage, corrupt, renewActor);
  const electorate = read(meta, ELECTORATE_NAME, electorateRecord) ?? NO_ELECTORATE;
  // This node's acceptors may have answered under that epoch.
  const epoch = electorate.current === null ? 0 : registerEpochOf(electorate.current);
  // Nobody can say of which shards something was lost.
  const suspect = renewActor ? await shardsIn(storage, ['register', 'register-shard']) : [];
  const registers = await openRegisters(storage, { corrupt, epoch, suspect });
  // A lost counter is as bad as a lost disk: a dot could be used twice.
  const lostCounters = corrupt.filter(({ key }) => recordOf(key).table === 'counter');
  // Whoever has forgotten who decides may have forgotten what it said to them: it is another elector from now on.
  const lostElectorate = corrupt.some(({ key }) => isMeta(key, ELECTORATE_NAME));
  const isOver = renewActor || lostCounters.length > 0 || lostElectorate;
  const actor = isOver ? drawActor() : (storedActor ?? drawActor());
  const bootEpoch = (read(meta, 'boot-epoch', number) ?? 0) + 1;
  const catalog = read(meta, 'catalog', catalogState);
  // Whoever has an actor id may have stopped before its first catalog was written; whoever has lost it had a catalog.
  const isLost = renewActor || (hasRun && storedActor === null) || meta.has(CATALOG_LOST_NAME);
  const lostCatalog = catalog === null && isLost;
  const writes: StorageWrite[] = [
    { key: metaKey('format'), value: encodeOne(number, FORMAT_VERSION) },
    { key: metaKey('actor'), value: encodeOne(actorId, actor) },
    { key: metaKey('boot-epoch'), value: encodeOne(number, bootEpoch) },
    { key: metaKey('shards'), value: encodeOne(number, shards) },
    { key: metaKey('cluster-id'), value: encodeOne(clusterIdText, clusterId) },
    ...(lostElectorate ? [electorateWrite(electorate)] : []),
    // For the next start: by then there is an actor id again.
    ...(lostCatalog ? [{ key: metaKey(CATALOG_LOST_NAME), value: encodeOne(number, 1) }] : []),
  ];
  // With the new actor the lost counters have done their duty.
  await storage.commit([...writes, ...lostCounters.map(({ key }) => ({ key, value: null }))]);
  return {
    actor,
    bootEpoch,
    incarnation: read(meta, 'incarnation', number) ?? 0,
    catalog: catalog ?? { members: [], buckets: [] },
    lostCatalog,
    vote: read(meta, 'vote', voteRecord) ?? NO_VOTE,
    mayHaveVoted: hasRun || bootEpoch > 1,
    known,
    replication: { ...replication, isNew: actor !== storedActor },
    registers,
    electorate,
    scrub: read(meta, 'scrub', scrubState) ?? NEVER_SCRUBBED,
    meta: [...[...meta].map(([name, value]) => ({ key: metaKey(name), value })), ...writes],
  };
}

/** Null where no node has run on it yet. */
export function storedClusterId(storage: Storage): string | null {
  const value = storage.read(metaKey('cluster-id'));
  return value === undefined ? null : decodeOne(clusterIdText, value);
}

export function scrubWrite(state: ScrubState): StorageWrite {
  return { key: metaKey('scrub'), value: encodeOne(scrubState, state) };
}

export function incarnationWrite(incarnation: number): StorageWrite {
  return { key: metaKey('incarnation'), value: encodeOne(number, incarnation) };
}

export function voteWrite(vote: VoteRecord): StorageWrite {
  return { key: metaKey('vote'), value: encodeOne(voteRecord, vote) };
}

export function electorateWrite(record: ElectorateRecord): StorageWrite {
  return { key: metaKey(ELECTORATE_NAME), value: encodeOne(electorateRecord, record) };
}

export function catalogWrites(state: CatalogState): StorageWrite[] {
  return [
    { key: metaKey('catalog'), value: encodeOne(catalogState, state) },
    { key: metaKey(CATALOG_LOST_NAME), value: null },
  ];
}

export function memberWrite(id: NodeId, profile: MemberProfile): StorageWrite {
  return { key: metaKey(MEMBER_PREFIX + id), value: encodeOne(memberProfile, profile) };
}

export function forgetMemberWrite(id: NodeId): StorageWrite {
  return { key: metaKey(MEMBER_PREFIX + id), value: null };
}

function isMeta(key: Uint8Array, name: string): boolean {
  const bad = recordOf(key);
  return bad.table === 'meta' && bad.name === name;
}

async function openReplication(
  storage: Storage,
  corrupt: ExpectedState['corrupt'],
  hasLostRecords: boolean,
): Promise<Omit<RestoredReplication, 'isNew'>> {
  const shards = new Map<number, ReturnType<typeof decodeShardRow>['record']>();
  await eachRow(storage, tableRange('shard'), (row) => {
    const { shard, record } = decodeShardRow(row);
    shards.set(shard, record);
  });
  const floors = new Map<number, CausalContext>();
  await eachRow(storage, tableRange('floor'), (row) => {
    const { shard, floor } = decodeFloorRow(row);
    floors.set(shard, floor);
  });
  for (const { key } of corrupt) {
    const bad = recordOf(key);
    if (bad.table === 'shard') shards.set(bad.shard, await rebuildShard(storage, bad.shard, floors.get(bad.shard)));
    const record = bad.table === 'floor' ? shards.get(bad.shard) : undefined;
    if (bad.table === 'floor' && record !== undefined) {
      floors.set(bad.shard, record.context.without(await indexedEvents(storage, bad.shard)));
    }
  }
  if (hasLostRecords) await salvageShards(storage, shards, floors, await orphansOf(storage, shards));
  const lost: LostRow[] = [];
  await eachRow(storage, tableRange('lost'), (row) => void lost.push(decodeLostRow(row)));
  const orphans = await orphansOf(storage, shards);
  const counters = new Map<number, number>();
  await eachRow(storage, tableRange('counter'), (row) => {
    const { shard, counter } = decodeCounterRow(row);
    counters.set(shard, counter);
  });
  const hints: ReturnType<typeof decodeHintRow>[] = [];
  await eachRow(storage, tableRange('hint'), (row) => void hints.push(decodeHintRow(row)));
  const conflicts: RestoredConflict[] = [];
  await eachRow(storage, tableRange('conflict'), (row) => {
    const {
      key,
      record: { atMs, ...noted },
    } = decodeConflictRow(row);
    conflicts.push({ key, atMs, bytes: conflictBytes(noted) });
  });
  const expiries = await storage.scan(expiryRange(Number.MAX_SAFE_INTEGER - 1), 1, BYTES_MAX);
  return { shards, floors, lost, counters, hints, orphans, hasExpiries: expiries.length > 0, conflicts };
}

/**
 * A shard's context from its index: every event applied here has an entry, written in the same batch, but for those on
 * the floor. Where the floor is lost too, the other owners are asked for what they cover.
 */
async function rebuildShard(storage: Storage, shard: number, floor: CausalContext | undefined): Promise<ShardRecord> {
  const context = await indexedEvents(storage, shard);
  if (floor !== undefined) context.union(floor);
  return { context, complete: false, sources: new Set(), bare: new CausalContext(), named: new CausalContext() };
}

async function indexedEvents(storage: Storage, shard: number): Promise<CausalContext> {
  const events = new CausalContext();
  await eachRow(storage, shardRange('dot', shard), (row) => {
    const { actor, counter } = decodeDotRow(row);
    events.add({ actor, counter });
  });
  return events;
}

/** Shards without a record of their own of which there is something on the disk. */
async function orphansOf(storage: Storage, held: ReadonlyMap<number, unknown>): Promise<number[]> {
  const shards = await shardsIn(storage, ['object', 'dot', 'floor', 'lost']);
  return [...shards].filter((shard) => !held.has(shard));
}

/** Shards that have rows in one of the tables. */
async function shardsIn(storage: Storage, tables: readonly Parameters<typeof shardRange>[0][]): Promise<Set<number>> {
  const shards = new Set<number>();
  for (const table of tables) {
    const { from: first, to } = tableRange(table);
    let from = first;
    for (;;) {
      const [row] = await storage.scan({ from, to }, 1, BYTES_MAX);
      if (row === undefined) break;
      const shard = decodeShardId(row);
      shards.add(shard);
      from = shardRange(table, shard).to;
    }
  }
  return shards;
}

function read<T>(
  meta: ReadonlyMap<string, Uint8Array>,
  name: string,
  codec: Parameters<typeof decodeOne<T>>[0],
): T | null {
  const value = meta.get(name);
  return value === undefined ? null : decodeOne(codec, value);
}
