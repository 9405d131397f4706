import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { NodeStatus } from '../ports/node-handle.ts';
import type { CorruptRecord, Storage, StorageWrite } from '../ports/storage.ts';
import type { NodeInput } from '../protocol/node/effect.ts';
import { recordOf } from '../wire/record.ts';
import type { EventName } from './event-levels.ts';
import { scrubWrite } from './node-state.ts';
import { Scrubber, type ScrubCounters, type ScrubState } from './scrubber.ts';
import { TombstoneFinder } from './tombstone-finder.ts';

const HOUR_MS = 3_600_000;

export interface DiskCareOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly log: Log;
  readonly scrubBytesPerSecond: number;
  readonly scrubIntervalHours: number;
  readonly scrub: ScrubState;
  /** The time by which values expire. */
  readonly wallMs: () => number;
  readonly post: (input: NodeInput) => void;
  readonly write: (write: StorageWrite) => void;
  /** Writes a record of the node itself again. */
  readonly restoreMeta: (key: Uint8Array) => void;
  readonly onEvent: (type: EventName, data: Readonly<Record<string, string | number>>) => void;
}

export interface DiskCareCounters extends Readonly<ScrubCounters> {
  readonly corrupt: number;
  /** Wall clock, milliseconds; 0: none has ended yet. */
  readonly lastEndedMs: number;
}

/** Looks for records that went bad on the disk, and has them made good; and for deleted keys that are to be forgotten. */
export class DiskCare {
  private readonly options: DiskCareOptions;
  private readonly scrubber: Scrubber;
  private corrupt = 0;
  private started = false;

  constructor(options: DiskCareOptions) {
    this.options = options;
    const tombstones = new TombstoneFinder(options);
    this.scrubber = new Scrubber({
      storage: options.storage,
      clock: options.clock,
      log: options.log,
      bytesPerSecond: options.scrubBytesPerSecond,
      intervalMs: options.scrubIntervalHours * HOUR_MS,
      state: options.scrub,
      save: (state) => options.write(scrubWrite(state)),
      onRows: (rows) => tombstones.handleRows(rows),
      onPass: (pass) => options.onEvent('scrub-finished', { ...pass, corruptRecords: this.corrupt }),
    });
  }

  get counters(): DiskCareCounters {
    return { ...this.scrubber.counters, corrupt: this.corrupt, lastEndedMs: this.scrubber.state.lastEndedMs };
  }

  get view(): NodeStatus['scrub'] {
    const { position, records, bytes, lastEndedMs } = this.scrubber.state;
    return {
      running: position !== null,
      records,
      bytes,
      lastFinishedAt: lastEndedMs === 0 ? null : new Date(lastEndedMs).toISOString(),
      corruptRecords: this.corrupt,
    };
  }

  start(): void {
    this.started = true;
    this.scrubber.start();
  }

  stop(): void {
    this.scrubber.stop();
  }

  /** The disk gave back a record that failed its checksum. */
  handleCorrupt({ key, reason }: CorruptRecord): void {
    this.corrupt++;
    const record = recordOf(key);
    this.options.onEvent('record-corrupt', { table: record.table, reason });
    switch (record.table) {
      case 'object':
        return this.options.post({ type: 'object-lost', shard: record.shard, name: record.name });
      case 'meta':
        return this.options.restoreMeta(key);
      case 'register':
      case 'register-shard':
        return this.options.post({ type: 'register-lost', record });
      case 'other':
        return;
      case 'hint':
        // What was bad before this run began has never been counted.
        return this.options.post({ type: 'record-lost', record: { ...record, counted: this.started } });
      default:
        return this.options.post({ type: 'record-lost', record });
    }
  }
}
