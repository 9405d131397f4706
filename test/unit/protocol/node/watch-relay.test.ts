import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { ChangeMessage, WatchExchange } from '../../../../src/protocol/node/message.ts';
import { type Change, WatchRelay } from '../../../../src/protocol/node/watch-relay.ts';

const ACTOR = 'a'.repeat(16);
const OTHER = 'b'.repeat(16);

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

/** The key as a node has it that has only heard of one event. */
function eventOf(actor: string, counter: number): Change {
  const { entries, ...rest } = change(counter);
  const dot = { actor, counter };
  return { ...rest, entries: entries.map((entry) => ({ ...entry, dot })), context: CausalContext.fromDots([dot]) };
}

function announced(seq: number, counter: number): ChangeMessage {
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
    const { relay, told, confirm } = setup();
    relay.handleConnected('p');
    relay.handleConnected('q');
    relay.handleWanted(['b'], 0);
    for (const peer of ['p', 'q']) confirm(peer);
    relay.handleMessage('p', announced(1, 1));
    relay.handleMessage('q', announced(1, 1));
    relay.handleMessage('q', announced(2, 2));
    relay.handleMessage('p', announced(2, 2));
    relay.handleLocal(change(1));
    expect(told).toEqual(['k:1', 'k:2']);
  });

  it('is told nothing by a node that has not said which run it is: nobody would notice that its disk is lost', () => {
    const { relay, told, confirm } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    relay.handleMessage('p', announced(1, 2));
    confirm('p', 1);
    relay.handleMessage('p', announced(2, 1));
    expect(told).toEqual(['k:1']);
  });

  it('has everything read again that a replica which was not complete has shown', () => {
    const { relay, sent, sync, confirm } = setup([['self', 'p']]);
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    sync();
    confirm('p', 0);
    const coverage = relay.coverage('b');
    const ownOnly = new Map([...coverage].filter(([node]) => node === 'self'));
    relay.handleMessage('p', { type: 'watch', id: 5, buckets: ['b'] });
    relay.handleComplete();
    // Here at once, at others with the next that they hear.
    expect(relay.isStale('b', ownOnly)).toBe(true);
    expect(relay.isStale('b', coverage)).toBe(false);
    relay.handleLocal(change(1));
    expect(sent.at(-1)?.message).toMatchObject({ type: 'change', seq: 2 });
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
    const { relay, told, reads, confirm } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    confirm('p');
    showSnapshot(relay, 5);
    relay.handleMessage('p', announced(1, 4));
    expect(told).toEqual([]);
    expect(reads[0]?.session?.covers(change(5).context)).toBe(true);
    reads[0]?.use(change(6));
    expect(told).toEqual(['k:6']);
  });

  it('tells nothing older to who has begun to watch before the end of the last watch has been heard of', () => {
    const { relay, told, reads, confirm } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    confirm('p');
    relay.handleMessage('p', announced(1, 5));
    relay.handleWanted([], 0);
    relay.handleWanted(['b'], 0);
    relay.handleMessage('p', announced(2, 4));
    expect(told).toEqual(['k:5']);
    reads[0]?.use(change(6));
    expect(told).toEqual(['k:5', 'k:6']);
  });

  it('also where the replicas that were listed could not say what the snapshot is the state of', () => {
    const { relay, told, reads, confirm } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    confirm('p');
    showSnapshot(relay, 5, null);
    relay.handleMessage('p', announced(1, 4));
    expect(told).toEqual([]);
    expect(reads[0]?.session?.has({ actor: ACTOR, counter: 5 })).toBe(true);
  });

  it('reads once more what a snapshot has told of while it was being read', () => {
    const { relay, told, reads, confirm } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    confirm('p');
    showSnapshot(relay, 5);
    relay.handleMessage('p', announced(1, 4));
    showSnapshot(relay, 7);
    reads[0]?.use(change(6));
    expect(told).toEqual([]);
    expect(reads[1]?.session?.covers(change(7).context)).toBe(true);
    reads[1]?.use(change(7));
    expect(told).toEqual(['k:7']);
  });

  it('reads a key once, whatever is announced meanwhile', () => {
    const { relay, told, reads, confirm } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    confirm('p');
    showSnapshot(relay, 5);
    for (const seq of [1, 2, 3]) relay.handleMessage('p', announced(seq, 4));
    reads[0]?.use(change(6));
    expect(reads).toHaveLength(1);
    expect(told).toEqual(['k:6']);
  });

  it('joins what is announced of a key while it is being read to the answer', () => {
    const { relay, told, reads, confirm } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    confirm('p');
    showSnapshot(relay, 5);
    relay.handleMessage('p', announced(1, 4));
    relay.handleMessage('p', { type: 'change', seq: 2, ...eventOf(OTHER, 9) });
    reads[0]?.use(change(6));
    expect(reads).toHaveLength(1);
    expect(told).toEqual(['k:6,9']);
  });

  it('needs no read where the owners together have all that was told, and no answer any more', () => {
    const { relay, told, reads, confirm } = setup();
    for (const peer of ['p', 'q']) relay.handleConnected(peer);
    relay.handleWanted(['b'], 0);
    for (const peer of ['p', 'q']) confirm(peer);
    showSnapshot(relay, 5);
    relay.handleMessage('p', { type: 'change', seq: 1, ...eventOf(OTHER, 9) });
    expect([told, reads.length]).toEqual([[], 1]);
    relay.handleMessage('q', announced(1, 5));
    expect(told).toEqual(['k:5,9']);
    reads[0]?.use(change(5));
    expect(told).toEqual(['k:5,9']);
  });

  it('reads few keys at once, and the others when these are answered', () => {
    const { relay, reads, confirm } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    confirm('p');
    showSnapshot(relay, 5);
    const keys = Array.from({ length: 1000 }, (_, i) => `k${i}`);
    keys.forEach((key, i) => {
      relay.handleMessage('p', { ...announced(i + 1, 4), key });
    });
    expect(reads).toHaveLength(32);
    for (let i = 0; i < 1000; i++) reads[i]?.use({ ...change(6), key: keys[i] as string });
    expect(reads.map(({ key }) => key)).toEqual(keys);
  });

  it('reads on when the bucket of the keys that are being read is watched no more', () => {
    const { relay, reads, confirm } = setup();
    relay.handleConnected('p');
    relay.handleWanted(['b', 'c'], 0);
    confirm('p');
    showSnapshot(relay, 5);
    for (let seq = 1; seq <= 40; seq++) relay.handleMessage('p', { ...announced(seq, 4), key: `k${seq}` });
    relay.handleMessage('p', { ...announced(41, 4), bucket: 'c', key: 'last' });
    relay.handleWanted(['c'], 0);
    expect(reads).toHaveLength(33);
    expect(reads.at(-1)?.key).toBe('last');
  });

  it.each([
    ['what was told is out of reach', true],
    ['nobody knows what was told', false],
  ])('begins anew once for all reads that fail where %s', (_name, isRemembered) => {
    const { relay, told, reads, confirm, changes } = setup([['p']]);
    relay.handleConnected('p');
    relay.handleWanted(['b'], 0);
    confirm('p');
    showSnapshot(relay, 5);
    if (!isRemembered) relay.handleClockSet();
    const keys = ['k', 'l', 'm'];
    keys.forEach((key, i) => {
      relay.handleMessage('p', { ...announced(i + 1, 4), key });
    });
    const coverage = relay.coverage('b');
    const before = changes();
    for (let i = 0; i < reads.length; i++) reads[i]?.use(i === 1 ? { ...change(4), key: 'l' } : null);
    expect(changes()).toBe(before + 1);
    expect(relay.isStale('b', coverage)).toBe(true);
    // What was read before that is part of the state, or older.
    expect(told).toEqual(isRemembered ? [] : ['l:4']);
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
