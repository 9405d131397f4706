import { describe, expect, test } from 'vitest';
import type { ElectionMessage } from '../../../../src/protocol/election/message.ts';
import type { PeerMessage } from '../../../../src/protocol/node/message.ts';
import { decodeOne, encodeOne } from '../../../../src/wire/codec.ts';
import { decodeFrame, FrameWriter, voteRecord } from '../../../../src/wire/message.ts';
import { ElectionWorld, type LoneElection, type Sent } from '../../../support/election-world.ts';

function encodeFrame(messages: readonly PeerMessage[]): Uint8Array {
  const writer = new FrameWriter();
  for (const message of messages) writer.add(message);
  return writer.take();
}

describe('two quorate leaders', () => {
  test('are not there where a voter takes a token of another leader and starts again', () => {
    const world = new ElectionWorld(['a', 'b', 'c']);
    world.run(3000);
    const a = world.leader();
    const [b, c] = [...world.nodes.values()].filter((node) => node !== a) as [LoneElection, LoneElection];
    // c is cut off from the leader (not from b), and becomes the leader of its island; not quorate.
    world.cut.add(a.id + c.id).add(b.id + c.id);
    world.run(1);
    c.view([c.id]);
    world.run(5000);
    const island = c.core.leadership(world.now());
    expect(island).toMatchObject({ leader: c.id, quorate: false });
    expect(world.quorate()).toEqual([a.id]);
    // The link between b and c is back; c's client shows b its token, as POST /v1/leader/fence asks for.
    world.cut.delete(b.id + c.id);
    c.view([b.id, c.id]);
    expect(b.fence(c.id, island?.term ?? 0)).toBe(true);
    // b's process is killed and starts again within a lease.
    b.restart();
    // Only a's link with the others is gone from now on.
    world.cut.add(a.id + b.id);
    const both: string[][] = [];
    for (let i = 0; i < 3000; i++) {
      world.run(1);
      if (world.quorate().length > 1) both.push(world.quorate());
    }
    expect(both.length).toBe(0);
  });

  test('nor where a lease-end arrives late, of a term that was never on the disk', () => {
    const world = new ElectionWorld(['a', 'b', 'c']);
    world.run(3000);
    const a = world.leader();
    const [b, c] = [...world.nodes.values()].filter((node) => node !== a) as [LoneElection, LoneElection];
    // Somebody has seen a higher term: a raises, its disk is slow, and it steps down meanwhile.
    a.autoSync = false;
    const higher = a.core.term + 1;
    a.input({
      type: 'message',
      from: c.id,
      message: {
        type: 'lease-ask',
        kind: 'poll',
        term: higher + 1,
        epoch: 0,
        round: 1,
        quorate: false,
        votes: 0,
        view: 3,
      },
    });
    world.settle();
    a.input({ type: 'unfit', reason: 'disk full' });
    const late = a.sent.find(({ to, message }) => to === b.id && message.type === 'lease-end') as Sent;
    expect(late.message).toMatchObject({ type: 'lease-end' });
    // The one to c and b are late. a's process dies before its vote is written, and comes back.
    a.sent = a.sent.filter(({ message }) => message.type !== 'lease-end');
    a.restart();
    a.autoSync = true;
    // It is the first to stand again (b and c are still bound to it), and has seen the others' term.
    a.input({
      type: 'message',
      from: c.id,
      message: { type: 'lease-tell', round: 0, granted: false, term: higher, holder: null, remainingMs: 0 },
    });
    for (let i = 0; i < 3000 && !a.quorate(); i++) world.run(1);
    expect(a.quorate()).toBe(true);
    // Now what was sent in its former life arrives at last, at b; and a is cut off.
    world.run(10);
    world.cut.add(a.id + b.id).add(a.id + c.id);
    const both: string[][] = [];
    b.input({ type: 'message', from: a.id, message: late.message });
    c.input({ type: 'message', from: a.id, message: late.message });
    for (let i = 0; i < 3000; i++) {
      world.run(1);
      if (world.quorate().length > 1) both.push(world.quorate());
    }
    expect(both.length).toBe(0);
  });
});

describe('stale tokens', () => {
  test('are refused after a later one was taken by a candidate', () => {
    const world = new ElectionWorld(['a', 'b', 'c'], { a: { term: 5, votedFor: 'b', boundTo: null } });
    const a = world.node('a');
    // It polls; the answers are under way.
    while (!a.sent.some(({ message }) => message.type === 'lease-ask')) {
      world.ms += 1;
      a.timeout();
    }
    const poll = a.sent.find(({ message }) => message.type === 'lease-ask')?.message as { round: number };
    expect(a.fence('c', 9)).toBe(true);
    expect(a.disk).toEqual({ term: 9, votedFor: 'c', boundTo: null });
    a.input({
      type: 'message',
      from: 'b',
      message: { type: 'lease-tell', round: poll.round, granted: true, term: 5, holder: null, remainingMs: 0 },
    });
    expect(a.disk.term).toBeGreaterThanOrEqual(9);
    expect(a.fence('b', 7)).toBe(false);
    expect(a.fence('c', 8)).toBe(false);
  });

  test('are refused by a follower that knows the later leader from others', () => {
    const world = new ElectionWorld(['a', 'b', 'c'], { c: { term: 5, votedFor: 'a', boundTo: null } });
    const c = world.node('c');
    const holder = { leader: 'b', term: 8, quorate: true };
    c.input({
      type: 'message',
      from: 'a',
      message: { type: 'lease-tell', round: 1, granted: false, term: 8, holder, remainingMs: 2000 },
    });
    expect(c.core.leadership(world.now())).toMatchObject({ leader: 'b', term: 8 });
    expect(c.fence('a', 5)).toBe(false);
    expect(c.fence('a', 6)).toBe(false);
  });
});

describe('absurd terms', () => {
  const TERM_MAX = 2 ** 48;

  test('of one message do not stop a cluster', () => {
    const world = new ElectionWorld(['a', 'b', 'c']);
    world.run(3000);
    const a = world.leader();
    const evil: ElectionMessage = { type: 'lease-end', term: TERM_MAX, successor: null };
    // It does pass the codec.
    expect(decodeFrame(encodeFrame([evil])).messages).toEqual([evil]);
    expect(a.quorate()).toBe(true);
    for (const node of world.nodes.values()) node.input({ type: 'message', from: 'x', message: evil });
    const refused: string[] = [];
    for (let i = 0; i < 20_000; i++) {
      world.ms += 1;
      for (const node of world.nodes.values()) {
        if ((node.core.nextDeadline() ?? Number.POSITIVE_INFINITY) <= world.ms) node.timeout();
      }
      world.settle(({ message }) => {
        try {
          decodeFrame(encodeFrame([message]));
          return true;
        } catch (error) {
          refused.push(String(error));
          return false;
        }
      });
    }
    expect(refused.length).toBe(0);
    expect(world.quorate().length).toBe(1);
    for (const node of world.nodes.values()) {
      // What the next start of this node does.
      expect(() => decodeOne(voteRecord, encodeOne(voteRecord, node.disk))).not.toThrow();
    }
  });
});

describe('the memory', () => {
  test('of a voter whose disk does not sync is bounded', () => {
    const world = new ElectionWorld(['a', 'b', 'c']);
    const b = world.node('b');
    b.autoSync = false;
    for (let round = 1; round <= 5000; round++) {
      world.ms += 700;
      b.input({
        type: 'message',
        from: 'a',
        message: { type: 'lease-ask', kind: 'renew', term: 3, epoch: 0, round, quorate: true, votes: 2, view: 3 },
      });
    }
    for (let i = 0; i < 5000; i++) b.input({ type: 'fence', id: i, token: 3, leader: 'a' });
    const { voter } = b.core as unknown as { voter: { waiting: unknown[] } };
    expect(voter.waiting.length).toBeLessThan(100);
    b.sent = [];
    b.sync();
    expect(b.sent.length).toBeLessThan(100);
  });
});

describe('places in the order of candidates', () => {
  test('do not keep a small part of a large cluster waiting', () => {
    const ids = Array.from({ length: 300 }, (_, i) => `m${String(i).padStart(3, '0')}`);
    const part = ids.slice(-3);
    const world = new ElectionWorld(part);
    world.voters = ids;
    for (const node of world.nodes.values()) {
      node.input({ type: 'voters', epoch: 0, groups: [ids] });
      node.view(ids);
    }
    // All of the 300 follow a leader, and then the link to the rest is gone.
    for (const node of world.nodes.values()) {
      node.input({
        type: 'message',
        from: 'm000',
        message: {
          type: 'lease-ask',
          kind: 'renew',
          term: 3,
          epoch: 0,
          round: 1,
          quorate: true,
          votes: 300,
          view: 300,
        },
      });
    }
    world.run(2600);
    // Three seconds later, their views are right.
    world.run(3000);
    for (const node of world.nodes.values()) node.view(part);
    world.run(10_000);
    expect(part.map((id) => world.node(id).core.leadership(world.now())?.leader ?? null)).not.toContain(null);
  });
});

describe('a momentary suspicion', () => {
  test('does not cost a leader the lead that a majority of the ring has granted', () => {
    const world = new ElectionWorld(['a', 'b', 'c', 'd', 'e']);
    const b = world.node('b');
    // b has links with a and c only; d and e are held alive through relays.
    for (const peer of ['d', 'e']) {
      b.input({ type: 'disconnected', peer });
      world.cut.add(`b${peer}`);
      for (const other of ['a', 'c']) {
        world.cut.add(`${other}${peer}`);
      }
    }
    world.cut.add('de');
    world.cut.add('ac');
    world.run(15_000);
    expect(world.quorate()).toEqual(['b']);
    const { term } = b.core;
    b.view(['a', 'b', 'd', 'e']);
    world.run(3);
    b.view(['a', 'b', 'c', 'd', 'e']);
    world.run(1);
    expect(world.quorate()).toEqual(['b']);
    expect(b.core.term).toBe(term);
  });
});
