import {
  type AcceptorRow,
  compareNames,
  type NamedRow,
  nameId,
  type RegisterName,
  type RegisterWrite,
  type ShardRecord,
} from '../../src/protocol/register/record.ts';

/** What a disk holds of registers. */
export class VirtualRegisters {
  private readonly rows = new Map<number, Map<string, NamedRow>>();
  readonly shards = new Map<number, ShardRecord>();

  clone(): VirtualRegisters {
    const copy = new VirtualRegisters();
    for (const [shard, rows] of this.rows) copy.rows.set(shard, new Map(rows));
    for (const [shard, record] of this.shards) copy.shards.set(shard, record);
    return copy;
  }

  apply(write: RegisterWrite): void {
    if (write.table === 'register-shard') {
      this.shards.set(write.shard, write.value);
      return;
    }
    const { shard, name, value } = write;
    const rows = this.rows.get(shard) ?? new Map<string, NamedRow>();
    this.rows.set(shard, rows);
    if (value === null) rows.delete(nameId(name));
    else rows.set(nameId(name), { name, row: value });
  }

  /** As the ranges of a `RegisterClear`: the record of the shard stays. */
  clear(shard: number): void {
    this.rows.delete(shard);
  }

  read(shard: number, name: RegisterName): AcceptorRow | null {
    return this.rows.get(shard)?.get(nameId(name))?.row ?? null;
  }

  all(): NamedRow[] {
    return [...this.rows.values()].flatMap((rows) => [...rows.values()]);
  }

  /** Rows of the shard in the order of their names, after one of them. */
  scan(shard: number, after: RegisterName | null, limit: number): { rows: NamedRow[]; more: boolean } {
    const rows = [...(this.rows.get(shard)?.values() ?? [])]
      .filter(({ name }) => after === null || compareNames(name, after) > 0)
      .sort((a, b) => compareNames(a.name, b.name));
    return { rows: rows.slice(0, limit), more: rows.length > limit };
  }
}
