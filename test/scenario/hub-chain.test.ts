import { describe, expect, test } from 'vitest';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { readCounter } from '../../src/protocol/causal/value.ts';
import { HubChain } from '../support/hub-chain.ts';
import { BUCKET, put } from '../support/sim-story.ts';

const REMOVE: Mutation = { type: 'delete' };
const COUNT: Mutation = { type: 'increment', by: 1 };

describe('a hub that has a hub', () => {
  test('sends on what its site writes and deletes', () => {
    const chain = new HubChain();
    chain.writeAtSite(BUCKET, 'a', put('1'));
    chain.writeAtSite(BUCKET, 'b', put('2'));
    chain.writeAtSite(BUCKET, 'b', REMOVE);
    chain.writeAtSite('none', 'c', put('3'));
    chain.run(5000);
    expect(chain.at(chain.cloud, BUCKET, 'a')).toBe('1');
    expect(chain.at(chain.cloud, BUCKET, 'b')).toBeUndefined();
    expect(chain.at(chain.cloud, 'none', 'c')).toBeUndefined();
    chain.expectAgreement();
  });

  test('passes down what is written at the hub above, and up what is written at itself', () => {
    const chain = new HubChain();
    chain.writeAtSite('both', 'x', put('site'));
    chain.writeAtSite('down', 'own', put('site'));
    chain.run(5000);
    chain.writeAt(chain.cloud, 'both', 'x', put('cloud'));
    chain.writeAt(chain.cloud, 'down', 'z', put('cloud'));
    chain.writeAt(chain.district, 'both', 'y', put('district'));
    chain.writeAt(chain.district, 'down', 'w', put('district'));
    chain.run(5000);
    expect(chain.atSite('both', 'x')).toBe('cloud');
    expect(chain.atSite('both', 'y')).toBe('district');
    expect(chain.atSite('down', 'z')).toBe('cloud');
    expect(chain.atSite('down', 'w')).toBe('district');
    expect(chain.at(chain.cloud, 'both', 'y')).toBe('district');
    // What only comes down goes up on no part of the way.
    expect(chain.at(chain.district, 'down', 'own')).toBeUndefined();
    expect(chain.at(chain.cloud, 'down', 'own')).toBeUndefined();
    expect(chain.at(chain.cloud, 'down', 'w')).toBeUndefined();
    chain.expectAgreement();
  });

  test('was away with either line for long: all that was counted meanwhile is counted once', () => {
    const chain = new HubChain();
    chain.cutCloud(true);
    for (let i = 0; i < 60; i++) {
      chain.writeAtSite('both', `k${i % 20}`, put(`v${i}`));
      chain.writeAtSite('both', 'count', COUNT);
      chain.writeAt(chain.district, 'both', 'count', COUNT);
      chain.writeAt(chain.cloud, 'both', 'count', COUNT);
    }
    for (let i = 0; i < 10; i++) chain.writeAtSite('both', `k${i}`, REMOVE);
    chain.run(60_000);
    expect(chain.uplink.state()?.isUp).toBe(false);
    expect(chain.uplink.state()?.backlog.events).toBeGreaterThan(100);
    chain.cutCloud(false);
    chain.expectAgreement();
    for (const hub of [chain.district, chain.cloud]) {
      expect(readCounter(chain.entriesAt(hub, 'both', 'count'))).toBe(180);
      expect(chain.at(hub, 'both', 'k3')).toBeUndefined();
    }
    expect(chain.uplink.state()).toMatchObject({ isUp: true, problem: null, backlog: { events: 0 } });
  });

  test('restored from a copy, has again what the site and the hub above have', () => {
    const chain = new HubChain();
    chain.writeAtSite('both', 'deleted', put('old'));
    chain.writeAtSite('both', 'k', put('old'));
    chain.expectAgreement();
    chain.district.save();
    chain.cutSite(true);
    chain.run(2000);
    chain.writeAt(chain.district, 'both', 'only above', put('kept above'));
    chain.writeAt(chain.district, 'both', 'deleted', REMOVE);
    chain.writeAt(chain.cloud, 'both', 'k', put('cloud'));
    chain.run(20_000);
    expect(chain.at(chain.cloud, 'both', 'only above')).toBe('kept above');
    chain.district.restore();
    expect(chain.at(chain.district, 'both', 'only above')).toBeUndefined();
    chain.run(1000);
    chain.cutSite(false);
    chain.run(200_000);
    chain.expectAgreement();
    expect(chain.atSite('both', 'only above')).toBe('kept above');
    expect(chain.atSite('both', 'k')).toBe('cloud');
    expect(chain.atSite('both', 'deleted')).toBeUndefined();
  });

  test('gives to the hub above, restored from a copy, what that has forgotten', () => {
    const chain = new HubChain();
    for (let i = 0; i < 20; i++) chain.writeAtSite(BUCKET, `k${i}`, put('old'));
    chain.expectAgreement();
    chain.cloud.save();
    for (let i = 0; i < 20; i++) chain.writeAtSite(BUCKET, `k${i}`, i % 4 === 0 ? REMOVE : put('new'));
    chain.writeAt(chain.cloud, 'both', 'lost above', put('kept below'));
    chain.expectAgreement();
    chain.cloud.restore();
    chain.run(200_000);
    chain.expectAgreement();
    expect(chain.at(chain.cloud, BUCKET, 'k0')).toBeUndefined();
    expect(chain.at(chain.cloud, BUCKET, 'k1')).toBe('new');
    expect(chain.at(chain.cloud, 'both', 'lost above')).toBe('kept below');
  });

  test('compares no keys for what is written in the ordinary way, and keeps no index of what is above', () => {
    const chain = new HubChain();
    chain.expectAgreement();
    let compared = 0;
    chain.cloud.interfere = ({ type }) => {
      if (type === 'hub-compare') compared++;
    };
    for (let i = 0; i < 400; i++) {
      chain.writeAtSite('both', 'hot', put(`v${i}`));
      if (i % 4 === 0) for (const bucket of ['none', 'down']) chain.writeAtSite(bucket, `k${i}`, put('v'));
    }
    chain.writeAt(chain.district, 'down', 'k', put('district'));
    chain.expectAgreement();
    chain.run(5000);
    expect(compared).toBe(0);
    const rows = [...chain.district.rows.events.values()].filter(({ name }) => name.key === 'hot').length;
    expect(rows).toBeLessThan(256);
    expect(chain.uplink.state()?.backlog.events).toBe(0);
  });
});
