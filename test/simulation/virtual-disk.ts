import { compareUtf8 } from '../../src/lib/utf8.ts';
import type { CatalogState } from '../../src/protocol/catalog/record.ts';
import type { ActorId } from '../../src/protocol/causal/dot.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import type { CausalObject } from '../../src/protocol/causal/object.ts';
import type { KnownMember } from '../../src/protocol/membership/options.ts';
import type {
  DotRow,
  ExpiryRow,
  HintRow,
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
import type { RestoredReplication } from '../../src/protocol/replication/replication.ts';

/** What is synced on one node's disk, as typed records. What is not synced never gets here. */
export class VirtualDisk {
  readonly actor: ActorId;
  bootEpoch = 0;
  incarnation = 0;
  catalog: CatalogState = { members: [], buckets: [] };
  readonly members = new Map<string, KnownMember>();
  readonly objects = new Map<number, Map<string, { readonly name: ObjectName; readonly object: CausalObject }>>();
  readonly dots = new Map<number, Map<string, DotRow>>();
  readonly shards = new Map<number, ShardRecord>();
  readonly counters = new Map<number, number>();
  readonly hints = new Map<string, HintRow>();
  readonly expiries = new Map<string, ExpiryRow>();

  constructor(actor: ActorId) {
    this.actor = actor;
  }

  apply(write: RecordWrite): void {
    switch (write.table) {
      case 'object': {
        const rows = tableOf(this.objects, write.shard);
        const id = nameId(write.name);
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
      }
    }
  }

  clear(range: RecordClear): void {
    this.objects.delete(range.shard);
    this.dots.delete(range.shard);
    this.shards.delete(range.shard);
  }

  read(key: RecordRead): ReadResult {
    if (key.table === 'hint') {
      return { table: 'hint', value: this.hints.get(`${key.shard}/${nameId(key.name)}`)?.hint ?? null };
    }
    return { table: 'object', value: this.objects.get(key.shard)?.get(nameId(key.name))?.object ?? null };
  }

  entriesOf(shard: number, name: ObjectName): Entries | null {
    return this.objects.get(shard)?.get(nameId(name))?.object.entries ?? null;
  }

  scan(scan: RecordScan): ScanResult {
    switch (scan.table) {
      case 'dot': {
        const { actor, from, to } = scan;
        const rows = [...tableOf(this.dots, scan.shard).values()]
          .filter((row) => row.actor === actor && row.counter >= from && row.counter <= to)
          .sort((a, b) => a.counter - b.counter);
        return { table: 'dot', ...cut(rows, scan.limit) };
      }
      case 'listing': {
        const rows = scan.shards
          .flatMap((shard) => [...tableOf(this.objects, shard).values()])
          .filter(({ name }) => name.bucket === scan.bucket && name.key.startsWith(scan.prefix))
          .filter(({ name }) => scan.after === '' || compareUtf8(name.key, scan.after) > 0)
          .sort((a, b) => compareUtf8(a.name.key, b.name.key))
          .map(({ name, object }): ObjectRow => ({ name, entries: object.entries }));
        return { table: 'listing', ...cut(rows, scan.limit) };
      }
      case 'hint': {
        const { after } = scan;
        const rows = [...this.hints.values()]
          .filter(
            (row) =>
              after === null ||
              row.shard > after.shard ||
              (row.shard === after.shard && compareNames(row.name, after.name) > 0),
          )
          .sort((a, b) => a.shard - b.shard || compareNames(a.name, b.name));
        return { table: 'hint', ...cut(rows, scan.limit) };
      }
      case 'expiry': {
        const rows = [...this.expiries.values()]
          .filter((row) => row.atMs <= scan.beforeMs)
          .sort((a, b) => a.atMs - b.atMs);
        return { table: 'expiry', ...cut(rows, scan.limit) };
      }
    }
  }

  restored(): RestoredReplication {
    return {
      shards: new Map([...this.shards].map(([id, record]) => [id, copyShard(record)])),
      counters: new Map(this.counters),
      hints: [...this.hints.values()],
      hasExpiries: this.expiries.size > 0,
    };
  }
}

/** A write as it is when it is handed over: a shard's record goes on changing in the core. */
export function frozen(write: RecordWrite): RecordWrite {
  return write.table === 'shard' && write.value !== null ? { ...write, value: copyShard(write.value) } : write;
}

function copyShard(record: ShardRecord): ShardRecord {
  return { context: record.context.clone(), complete: record.complete };
}

function tableOf<T>(tables: Map<number, Map<string, T>>, shard: number): Map<string, T> {
  let table = tables.get(shard);
  if (table === undefined) {
    table = new Map();
    tables.set(shard, table);
  }
  return table;
}

function nameId(name: ObjectName): string {
  return `${name.bucket}\0${name.key}`;
}

function compareNames(a: ObjectName, b: ObjectName): number {
  return compareUtf8(a.bucket, b.bucket) || compareUtf8(a.key, b.key);
}

function cut<T>(rows: T[], limit: number): { rows: T[]; more: boolean } {
  return { rows: rows.slice(0, limit), more: rows.length > limit };
}
