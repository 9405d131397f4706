import { describe, expect, test } from 'vitest';
import type { RefoundOutcome } from '../../src/protocol/node/refounding.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { ABSENT, electoratesOf, leadsMajority, led, strong, strongGet, strongPut } from '../support/strong-story.ts';

const NOTICE_MS = 15_000;
const CHANGE_MS = 40_000;
const KEYS = Array.from({ length: 40 }, (_, i) => `k${i}`);

type Five = [SimNode, SimNode, SimNode, SimNode, SimNode];

function refound(cluster: SimCluster, node: SimNode, lost: readonly SimNode[]): RefoundOutcome {
  let outcome: RefoundOutcome | undefined;
  cluster.refound(node, lost, (answer) => {
    outcome = answer;
  });
  expect(cluster.runUntil(() => outcome !== undefined, 2000, 1)).toBe(true);
  return outcome as RefoundOutcome;
}

function reasonOf(outcome: RefoundOutcome): unknown {
  return outcome.ok ? 'done' : (outcome.failure.data?.reason ?? outcome.failure.code);
}

function isAll(cluster: SimCluster, text: string): () => boolean {
  return () => electoratesOf(cluster).every((each) => each === text);
}

/** Where a row of the key with a value is on the disk. */
function holders(cluster: SimCluster, key: string): SimNode[] {
  return cluster.nodes.filter(({ disk }) =>
    disk.registers.all().some(({ name, row }) => name.key === key && (row.accepted?.value.content ?? null) !== null),
  );
}

/** Five members with all keys, of which three have crashed for good. */
function bereft(seed: number): { readonly cluster: SimCluster; readonly nodes: Five } {
  const cluster = led(5, seed);
  const nodes = cluster.nodes as unknown as Five;
  for (const key of KEYS) expect(strongPut(cluster, nodes[0], key, `old ${key}`)).toMatchObject({ applied: true });
  cluster.run(2000);
  for (const node of nodes.slice(2)) cluster.crash(node);
  cluster.run(NOTICE_MS);
  return { cluster, nodes };
}

describe('a majority is lost for good', () => {
  test.each([1, 2, 3])('the others go on with what they have (seed %i)', (seed) => {
    const { cluster, nodes } = bereft(seed);
    const [a, b, c, d, e] = nodes;
    const left = new Map(KEYS.map((key) => [key, holders(cluster, key).filter((node) => node === a || node === b)]));
    const refused = KEYS.filter((key) => strongGet(cluster, a, key) === 'failed: quorum-unavailable');
    expect(refused.length).toBeGreaterThan(KEYS.length / 2);
    const outcome = refound(cluster, a, [c, d, e]);
    expect(outcome).toMatchObject({ ok: true, report: { electors: [a.id, b.id].sort() } });
    expect(cluster.runUntil(isAll(cluster, 'n1,n2'), CHANGE_MS)).toBe(true);
    for (const key of KEYS) {
      const isLeft = left.get(key)?.length !== 0;
      for (const node of [a, b]) expect(strongGet(cluster, node, key)).toBe(isLeft ? `old ${key}` : null);
    }
    expect([...left.values()].some((nodes) => nodes.length === 1)).toBe(true);
    for (const key of KEYS) expect(strongPut(cluster, b, key, `new ${key}`)).toMatchObject({ applied: true });
    // One that was given up is there after all: it hears of it, decides nothing, and what it has is of no account.
    cluster.start(c);
    expect(cluster.runUntil(isAll(cluster, 'n1,n2'), CHANGE_MS)).toBe(true);
    for (const key of KEYS) expect(strongGet(cluster, c, key)).toBe(`new ${key}`);
    expect(cluster.changeRing(a, c, { place: 'in' })).toBe(true);
    expect(cluster.runUntil(isAll(cluster, 'n1,n2,n3'), CHANGE_MS)).toBe(true);
    for (const key of KEYS) expect(strongGet(cluster, c, key)).toBe(`new ${key}`);
  });

  test('a survivor restarts meanwhile, and keeps what only it has', () => {
    const { cluster, nodes } = bereft(4);
    const [a, b, c, d, e] = nodes;
    const onlyThere = KEYS.filter((key) => {
      const there = holders(cluster, key);
      return there.includes(b) && !there.includes(a);
    });
    expect(onlyThere.length).toBeGreaterThan(0);
    cluster.refound(a, [c, d, e], () => undefined);
    cluster.run(5);
    cluster.crash(b);
    cluster.run(5000);
    // What only it has is not taken to be gone while it is away.
    for (const key of onlyThere) expect(strongGet(cluster, a, key)).toBe('failed: quorum-unavailable');
    cluster.start(b);
    expect(cluster.runUntil(isAll(cluster, 'n1,n2'), CHANGE_MS)).toBe(true);
    cluster.run(2000);
    for (const key of onlyThere) expect(strongGet(cluster, a, key)).toBe(`old ${key}`);
  });

  test('the lost were not lost, and have decided more often since: the operator has the last word', () => {
    const cluster = led(5, 5);
    const [a, b, c, d, e] = cluster.nodes as unknown as Five;
    for (const key of KEYS) expect(strongPut(cluster, a, key, `old ${key}`)).toMatchObject({ applied: true });
    cluster.run(2000);
    cluster.partition([a, b], [c, d, e]);
    cluster.run(NOTICE_MS);
    for (const weight of [2, 3, 4]) {
      expect(cluster.changeRing(c, d, { weight })).toBe(true);
      cluster.run(NOTICE_MS);
    }
    const epochOf = (node: SimNode): number => node.running?.node.deciders.electorate?.epoch ?? 0;
    expect(epochOf(c)).toBeGreaterThan(epochOf(a) + 1);
    expect(reasonOf(refound(cluster, a, [c, d, e]))).toBe('done');
    cluster.run(CHANGE_MS);
    for (const key of KEYS) {
      strongPut(cluster, c, key, `other ${key}`);
      expect(strongPut(cluster, a, key, `new ${key}`)).toMatchObject({ applied: true });
    }
    cluster.heal();
    expect(cluster.runUntil(isAll(cluster, 'n1,n2'), CHANGE_MS)).toBe(true);
    for (const node of cluster.nodes) for (const key of KEYS) expect(strongGet(cluster, node, key)).toBe(`new ${key}`);
    for (const node of [c, d, e]) expect(cluster.changeRing(a, node, { place: 'in' })).toBe(true);
    expect(cluster.runUntil(isAll(cluster, 'n1,n2,n3,n4,n5'), CHANGE_MS)).toBe(true);
    for (const node of cluster.nodes) for (const key of KEYS) expect(strongGet(cluster, node, key)).toBe(`new ${key}`);
  });

  test('a key that was deleted after one was given up does not come back with it', () => {
    const { cluster, nodes } = bereft(6);
    const [a, b, c, d, e] = nodes;
    expect(reasonOf(refound(cluster, a, [c, d, e]))).toBe('done');
    expect(cluster.runUntil(isAll(cluster, 'n1,n2'), CHANGE_MS)).toBe(true);
    const request = { type: 'strong-delete', bucket: 'strong', condition: { type: 'none' } } as const;
    for (const key of KEYS) expect(strong(cluster, b, { ...request, key })).toMatchObject({ applied: true });
    // Until the tombstones are forgotten.
    cluster.run(CHANGE_MS);
    const rowsOf = (node: SimNode) =>
      node.disk.registers.all().filter(({ name, row }) => KEYS.includes(name.key) && row.accepted !== null);
    expect([...rowsOf(a), ...rowsOf(b)]).toEqual([]);
    expect(rowsOf(c).length).toBeGreaterThan(0);
    for (const node of [c, d, e]) cluster.start(node);
    cluster.run(NOTICE_MS);
    for (const node of [c, d, e]) expect(cluster.changeRing(a, node, { place: 'in' })).toBe(true);
    expect(cluster.runUntil(isAll(cluster, 'n1,n2,n3,n4,n5'), CHANGE_MS)).toBe(true);
    for (const node of cluster.nodes) for (const key of KEYS) expect(strongGet(cluster, node, key)).toBeNull();
  });

  test('the one that is left is lost halfway: the next one is given up as well', () => {
    const { cluster, nodes } = bereft(7);
    const [a, b, c, d, e] = nodes;
    expect(reasonOf(refound(cluster, a, [c, d, e]))).toBe('done');
    cluster.crash(b);
    cluster.run(NOTICE_MS);
    expect(strongPut(cluster, a, 'fresh', 'one', ABSENT)).toMatchObject({ type: 'failed' });
    const here = KEYS.filter((key) => holders(cluster, key).includes(a));
    expect(reasonOf(refound(cluster, a, [b]))).toBe('done');
    expect(cluster.runUntil(isAll(cluster, 'n1'), CHANGE_MS)).toBe(true);
    for (const key of KEYS) expect(strongGet(cluster, a, key)).toBe(here.includes(key) ? `old ${key}` : null);
    expect(strongPut(cluster, a, 'fresh', 'one', ABSENT)).toMatchObject({ applied: true });
  });

  test('a change of the electorate was under way', () => {
    const cluster = led(4, 8);
    const [a, b, c, d] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode];
    for (const key of KEYS) expect(strongPut(cluster, a, key, `old ${key}`)).toMatchObject({ applied: true });
    cluster.run(2000);
    const newcomer = cluster.addNode();
    cluster.start(newcomer);
    const isChanging = (): boolean => electoratesOf(cluster).every((each) => each.endsWith('changing'));
    expect(cluster.runUntil(isChanging, CHANGE_MS, 1)).toBe(true);
    for (const node of [b, c, d]) cluster.crash(node);
    cluster.run(NOTICE_MS);
    const left = KEYS.filter((key) => holders(cluster, key).some((node) => node === a || node === newcomer));
    expect(reasonOf(refound(cluster, newcomer, [b, c, d]))).toBe('done');
    expect(cluster.runUntil(isAll(cluster, 'n1,n5'), CHANGE_MS)).toBe(true);
    for (const key of KEYS) expect(strongGet(cluster, a, key)).toBe(left.includes(key) ? `old ${key}` : null);
  });

  test('of three, one of the two that are to decide loses its disk halfway', () => {
    const cluster = led(3, 10);
    const leader = cluster.nodes.find(leadsMajority) as SimNode;
    const [wiped, removed] = cluster.nodes.filter((node) => node !== leader) as [SimNode, SimNode];
    for (const key of KEYS) expect(strongPut(cluster, leader, key, key)).toMatchObject({ applied: true });
    cluster.run(2000);
    expect(cluster.changeRing(leader, removed, { place: 'out' })).toBe(true);
    const isChanging = (): boolean => electoratesOf(cluster).every((each) => each.endsWith('changing'));
    expect(cluster.runUntil(isChanging, CHANGE_MS, 1)).toBe(true);
    cluster.crash(wiped);
    cluster.run(NOTICE_MS);
    cluster.replaceDisk(wiped);
    cluster.start(wiped);
    cluster.run(CHANGE_MS);
    for (const key of KEYS) expect(strongGet(cluster, leader, key)).toBe('failed: quorum-unavailable');
    // It is there, but not with the disk that it is to decide with.
    expect(reasonOf(refound(cluster, leader, [wiped]))).toBe('member-reachable');
    cluster.crash(wiped);
    cluster.run(NOTICE_MS);
    expect(reasonOf(refound(cluster, leader, [wiped]))).toBe('done');
    cluster.start(wiped);
    cluster.run(NOTICE_MS);
    expect(cluster.changeRing(leader, wiped, { place: 'in' })).toBe(true);
    const two = [leader.name, wiped.name].sort().join();
    expect(cluster.runUntil(isAll(cluster, two), CHANGE_MS)).toBe(true);
    for (const node of cluster.nodes) for (const key of KEYS) expect(strongGet(cluster, node, key)).toBe(key);
  });

  test('it is refused where it is not needed, or goes too far', () => {
    const cluster = led(5, 9);
    const [a, b, c, d, e] = cluster.nodes as unknown as Five;
    expect(reasonOf(refound(cluster, a, [b]))).toBe('member-reachable');
    cluster.crash(e);
    cluster.run(NOTICE_MS);
    expect(reasonOf(refound(cluster, a, [e]))).toBe('not-founded');
    for (const key of KEYS) expect(strongPut(cluster, a, key, key)).toMatchObject({ applied: true });
    expect(reasonOf(refound(cluster, a, []))).toBe('bad-request');
    expect(reasonOf(refound(cluster, a, [e]))).toBe('majority-reachable');
    cluster.crash(d);
    cluster.run(NOTICE_MS);
    // There is a majority of all, and some keys have lost theirs.
    expect(reasonOf(refound(cluster, a, [e]))).toBe('member-unreachable');
    cluster.crash(c);
    cluster.crash(b);
    cluster.run(NOTICE_MS);
    expect(reasonOf(refound(cluster, a, [a, b, c, d, e]))).toBe('member-reachable');
    expect(electoratesOf(cluster)).toEqual(['n1,n2,n3,n4,n5']);
    expect(reasonOf(refound(cluster, a, [b, c, d, e]))).toBe('done');
  });
});
