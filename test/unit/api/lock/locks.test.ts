import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { type HeldLease, type Lease, TAKEOVER_MARGIN_MS } from '../../../../src/api/lock/lease.ts';
import { leaseContent, readLease } from '../../../../src/api/lock/lease-content.ts';
import { Locks } from '../../../../src/api/lock/locks.ts';
import { failure, HoldfastError } from '../../../../src/lib/failure.ts';
import { LOCKS_BUCKET, type NodeReplyOf, type NodeRequest } from '../../../../src/ports/node-handle.ts';
import type { RegisterRequest } from '../../../../src/protocol/register/request.ts';
import { FakeNodeHandle } from '../../../support/fake-node-handle.ts';
import { FakeRegisters } from '../../../support/fake-registers.ts';

const MAYBE = failure('quorum-unavailable', 'too few nodes answered', { stateChanged: 'maybe' });
const NO = failure('quorum-unavailable', 'too few nodes answered');

let node: FakeNodeHandle;
let locks: Locks;

beforeEach(() => {
  node = new FakeNodeHandle();
  locks = new Locks(node);
});

const take = (owner: string, ttlMs = 1000): Promise<HeldLease> =>
  locks.acquire({ name: 'x', owner, ttlMs, attempt: `by ${owner}` });

/** Answers the puts in this order; `true`: takes effect all the same. Later ones are left alone. */
function failPuts(...answers: readonly { readonly reason: HoldfastError; readonly done: boolean }[]): () => number {
  let puts = 0;
  node.before = async (request) => {
    if (request.type !== 'strong-put') return;
    const answer = answers[puts++];
    if (answer === undefined) return;
    if (answer.done) {
      const { before } = node;
      node.before = null;
      await node.request(request);
      node.before = before;
    }
    throw answer.reason;
  };
  return () => puts;
}

const maybe = (done: boolean) => ({ reason: new HoldfastError(MAYBE), done });
const no = { reason: new HoldfastError(NO), done: false };

describe('a write that nobody could tell the fate of', () => {
  it('took effect: the lock is got, renewed and released with no second write', async () => {
    const puts = failPuts(maybe(true), maybe(true), maybe(true));
    const { token } = await take('ann');
    node.clockMs += 500;
    expect((await locks.renew({ name: 'x', token, ttlMs: null })).untilMs).toBe(node.clockMs + 1000);
    await locks.release('x', token);
    expect(puts()).toBe(3);
    expect(await locks.read('x')).toMatchObject({ owner: 'ann', token, untilMs: null });
  });

  it('took none: it is written again', async () => {
    const puts = failPuts(maybe(false));
    expect(await take('ann')).toMatchObject({ owner: 'ann' });
    expect(puts()).toBe(2);
  });

  it('is told of where that fails too, whatever the second failure says', async () => {
    failPuts(maybe(false), no);
    await expect(take('ann')).rejects.toMatchObject({ failure: MAYBE });
    failPuts(maybe(false), maybe(false));
    await expect(take('ann')).rejects.toMatchObject({ failure: MAYBE });
    node.before = (request) => {
      if (request.type !== 'strong-put') return;
      node.before = () => {
        throw new HoldfastError(NO);
      };
      throw new HoldfastError(MAYBE);
    };
    await expect(take('ann')).rejects.toMatchObject({ failure: MAYBE });
  });

  it('is no matter where somebody else has the lock by now', async () => {
    failPuts(maybe(false));
    const failing = node.before;
    node.before = async (request) => {
      if (request.type !== 'strong-put') return;
      node.before = null;
      await take('ben');
      await failing?.(request);
    };
    await expect(take('ann')).rejects.toMatchObject({ code: 'lock-held', failure: { stateChanged: 'no' } });
  });
});

it('a failure that changed nothing is told as it is', async () => {
  const puts = failPuts(no);
  await expect(take('ann')).rejects.toMatchObject({ failure: NO });
  expect(puts()).toBe(1);
});

it('a change in between is seen', async () => {
  let takers = 0;
  node.before = async (request) => {
    if (request.type !== 'strong-put') return;
    node.before = null;
    takers += 1;
    await take('ben');
  };
  await expect(take('ann')).rejects.toMatchObject({ code: 'lock-held', failure: { data: { owner: 'ben' } } });
  expect(takers).toBe(1);
});

it('gives up where others never stop changing it', async () => {
  let rounds = 0;
  node.before = async (request) => {
    if (request.type !== 'strong-put') return;
    const { before } = node;
    node.before = null;
    const owner = `other ${++rounds}`;
    const { token } = await take(owner);
    await locks.release('x', token);
    node.before = before;
  };
  await expect(take('ann')).rejects.toMatchObject({ code: 'too-many-requests' });
  expect(rounds).toBe(16);
});

it('a lock whose record is not understood is not taken', async () => {
  const content = { bytes: new TextEncoder().encode('{}'), contentType: 'application/json', expiresAtMs: null };
  await node.request({ type: 'strong-put', bucket: LOCKS_BUCKET, key: 'x', content, condition: { type: 'none' } });
  await expect(take('ann')).rejects.toMatchObject({ code: 'internal' });
});

it('tokens go on growing after the record has gone', async () => {
  const first = await take('ann');
  await locks.release('x', first.token);
  node.clockMs += 86_400_000;
  expect(await locks.read('x')).toBeNull();
  expect((await take('ben')).token).toBeGreaterThan(first.token);
});

/** What becomes of a request: `late`: it takes effect after it has failed. */
type Fate = 'done' | 'refused' | 'lost' | 'answer-lost' | 'late';

/** Registers behind a network that delays and loses what a scheduler and a list of fates say. */
class UnreliableNode {
  clockMs = Date.UTC(2026, 0, 1);
  /** All leases that were ever stored, in order. */
  readonly stored: Lease[] = [];
  private readonly registers = new FakeRegisters();
  private readonly scheduler: fc.Scheduler;
  private readonly fates: readonly Fate[];
  private readonly stepsMs: readonly number[];
  private count = 0;

  constructor(scheduler: fc.Scheduler, fates: readonly Fate[], stepsMs: readonly number[]) {
    this.scheduler = scheduler;
    this.fates = fates;
    this.stepsMs = stepsMs;
  }

  /** As a client sees it through a node whose clock is off. */
  seenBy(offsetMs: number): Pick<FakeNodeHandle, 'request' | 'wallMs'> {
    return { request: (request) => this.request(request), wallMs: () => this.clockMs + offsetMs };
  }

  async pass(label: string): Promise<void> {
    await this.scheduler.schedule(Promise.resolve(), label);
    this.clockMs += this.stepsMs[this.count++ % this.stepsMs.length] ?? 0;
  }

  async request<R extends NodeRequest>(request: R): Promise<NodeReplyOf<R>> {
    const asked = request as unknown as RegisterRequest;
    const fate = asked.type === 'strong-put' ? this.fates[this.count % this.fates.length] : 'done';
    await this.pass('request');
    if (fate === 'refused') throw new HoldfastError(NO);
    if (fate === 'lost') throw new HoldfastError(MAYBE);
    if (fate === 'late') {
      void this.pass('late').then(() => this.answer(asked));
      throw new HoldfastError(MAYBE);
    }
    const reply = this.answer(asked);
    await this.pass('reply');
    if (fate === 'answer-lost') throw new HoldfastError(MAYBE);
    return reply as NodeReplyOf<R>;
  }

  private answer(request: RegisterRequest) {
    const reply = this.registers.answer(request, this.clockMs);
    if (reply.type === 'strong-change' && reply.applied && request.type === 'strong-put') {
      this.stored.push(readLease(request.content) as Lease);
    }
    return reply;
  }
}

interface Holding {
  readonly attempt: string;
  readonly token: number;
  readonly fromMs: number;
  untilMs: number;
}

/** Takes, renews and releases; what it relied on goes to `holdings`, by the true clock. */
async function useLock(
  node: UnreliableNode,
  { owner, renewals, offsetMs }: { owner: string; renewals: number; offsetMs: number },
  holdings: Holding[],
): Promise<void> {
  const own = new Locks(node.seenBy(offsetMs));
  for (let turn = 0; turn < 12; turn++) {
    const attempt = `${owner} ${turn}`;
    try {
      const { token, untilMs } = await own.acquire({ name: 'x', owner, ttlMs: 2000, attempt });
      const holding = { attempt, token, fromMs: node.clockMs, untilMs: untilMs - offsetMs };
      holdings.push(holding);
      for (let i = 0; i < renewals; i++) {
        await node.pass('work');
        // Who comes late has not relied on it meanwhile.
        if (node.clockMs > holding.untilMs) break;
        const renewed = await own.renew({ name: 'x', token, ttlMs: null });
        holding.untilMs = renewed.untilMs - offsetMs;
      }
      holding.untilMs = Math.min(holding.untilMs, node.clockMs);
      await own.release('x', token);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      await node.pass('pause');
    }
  }
}

describe('several clients on an unreliable network', () => {
  it('never hold the lock at once while clocks differ by no more than the margin, and tokens only grow', async () => {
    const fate = fc.oneof(
      { weight: 5, arbitrary: fc.constant<Fate>('done') },
      { weight: 3, arbitrary: fc.constantFrom<Fate>('refused', 'lost', 'answer-lost', 'late') },
    );
    const stepMs = fc.oneof(fc.constantFrom(0, 1, TAKEOVER_MARGIN_MS + 2001), fc.integer({ min: 0, max: 800 }));
    const stepsMs = fc.array(stepMs, { minLength: 1, maxLength: 30 });
    const offsetMs = fc.integer({ min: -TAKEOVER_MARGIN_MS / 2, max: TAKEOVER_MARGIN_MS / 2 });
    let taken = 0;
    let renewed = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fate, { minLength: 1, maxLength: 30 }),
        stepsMs,
        fc.tuple(offsetMs, offsetMs, offsetMs),
        async (scheduler, fates, steps, offsets) => {
          const unreliable = new UnreliableNode(scheduler, fates, steps);
          const holdings: Holding[] = [];
          const clients = offsets.map((offset, i) =>
            useLock(unreliable, { owner: `client ${i}`, renewals: 2 * i, offsetMs: offset }, holdings),
          );
          await scheduler.waitFor(Promise.all(clients));
          await scheduler.waitIdle();
          expectOneHolder(holdings);
          expectGrowing(unreliable.stored);
          taken += holdings.length;
          renewed += unreliable.stored.filter(({ token }, i) => unreliable.stored[i - 1]?.token === token).length;
        },
      ),
      { numRuns: 200 },
    );
    // The faults leave something to look at.
    expect(taken).toBeGreaterThan(600);
    expect(renewed).toBeGreaterThan(600);
  });

  const ann: Lease = { owner: 'ann', token: 1, untilMs: 1000, ttlMs: 1000, attempt: 'a' };
  it('is a test that notices both', () => {
    expect(() =>
      expectOneHolder([
        { attempt: 'a', token: 1, fromMs: 0, untilMs: 10 },
        { attempt: 'b', token: 2, fromMs: 9, untilMs: 20 },
      ]),
    ).toThrow();
    expect(() => expectGrowing([ann, { ...ann, attempt: 'b' }])).toThrow();
    expect(() => expectGrowing([{ ...ann, token: 2 }, ann])).toThrow();
    expect(readLease(leaseContent(ann, 0))).toEqual(ann);
  });
});

function expectOneHolder(holdings: readonly Holding[]): void {
  // A holding whose answer came after its end was never relied on.
  const inOrder = holdings.filter((each) => each.untilMs > each.fromMs).toSorted((a, b) => a.fromMs - b.fromMs);
  for (const [i, { fromMs, token }] of inOrder.entries()) {
    const before = inOrder[i - 1];
    if (before === undefined) continue;
    expect(before.untilMs).toBeLessThanOrEqual(fromMs);
    expect(before.token).toBeLessThan(token);
  }
}

/** In the order in which they were stored: a token belongs to one attempt, and the next attempt has a higher one. */
function expectGrowing(stored: readonly Lease[]): void {
  for (const [i, lease] of stored.entries()) {
    const before = stored[i - 1];
    if (before === undefined) continue;
    if (before.attempt === lease.attempt && before.token === lease.token) continue;
    expect(lease.token).toBeGreaterThan(before.token);
  }
}
