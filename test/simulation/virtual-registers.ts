import {
  type AcceptorRow,
  afterLoss,
  type BadRegisterRecord,
  compareNames,
  type NamedRow,
  nameId,
  type RegisterName,
  type RegisterWrite,
  type ShardRecord,
  UNKNOWN_SHARD,
} from '../../src/protocol/register/record.ts';

/** Told of a bad record before the read that found it is answered, as if the record had never been there. */
export type OnBadRegister = (record: BadRegisterRecord) => void;

/** What a disk holds of registers. */
export class VirtualRegisters {
  readonly rows = new Map<number, Map<string, NamedRow>>();
  readonly shards = new Map<number, ShardRecord>();
  /** Records that fail their checksum, by what they are called, and whether this run of the process has been told. */
  private readonly bad = new Map<string, { readonly record: BadRegisterRecord; told: boolean }>();

  clone(): VirtualRegisters {
    const copy = new VirtualRegisters();
    for (const [shard, rows] of this.rows) copy.rows.set(shard, new Map(rows));
    for (const [shard, record] of this.shards) copy.shards.set(shard, record);
    for (const [id, bad] of this.bad) copy.bad.set(id, { ...bad });
    return copy;
  }

  apply(write: RegisterWrite): void {
    this.bad.delete(recordId(write));
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
    for (const { name } of this.rowsOf(shard)) this.bad.delete(recordId({ table: 'register', shard, name }));
    this.rows.delete(shard);
  }

  read(shard: number, name: RegisterName, onBad: OnBadRegister = nothing): AcceptorRow | null {
    const row = this.rows.get(shard)?.get(nameId(name))?.row;
    return row === undefined || this.isBad({ table: 'register', shard, name }, onBad) ? null : row;
  }

  all(): NamedRow[] {
    return [...this.rows.values()].flatMap((rows) => [...rows.values()]);
  }

  /** Rows of the shard in the order of their names, after one of them. */
  scan(
    shard: number,
    after: RegisterName | null,
    limit: number,
    onBad: OnBadRegister = nothing,
  ): { rows: NamedRow[]; more: boolean } {
    const rows = this.rowsOf(shard)
      .filter(({ name }) => after === null || compareNames(name, after) > 0)
      .filter(({ name }) => !this.isBad({ table: 'register', shard, name }, onBad))
      .sort((a, b) => compareNames(a.name, b.name));
    return { rows: rows.slice(0, limit), more: rows.length > limit };
  }

  get hasDamage(): boolean {
    return this.bad.size > 0;
  }

  /** The record goes bad; false where there is none. */
  damage(record: BadRegisterRecord): boolean {
    const isThere =
      record.table === 'register'
        ? this.rows.get(record.shard)?.has(nameId(record.name)) === true
        : this.shards.has(record.shard);
    if (isThere) this.bad.set(recordId(record), { record, told: false });
    return isThere;
  }

  /** Finds all bad records, as reading the whole disk would. */
  scrub(onBad: OnBadRegister): void {
    for (const { record } of this.bad.values()) this.isBad(record, onBad);
  }

  /**
   * A process opens the disk: as `openRegisters` in `src/runtime/register-reader.ts`. Returns what it finds bad; of the
   * rest it is told again.
   */
  open(epoch: number, suspect: Iterable<number> = []): BadRegisterRecord[] {
    for (const bad of this.bad.values()) bad.told = false;
    const found: BadRegisterRecord[] = [];
    const lost = new Set(suspect);
    for (const shard of this.shards.keys()) this.isBad({ table: 'register-shard', shard }, (bad) => found.push(bad));
    for (const { shard } of found) lost.add(shard);
    for (const shard of lost) {
      const isBad = this.bad.has(recordId({ table: 'register-shard', shard }));
      const record = isBad ? undefined : this.shards.get(shard);
      const value = afterLoss(
        record ?? UNKNOWN_SHARD,
        epoch,
        record === undefined ? this.generationOf(shard, (bad) => found.push(bad)) : 0,
      );
      this.apply({ table: 'register-shard', shard, value });
    }
    for (const bad of found) if (bad.table === 'register') this.apply({ ...bad, value: null });
    return found;
  }

  /** Shards of which there is something. */
  shardIds(): Set<number> {
    return new Set([...this.shards.keys(), ...this.rows.keys()]);
  }

  private generationOf(shard: number, onBad: OnBadRegister): number {
    const rows = this.rowsOf(shard).filter(({ name }) => !this.isBad({ table: 'register', shard, name }, onBad));
    return Math.max(0, ...rows.map(({ row }) => row.generation));
  }

  /** True when the record is bad: it is reported once, and stays until it is overwritten. */
  private isBad(record: BadRegisterRecord, onBad: OnBadRegister): boolean {
    const bad = this.bad.get(recordId(record));
    if (bad === undefined) return false;
    const { told } = bad;
    bad.told = true;
    if (!told) onBad(bad.record);
    return true;
  }

  private rowsOf(shard: number): NamedRow[] {
    return [...(this.rows.get(shard)?.values() ?? [])];
  }
}

function recordId(record: BadRegisterRecord): string {
  return record.table === 'register' ? `${record.shard}/${nameId(record.name)}` : `${record.shard}`;
}

function nothing(): void {}
