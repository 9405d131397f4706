import { compareUtf8 } from '../../src/lib/utf8.ts';
import type { CatalogState } from '../../src/protocol/catalog/record.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { ActorId, Dot } from '../../src/protocol/causal/dot.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import { believed } from '../../src/protocol/causal/mark.ts';
import type { CausalObject } from '../../src/protocol/causal/object.ts';
import { expiriesOf } from '../../src/protocol/causal/value.ts';
import { NO_VOTE, type VoteRecord } from '../../src/protocol/election/options.ts';
import { registerEpochOf } from '../../src/protocol/electorate/electorate.ts';
import { type ElectorateRecord, NO_ELECTORATE } from '../../src/protocol/electorate/keeper.ts';
import type { KnownMember } from '../../src/protocol/membership/options.ts';
import type { BadRegisterRecord, RegisterWrite } from '../../src/protocol/register/record.ts';
import { compareConflicts, conflictBytes, conflictId } from '../../src/protocol/replication/conflict-journal.ts';
import type {
  ConflictRow,
  DotRow,
  ExpiryRow,
  HintRecord,
  HintRow,
  ListingRow,
  LostRow,
  ObjectName,
  ObjectRow,
  ReadResult,
  RecordClear,
  RecordRead,
  RecordScan,
  RecordWrite,
  ScanResult,
  ShardRecord,
} from '../../src/protocol/replication/record.ts';
import { compareNames, nameId } from '../../src/protocol/replication/record.ts';
import type { RestoredReplication } from '../../src/protocol/replication/replication.ts';
import { Salvage } from '../../src/protocol/replication/salvage.ts';
import { VirtualRegisters } from './virtual-registers.ts';

type ObjectRecord = { readonly name: ObjectName; readonly object: CausalObject };

/** Told of a bad record before the read that found it is answered, as if the record had never been there. */
export type OnCorrupt = (shard: number, name: ObjectName) => void;

/** What is synced on one node's disk, as typed records. What is not synced never gets here. */
export class VirtualDisk {
  readonly actor: ActorId;
  /** Processes that have opened it with this actor. */
  private runs = 0;
  bootEpoch = 0;
  incarnation = 0;
  catalog: CatalogState = { members: [], buckets: [] };
  /** The node has run before, and the catalog is gone. */
  lostCatalog = false;
  vote: VoteRecord = NO_VOTE;
  electorate: ElectorateRecord = NO_ELECTORATE;
  readonly members = new Map<string, KnownMember>();
  readonly objects = new Map<number, Map<string, ObjectRecord>>();
  readonly dots = new Map<number, Map<string, DotRow>>();
  readonly shards = new Map<number, ShardRecord>();
  readonly floors = new Map<number, CausalContext>();
  readonly lost = new Map<string, LostRow>();
  readonly counters = new Map<number, number>();
  readonly hints = new Map<string, HintRow>();
  readonly expiries = new Map<string, ExpiryRow>();
  /** By the loser's dot. */
  readonly conflicts = new Map<string, ConflictRow>();
  registers = new VirtualRegisters();
  /** Object records that fail their checksum, and whether this run of the process has been told. */
  private readonly corrupt = new Map<ObjectRecord, boolean>();

  constructor(actor: ActorId) {
    this.actor = actor;
  }

  /** The epoch under which this node's acceptors may have answered last. */
  private get registerEpoch(): number {
    const { current } = this.electorate;
    return current === null ? 0 : registerEpochOf(current);
  }

  /** An independent copy of what is on it now. */
  clone(actor = this.actor): VirtualDisk {
    const copy = new VirtualDisk(actor);
    copy.runs = actor === this.actor ? this.runs : 0;
    copy.bootEpoch = this.bootEpoch;
    copy.incarnation = this.incarnation;
    copy.catalog = this.catalog;
    copy.lostCatalog = this.lostCatalog;
    copy.vote = this.vote;
    copy.electorate = this.electorate;
    copyInto(copy.members, this.members);
    for (const [shard, rows] of this.objects) copy.objects.set(shard, new Map(rows));
    for (const [shard, rows] of this.dots) copy.dots.set(shard, new Map(rows));
    for (const [shard, record] of this.shards) copy.shards.set(shard, copyShard(record));
    for (const [shard, floor] of this.floors) copy.floors.set(shard, floor.clone());
    copyInto(copy.lost, this.lost);
    copyInto(copy.counters, this.counters);
    copyInto(copy.hints, this.hints);
    copyInto(copy.expiries, this.expiries);
    copyInto(copy.conflicts, this.conflicts);
    copy.registers = this.registers.clone();
    for (const [record, told] of this.corrupt) copy.corrupt.set(record, told);
    return copy;
  }

  /** As `src/runtime/node-state.ts` makes it of a disk that has lost records nobody can name. */
  salvaged(actor: ActorId): VirtualDisk {
    const copy = this.clone(actor);
    copy.shards.clear();
    copy.floors.clear();
    const records = new Set([...this.objects.values()].flatMap((rows) => [...rows.values()]));
    for (const record of this.corrupt.keys()) if (!records.has(record)) copy.corrupt.delete(record);
    for (const shard of new Set([...this.shards.keys(), ...this.restored().orphans])) {
      const salvage = new Salvage();
      for (const record of this.objects.get(shard)?.values() ?? []) {
        if (this.corrupt.has(record)) continue;
        const { name, object } = record;
        const { counted, left } = salvage.addObject(object);
        for (const { actor: by, counter } of counted) {
          copy.apply({ table: 'dot', shard, actor: by, counter, value: name });
        }
        if (left !== undefined) copy.apply({ table: 'object', shard, name, value: left });
        for (const atMs of expiriesOf(object.entries)) copy.apply({ table: 'expiry', atMs, shard, name, value: true });
      }
      for (const [id, row] of this.dots.get(shard) ?? []) if (!salvage.counts(row)) copy.dots.get(shard)?.delete(id);
      copy.shards.set(shard, salvage.record(this.shards.get(shard)?.sources ?? new Set()));
      copy.floors.set(shard, new CausalContext());
    }
    copy.registers.open(copy.registerEpoch, copy.registers.shardIds());
    return copy;
  }

  apply(write: RecordWrite | RegisterWrite): void {
    switch (write.table) {
      case 'register':
      case 'register-shard':
        return this.registers.apply(write);
      case 'object': {
        const rows = tableOf(this.objects, write.shard);
        const id = nameId(write.name);
        if (this.corrupt.size > 0) this.corrupt.delete(rows.get(id) as ObjectRecord);
        if (write.value === null) rows.delete(id);
        else rows.set(id, { name: write.name, object: write.value });
        return;
      }
      case 'dot': {
        const { actor, counter, value } = write;
        const rows = tableOf(this.dots, write.shard);
        if (value === null) rows.delete(`${actor}-${counter}`);
        else rows.set(`${actor}-${counter}`, { actor, counter, name: value });
        return;
      }
      case 'shard':
        if (write.value === null) this.shards.delete(write.shard);
        else this.shards.set(write.shard, write.value);
        return;
      case 'floor':
        this.floors.set(write.shard, write.value);
        return;
      case 'lost': {
        const id = `${write.shard}/${nameId(write.name)}`;
        if (write.value === null) this.lost.delete(id);
        else this.lost.set(id, { shard: write.shard, name: write.name, record: write.value });
        return;
      }
      case 'counter':
        if (write.value === null) this.counters.delete(write.shard);
        else this.counters.set(write.shard, write.value);
        return;
      case 'hint': {
        const id = `${write.shard}/${nameId(write.name)}`;
        if (write.value === null) this.hints.delete(id);
        else this.hints.set(id, { shard: write.shard, name: write.name, hint: write.value });
        return;
      }
      case 'expiry': {
        const { atMs, shard, name } = write;
        const id = `${atMs}/${shard}/${nameId(name)}`;
        if (write.value === null) this.expiries.delete(id);
        else this.expiries.set(id, { atMs, shard, name });
        return;
      }
      case 'conflict': {
        const { key, value } = write;
        if (value === null) this.conflicts.delete(conflictId(key));
        else this.conflicts.set(conflictId(key), { key, record: value });
      }
    }
  }

  /** Deletes one range after the other, in the order of `clearRanges` in `src/wire/record.ts`; true for the last. */
  clearStep(range: RecordClear, step: number): boolean {
    const tables = [this.shards, this.objects, this.dots, this.floors];
    if (step === 1) for (const record of this.objects.get(range.shard)?.values() ?? []) this.corrupt.delete(record);
    tables[step]?.delete(range.shard);
    if (step < tables.length) return false;
    for (const [id, row] of this.lost) if (row.shard === range.shard) this.lost.delete(id);
    return true;
  }

  read(key: RecordRead, onCorrupt: OnCorrupt): ReadResult {
    if (key.table === 'hint') return { table: 'hint', value: this.hintOf(key.shard, key.name) ?? null };
    const record = this.objects.get(key.shard)?.get(nameId(key.name));
    if (record === undefined || this.isBad(key.shard, record, onCorrupt)) return { table: 'object', value: null };
    return { table: 'object', value: record.object };
  }

  get hasDamage(): boolean {
    return this.corrupt.size > 0 || this.registers.hasDamage;
  }

  isDamaged(shard: number, name: ObjectName): boolean {
    if (this.corrupt.size === 0) return false;
    const record = this.objects.get(shard)?.get(nameId(name));
    return record !== undefined && this.corrupt.has(record);
  }

  /** The record of an object goes bad. */
  damage(shard: number, name: ObjectName): void {
    const record = this.objects.get(shard)?.get(nameId(name));
    if (record !== undefined) this.corrupt.set(record, false);
  }

  /** Finds all bad records, as reading the whole disk would. */
  scrub(onCorrupt: OnCorrupt): void {
    for (const [shard, rows] of this.objects) for (const record of rows.values()) this.isBad(shard, record, onCorrupt);
  }

  /** A process opens the disk: it is told of every bad record again. Returns those that it finds at once. */
  open(): BadRegisterRecord[] {
    this.runs++;
    for (const record of this.corrupt.keys()) this.corrupt.set(record, false);
    return this.registers.open(this.registerEpoch);
  }

  /** True when the record is bad: it is reported once, and stays until it is overwritten. */
  private isBad(shard: number, record: ObjectRecord, onCorrupt: OnCorrupt): boolean {
    const wasReported = this.corrupt.get(record);
    if (wasReported === undefined) return false;
    this.corrupt.set(record, true);
    if (!wasReported) onCorrupt(shard, record.name);
    return true;
  }

  /** Whether an event of a key is here, in the shard's replica or in a hint. */
  holds(shard: number, name: ObjectName, dot: Dot): boolean {
    return this.hasHinted(shard, name, dot) || this.hasReplicated(shard, name, dot);
  }

  hasReplicated(shard: number, name: ObjectName, dot: Dot): boolean {
    return this.shards.get(shard)?.context.has(dot) === true && !this.isDamaged(shard, name);
  }

  /** Whether an event of some key of the shard is here, with what it had replaced. */
  covers(shard: number, dot: Dot): boolean {
    const record = this.shards.get(shard);
    if (record?.context.has(dot) === true && !record.bare.has(dot)) return true;
    return [...this.hints.values()].some((row) => row.shard === shard && row.hint.events.has(dot));
  }

  hasHinted(shard: number, name: ObjectName, dot: Dot): boolean {
    return this.hintOf(shard, name)?.events.has(dot) === true;
  }

  private hintOf(shard: number, name: ObjectName): HintRecord | undefined {
    return this.hints.size === 0 ? undefined : this.hints.get(`${shard}/${nameId(name)}`)?.hint;
  }

  /** The highest counter of this disk's own actor that is known with a key: of its object, its past, or a hint. */
  highestOf(shard: number, name: ObjectName): number {
    const object = this.objects.get(shard)?.get(nameId(name))?.object;
    const past = object?.past?.highest(this.actor) ?? 0;
    let highest = Math.max(past, this.hintOf(shard, name)?.context.highest(this.actor) ?? 0);
    for (const { dot } of object?.entries ?? []) {
      if (dot.actor === this.actor) highest = Math.max(highest, dot.counter);
    }
    return highest;
  }

  /** As readers take them. */
  entriesOf(shard: number, name: ObjectName): Entries | null {
    const object = this.objects.get(shard)?.get(nameId(name))?.object;
    return object === undefined ? null : believed(object.entries);
  }

  scan(scan: RecordScan, onCorrupt: OnCorrupt): ScanResult {
    switch (scan.table) {
      case 'dot':
        return { table: 'dot', ...cut(this.dotRows(scan), scan.limit) };
      case 'object': {
        const { shard, after } = scan;
        const rows = [...tableOf(this.objects, shard).values()]
          .filter((record) => !this.isBad(shard, record, onCorrupt))
          .filter(({ name }) => after === null || compareNames(name, after) > 0)
          .sort((a, b) => compareNames(a.name, b.name))
          .map(({ name, object }): ObjectRow => ({ name, ...object }));
        return { table: 'object', ...cut(rows, scan.limit) };
      }
      case 'listing':
        return { table: 'listing', ...cut(this.listingRows(scan, onCorrupt), scan.limit) };
      case 'hint': {
        const rows = [...this.hints.values()]
          .filter((row) => row.shard === scan.shard)
          .filter(({ name }) => scan.after === null || compareNames(name, scan.after) > 0)
          .sort((a, b) => compareNames(a.name, b.name));
        return { table: 'hint', ...cut(rows, scan.limit) };
      }
      case 'expiry': {
        const rows = [...this.expiries.values()]
          .filter((row) => row.atMs <= scan.beforeMs && (scan.after === null || compareExpiries(row, scan.after) > 0))
          .sort(compareExpiries);
        return { table: 'expiry', ...cut(rows, scan.limit) };
      }
      case 'conflict': {
        const { bucket, after } = scan;
        const rows = [...this.conflicts.values()]
          .filter(({ record }) => bucket === null || record.name.bucket === bucket)
          .filter(({ key }) => after === null || compareConflicts(key, after) > 0)
          .sort((a, b) => compareConflicts(a.key, b.key));
        return { table: 'conflict', ...cut(rows, scan.limit) };
      }
    }
  }

  private listingRows(scan: Extract<RecordScan, { table: 'listing' }>, onCorrupt: OnCorrupt): ListingRow[] {
    const rows: ListingRow[] = [];
    const isAsked = ({ bucket, key }: ObjectName): boolean =>
      bucket === scan.bucket && key.startsWith(scan.prefix) && (scan.after === '' || compareUtf8(key, scan.after) > 0);
    for (const shard of scan.shards) {
      for (const record of tableOf(this.objects, shard).values()) {
        if (this.corrupt.size > 0 && this.isBad(shard, record, onCorrupt)) continue;
        const { name, object } = record;
        if (isAsked(name)) rows.push({ name, entries: object.past === null ? object.entries : [] });
      }
    }
    for (const { shard, name } of this.hints.values()) {
      if (scan.hints.includes(shard) && isAsked(name)) rows.push({ name, entries: [] });
    }
    return (
      rows
        .sort((a, b) => compareUtf8(a.name.key, b.name.key) || a.entries.length - b.entries.length)
        // Of two rows of a key the hint's is first.
        .filter(({ name }, i, sorted) => name.key !== sorted[i - 1]?.name.key)
    );
  }

  private dotRows({ shard, actor, from, to }: Extract<RecordScan, { table: 'dot' }>): DotRow[] {
    const table = tableOf(this.dots, shard);
    const rows: DotRow[] = [];
    if (to - from < table.size) {
      for (let counter = from; counter <= to; counter++) {
        const row = table.get(`${actor}-${counter}`);
        if (row !== undefined) rows.push(row);
      }
      return rows;
    }
    for (const row of table.values()) {
      if (row.actor === actor && row.counter >= from && row.counter <= to) rows.push(row);
    }
    return rows.sort((a, b) => a.counter - b.counter);
  }

  restored(): RestoredReplication {
    return {
      shards: new Map([...this.shards].map(([id, record]) => [id, copyShard(record)])),
      floors: new Map([...this.floors].map(([id, floor]) => [id, floor.clone()])),
      lost: [...this.lost.values()],
      orphans: [...new Set([...this.objects.keys(), ...this.dots.keys(), ...this.floors.keys()])].filter(
        (shard) => !this.shards.has(shard),
      ),
      counters: new Map(this.counters),
      hints: [...this.hints.values()],
      hasExpiries: this.expiries.size > 0,
      conflicts: [...this.conflicts.values()].map(({ key, record }) => ({
        key,
        atMs: record.atMs,
        bytes: conflictBytes(record),
      })),
      isNew: this.runs <= 1,
    };
  }
}

function compareExpiries(a: ExpiryRow, b: ExpiryRow): number {
  return a.atMs - b.atMs || a.shard - b.shard || compareNames(a.name, b.name);
}

function copyInto<K, V>(to: Map<K, V>, from: ReadonlyMap<K, V>): void {
  for (const [key, value] of from) to.set(key, value);
}

function copyShard(record: ShardRecord): ShardRecord {
  const { context, complete, sources, bare, named } = record;
  return { context: context.clone(), complete, sources: new Set(sources), bare, named: named.clone() };
}

export function tableOf<T>(tables: Map<number, Map<string, T>>, shard: number): Map<string, T> {
  let table = tables.get(shard);
  if (table === undefined) {
    table = new Map();
    tables.set(shard, table);
  }
  return table;
}

function cut<T>(rows: T[], limit: number): { rows: T[]; more: boolean } {
  return { rows: rows.slice(0, limit), more: rows.length > limit };
}
