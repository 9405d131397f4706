import { describe, expect, test } from 'vitest';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import { type SyncItem, WHOLE } from '../../src/protocol/replication/message.ts';
import { COVERED, EVENT, LoneReplica, NAME, OBJECT } from '../support/lone-replica.ts';

const NOTHING = new CausalContext();

/** Two owners cover the shard already; the third asks for what it misses. */
function inSession(): LoneReplica {
  const node = new LoneReplica();
  node.tell('b', COVERED);
  node.tell('c', COVERED);
  node.tell('a', NOTHING, { wants: true });
  return node;
}

describe('a shard on its way out', () => {
  test('is handed to an owner that misses it', () => {
    const node = inSession();
    node.answerScan();
    node.answerReads();
    expect(node.isDropped).toBe(false);
    expect(node.items()).toMatchObject([
      {
        chunks: [
          {
            shard: 0,
            context: COVERED,
            items: [{ key: 'k', entries: OBJECT.entries, events: CausalContext.fromDots([EVENT]) }],
            covered: COVERED,
          },
        ],
      },
    ]);
  });

  test('is not sent as absent when it is dropped while its objects are read', () => {
    const node = inSession();
    node.answerScan();
    // The third owner has got everything from another one meanwhile.
    node.tell('a', COVERED);
    expect(node.isDropped).toBe(true);
    node.answerReads();
    node.handle({ type: 'cleared', shard: 0 });
    expect(node.items()).toEqual([]);
  });

  test('is not sent as absent when it is dropped while its index is read', () => {
    const node = inSession();
    node.tell('a', COVERED);
    expect(node.isDropped).toBe(true);
    node.answerScan();
    node.answerReads();
    node.handle({ type: 'cleared', shard: 0 });
    expect(node.items()).toEqual([]);
  });
});

test('a page that is read while its shard is dropped says nothing of the keys that are not on it', () => {
  const node = new LoneReplica();
  const query = { bucket: NAME.bucket, prefix: '', after: '', limit: 10, values: true, shards: [0], snapshot: true };
  node.handle({ type: 'message', from: 'b', message: { type: 'list', id: 7, ...query } });
  for (const owner of ['a', 'b', 'c']) node.tell(owner, COVERED);
  expect(node.isDropped).toBe(true);
  node.answerListing([]);
  const replies = node.sent.map(({ message }) => message).filter(({ type }) => type === 'list-reply');
  expect(replies).toMatchObject([{ items: [], contexts: [] }]);
});

describe('a shard that is dropped while a lost key of it is read', () => {
  test('is not told to be without the key', () => {
    const node = new LoneReplica();
    node.tell('a', COVERED);
    node.tell('b', COVERED);
    // Its record has gone bad since.
    node.handle({ type: 'message', from: 'a', message: { type: 'sync-fetch', shard: 0, names: [NAME] } });
    node.tell('c', COVERED);
    expect(node.isDropped).toBe(true);
    node.answerReads();
    node.handle({ type: 'cleared', shard: 0 });
    expect(node.sent.filter(({ message }) => message.type === 'sync-fetched')).toEqual([]);
  });

  test('does not get the key back', () => {
    const node = new LoneReplica('leaver', { cacheBytes: 0 });
    node.lose();
    expect(node.onDisk).toBe(null);
    const { entries, past } = OBJECT;
    const items = [{ ...NAME, entries, past, events: NOTHING, part: WHOLE }];
    const message = { type: 'sync-fetched', shard: 0, context: COVERED, items } as const;
    node.handle({ type: 'message', from: 'a', message });
    for (const owner of ['a', 'b', 'c']) node.tell(owner, COVERED);
    expect(node.isDropped).toBe(true);
    node.handle({ type: 'cleared', shard: 0 });
    node.answerReads();
    expect(node.onDisk).toBe(null);
  });
});

test('what a peer asked for before its connection ended is not sent over the next one', () => {
  const node = new LoneReplica();
  node.handle({ type: 'peer-down', peer: 'a' });
  // Taken for dead, it can still be heard.
  node.tell('a', NOTHING, { wants: true });
  node.handle({ type: 'peer-down', peer: 'a' });
  node.handle({ type: 'peer-up', peer: 'a' });
  node.answerScan();
  node.answerReads();
  expect(node.items()).toEqual([]);
});

test('a former owner does not acknowledge a write after it has let go of the shard', () => {
  const node = new LoneReplica('a');
  node.turnTo('b');
  const event = { actor: 'b'.repeat(16), counter: 1 };
  const context = CausalContext.fromDots([event]);
  node.isSlow = true;
  node.handle({
    type: 'message',
    from: 'b',
    message: { type: 'replicate', id: 7, ...NAME, entries: [], events: context, context, hintFor: [] },
  });
  node.answerReads();
  // Its word was on its way.
  node.tell('b', CausalContext.fromDots([event, EVENT]));
  expect(node.isDropped).toBe(true);
  node.sync();
  expect(node.sent.filter(({ message }) => message.type === 'replicate-ack')).toEqual([]);
});

/** B was sending A a delete when A ceased to own the shard, dropped it, and became its owner again. */
test('what was being sent to a replica that was dropped does not let what it replaces come back', () => {
  const node = new LoneReplica('a');
  const gone = { ...EVENT, counter: 2 };
  const both = CausalContext.fromDots([EVENT, gone]);
  node.turnTo('b', 'c', 'leaver');
  for (const owner of ['b', 'c', 'leaver']) node.tell(owner, both);
  expect(node.isDropped).toBe(true);
  node.handle({ type: 'cleared', shard: 0 });
  node.turnTo('a', 'b', 'c');
  const send = (from: string, context: CausalContext, item: Pick<SyncItem, 'entries' | 'events'>): void => {
    const items = [{ ...NAME, ...item, past: null, part: WHOLE }];
    const chunk = { shard: 0, sequence: 1, context, items, covered: context };
    node.handle({ type: 'message', from, message: { type: 'sync-objects', chunks: [chunk] } });
    node.answerReads();
  };
  send('b', both, { entries: [], events: CausalContext.fromDots([gone]) });
  // C has not heard of the delete, and was asked by the replica of now.
  send('c', COVERED, { entries: OBJECT.entries, events: COVERED });
  expect(node.context.covers(both)).toBe(true);
  expect(node.onDisk).toBe(null);
});
