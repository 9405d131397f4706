import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { WatchExchange } from '../../../../src/protocol/node/message.ts';
import { type Change, WatchRelay } from '../../../../src/protocol/node/watch-relay.ts';

const ACTOR = 'a'.repeat(16);

function setup(owners: readonly (readonly string[])[] = [['p', 'q']]) {
  const sent: { to: string; message: WatchExchange }[] = [];
  const told: string[] = [];
  const durable: (() => void)[] = [];
  const reads: { key: string; session: CausalContext | null; use: (state: Change | null) => void }[] = [];
  let coverageChanges = 0;
  const relay = new WatchRelay({
    self: 'self',
    run: 1,
    rollbacks: () => 0,
    shardOf: () => 0,
    owners: () => owners,
    send: (to, message) => sent.push({ to, message }),
    whenDurable: (use) => durable.push(use),
    read: (_bucket, key, session, use) => reads.push({ key, session, use }),
    tell: (_bucket, key, entries) => told.push(`${key}:${entries.map(({ dot }) => dot.counter).join()}`),
    onCoverage: () => coverageChanges++,
  });
  /** Every write up to now is synced. */
  const sync = (): void => {
    for (const use of durable.splice(0)) use();
  };
  const takeSent = (): string[] => sent.splice(0).map(({ to, message }) => `${to} ${message.type}`);
  const confirm = (from: string, seq = 0, { run = 7, rollbacks = 0 } = {}): void => {
    const asked = sent.findLast(({ to, message }) => to === from && message.type === 'watch');
    if (asked?.message.type !== 'watch') throw new Error(`${from} was not asked`);
    relay.handleMessage(from, { type: 'watching', id: asked.message.id, run, rollbacks, seq });
  };
  return { relay, sent, told, reads, sync, takeSent, confirm, changes: () => coverageChanges };
}

function change(counter: number, covered = counter): Change {
  const payload = { kind: 'register', value: new Uint8Array(), contentType: '' } as const;
  const entries = [{ dot: { actor: ACTOR, counter }, hlc: counter, expiresAtMs: 0, payload }];
  const context = CausalContext.fromRanges([{ actor: ACTOR, from: 1, to: covered }]);
  return { bucket: 'b', key: 'k', entries, context, past: null };
}

function announced(seq: number, counter: number): WatchExchange {
  return { type: 'change', seq, ...change(counter) };
}

/** A client is shown the key as it is after so many changes. */
function showSnapshot(
  relay: WatchRelay,
  counter: number,
  context: CausalContext | null = change(counter).context,
): void {
  const { entries } = change(counter);
  const request = {
    type: 'list',
    bucket: 'b',
    prefix: '',
    after: '',
    limit: 9,
    values: true,
    snapshot: true,
  } as const;
  const items = [{ key: 'k', entries, context, past: null }];
  const reply = { type: 'list', items, more: false, resumeAfter: '', complete: true } as const;
  relay.showSnapshot(request, { ...reply, answered: [], contexts: [] });
}

describe('watch relay', () => {
  it('confirms a watch once what was applied before is synced, and numbers what it tells', () => {
    const { relay, sent, sync, takeSent } = setup();
    relay.handleConnected('p');
    relay.handleMessage('p', { type: 'watch', id: 5, buckets: ['b'] });
    expect(relay.isWatched('b')).toBe(true);
    relay.handleLocal(change(1));
    expect(takeSent()).toEqual(['p change']);
    sync();
    expect(sent).toEqual([{ to: 'p', message: { type: 'watching', id: 5, run: 1, rollbacks: 0, seq: 1 } }]);
    relay.handleDisconnected('p');
    relay.handleLocal(change(2));
    expect(sent).toHaveLength(1);
    expect(relay.isWatched('b')).toBe(false);
  });

  it('passes on what is new, from whoever tells it first', () => {
    const { relay, told } = setup();
    relay.handleConnected('p');
    relay.handleConnected('q');
    relay.handleWanted(['b'], 0);
    relay.handleMessage('p', announced(1, 1));
    relay.handleMessage('q', announced(1, 1));
    relay.handleMessage('q', announced(2, 2));
    relay.handleMessage('p', announced(2, 2));
    relay.handleLocal(change(1));
    expect(told).toEqual(['k:1', 'k:2']);
  });

  it('is settled when all that are connected have confirmed, itself included', () => {
    const { relay, sync, confirm } = setup();
    relay.handleConnected('p');
    expect(relay.isSettling('b')).toBe(true);
    relay.handleWanted(['b'], 0);
    confirm('p');
    expect(relay.isSettling('b')).toBe(true);
    sync();
    expect(relay.isSettling('b')).toBe(false);
    relay.handleConnected('q');
    expect(relay.isSettling('b')).toBe(true);
  });

  it('is stale when no owner that was relied on has told without a gap, and one tells now', () => {
    const { relay, confirm } = setup();
    for (const peer of ['p', 'q']) relay.handleConnected(peer);
    relay.handleWanted(['b'], 0);
    for (const peer of ['p', 'q']) confirm(peer);
    const coverage = relay.coverage('b');
    expect([...coverage.keys()]).toEqual(['p', 'q']);
    relay.handleDisconnected('p');
    expect(relay.isStale('b', coverage)).toBe(false);
    relay.handleDisconnected('q');
    // Nobody could show it what it may have missed.
    expect(relay.isStale('b', coverage)).toBe(false);
    relay.handleConnected('p');
    confirm('p');
    expect(relay.isStale('b', coverage)).toBe(true);
    expect(relay.isStale('b', relay.coverage('b'))).toBe(false);
  });

  it.each<[string, (parts: ReturnType<typeof setup>) => void]>([
    ['a later announcement', ({ relay }) => relay.handleMessage('p', announced(3, 3))],
    ['a later confirmation', ({ confirm }) => confirm('p', 2)],
    ['a teller that was started again', ({ confirm }) => confirm('p', 1, { run: 8 })],
  ])('notices a lost announcement by %s', (_name, notice) => {
    const parts = setup([['p']]);
    const { relay, confirm, changes } = parts;
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    confirm('p');
    relay.handleMessage('p', announced(1, 1));
    const coverage = relay.coverage('b');
    relay.handleTimeout(5000);
    confirm('p', 1);
    expect(relay.isStale('b', coverage)).toBe(false);
    const before = changes();
    notice(parts);
    expect(relay.isStale('b', coverage)).toBe(true);
    expect(changes()).toBeGreaterThan(before);
  });

  it.each([
    ['is found to be an older copy', { rollbacks: 1 }],
    ['may be another one after a restart', { run: 8 }],
  ])('relies on nothing any more once a disk %s', (_name, disk) => {
    const { relay, confirm } = setup([['p', 'q']]);
    for (const peer of ['p', 'q']) relay.handleConnected(peer);
    relay.handleWanted(['b'], 0);
    for (const peer of ['p', 'q']) confirm(peer);
    const coverage = relay.coverage('b');
    relay.handleDisconnected('p');
    relay.handleConnected('p');
    confirm('p');
    expect(relay.isStale('b', coverage)).toBe(false);
    relay.handleTimeout(5000);
    confirm('p', 0, disk);
    expect(relay.isStale('b', coverage)).toBe(true);
  });

  it('reads a key whose announcement may be older than what was told and forgotten', () => {
    const { relay, told, reads } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    showSnapshot(relay, 5);
    relay.handleMessage('p', announced(1, 4));
    expect(told).toEqual([]);
    expect(reads[0]?.session?.covers(change(5).context)).toBe(true);
    reads[0]?.use(change(6));
    expect(told).toEqual(['k:6']);
  });

  it('tells nothing older to who has begun to watch before the end of the last watch has been heard of', () => {
    const { relay, told, reads } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    relay.handleMessage('p', announced(1, 5));
    relay.handleWanted([], 0);
    relay.handleWanted(['b'], 0);
    relay.handleMessage('p', announced(2, 4));
    expect(told).toEqual(['k:5']);
    reads[0]?.use(change(6));
    expect(told).toEqual(['k:5', 'k:6']);
  });

  it('also where the replicas that were listed could not say what the snapshot is the state of', () => {
    const { relay, told, reads } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    showSnapshot(relay, 5, null);
    relay.handleMessage('p', announced(1, 4));
    expect(told).toEqual([]);
    expect(reads[0]?.session?.has({ actor: ACTOR, counter: 5 })).toBe(true);
  });

  it('reads once more what a snapshot has told of while it was being read', () => {
    const { relay, told, reads } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    showSnapshot(relay, 5);
    relay.handleMessage('p', announced(1, 4));
    showSnapshot(relay, 7);
    reads[0]?.use(change(6));
    expect(told).toEqual([]);
    expect(reads[1]?.session?.covers(change(7).context)).toBe(true);
    reads[1]?.use(change(7));
    expect(told).toEqual(['k:7']);
  });

  it('reads a key once at a time, whatever is announced meanwhile, and again for that', () => {
    const { relay, told, reads } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    showSnapshot(relay, 5);
    for (const seq of [1, 2, 3]) relay.handleMessage('p', announced(seq, 4));
    expect(reads).toHaveLength(1);
    reads[0]?.use(change(6));
    expect(reads).toHaveLength(2);
    expect(reads[1]?.session?.covers(change(5).context)).toBe(true);
    reads[1]?.use(change(6));
    expect(reads).toHaveLength(2);
    expect(told).toEqual(['k:6']);
  });

  it('asks again now and then, and no more once nobody watches', () => {
    const { relay, takeSent } = setup();
    relay.handleConnected('p');
    expect(relay.nextDeadline()).toBeUndefined();
    relay.handleWanted(['b'], 1000);
    expect(takeSent()).toEqual(['p watch']);
    expect(relay.nextDeadline()).toBe(6000);
    relay.handleTimeout(6000);
    expect(takeSent()).toEqual(['p watch']);
    relay.handleWanted([], 7000);
    expect(relay.nextDeadline()).toBeUndefined();
  });
});
