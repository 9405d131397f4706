import { assert, unreachable } from '../lib/assert.ts';
import type { Clock } from '../ports/clock.ts';
import type { Storage, StorageError, StorageWrite } from '../ports/storage.ts';
import type { NodeId } from '../protocol/machine.ts';
import type { NodeEffect, NodeInput } from '../protocol/node/effect.ts';
import type { AcceptorRow } from '../protocol/register/record.ts';
import { clearRanges } from '../wire/record.ts';
import type { Confirmation } from './confirmation.ts';
import { GroupCommit } from './group-commit.ts';
import {
  catalogWrites,
  electorateWrite,
  forgetMemberWrite,
  incarnationWrite,
  memberWrite,
  voteWrite,
} from './node-state.ts';
import { type ReadRequest, readRecords, scanRecords } from './record-reader.ts';
import { type RegisterRead, type RegisterScan, readRegisters, scanRegisters } from './register-reader.ts';

/** What a node has its disk do. */
export type DiskEffect = Extract<
  NodeEffect,
  {
    readonly type:
      | 'persist'
      | 'read'
      | 'scan'
      | 'clear'
      | 'register-persist'
      | 'register-read'
      | 'register-scan'
      | 'persist-incarnation'
      | 'persist-vote'
      | 'persist-electorate'
      | 'persist-catalog'
      | 'persist-member'
      | 'forget-member';
  }
>;

export interface DiskEffectsOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  /** The records of the node itself, as they are on the disk. */
  readonly meta: readonly StorageWrite[];
  readonly post: (input: NodeInput) => void;
  readonly confirm: (input: Confirmation) => void;
  readonly onRefused: (error: StorageError) => void;
  readonly onRecovered: () => void;
  readonly onFatal: (error: unknown) => void;
  readonly onScanFailed: (error: unknown) => void;
}

/** Executes what a node has its disk do: one group commit and one batch of reads a turn. */
export class DiskEffects {
  private readonly options: DiskEffectsOptions;
  private readonly commits: GroupCommit;
  /** The records of the node itself: a few, and those of the address book. */
  private readonly meta = new Map<string, Uint8Array>();
  private readonly memberVersions = new Map<NodeId, string>();
  private reads: ReadRequest[] = [];
  private registerReads: RegisterRead[] = [];

  constructor(options: DiskEffectsOptions) {
    this.options = options;
    for (const write of options.meta) this.rememberMeta(write);
    this.commits = new GroupCommit(options.storage, options.clock, options);
  }

  execute(effect: DiskEffect): void {
    const { post, confirm } = this.options;
    switch (effect.type) {
      case 'persist':
        return this.commits.add(effect.writes, () => confirm({ type: 'persisted', id: effect.id }));
      case 'register-persist':
        return this.commits.add(effect.rows, () => confirm({ type: 'register-persisted', id: effect.id }));
      case 'read':
        this.reads.push(effect);
        return;
      case 'register-read':
        this.registerReads.push(effect);
        return;
      case 'scan':
        return this.scan(effect.id, effect.scan);
      case 'register-scan':
        return this.scanRegisters(effect);
      case 'clear':
        return this.commits.clear(clearRanges(effect.range), () =>
          post({ type: 'cleared', shard: effect.range.shard }),
        );
      case 'persist-incarnation': {
        const { incarnation } = effect;
        return this.writeMeta(incarnationWrite(incarnation), () =>
          post({ type: 'incarnation-persisted', incarnation }),
        );
      }
      case 'persist-vote': {
        const { vote } = effect;
        return this.writeMeta(voteWrite(vote), () => post({ type: 'vote-persisted', vote }));
      }
      case 'persist-electorate': {
        const { id, record } = effect;
        return this.writeMeta(electorateWrite(record), () => post({ type: 'electorate-persisted', id }));
      }
      case 'persist-catalog':
        for (const write of catalogWrites(effect.state)) this.writeMeta(write);
        return;
      case 'persist-member': {
        const { id, profile } = effect.member;
        const version = JSON.stringify(profile.addresses) + profile.name + profile.bootEpoch;
        if (this.memberVersions.get(id) === version) return;
        this.memberVersions.set(id, version);
        return this.writeMeta(memberWrite(id, profile));
      }
      case 'forget-member':
        this.memberVersions.delete(effect.peer);
        return this.writeMeta(forgetMemberWrite(effect.peer));
      default:
        unreachable(effect);
    }
  }

  /** Writes a record of the node itself. */
  writeMeta(write: StorageWrite, done: () => void = nothing): void {
    this.rememberMeta(write);
    this.commits.addRaw(write, done);
  }

  /** The record went bad on the disk. */
  restoreMeta(key: Uint8Array): void {
    const value = this.meta.get(Buffer.from(key).toString('latin1'));
    if (value !== undefined) this.writeMeta({ key, value });
  }

  /** Begins the reads that have gathered. */
  startReads(): void {
    const { storage, clock, post, onFatal } = this.options;
    const nowMs = (): number => clock.now().monoMs;
    const { reads, registerReads } = this;
    if (reads.length > 0) {
      this.reads = [];
      readRecords(storage, reads, (id, result) => post({ type: 'read-done', id, result }), onFatal, nowMs);
    }
    if (registerReads.length > 0) {
      this.registerReads = [];
      const answer = (id: number, row: AcceptorRow | null): void => post({ type: 'register-read-done', id, row });
      readRegisters(storage, registerReads, answer, onFatal, nowMs);
    }
  }

  /** Commits what has gathered, unless a commit is under way. To be called at the end of every turn. */
  flush(): void {
    this.commits.flush();
  }

  /** Resolves when nothing is left to be synced. */
  drain(): Promise<void> {
    return this.commits.drain();
  }

  private rememberMeta({ key, value }: StorageWrite): void {
    const id = Buffer.from(key).toString('latin1');
    if (value === null) this.meta.delete(id);
    else this.meta.set(id, value);
  }

  private scan(id: number, scan: Extract<DiskEffect, { type: 'scan' }>['scan']): void {
    const { storage, post, onScanFailed } = this.options;
    scanRecords(storage, scan)
      .then((result) => {
        assert(result.table === scan.table, 'a scan is answered from its own table');
        post({ type: 'scan-done', id, result });
      })
      .catch(onScanFailed);
  }

  private scanRegisters(scan: RegisterScan): void {
    const { storage, post, onScanFailed } = this.options;
    scanRegisters(storage, scan)
      .then((page) => post({ type: 'register-scan-done', id: scan.id, ...page }))
      .catch(onScanFailed);
  }
}

function nothing(): void {}
