import { failure, HoldfastError } from '../../lib/failure.ts';
import { type Ballot, LOCKS_BUCKET, type NodeHandle, type RegisterContent } from '../../ports/node-handle.ts';
import {
  type AcquireRequest,
  acquire,
  type HeldLease,
  type Lease,
  type RenewRequest,
  release,
  renew,
  type Step,
  type Times,
} from './lease.ts';
import { leaseContent, readLease } from './lease-content.ts';

/** Of these one client wins each; more only where ever new ones come. */
const ROUNDS_MAX = 16;

const CONTENDED = failure('too-many-requests', 'too many clients change this lock at once; come back later');

interface Stored {
  readonly content: RegisterContent | null;
  readonly version: Ballot | null;
}

/** Locks with a time limit and a fencing token, each a strong register that is changed by compare-and-set. */
export class Locks {
  private readonly node: Pick<NodeHandle, 'request' | 'wallMs'>;

  constructor(node: Pick<NodeHandle, 'request' | 'wallMs'>) {
    this.node = node;
  }

  /** Throws `lock-held`. An attempt that has got the lock before has it extended. */
  acquire(request: AcquireRequest): Promise<HeldLease> {
    return this.change(request.name, (lease, times) => acquire(lease, request, times));
  }

  /** Throws `stale-token`. */
  renew(request: RenewRequest): Promise<HeldLease> {
    return this.change(request.name, (lease, times) => renew(lease, request, times));
  }

  /** Throws `stale-token` where somebody else holds the lock. */
  async release(name: string, token: number): Promise<void> {
    await this.change(name, (lease, { nowMs }) => release(lease, name, token, nowMs));
  }

  /** The latest holding, over or not; null: there was none, or long ago. */
  async read(name: string): Promise<Lease | null> {
    return readLease((await this.stored(name)).content);
  }

  nowMs(): number {
    return Math.max(0, Math.floor(this.node.wallMs()));
  }

  private async change<T>(name: string, decide: (lease: Lease | null, times: Times) => Step<T>): Promise<T> {
    const sinceMs = this.nowMs();
    let stored = await this.stored(name);
    let doubt: HoldfastError | null = null;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const nowMs = this.nowMs();
      const step = decide(readLease(stored.content), { sinceMs, nowMs });
      if (step.type === 'refuse') throw new HoldfastError(step.failure);
      if (step.type === 'done') return step.result;
      try {
        const reply = await this.put(name, leaseContent(step.lease, nowMs), stored.version);
        if (reply.applied) return step.result;
        stored = reply;
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        // A second failure tells nothing about the first write.
        if (doubt !== null || error.failure.stateChanged === 'no') throw doubt ?? error;
        doubt = error;
        stored = await this.storedAfter(name, error);
      }
    }
    throw doubt ?? new HoldfastError(CONTENDED);
  }

  /**
   * What a write has led to that may have taken effect. Where it has, it is recognised. Where it has not, it may still be
   * on its way: it asks for the same version as whatever is written next, so that only one of them ever takes effect.
   */
  private async storedAfter(name: string, doubt: HoldfastError): Promise<Stored> {
    try {
      return await this.stored(name);
    } catch {
      throw doubt;
    }
  }

  private stored(name: string): Promise<Stored> {
    return this.node.request({ type: 'strong-get', bucket: LOCKS_BUCKET, key: name });
  }

  private put(name: string, content: RegisterContent, version: Ballot | null) {
    const condition = version === null ? ({ type: 'absent' } as const) : ({ type: 'version', version } as const);
    return this.node.request({ type: 'strong-put', bucket: LOCKS_BUCKET, key: name, content, condition });
  }
}
