import { describe, expect, test } from 'vitest';
import { CausalContext, NOTHING } from '../../src/protocol/causal/context.ts';
import { WHOLE } from '../../src/protocol/replication/message.ts';
import { ownersDigest } from '../../src/protocol/replication/placement.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { COVERED, LoneReplica, NAME, OBJECT } from '../support/lone-replica.ts';
import {
  ask,
  BUCKET,
  DISCONNECT_MS,
  formed,
  hasRing,
  keyWhere,
  mutate,
  nodesOf,
  put,
  ringOf,
  SETTLE_MS,
} from '../support/sim-story.ts';

/**
 * Who may vote: a replica that answers as a complete one has all that a quorum has acknowledged before. Bugs that were
 * found around that, each as a short story.
 */

function isComplete(node: SimNode, shard: number): boolean {
  return node.disk.shards.get(shard)?.complete === true;
}

function read(cluster: SimCluster, node: SimNode, key: string) {
  const reply = ask(cluster, node, { type: 'get', bucket: BUCKET, key, level: 'quorum', session: null })();
  if (reply.type !== 'get') throw new Error(JSON.stringify(reply));
  return { complete: reply.complete, entries: reply.entries.length };
}

/** Either the node says that it may be incomplete, or it has the acknowledged value. */
function expectHonest(cluster: SimCluster, node: SimNode, shard: number): void {
  const seen = read(cluster, node, 'k');
  const told = JSON.stringify({ ...seen, isComplete: isComplete(node, shard) });
  expect(seen.complete && seen.entries === 0, told).toBe(false);
}

/** The first comes back with a new disk, among those who are up but for the second. */
function returnWiped(cluster: SimCluster, wiped: SimNode, away: SimNode): void {
  cluster.run(200);
  cluster.crash(wiped);
  cluster.crash(away);
  cluster.replaceDisk(wiped);
  cluster.heal();
  cluster.start(wiped);
}

/**
 * Owners A, B, C; D is the next in line. A write is acknowledged strictly by
 * A and C while B is cut off. A's disk is replaced, C is away: A becomes complete by syncing with B and D, and A and B
 * answer "complete" without the write, which C has.
 */
test('a replica that has synced with a node that never held the shard is not complete', () => {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, 'k');
  const [a, b, c, d] = nodesOf(cluster, ring.preference(shard)) as [SimNode, SimNode, SimNode, SimNode];
  cluster.partition([b, d], [a, c]);
  cluster.run(DISCONNECT_MS);
  expect(mutate(cluster, a, 'k', put('acknowledged'), 'quorum')()).toMatchObject({ type: 'mutate', quorum: 'strict' });
  returnWiped(cluster, a, c);
  cluster.run(60_000);
  expect(ringOf(a).memberCount).toBe(4);
  expectHonest(cluster, a, shard);
}, 60_000);

/** The same without any disk lost: a member comes in while two of the three who hold the shard are cut off. */
test('a new owner that has synced with one holder and one that never held the shard is not complete', () => {
  const cluster = formed(6);
  const [op] = cluster.nodes as [SimNode, ...SimNode[]];
  const byId = (id: string): SimNode => cluster.nodes.find((n) => n.id === id) as SimNode;
  for (const a of cluster.nodes) {
    const withA = ringOf(op);
    const by = cluster.nodes.find((n) => n !== a) as SimNode;
    expect(cluster.changeRing(by, a, { place: 'out' })).toBe(true);
    expect(cluster.runUntil(() => hasRing(cluster, 5) && cluster.isSettled(), SETTLE_MS)).toBe(true);
    const before = ringOf(by);
    let found: { shard: number; others: string[]; stranger: string; kept: string } | undefined;
    for (let shard = 0; shard < before.shards && found === undefined; shard++) {
      if (!withA.isOwner(shard, a.id)) continue;
      const without = withA
        .preference(shard)
        .filter((id) => id !== a.id)
        .slice(0, 3);
      const stranger = without.find((id) => !before.isOwner(shard, id));
      const kept = withA.owners(shard).find((id) => id !== a.id && before.isOwner(shard, id));
      if (stranger === undefined || kept === undefined) continue;
      found = { shard, stranger, kept, others: before.owners(shard).filter((id) => id !== kept) };
    }
    if (found === undefined) {
      cluster.changeRing(by, a, { place: 'in' });
      expect(cluster.runUntil(() => hasRing(cluster, 6) && cluster.isSettled(), SETTLE_MS)).toBe(true);
      continue;
    }
    const { shard, stranger, kept, others } = found;
    const key = keyWhere(before, (each) => each === shard);
    const away = others.map(byId);
    const near = cluster.nodes.filter((n) => !away.includes(n));
    cluster.partition(away, near);
    cluster.run(DISCONNECT_MS);
    expect(mutate(cluster, away[0] as SimNode, key, put('acknowledged'), 'quorum')()).toMatchObject({
      quorum: 'strict',
    });
    cluster.run(1000);
    expect(cluster.changeRing(byId(kept), a, { place: 'in' })).toBe(true);
    cluster.run(60_000);
    const seen = read(cluster, a, key);
    expect(
      seen.complete && seen.entries === 0,
      JSON.stringify({ ...seen, stranger, aIsComplete: isComplete(a, shard) }),
    ).toBe(false);
    return;
  }
  throw new Error('no such shard with these ids');
}, 60_000);

/**
 * A is taken out of the ring and put back: D, which had its place, waits for C, which is down. Once complete A votes without
 * D, and a write is acknowledged by A and B. A's disk is replaced: with D it is not what it was before it was complete.
 */
test('an owner that was complete and is not any more is no place of the quorum beside a former one', () => {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, 'k');
  const [a, b, c, d] = nodesOf(cluster, ring.preference(shard)) as [SimNode, SimNode, SimNode, SimNode];
  expect(cluster.changeRing(b, a, { place: 'out' })).toBe(true);
  expect(cluster.runUntil(() => hasRing(cluster, 3) && cluster.isSettled(), SETTLE_MS)).toBe(true);
  cluster.crash(c);
  cluster.run(DISCONNECT_MS);
  expect(cluster.changeRing(b, a, { place: 'in' })).toBe(true);
  expect(cluster.runUntil(() => isComplete(a, shard), SETTLE_MS)).toBe(true);
  cluster.partition([d], [a, b]);
  cluster.run(DISCONNECT_MS);
  expect(d.disk.shards.has(shard)).toBe(true);
  expect(mutate(cluster, a, 'k', put('acknowledged'), 'quorum')()).toMatchObject({ quorum: 'strict' });
  cluster.run(1000);
  returnWiped(cluster, a, b);
  cluster.start(c);
  for (let second = 0; second < 30; second++) {
    cluster.run(1000);
    for (const node of [a, c, d]) expectHonest(cluster, node, shard);
  }
}, 60_000);

/** A and B acknowledge a write; on the other side C is told that both are out, and is left with D, which has been told so. */
test('a new owner does not do with a majority of the owners that are left', () => {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, 'k');
  const [a, b, c, d] = nodesOf(cluster, ring.preference(shard)) as [SimNode, SimNode, SimNode, SimNode];
  cluster.partition([a, b], [c, d]);
  cluster.run(DISCONNECT_MS);
  expect(mutate(cluster, a, 'k', put('acknowledged'), 'quorum')()).toMatchObject({ quorum: 'strict' });
  for (const out of [a, b]) {
    expect(cluster.changeRing(c, out, { place: 'out' })).toBe(true);
    cluster.run(30_000);
  }
  expect(ringOf(d).owners(shard)).toHaveLength(2);
  for (const node of [c, d]) expectHonest(cluster, node, shard);
}, 60_000);

/** A and B acknowledge a write without C; C is told that B is out, and B that A is out: together they leave C alone. */
test('the owner that is left of three has synced with the others before it counts alone', () => {
  const cluster = formed(3);
  const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
  cluster.partition([c], [a, b]);
  cluster.run(DISCONNECT_MS);
  expect(mutate(cluster, a, 'k', put('acknowledged'), 'quorum')()).toMatchObject({ quorum: 'strict' });
  expect(cluster.changeRing(c, b, { place: 'out' })).toBe(true);
  expect(cluster.changeRing(b, a, { place: 'out' })).toBe(true);
  cluster.run(1000);
  cluster.heal();
  expect(cluster.runUntil(() => ringOf(c).memberCount === 1, SETTLE_MS, 1)).toBe(true);
  expectHonest(cluster, c, ringOf(c).shardOf(BUCKET, 'k'));
  cluster.run(10_000);
  expect(read(cluster, c, 'k')).toEqual({ complete: true, entries: 1 });
}, 60_000);

/** The one copy moves from A to C, to a member that never hears that it was meant to take it over, and back to A. */
function afterDetour(): LoneReplica {
  const node = new LoneReplica('a');
  node.turnTo('a');
  node.turnTo('c');
  node.tell('c', COVERED);
  expect(node.isDropped).toBe(true);
  node.handle({ type: 'cleared', shard: 0 });
  node.turnTo('leaver');
  node.turnTo('a');
  return node;
}

function expectToWaitForC(node: LoneReplica): void {
  const nothing = new CausalContext();
  // The next in line, and the last owner.
  for (const peer of ['b', 'leaver']) node.tell(peer, nothing, { complete: false });
  expect(node.isComplete).toBe(false);
  node.tell('c', nothing, { complete: false });
  expect(node.isComplete).toBe(true);
}

test('a source that knows of nothing is not all that there was: who owned the shard before is asked as well', () => {
  expectToWaitForC(afterDetour());
});

test('who owned the shard before is asked as well where a read has heard that its copy does not vote', () => {
  const node = afterDetour();
  node.handle({ type: 'request', id: 1, request: { type: 'get', ...NAME, level: 'quorum', session: null } });
  node.answerReads();
  const owners = ownersDigest(node.placement, [0]);
  const reply = { type: 'read-reply', status: 'object', standing: 'none', past: null, bare: NOTHING, owners } as const;
  const held = { entries: OBJECT.entries, context: COVERED };
  const asked: string[] = [];
  for (const { to, message } of node.sent) {
    if (message.type !== 'read') continue;
    asked.push(to);
    const copy = to === 'c' ? held : { entries: [], context: new CausalContext() };
    node.handle({ type: 'message', from: to, message: { ...reply, id: message.id, ...copy } });
  }
  expect(asked).toContain('c');
  expectToWaitForC(node);
});

/** B has synced with the last source, which is gone since, after A had heard from B that it waits itself. */
test('a source that had no vote is asked again', () => {
  const node = new LoneReplica('a');
  node.turnTo('b', 'c', 'leaver');
  node.turnTo('a', 'b', 'c');
  node.handle({ type: 'peer-down', peer: 'leaver' });
  node.tell('b', COVERED, { complete: false });
  node.tell('c', COVERED);
  expect(node.isComplete).toBe(false);
  node.sent.length = 0;
  for (let round = 0; round < 10; round++) {
    node.pass(12_000);
    for (const { to, message } of node.sent.splice(0)) {
      if (message.type === 'sync-context') node.tell(to, COVERED);
      if (message.type !== 'sync-digest') continue;
      const { exchange, shards } = message;
      node.handle({ type: 'message', from: to, message: { type: 'sync-equal', exchange, shards } });
    }
  }
  expect(node.isComplete).toBe(true);
});

describe('a former owner does not stand in for what it has lost', () => {
  function standingOf(node: LoneReplica): string | undefined {
    node.handle({ type: 'message', from: 'b', message: { type: 'read', id: 7, ...NAME, dots: [] } });
    node.answerReads();
    const replies = node.sent.map(({ message }) => message).filter((message) => message.type === 'read-reply');
    return replies.at(-1)?.standing;
  }

  function formerOwner(): LoneReplica {
    const node = new LoneReplica('a', { cacheBytes: 0 });
    node.turnTo('b', 'c', 'leaver');
    expect(standingOf(node)).toBe('former');
    return node;
  }

  test("once it has another one's copy of a lost key, which may be an older one", () => {
    const node = formerOwner();
    node.lose();
    const items = [{ ...NAME, entries: [], past: null, events: new CausalContext(), part: WHOLE }];
    const message = { type: 'sync-fetched', shard: 0, context: new CausalContext(), items } as const;
    node.handle({ type: 'message', from: 'b', message });
    expect(standingOf(node)).toBe('none');
  });

  test('once it hears that its disk was rolled back', () => {
    const node = formerOwner();
    const context = CausalContext.fromDots([{ actor: 'f'.repeat(16), counter: 1 }]);
    const known = [{ shard: 0, context }];
    node.handle({
      type: 'message',
      from: 'b',
      message: { type: 'counter-report', actor: 'f'.repeat(16), known, named: [] },
    });
    expect(standingOf(node)).toBe('none');
  });
});

test('who has let go of the shard is not waited for, wherever it is by now', () => {
  const leaver = new LoneReplica();
  for (const owner of ['a', 'b', 'c']) leaver.tell(owner, COVERED);
  expect(leaver.isDropped).toBe(true);
  const told = leaver.sent.filter(({ message }) => message.type === 'sync-context').slice(-3);
  const nothing = new CausalContext();
  for (const { message } of told) expect(message).toMatchObject({ covers: [{ context: nothing, wants: false }] });
  expect(told.map(({ to }) => to)).toEqual(['a', 'b', 'c']);

  const node = new LoneReplica('a');
  node.turnTo('a', 'b');
  node.tell('c', nothing, { complete: false });
  node.handle({ type: 'peer-down', peer: 'c' });
  node.lose();
  expect(node.isComplete).toBe(false);
  // B was to be without a record of its own at the same time.
  const items = [{ ...NAME, entries: OBJECT.entries, past: null, events: COVERED, part: WHOLE }];
  const message = { type: 'sync-fetched', shard: 0, context: COVERED, items } as const;
  node.handle({ type: 'message', from: 'b', message });
  node.tell('b', COVERED, { complete: false });
  expect(node.isComplete).toBe(true);
});

test('a change of the ring does not complete an owner that waits for a lost key', () => {
  const node = new LoneReplica('a');
  node.lose();
  const nothing = new CausalContext();
  for (let change = 0; change < 2; change++) {
    node.turnTo('a', 'b', 'c');
    for (const peer of ['b', 'c', 'leaver']) node.tell(peer, nothing);
    expect(node.isComplete).toBe(false);
  }
});

/** A is cut off, and out of the ring that the others have by now: D has its place in all shards, and is complete. */
function replaced() {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, 'k');
  const [a, b, c, d] = nodesOf(cluster, ring.preference(shard)) as [SimNode, SimNode, SimNode, SimNode];
  expect(cluster.changeRing(b, d, { place: 'out' })).toBe(true);
  cluster.run(30_000);
  cluster.partition([a], [b, c, d]);
  cluster.run(DISCONNECT_MS);
  expect(cluster.changeRing(b, a, { place: 'out' })).toBe(true);
  cluster.run(30_000);
  expect(cluster.changeRing(b, d, { place: 'in' })).toBe(true);
  cluster.run(30_000);
  for (const node of [b, c, d]) expect(isComplete(node, shard)).toBe(true);
  return { cluster, shard, a, b, c, d };
}

/** A meets another one on a slow network: it goes on as an owner until it hears of the ring. */
function asBefore(cluster: SimCluster, a: SimNode, other: SimNode, ask: () => void): void {
  cluster.weather = { ...cluster.weather, latencyMinMs: 15, latencyMaxMs: 25 };
  expect(cluster.runUntil(() => a.running?.peers.has(other.id) === true, SETTLE_MS, 1)).toBe(true);
  expect(ringOf(a).isOwner(0, a.id)).toBe(true);
  for (let i = 0; i < 50; i++) {
    cluster.run(2);
    ask();
  }
  cluster.run(5000);
  expect(ringOf(a).isOwner(0, a.id)).toBe(false);
}

test('what a former owner writes before it has heard of the ring is not taken for a quorum', () => {
  const { cluster, shard, a, b, c, d } = replaced();
  const keys = Array.from({ length: 2000 }, (_, i) => `k${i}`).filter(
    (key) => ringOf(b).shardOf(BUCKET, key) === shard,
  );
  cluster.heal();
  cluster.partition([a, b], [c, d]);
  const strict: string[] = [];
  asBefore(cluster, a, b, () => {
    const key = keys.pop() as string;
    const mutation = put('acknowledged');
    cluster.request(a, { type: 'mutate', bucket: BUCKET, key, mutation, level: 'quorum', context: null }, (reply) => {
      if (reply.type === 'mutate' && reply.quorum === 'strict') strict.push(key);
    });
  });
  const missed = strict.filter((key) => {
    const seen = read(cluster, c, key);
    return seen.complete && seen.entries === 0;
  });
  expect(missed).toEqual([]);
}, 60_000);

for (const type of ['get', 'list'] as const) {
  test(`what a former owner answers to a ${type} before it has heard of the ring is not taken for complete`, () => {
    const { cluster, a, b, c, d } = replaced();
    cluster.partition([a], [b, d], [c]);
    cluster.run(DISCONNECT_MS);
    expect(mutate(cluster, b, 'k', put('acknowledged'), 'quorum')()).toMatchObject({ quorum: 'strict' });
    cluster.heal();
    cluster.partition([b, d], [a, c]);
    let missed = 0;
    asBefore(cluster, a, c, () => {
      const page = { prefix: '', after: '', limit: 10, values: false, snapshot: false };
      const request =
        type === 'get'
          ? ({ type, bucket: BUCKET, key: 'k', level: 'quorum', session: null } as const)
          : ({ type, bucket: BUCKET, ...page } as const);
      cluster.request(a, request, (reply) => {
        const isEmpty =
          reply.type === 'list' ? reply.items.length === 0 : reply.type === 'get' && reply.entries.length === 0;
        if (isEmpty && (reply.type === 'list' || reply.type === 'get') && reply.complete) missed++;
      });
    });
    expect(missed).toBe(0);
  }, 60_000);
}

/** Once before and once after any change of the ring. */
test('a source is counted once, however often the ring changes', () => {
  const cluster = formed(3, 3);
  const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
  const shard = ringOf(a).shardOf(BUCKET, 'k');
  cluster.partition([b], [a, c]);
  const reply = mutate(cluster, a, 'k', put('acknowledged'), 'quorum')();
  expect(reply).toMatchObject({ type: 'mutate', quorum: 'strict' });
  returnWiped(cluster, a, c);
  cluster.run(30_000);
  // Synced with B, C is away: not complete, as it should be.
  expect(isComplete(a, shard)).toBe(false);
  // A weight that moves nothing, or any other change of the ring.
  expect(cluster.changeRing(b, b, { weight: 1.001 })).toBe(true);
  cluster.run(30_000);
  expectHonest(cluster, a, shard);
}, 60_000);

/**
 * A has a new disk and has synced with S, but not with C yet, when it is cut off. While it is out of the ring S and E
 * acknowledge a write. When it is in again, what it has of S is of the time before.
 */
test('a source is not counted for a time as an owner that was over in between', () => {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, 'k');
  const [a, s, c, e] = nodesOf(cluster, ring.preference(shard)) as [SimNode, SimNode, SimNode, SimNode];
  returnWiped(cluster, a, c);
  cluster.run(30_000);
  expect(isComplete(a, shard)).toBe(false);
  cluster.partition([a], [s, c, e]);
  cluster.start(c);
  cluster.run(DISCONNECT_MS);
  expect(cluster.changeRing(s, a, { place: 'out' })).toBe(true);
  cluster.run(30_000);
  for (const node of [s, c, e]) expect(isComplete(node, shard)).toBe(true);
  cluster.partition([c], [s, e]);
  cluster.run(DISCONNECT_MS);
  expect(mutate(cluster, s, 'k', put('acknowledged'), 'quorum')()).toMatchObject({ quorum: 'strict' });
  expect(cluster.changeRing(c, a, { place: 'in' })).toBe(true);
  cluster.heal();
  cluster.partition([a, c], [s, e]);
  cluster.run(30_000);
  expect(ringOf(c).isOwner(shard, a.id)).toBe(true);
  for (const node of [a, c]) expectHonest(cluster, node, shard);
}, 60_000);

/** Two bad records one after the other. */
test('a source is counted once, however many records are found bad', () => {
  const cluster = formed(3);
  const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
  const ring = ringOf(a);
  const shard = ring.shardOf(BUCKET, 'k');
  const other = keyWhere(ring, (each) => each === shard);
  mutate(cluster, a, other, put('old'), 'all')();
  cluster.partition([b], [a, c]);
  expect(mutate(cluster, a, 'k', put('acknowledged'), 'quorum')()).toMatchObject({ type: 'mutate', quorum: 'strict' });
  cluster.run(1000);
  cluster.crash(a);
  cluster.crash(c);
  a.disk.damage(shard, { bucket: BUCKET, key: 'k' });
  cluster.heal();
  cluster.start(a);
  cluster.run(5000);
  a.disk.scrub((at, name) => cluster.reportLost(a, at, name));
  cluster.run(30_000);
  for (let i = 0; i < 3; i++) {
    a.disk.damage(shard, { bucket: BUCKET, key: other });
    for (let j = 0; j < 100; j++)
      ask(cluster, a, { type: 'get', bucket: BUCKET, key: `x${j}`, level: 'one', session: null })();
    a.disk.scrub((at, name) => cluster.reportLost(a, at, name));
    cluster.run(20_000);
  }
  expectHonest(cluster, a, shard);
}, 60_000);

/**
 * A member is taken out of the ring and put back while it is away: it has never seen a ring without itself, goes on as
 * complete with the copy of before, and votes at once. No disk is lost.
 */
for (const how of ['cut off', 'down'] as const) {
  test(`a member that was out of the ring while it was ${how} does not vote before it has resynced`, () => {
    const cluster = formed(5);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const byId = (id: string): SimNode => cluster.nodes.find((n) => n.id === id) as SimNode;
    const shard = ring.shardOf(BUCKET, 'k');
    const [x, b, c] = ring.owners(shard).map(byId) as [SimNode, SimNode, SimNode];
    const others = cluster.nodes.filter((n) => n !== x);
    if (how === 'down') cluster.crash(x);
    else cluster.partition([x], others);
    cluster.run(20_000);
    // X out: D takes its place, and has it all.
    expect(cluster.changeRing(b, x, { place: 'out' })).toBe(true);
    expect(cluster.runUntil(() => others.every((n) => ringOf(n).memberCount === 4), SETTLE_MS)).toBe(true);
    cluster.run(60_000);
    const now = ringOf(b).owners(shard);
    expect(now).toContain(b.id);
    expect(now).toContain(c.id);
    const d = byId(now.find((id) => id !== b.id && id !== c.id) as string);
    const e = others.find((n) => ![b, c, d].includes(n)) as SimNode;
    expect(d.disk.shards.get(shard)?.complete).toBe(true);
    // A strict write by B and D while C and E are cut off.
    cluster.partition([x], [c, e], [b, d]);
    cluster.run(20_000);
    expect(mutate(cluster, b, 'k', put('acknowledged'), 'quorum')()).toMatchObject({ quorum: 'strict' });
    cluster.run(1000);
    // X in again: an operator says so at E.
    expect(cluster.changeRing(e, x, { place: 'in' })).toBe(true);
    cluster.run(20_000);
    // X is back, on the side of C and E.
    cluster.heal();
    cluster.partition([x, c, e], [b, d]);
    if (how === 'down') cluster.start(x);
    cluster.run(20_000);
    expect([x, c, e].map((n) => n.running?.node.ringEpoch)).toEqual(Array(3).fill(e.running?.node.ringEpoch));
    const reply = ask(cluster, x, { type: 'get', bucket: BUCKET, key: 'k', level: 'quorum', session: null })();
    if (reply.type !== 'get') throw new Error(JSON.stringify(reply));
    const seen = {
      complete: reply.complete,
      entries: reply.entries.length,
      xIsComplete: x.disk.shards.get(shard)?.complete,
    };
    expect(seen.complete && seen.entries === 0, JSON.stringify(seen)).toBe(false);
  }, 60_000);
}

/**
 * X is taken out and holds its copy, since one owner is down. One of its records goes bad and is fetched again; equal
 * digests then make the copy "complete" although X owns nothing. When X is put back it votes at once, with that copy.
 */
test('a replica that is held for others does not become complete', () => {
  const cluster = formed(5);
  const byId = (id: string): SimNode => cluster.nodes.find((n) => n.id === id) as SimNode;
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, 'k');
  const other = keyWhere(ring, (each) => each === shard);
  const [x, b, c] = ring.owners(shard).map(byId) as [SimNode, SimNode, SimNode];
  mutate(cluster, x, other, put('old'), 'all')();
  cluster.run(30_000);
  cluster.crash(c);
  cluster.run(20_000);
  expect(cluster.changeRing(b, x, { place: 'out' })).toBe(true);
  expect(
    cluster.runUntil(() => cluster.nodes.every((n) => n.running === null || ringOf(n).memberCount === 4), SETTLE_MS),
  ).toBe(true);
  cluster.run(60_000);
  const now = ringOf(b).owners(shard);
  const d = byId(now.find((id) => ![b.id, c.id].includes(id)) as string);
  const e = cluster.nodes.find((n) => ![x, b, c, d].includes(n)) as SimNode;
  expect([now.includes(b.id), now.includes(c.id), now.includes(x.id)]).toEqual([true, true, false]);
  // C is down: X holds its copy.
  expect(x.disk.shards.get(shard)?.complete).toBe(false);
  cluster.crash(x);
  cluster.start(x);
  x.disk.damage(shard, { bucket: BUCKET, key: other });
  cluster.run(5000);
  x.disk.scrub((at, name) => cluster.reportLost(x, at, name));
  cluster.run(900_000);
  const heldAsComplete = x.disk.shards.get(shard)?.complete;
  // A strict write by B and D while X and E are cut off.
  cluster.partition([x, e], [b, d], [c]);
  cluster.run(20_000);
  expect(mutate(cluster, b, 'k', put('acknowledged'), 'quorum')()).toMatchObject({ quorum: 'strict' });
  cluster.run(1000);
  cluster.heal();
  cluster.partition([x, c, e], [b, d]);
  expect(cluster.changeRing(e, x, { place: 'in' })).toBe(true);
  cluster.start(c);
  cluster.run(30_000);
  const reply = ask(cluster, x, { type: 'get', bucket: BUCKET, key: 'k', level: 'quorum', session: null })();
  if (reply.type !== 'get') throw new Error(JSON.stringify(reply));
  expect({ heldAsComplete, wrong: reply.complete && reply.entries.length === 0 }).toEqual({
    heldAsComplete: false,
    wrong: false,
  });
}, 60_000);

/** Two of four die for good, and the operator removes them: "it is not waited for any more" (ring-record.ts). */
test('members that are removed are not waited for', () => {
  const cluster = formed(4);
  const [a, b, c, d] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode];
  cluster.crash(c);
  cluster.crash(d);
  cluster.run(20_000);
  for (const dead of [c, d]) expect(cluster.changeRing(a, dead, { place: 'removed' })).toBe(true);
  expect(cluster.runUntil(() => [a, b].every((n) => ringOf(n).memberCount === 2), SETTLE_MS)).toBe(true);
  cluster.run(600_000);
  const open = [a, b].map((n) => n.running?.node.replicationStats().shards.transferring);
  let incomplete = 0;
  for (let i = 0; i < 64; i++) {
    const reply = ask(cluster, a, { type: 'get', bucket: BUCKET, key: `k${i}`, level: 'quorum', session: null })();
    if (reply.type !== 'get' || !reply.complete) incomplete++;
  }
  expect({ open, incomplete }, 'ten minutes later').toEqual({ open: [0, 0], incomplete: 0 });
}, 60_000);
