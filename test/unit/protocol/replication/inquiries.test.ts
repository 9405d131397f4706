import { describe, expect, it } from 'vitest';
import type { ReplicationCore } from '../../../../src/protocol/replication/core.ts';
import { Inquiries } from '../../../../src/protocol/replication/inquiries.ts';
import type { Shard } from '../../../../src/protocol/replication/shard-table.ts';

function shardOf(id: number): Shard {
  return { id } as unknown as Shard;
}

/** Inquiries with a clock that stands still, and what they have asked for. */
function started(): {
  readonly inquiries: Inquiries;
  readonly asked: string[];
  readonly again: string[];
  readonly down: Set<string>;
  readonly pass: (ms: number) => void;
} {
  const asked: string[] = [];
  const again: string[] = [];
  const down = new Set<string>();
  const now = { monoMs: 0, wallMs: 0 };
  const core = { now, isUp: (peer: string) => !down.has(peer) } as unknown as ReplicationCore;
  const inquiries = new Inquiries(core, {
    inquire: (peer, { id }) => asked.push(`${peer}/${id}`),
    lookAgain: (peer, { id }) => again.push(`${peer}/${id}`),
  });
  const pass = (ms: number): void => {
    now.monoMs += ms;
    inquiries.handleTimeout();
    inquiries.advance();
  };
  return { inquiries, asked, again, down, pass };
}

describe('Inquiries', () => {
  it('ask one peer at a time for a shard', () => {
    const { inquiries, asked, again } = started();
    const shard = shardOf(1);
    inquiries.add('a', shard);
    inquiries.add('b', shard);
    inquiries.advance();
    expect(asked).toEqual(['a/1']);
    // It had nothing: the next one may.
    inquiries.end('a', shard, false);
    inquiries.advance();
    expect(asked).toEqual(['a/1', 'b/1']);
    expect(again).toEqual([]);
  });

  it('have the others looked at again after one has sent what it had', () => {
    const { inquiries, asked, again } = started();
    const shard = shardOf(1);
    for (const peer of ['a', 'b', 'c']) inquiries.add(peer, shard);
    inquiries.advance();
    inquiries.end('a', shard, true);
    inquiries.advance();
    expect(asked).toEqual(['a/1']);
    expect(again).toEqual(['b/1', 'c/1']);
  });

  it('ask the next where a peer is silent, and not before', () => {
    const { inquiries, asked, pass } = started();
    const shard = shardOf(1);
    inquiries.add('a', shard);
    inquiries.add('b', shard);
    inquiries.advance();
    expect(inquiries.nextDeadline()).toBe(500);
    pass(400);
    inquiries.note('a', shard);
    pass(400);
    expect(asked).toEqual(['a/1']);
    expect(inquiries.nextDeadline()).toBe(900);
    pass(100);
    expect(asked).toEqual(['a/1', 'b/1']);
  });

  it('forget a peer that never answers', () => {
    const { inquiries, asked, pass } = started();
    inquiries.add('a', shardOf(1));
    inquiries.advance();
    expect(inquiries.nextDeadline()).toBe(5000);
    pass(5000);
    expect(inquiries.nextDeadline()).toBeUndefined();
    inquiries.add('a', shardOf(1));
    inquiries.advance();
    expect(asked).toEqual(['a/1', 'a/1']);
  });

  it('ask the next where a peer is gone, and nobody who is', () => {
    const { inquiries, asked, down } = started();
    const shard = shardOf(1);
    for (const peer of ['a', 'b', 'c']) inquiries.add(peer, shard);
    inquiries.advance();
    down.add('a').add('b');
    inquiries.handlePeerDown('a');
    inquiries.advance();
    expect(asked).toEqual(['a/1', 'c/1']);
  });

  it('ask a peer for no more shards than it sends at once, and then for several together', () => {
    const { inquiries, asked } = started();
    const shards = Array.from({ length: 30 }, (_, id) => shardOf(id));
    for (const shard of shards) inquiries.add('a', shard);
    inquiries.advance();
    expect(asked).toHaveLength(16);
    // A second holder is asked for others meanwhile.
    for (const shard of shards) inquiries.add('b', shard);
    inquiries.advance();
    expect(asked.slice(16)).toEqual(shards.slice(16).map(({ id }) => `b/${id}`));
    for (const shard of shards.slice(0, 7)) inquiries.end('a', shard, false);
    inquiries.advance();
    expect(asked.slice(30)).toEqual([]);
  });

  it('say whether a peer that is known to have more is to be asked now', () => {
    const { inquiries, asked } = started();
    const shard = shardOf(1);
    expect(inquiries.begin('a', shard)).toBe(true);
    expect(inquiries.begin('a', shard)).toBe(false);
    expect(inquiries.begin('b', shard)).toBe(false);
    inquiries.handlePeerDown('a');
    inquiries.advance();
    expect(asked).toEqual(['b/1']);
  });

  it('end with the shard', () => {
    const { inquiries, asked } = started();
    const shard = shardOf(1);
    inquiries.add('a', shard);
    inquiries.add('b', shard);
    inquiries.advance();
    inquiries.handleDropped(shard);
    inquiries.advance();
    expect(asked).toEqual(['a/1']);
    expect(inquiries.nextDeadline()).toBeUndefined();
  });
});
