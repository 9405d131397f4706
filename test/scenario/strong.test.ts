import { describe, expect, test } from 'vitest';
import type { SimNode } from '../simulation/cluster.ts';
import { ABSENT, electoratesOf, leadsMajority, led, strong, strongGet, strongPut } from '../support/strong-story.ts';

const CHANGE_MS = 30_000;

function textsOf(text: string, count: number): string[] {
  return Array.from({ length: count }, () => text);
}

describe('strong buckets', () => {
  test('the first request founds them, at whichever node it comes', () => {
    const cluster = led(5);
    const [a, b] = cluster.nodes as [SimNode, SimNode];
    expect(electoratesOf(cluster)).toEqual(textsOf('none', 5));
    expect(strongPut(cluster, a, 'x', 'one', ABSENT)).toMatchObject({ applied: true });
    expect(strongGet(cluster, b, 'x')).toBe('one');
    expect(strongPut(cluster, b, 'x', 'two', ABSENT)).toMatchObject({ applied: false });
    cluster.run(1000);
    expect(electoratesOf(cluster)).toEqual(textsOf('n1,n2,n3,n4,n5', 5));
    for (const node of cluster.nodes) expect(strongGet(cluster, node, 'x')).toBe('one');
  });

  test('a node alone has them', () => {
    const cluster = led(1);
    const [a] = cluster.nodes as [SimNode];
    // It waits for others to turn up before it founds them by itself.
    cluster.run(2000);
    expect(strongPut(cluster, a, 'x', 'one')).toMatchObject({ applied: true });
    cluster.crash(a);
    cluster.start(a);
    expect(cluster.runUntil(() => leadsMajority(a), 10_000)).toBe(true);
    expect(strongGet(cluster, a, 'x')).toBe('one');
  });

  test('a minority refuses them within two seconds, the majority goes on', () => {
    const cluster = led(5);
    const [a, b, c, d, e] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode];
    expect(strongPut(cluster, a, 'x', 'one')).toMatchObject({ applied: true });
    cluster.run(1000);
    cluster.partition([a, b], [c, d, e]);
    cluster.run(5000);
    const keys = Array.from({ length: 40 }, (_, i) => `k${i}`);
    for (const key of keys) {
      // Where two of the three owners are on one side, that side has the majority of the key, however small it is.
      const left = strongPut(cluster, a, key, 'left', ABSENT);
      const right = strongPut(cluster, c, key, 'right', ABSENT);
      const applied = [left, right].filter((reply) => reply.type === 'strong-change' && reply.applied);
      expect(applied.length).toBe(1);
      const refused = [left, right].find((reply) => reply.type === 'failed');
      expect(refused).toMatchObject({ type: 'failed', failure: { code: 'quorum-unavailable' } });
    }
    cluster.heal();
    cluster.run(10_000);
    for (const key of keys) expect(new Set(cluster.nodes.map((node) => strongGet(cluster, node, key))).size).toBe(1);
  });

  test('the electorate follows the ring: a newcomer, a member that is gone for good', () => {
    const cluster = led(4, 2);
    const [a] = cluster.nodes as [SimNode];
    const keys = Array.from({ length: 30 }, (_, i) => `k${i}`);
    for (const key of keys) expect(strongPut(cluster, a, key, key)).toMatchObject({ applied: true });
    const newcomer = cluster.addNode();
    cluster.start(newcomer);
    const isAll = (text: string) => (): boolean => electoratesOf(cluster).every((each) => each === text);
    expect(cluster.runUntil(isAll('n1,n2,n3,n4,n5'), CHANGE_MS)).toBe(true);
    for (const key of keys) expect(strongGet(cluster, newcomer, key)).toBe(key);
    const [, second] = cluster.nodes as [SimNode, SimNode];
    cluster.crash(second);
    expect(cluster.changeRing(a, second, { place: 'removed' })).toBe(true);
    expect(cluster.runUntil(isAll('n1,n3,n4,n5'), CHANGE_MS)).toBe(true);
    for (const key of keys) expect(strongGet(cluster, newcomer, key)).toBe(key);
  });

  test('a wiped disk is another elector: it copies before it counts again', () => {
    const cluster = led(3);
    const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
    for (let i = 0; i < 20; i++) expect(strongPut(cluster, a, `k${i}`, `${i}`)).toMatchObject({ applied: true });
    const epochBefore = a.running?.node.deciders.electorate?.epoch ?? 0;
    cluster.crash(c);
    cluster.replaceDisk(c);
    cluster.start(c);
    const isDone = (): boolean =>
      cluster.nodes.every(({ running }) => (running?.node.deciders.electorate?.epoch ?? 0) > epochBefore) &&
      c.running?.node.deciders.strong.stats().takeovers === 0;
    expect(cluster.runUntil(isDone, CHANGE_MS)).toBe(true);
    cluster.run(2000);
    // What the wiped node has copied is all that is left of a majority now.
    cluster.crash(b);
    cluster.run(5000);
    for (let i = 0; i < 20; i++) expect(strongGet(cluster, c, `k${i}`)).toBe(`${i}`);
  });

  test('a disk that is wiped under the founding epoch is no founder', () => {
    const cluster = led(3);
    const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
    const epochAt = ({ running }: SimNode): number => running?.node.deciders.electorate?.epoch ?? 0;
    expect(strongPut(cluster, a, 'first', 'x')).toMatchObject({ applied: true });
    cluster.run(1000);
    cluster.crash(a);
    cluster.run(8000);
    // Only b and c have these.
    for (let i = 0; i < 10; i++) expect(strongPut(cluster, b, `k${i}`, `${i}`)).toMatchObject({ applied: true });
    cluster.crash(c);
    cluster.replaceDisk(c);
    cluster.start(a);
    cluster.start(c);
    expect(cluster.runUntil(() => epochAt(c) === 1, CHANGE_MS, 1)).toBe(true);
    expect(cluster.runUntil(() => epochAt(a) > 1 && epochAt(c) > 1, CHANGE_MS, 1)).toBe(true);
    cluster.crash(b);
    cluster.run(5000);
    const failed = 'failed: quorum-unavailable';
    for (let i = 0; i < 10; i++) expect([`${i}`, failed]).toContain(strongGet(cluster, c, `k${i}`));
    cluster.start(b);
    cluster.run(10_000);
    for (let i = 0; i < 10; i++) expect(strongGet(cluster, c, `k${i}`)).toBe(`${i}`);
  });

  test('a restart of all keeps what was acknowledged', () => {
    const cluster = led(5, 3);
    const [a] = cluster.nodes as [SimNode];
    for (let i = 0; i < 20; i++) expect(strongPut(cluster, a, `k${i}`, `${i}`)).toMatchObject({ applied: true });
    for (const node of cluster.nodes) cluster.crash(node);
    for (const node of cluster.nodes) cluster.start(node);
    cluster.run(8000);
    for (let i = 0; i < 20; i++) expect(strongGet(cluster, a, `k${i}`)).toBe(`${i}`);
  });

  test('eventual buckets have no conditional writes, and strong ones no sets', () => {
    const cluster = led(1);
    const [a] = cluster.nodes as [SimNode];
    const reply = strong(cluster, a, { type: 'strong-get', bucket: 'default', key: 'x' });
    expect(reply).toMatchObject({ type: 'failed', failure: { code: 'not-supported' } });
  });
});
