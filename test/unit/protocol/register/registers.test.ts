import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../../../src/protocol/machine.ts';
import type { RegisterReply } from '../../../../src/protocol/register/request.ts';
import { KEY_QUEUE_MAX } from '../../../../src/protocol/register/request.ts';
import { BUCKET, deleteOf, getOf, labelIn, putOf } from '../../../support/register-clients.ts';
import { RegisterCluster } from '../../../support/register-cluster.ts';

const NODES = ['n1', 'n2', 'n3', 'n4'];
const NAME = { bucket: BUCKET, key: 'k' };

function clusterOf(seed = 1): RegisterCluster {
  const options = { collectDelayMs: 100 };
  return new RegisterCluster({ seed, nodes: NODES, group: ['n1', 'n2', 'n3'], options });
}

/** What passes between nodes, by type. */
function traffic(cluster: RegisterCluster, during: () => void): Record<string, number> {
  const count: Record<string, number> = {};
  cluster.passes = (_from, _to, { type }) => {
    count[type] = (count[type] ?? 0) + 1;
    return true;
  };
  during();
  cluster.passes = () => true;
  return count;
}

const shownBy = (reply: RegisterReply) => (reply.type === 'strong-get' ? labelIn(reply.content) : reply.type);
const applied = { type: 'strong-change', applied: true };

describe('a cluster of registers', () => {
  it('writes with a condition, reads, and deletes', () => {
    const cluster = clusterOf();
    expect(cluster.ask('n1', putOf('k', 'a', { type: 'absent' }))).toMatchObject(applied);
    expect(cluster.ask('n2', putOf('k', 'b', { type: 'absent' }))).toMatchObject({ applied: false });
    const read = cluster.ask('n4', getOf('k'));
    expect(shownBy(read)).toBe('a');
    const version = read.type === 'strong-get' ? read.version : null;
    if (version === null) throw new Error('a value has a version');
    expect(cluster.ask('n3', putOf('k', 'c', { type: 'version', version }))).toMatchObject(applied);
    expect(cluster.ask('n3', deleteOf('k', { type: 'version', version }))).toMatchObject({ applied: false });
    expect(cluster.ask('n4', deleteOf('k', { type: 'present' }))).toMatchObject(applied);
    expect(cluster.ask('n1', getOf('k'))).toEqual({ type: 'strong-get', content: null, version: null });
  });

  it('needs two round trips for the first change of a key, one for the next, and one for a read', () => {
    const cluster = clusterOf();
    const full = { 'register-prepare': 2, 'register-promise': 2, 'register-accept': 2, 'register-accepted': 2 };
    const settle = (): void => cluster.run(20);
    expect(traffic(cluster, () => void [cluster.ask('n1', putOf('k', 'a')), settle()])).toEqual(full);
    const fast = { 'register-accept': 2, 'register-accepted': 2 };
    expect(traffic(cluster, () => void [cluster.ask('n1', putOf('k', 'b')), settle()])).toEqual(fast);
    const read = { 'register-query': 2, 'register-current': 2 };
    expect(traffic(cluster, () => void [cluster.ask('n1', getOf('k')), settle()])).toEqual(read);
  });

  it('shares a round between reads that wait together', () => {
    const cluster = clusterOf();
    let replies = 0;
    const queries = traffic(cluster, () => {
      for (let i = 0; i < 10; i++) cluster.request('n1', getOf('k'), () => replies++);
      cluster.run(50);
    });
    expect([replies, queries['register-query']]).toEqual([10, 4]);
  });

  it('refuses what too many wait for', () => {
    const cluster = clusterOf();
    const codes: string[] = [];
    for (let i = 0; i < KEY_QUEUE_MAX + 2; i++) {
      cluster.request('n1', putOf('k', `v${i}`), (reply) => {
        if (reply?.type === 'failed') codes.push(reply.failure.code);
      });
    }
    expect(codes).toEqual(['too-many-requests']);
  });

  it('refuses at once where there is no majority, and says that nothing was changed', () => {
    const cluster = clusterOf();
    cluster.cut(['n1'], NODES);
    cluster.run(1000);
    const askedMs = cluster.nowMs;
    for (const request of [getOf('k'), putOf('k', 'a')]) {
      expect(cluster.ask('n1', request)).toMatchObject({
        failure: { code: 'quorum-unavailable', stateChanged: 'no' },
      });
    }
    expect(cluster.nowMs - askedMs).toBeLessThan(5);
    expect(cluster.ask('n4', putOf('k', 'b'))).toMatchObject(applied);
  });

  it('says that it does not know, in time, where an accept may have been heard', () => {
    const cluster = clusterOf();
    cluster.passes = (_from, _to, { type }) => type !== 'register-accepted';
    const askedMs = cluster.nowMs;
    expect(cluster.ask('n1', putOf('k', 'a'))).toMatchObject({ failure: { stateChanged: 'maybe' } });
    expect(cluster.nowMs - askedMs).toBeLessThan(1600);
    cluster.passes = () => true;
    expect(shownBy(cluster.ask('n2', getOf('k')))).toBe('a');
  });

  it('gives a forwarded change up as unknown where the one that runs it falls silent, and a read to the next', () => {
    const cluster = clusterOf();
    expect(cluster.ask('n4', putOf('k', 'a'))).toMatchObject(applied);
    cluster.passes = (from) => from !== 'n1';
    const askedMs = cluster.nowMs;
    expect(cluster.ask('n4', putOf('k', 'b'))).toMatchObject({ failure: { stateChanged: 'maybe' } });
    expect(shownBy(cluster.ask('n4', getOf('k')))).toMatch(/^[ab]$/);
    expect(cluster.nowMs - askedMs).toBeLessThan(1500);
  });

  it('waits for a change whose runner stands still for a moment, rather than leave its outcome open', () => {
    const cluster = clusterOf();
    expect(cluster.ask('n4', putOf('k', 'a'))).toMatchObject(applied);
    const replies: (RegisterReply | undefined)[] = [];
    cluster.passes = (_from, _to, { type }) => type !== 'register-accepted' && type !== 'register-forward-working';
    cluster.request('n4', putOf('k', 'b'), (reply) => replies.push(reply));
    cluster.run(500);
    expect(replies).toEqual([]);
    cluster.passes = () => true;
    cluster.run(500);
    expect(replies).toMatchObject([applied]);
  });

  it('tells the value that a minority has only once it is chosen, and its version stays', () => {
    const cluster = clusterOf();
    // Only n1 itself accepts it.
    cluster.passes = (_from, _to, { type }) => type !== 'register-accept';
    cluster.ask('n1', putOf('k', 'a'));
    cluster.passes = () => true;
    const before = cluster.rowOf('n1', NAME)?.accepted;
    const reply = cluster.ask('n1', getOf('k'));
    // n1 is asked or not: either way it is the same ever after.
    const seen = shownBy(reply);
    cluster.crash('n1');
    cluster.run(500);
    expect(shownBy(cluster.ask('n2', getOf('k')))).toBe(seen);
    if (seen === 'a') expect(cluster.rowOf('n2', NAME)?.accepted?.value.version).toEqual(before?.value.version);
  });

  it('does not say that a condition failed for a value that may yet be forgotten', () => {
    const cluster = clusterOf();
    cluster.passes = (_from, _to, { type }) => type !== 'register-accept';
    cluster.ask('n1', putOf('k', 'a'));
    cluster.passes = (_from, to) => to !== 'n3';
    expect(cluster.ask('n1', putOf('k', 'b', { type: 'absent' }))).toMatchObject({ applied: false });
    cluster.passes = () => true;
    cluster.crash('n1');
    cluster.run(500);
    expect(shownBy(cluster.ask('n2', getOf('k')))).toBe('a');
  });

  it('forgets a deleted key once every acceptor has the tombstone, not before', () => {
    const cluster = clusterOf();
    cluster.ask('n1', putOf('k', 'a'));
    cluster.cut(['n3'], NODES);
    cluster.run(700);
    expect(cluster.ask('n1', deleteOf('k'))).toMatchObject(applied);
    cluster.run(1500);
    expect(cluster.rowOf('n1', NAME)?.accepted?.value.content).toBeNull();
    // n3 has still the old value.
    expect(cluster.rowOf('n3', NAME)?.accepted?.value.content).not.toBeNull();
    cluster.heal();
    cluster.input('n1', { type: 'register-tombstones', names: [NAME] });
    cluster.run(1000);
    for (const id of ['n1', 'n2', 'n3']) expect(cluster.rowOf(id, NAME)).toBeUndefined();
    cluster.crash('n1');
    cluster.run(500);
    expect(shownBy(cluster.ask('n2', getOf('k')))).toBeNull();
    expect(cluster.ask('n2', putOf('k', 'b', { type: 'absent' }))).toMatchObject(applied);
  });

  it('leaves a tombstone where an acceptor that has not heard of it answers too late', () => {
    const cluster = clusterOf();
    cluster.ask('n1', putOf('k', 'a'));
    // n3 takes no more than promises from now on.
    cluster.passes = (_from, to, { type }) => to !== 'n3' || type !== 'register-accept';
    cluster.ask('n1', deleteOf('k'));
    cluster.run(2000);
    expect(cluster.rowOf('n1', NAME)).toBeDefined();
    expect(cluster.rowOf('n2', NAME)).toBeDefined();
  });

  it('moves to another group, which knows all that the first one had acknowledged', () => {
    const cluster = clusterOf();
    const keys = Array.from({ length: 200 }, (_, i) => `k${i}`);
    for (const key of keys) cluster.ask('n1', putOf(key, `v-${key}`));
    const old: NodeId[] = ['n1', 'n2', 'n3'];
    cluster.changeRing([old, ['n3', 'n4']]);
    cluster.run(300);
    expect(cluster.ask('n2', putOf('k0', 'joint'))).toMatchObject(applied);
    for (let i = 0; i < 100 && !cluster.isTakenOver(); i++) cluster.run(50);
    expect(cluster.isTakenOver()).toBe(true);
    cluster.changeRing([['n3', 'n4']]);
    cluster.run(400);
    for (const id of ['n1', 'n2']) cluster.crash(id);
    cluster.run(500);
    expect(shownBy(cluster.ask('n4', getOf('k0')))).toBe('joint');
    for (const key of keys.slice(1)) expect(shownBy(cluster.ask('n4', getOf(key)))).toBe(`v-${key}`);
    expect(cluster.ask('n3', putOf('k1', 'new', { type: 'present' }))).toMatchObject(applied);
  });

  it('knows from any of those that are left what was acknowledged, where a majority is lost for good', () => {
    const group: NodeId[] = ['n1', 'n2', 'n3', 'n4', 'n5'];
    const left = group.slice(0, 3);
    for (let seed = 1; seed <= 20; seed++) {
      const cluster = new RegisterCluster({ seed, nodes: [...group, 'n6'], group });
      // Only one of those that will be left has it, another one each time.
      const keeper = left[seed % 3] as NodeId;
      const others = left.filter((id) => id !== keeper);
      cluster.cut(others, [keeper, 'n4', 'n5', 'n6']);
      cluster.run(1000);
      expect(cluster.ask('n4', putOf('k', 'a'))).toMatchObject(applied);
      for (const id of ['n4', 'n5']) cluster.crash(id);
      cluster.run(1000);
      cluster.heal();
      cluster.refound(['n4', 'n5'], left);
      const asked = others[0] as NodeId;
      // At once, before anything is copied.
      cluster.run(seed * 10);
      expect(['a', 'failed']).toContain(shownBy(cluster.ask(asked, getOf('k'))));
      for (let i = 0; i < 100 && !cluster.isTakenOver(); i++) cluster.run(50);
      expect(cluster.isTakenOver()).toBe(true);
      cluster.changeRing([left]);
      // Who had not copied by then does so now.
      cluster.run(5000);
      cluster.crash(keeper);
      cluster.run(1000);
      expect(shownBy(cluster.ask(asked, getOf('k')))).toBe('a');
      // What is there of the others is not heard any more.
      for (const id of ['n4', 'n5']) cluster.start(id);
      expect(cluster.ask(asked, putOf('k', 'b', { type: 'present' }))).toMatchObject(applied);
      cluster.run(1000);
      for (const id of ['n4', 'n5', asked]) expect(shownBy(cluster.ask(id, getOf('k')))).toBe('b');
    }
  });

  it('waits for all of those that are left until each has been copied from', () => {
    const cluster = new RegisterCluster({ seed: 1, nodes: ['n1', 'n2', 'n3', 'n4', 'n5'], group: NODES });
    expect(cluster.ask('n1', putOf('k', 'a'))).toMatchObject(applied);
    cluster.run(50);
    for (const id of ['n3', 'n4']) cluster.crash(id);
    cluster.refound(['n3', 'n4'], ['n1', 'n5']);
    cluster.crash('n2');
    cluster.run(3000);
    expect(shownBy(cluster.ask('n1', getOf('k')))).toBe('failed');
    expect(cluster.isTakenOver()).toBe(false);
    cluster.start('n2');
    for (let i = 0; i < 100 && !cluster.isTakenOver(); i++) cluster.run(50);
    expect(cluster.isTakenOver()).toBe(true);
    expect(shownBy(cluster.ask('n5', getOf('k')))).toBe('a');
  });

  it('begins empty where nobody is left', () => {
    const cluster = clusterOf();
    expect(cluster.ask('n1', putOf('k', 'a'))).toMatchObject(applied);
    for (const id of ['n1', 'n2', 'n3']) cluster.crash(id);
    cluster.refound(['n1', 'n2', 'n3'], ['n4']);
    for (let i = 0; i < 100 && !cluster.isTakenOver(); i++) cluster.run(50);
    expect(shownBy(cluster.ask('n4', getOf('k')))).toBeNull();
    cluster.changeRing([['n4']]);
    cluster.run(500);
    expect(cluster.ask('n4', putOf('k', 'b', { type: 'absent' }))).toMatchObject(applied);
  });

  it('neither loses nor repeats a change that a new ring overtakes', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const cluster = clusterOf(seed);
      cluster.ask('n1', putOf('k', 'a'));
      let reply: RegisterReply | undefined;
      cluster.request('n1', putOf('k', 'b', { type: 'present' }), (each) => {
        reply = each;
      });
      cluster.run(seed / 4);
      cluster.changeRing([['n1', 'n2', 'n3'], ['n4']], 5);
      cluster.run(1500);
      expect(reply).toMatchObject(applied);
      expect(shownBy(cluster.ask('n2', getOf('k')))).toBe('b');
    }
  });
});
