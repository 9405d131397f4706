import type { Storage, StorageRow } from '../ports/storage.ts';
import type { NodeInput } from '../protocol/node/effect.ts';
import type { RegisterName } from '../protocol/register/record.ts';
import { shown } from '../protocol/register/value.ts';
import { decodeRegisterRow, isRegisterRow } from '../wire/register-record.ts';
import { decoded } from './record-reader.ts';

/** Names told at once. */
const NAMES_MAX = 64;

export interface TombstoneFinderOptions {
  readonly storage: Storage;
  /** The time by which values expire. */
  readonly wallMs: () => number;
  readonly post: (input: NodeInput) => void;
}

/**
 * Finds the deleted and expired keys of strong buckets among rows that are read anyway, and those that hold nothing but a
 * promise: what an earlier run did not live to forget.
 */
export class TombstoneFinder {
  private readonly options: TombstoneFinderOptions;

  constructor(options: TombstoneFinderOptions) {
    this.options = options;
  }

  handleRows(rows: readonly StorageRow[]): void {
    const names = rows.filter(isRegisterRow).flatMap((row) => this.namesIn(row));
    for (let i = 0; i < names.length; i += NAMES_MAX) {
      this.options.post({ type: 'register-tombstones', names: names.slice(i, i + NAMES_MAX) });
    }
  }

  private namesIn(stored: StorageRow): RegisterName[] {
    const { storage, wallMs } = this.options;
    const found = decoded(storage, stored, decodeRegisterRow);
    if (found === null) return [];
    const { content } = shown(found.row.accepted?.value ?? null, wallMs());
    return content === null ? [found.name] : [];
  }
}
