import { describe, expect, it } from 'vitest';
import { hashString } from '../../../../src/lib/hash.ts';
import type { MemberState } from '../../../../src/protocol/membership/member.ts';
import type { MemberUpdate } from '../../../../src/protocol/membership/message.ts';
import { BucketedView, packBuckets } from '../../../../src/protocol/membership/push-pull.ts';
import { profileOf } from '../../../support/membership-network.ts';
import { signed } from '../../../support/test-claims.ts';

function entry(id: string, state: MemberState, incarnation: number): { idHash: number; update: MemberUpdate } {
  const idHash = hashString(id);
  if (state === 'alive') return { idHash, update: signed({ state, id, incarnation, profile: profileOf(id) }) };
  if (state === 'left') return { idHash, update: signed({ state, id, incarnation }) };
  return { idHash, update: signed({ state, id, incarnation, from: 'a' }) };
}

const many = (count: number) => Array.from({ length: count }, (_, i) => entry(`node-${i}`, 'alive', 1));

describe('BucketedView', () => {
  it('finds no difference between equal views in another order', () => {
    const digests = new BucketedView(many(1000).reverse()).digests();
    expect(new BucketedView(many(1000)).differing(digests)).toEqual([]);
    expect(digests.length).toBeLessThanOrEqual(256);
  });

  it.each([
    ['state', entry('node-7', 'suspect', 1)],
    ['incarnation', entry('node-7', 'alive', 2)],
    ['incarnation above 32 bits', entry('node-7', 'alive', 2 ** 32 + 1)],
  ])('finds the one bucket in which a member differs by %s', (_, changed) => {
    const ours = new BucketedView(many(1000));
    const theirs = new BucketedView(many(1000).map((e) => (e.update.id === 'node-7' ? changed : e)));
    expect(ours.differing(theirs.digests())).toEqual([hashString('node-7') % 256]);
  });

  it('finds members that only one side has, and ignores those that left', () => {
    const ours = new BucketedView([entry('a', 'alive', 1), entry('gone', 'left', 4)]);
    const theirs = new BucketedView([entry('a', 'alive', 1), entry('b', 'dead', 1)]);
    const bucket = hashString('b') % 256;
    expect(ours.differing(theirs.digests())).toEqual([bucket]);
    expect(theirs.differing(ours.digests())).toEqual([bucket]);
  });

  it('returns what it knows better, and a leave only against a claim of life', () => {
    const view = new BucketedView([
      entry('a', 'dead', 3),
      entry('b', 'alive', 2),
      entry('c', 'left', 4),
      entry('d', 'alive', 1),
    ]);
    const all = Array.from({ length: 256 }, (_, i) => i);
    const better = (theirs: MemberUpdate[]) =>
      view
        .better(all, theirs)
        .map((update) => update.id)
        .sort();
    expect(better([])).toEqual(['a', 'b', 'd']);
    const theirs = [entry('a', 'alive', 3), entry('b', 'alive', 3), entry('c', 'alive', 3), entry('d', 'alive', 1)];
    expect(better(theirs.map((e) => e.update))).toEqual(['a', 'c']);
  });

  it('packs whole buckets, each once, into messages of bounded size', () => {
    const view = new BucketedView(many(5000));
    const buckets = view.differing([]);
    const messages = packBuckets(view, buckets);
    expect(messages.flatMap((message) => message.buckets)).toEqual(buckets);
    expect(new Set(messages.flatMap((message) => message.updates.map((update) => update.id))).size).toBe(5000);
    for (const message of messages) expect(message.updates.length).toBeLessThan(128 + 60);
  });
});
