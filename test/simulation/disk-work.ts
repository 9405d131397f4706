import { unreachable } from '../../src/lib/assert.ts';
import type { Prng } from '../../src/lib/prng.ts';
import type { NodeInput } from '../../src/protocol/node/effect.ts';
import type { BadRegisterRecord } from '../../src/protocol/register/record.ts';
import type { ObjectName } from '../../src/protocol/replication/record.ts';
import type { DiskEffect } from '../../src/runtime/disk-effects.ts';
import type { CommitQueue } from './commit-queue.ts';
import type { VirtualDisk } from './virtual-disk.ts';

const READ_MAX_MS = 2;
const SCAN_MAX_MS = 4;
/** Share of reads that are answered within the turn, from what the store has in memory. */
const READS_AT_ONCE = 0.3;

export interface DiskWorkOptions {
  readonly disk: VirtualDisk;
  readonly commits: CommitQueue;
  readonly prng: Prng;
  readonly post: (input: NodeInput) => void;
  /** Runs in the process after a time, as soon as it runs at all. */
  readonly later: (delayMs: number, run: () => void) => void;
}

/** What a node has its disk do, on a virtual one; as `src/runtime/disk-effects.ts`. */
export class DiskWork {
  private readonly options: DiskWorkOptions;

  constructor(options: DiskWorkOptions) {
    this.options = options;
  }

  execute(effect: DiskEffect): void {
    const { disk, commits, post } = this.options;
    switch (effect.type) {
      case 'persist':
        return commits.add(effect.writes, () => post({ type: 'persisted', id: effect.id }));
      case 'register-persist':
        return commits.add(effect.rows, () => post({ type: 'register-persisted', id: effect.id }));
      case 'clear':
        return commits.clear(effect.range, () => post({ type: 'cleared', shard: effect.range.shard }));
      case 'read':
      case 'register-read':
      case 'scan':
      case 'register-scan':
        return this.read(effect);
      case 'persist-incarnation': {
        const { incarnation } = effect;
        return commits.addChange(
          () => void (disk.incarnation = incarnation),
          () => post({ type: 'incarnation-persisted', incarnation }),
        );
      }
      case 'persist-vote': {
        const { vote } = effect;
        return commits.addChange(
          () => void (disk.vote = vote),
          () => post({ type: 'vote-persisted', vote }),
        );
      }
      case 'persist-electorate': {
        const { id, record } = effect;
        return commits.addChange(
          () => void (disk.electorate = record),
          () => post({ type: 'electorate-persisted', id }),
        );
      }
      case 'persist-catalog':
        return commits.addChange(() => {
          disk.catalog = effect.state;
          disk.lostCatalog = false;
        }, nothing);
      case 'persist-member': {
        const { id, profile } = effect.member;
        return commits.addChange(() => void disk.members.set(id, { id, profile }), nothing);
      }
      case 'forget-member':
        return commits.addChange(() => void disk.members.delete(effect.peer), nothing);
      default:
        unreachable(effect);
    }
  }

  private read(effect: Extract<DiskEffect, { type: 'read' | 'scan' | 'register-read' | 'register-scan' }>): void {
    const { prng, post, later } = this.options;
    const answer = (): void => post(this.answerOf(effect));
    const isPoint = effect.type === 'read' || effect.type === 'register-read';
    if (isPoint && prng.chance(READS_AT_ONCE)) answer();
    else later(prng.float() * (isPoint ? READ_MAX_MS : SCAN_MAX_MS), answer);
  }

  private answerOf(
    effect: Extract<DiskEffect, { type: 'read' | 'scan' | 'register-read' | 'register-scan' }>,
  ): NodeInput {
    const { disk, post } = this.options;
    // Told before the read is answered, which then looks as if the record had never been there.
    const onCorrupt = (shard: number, name: ObjectName): void => post({ type: 'object-lost', shard, name });
    const onBad = (record: BadRegisterRecord): void => post({ type: 'register-lost', record });
    const { id } = effect;
    switch (effect.type) {
      case 'read':
        return { type: 'read-done', id, result: disk.read(effect.key, onCorrupt) };
      case 'scan':
        return { type: 'scan-done', id, result: disk.scan(effect.scan, onCorrupt) };
      case 'register-read':
        return { type: 'register-read-done', id, row: disk.registers.read(effect.shard, effect.name, onBad) };
      case 'register-scan':
        return {
          type: 'register-scan-done',
          id,
          ...disk.registers.scan(effect.shard, effect.after, effect.limit, onBad),
        };
    }
  }
}

function nothing(): void {}
