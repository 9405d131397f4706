import type { ClassicLevel } from 'classic-level';

/** First byte of every key that belongs to the adapter itself; callers' keys never start with it. */
export const RESERVED_BYTE = 0xff;

const PREFIX = Buffer.from([RESERVED_BYTE, 0x71]);
const SEQUENCE_BYTES = 8;
const RECORDS_MAX = 256;
const RECORD_BYTES_MAX = 64 * 1024;

type Database = ClassicLevel<Uint8Array, Uint8Array>;
type Stored = { readonly bytes: Uint8Array } | { readonly unreadable: true };

/**
 * Where corrupt records go, for a person to look at: reserved prefix, sequence number, original key. Holds the
 * newest 256, the first 64 KiB of each, so that a failing disk cannot fill itself with its own damage.
 */
export class Quarantine {
  /** Keys in the quarantine, oldest first. */
  #keys: Uint8Array[] = [];

  /** Learns what is there from earlier runs. */
  async load(db: Database): Promise<void> {
    const to = Buffer.from([RESERVED_BYTE, (PREFIX[1] as number) + 1]);
    const keys = await db.keys({ gte: PREFIX, lt: to, limit: RECORDS_MAX }).all();
    this.#keys = keys.filter((key) => key.byteLength >= PREFIX.byteLength + SEQUENCE_BYTES);
  }

  /** Moves one record out of the way, or copies it, atomically. Only to be called while nothing else writes. */
  async take(db: Database, key: Uint8Array, stored: Stored, keeps: boolean): Promise<void> {
    const target = Buffer.concat([PREFIX, this.#nextSequence(), key]);
    const value = 'bytes' in stored ? stored.bytes.subarray(0, RECORD_BYTES_MAX) : new Uint8Array(0);
    const oldest = this.#keys.length >= RECORDS_MAX ? this.#keys[0] : undefined;
    const batch = db.batch().put(target, value);
    if (!keeps) batch.del(key);
    if (oldest !== undefined) batch.del(oldest);
    await batch.write({ sync: true });
    if (oldest !== undefined) this.#keys.shift();
    this.#keys.push(target);
  }

  #nextSequence(): Buffer {
    const latest = this.#keys.at(-1);
    const sequence = latest === undefined ? 0n : Buffer.from(latest).readBigUInt64BE(PREFIX.byteLength);
    const next = Buffer.alloc(SEQUENCE_BYTES);
    next.writeBigUInt64BE(sequence + 1n);
    return next;
  }
}
