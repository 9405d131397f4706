import { describe, expect, it } from 'vitest';
import { MembershipNetwork } from '../support/membership-network.ts';
import { LINK_BYTES, messageBytes } from '../support/message-bytes.ts';

describe('the simulated network of membership cores', () => {
  it('forms a cluster in which all know all, without a trace of how', () => {
    const network = new MembershipNetwork({ seed: 1 });
    const ids = network.formCluster(100);
    expect(network.isConverged()).toBe(true);
    expect(network.changes).toEqual([]);
    expect(network.connections(ids[7] as string)).toHaveLength(99);
    expect(network.traffic(ids[7] as string)).toEqual({ bytes: 0, messages: 0, dials: 0 });
  });

  it('counts a message with its encoding, and headers once for a frame', () => {
    const ping = { type: 'ping', seq: 7, updates: [] } as const;
    // Length, tag, sequence number, number of updates.
    expect(messageBytes(ping)).toBe(4);
    expect(messageBytes({ ...ping, seq: 0xffff_ffff })).toBe(8);
    const network = new MembershipNetwork({ seed: 1 });
    const ids = network.formCluster(10);
    network.run(20_000);
    network.resetTraffic();
    network.run(60_000);
    const { bytes, messages } = network.traffic(ids[0] as string);
    expect(bytes / messages).toBeGreaterThan(LINK_BYTES.frame);
    expect(bytes / messages).toBeLessThan(LINK_BYTES.frame + 20);
  });

  it('a dial costs both sides a handshake, and a large cluster keeps few connections', () => {
    const network = new MembershipNetwork({ seed: 1 });
    network.start('a');
    network.start('b');
    network.run(10);
    network.resetTraffic();
    network.dial('a', 'b');
    network.run(1000);
    expect(network.traffic('a').dials + network.traffic('b').dials).toBe(1);
    for (const id of ['a', 'b']) expect(network.traffic(id).bytes).toBeGreaterThan(LINK_BYTES.handshake / 2);
    const large = new MembershipNetwork({ seed: 1 });
    const ids = large.formCluster(300);
    large.run(30_000);
    expect(large.connections(ids[0] as string).length).toBeLessThan(60);
  });

  it('whoever writes to a process that was replaced meanwhile is told so by its kernel', () => {
    const network = new MembershipNetwork({ seed: 2 });
    const ids = network.formCluster(3);
    const [a, b] = ids as [string, string];
    network.partition([b]);
    network.kill(b);
    network.start(b);
    network.heal();
    expect(network.connections(a)).toContain(b);
    expect(network.runUntil(() => network.connections(b).includes(a), 5000)).toBeDefined();
    expect(network.runUntil(() => network.isConverged(), 5000)).toBeDefined();
  });

  it('a blocked process stands still from its next message on, and sends what it was about to send', () => {
    const network = new MembershipNetwork({ seed: 3 });
    const ids = network.formCluster(10);
    network.run(5000);
    const blocked = ids[2] as string;
    network.resetTraffic();
    network.block(blocked, 800);
    network.run(790);
    expect(network.traffic(blocked).messages).toBeLessThanOrEqual(1);
    network.run(1000);
    expect(network.traffic(blocked).messages).toBeGreaterThan(3);
    expect(network.deaths()).toEqual([]);
  });

  it('a stalled member hears and says nothing until its link is back', () => {
    const network = new MembershipNetwork({ seed: 4 });
    const ids = network.formCluster(10);
    network.run(5000);
    const stalled = ids[3] as string;
    network.stall(stalled, 3000);
    network.run(2900);
    expect(network.changes.some(({ node, state }) => node === stalled && state === 'suspect')).toBe(true);
    expect(network.changes.some(({ id, state }) => id === stalled && state === 'suspect')).toBe(true);
    expect(network.runUntil(() => network.isConverged(), 5000)).toBeDefined();
  });
});
