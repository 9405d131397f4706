import { beforeEach, describe, expect, it } from 'vitest';
import { qualifiedName } from '../../../../src/lib/bucket-name.ts';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { ReplicationEffect } from '../../../../src/protocol/replication/effect.ts';
import type { ReplicationMessage } from '../../../../src/protocol/replication/message.ts';
import { Replication } from '../../../../src/protocol/replication/replication.ts';
import { type PlacedClass, PlacementMap } from '../../../../src/protocol/ring/placement-map.ts';
import { replicationOptions, restoredShard } from '../../../support/replica-start.ts';

const SELF = 'self';
const PEER = 'peer';
const NOW = { monoMs: 0, wallMs: 1_790_000_000_000 };
const CLASS: PlacedClass = { number: 77, replicas: 2, preferredZones: [] };
const BUCKET = qualifiedName('b', CLASS.number);
const DOT = { actor: '0'.repeat(15) + '1', counter: 1 };
const EVENTS = CausalContext.fromDots([DOT]);

function placements(classes: readonly PlacedClass[], newborn: readonly number[] = []): PlacementMap {
  const members = [SELF, PEER].map((id) => ({ id, zone: '', weight: 1, in: true }));
  return new PlacementMap({ members, shards: 4, replicas: 3, classes, newborn: new Set(newborn), gone: new Set() });
}

describe('a bucket whose placement has not been heard of', () => {
  const shard = placements([]).shardOf(BUCKET, 'k');
  const held =
    placements([])
      .shardIdsOf(BUCKET)
      .find((id) => id !== shard) ?? 0;
  let buckets: Set<string>;
  let replication: Replication;
  let effects: ReplicationEffect[];

  const run = (more: readonly ReplicationEffect[]): void => {
    for (const effect of more) {
      effects.push(effect);
      if (effect.type === 'persist') run(replication.handle({ type: 'persisted', id: effect.id }, NOW));
      if (effect.type !== 'read') continue;
      const result = { table: effect.key.table, value: null };
      run(replication.handle({ type: 'read-done', id: effect.id, result }, NOW));
    }
  };
  const tell = (message: ReplicationMessage): void => {
    effects = [];
    run(replication.handle({ type: 'message', from: PEER, message }, NOW));
  };
  const sent = (): ReplicationMessage[] =>
    effects.flatMap((effect) => (effect.type === 'send' ? [effect.message] : []));
  const delta: ReplicationMessage = {
    type: 'replicate',
    id: 1,
    bucket: BUCKET,
    key: 'k',
    entries: [],
    events: EVENTS,
    context: EVENTS,
    hintFor: [],
  };

  beforeEach(() => {
    buckets = new Set(['default']);
    effects = [];
    const conflictOf = (bucket: string) => (buckets.has(bucket) ? 'lww' : undefined);
    const restored = restoredShard(held, EVENTS);
    replication = new Replication(replicationOptions(SELF), placements([]), conflictOf, restored, NOW);
    run(replication.handle({ type: 'peer-up', peer: PEER }, NOW));
  });

  it('is stored nowhere: not under another class, and not as a hint', () => {
    tell(delta);
    expect(sent()).toMatchObject([{ type: 'replicate-ack', id: 1, status: 'refused', failure: { code: 'not-ready' } }]);
    expect(effects.some(({ type }) => type === 'persist')).toBe(false);
  });

  it('has nothing to show that would count', () => {
    tell({ type: 'read', id: 2, bucket: BUCKET, key: 'k', dots: [] });
    expect(sent()).toMatchObject([{ type: 'read-reply', id: 2, standing: 'none', entries: [] }]);
  });

  it('is coordinated by others', () => {
    const request = { type: 'get', bucket: BUCKET, key: 'k', level: 'one', session: null } as const;
    tell({ type: 'forward', id: 3, request });
    expect(sent()).toMatchObject([
      { type: 'forward-reply', id: 3, reply: { type: 'failed', failure: { code: 'not-ready' } } },
    ]);
  });

  it('keeps what is on the disk, whoever covers it', () => {
    const context = EVENTS.clone();
    const cover = {
      shard: held,
      context,
      wants: false,
      complete: true,
      former: false,
      withholds: false,
      hinted: false,
      waitsFor: [],
    };
    tell({ type: 'sync-context', ring: 0, covers: [{ ...cover, reply: false }] });
    expect(effects.some(({ type }) => type === 'clear')).toBe(false);
    run(replication.handleRing(placements([CLASS]), () => true, NOW));
    tell({ type: 'sync-context', ring: 0, covers: [{ ...cover, reply: true }] });
    const [told] = sent();
    expect(told).toMatchObject({ type: 'sync-context', covers: [{ shard: held, complete: true }] });
    expect(told?.type === 'sync-context' && told.covers[0]?.context.equals(EVENTS)).toBe(true);
  });

  it.each([
    ['complete', 'under the ring that it began with', [CLASS.number], 'stored'],
    ['incomplete', 'under any other', [], 'partial'],
  ])('is %s once it is heard of %s', (_word, _when, newborn, status) => {
    buckets.add(BUCKET);
    run(replication.handleRing(placements([CLASS], newborn), () => true, NOW));
    tell(delta);
    expect(sent()).toMatchObject([{ type: 'replicate-ack', status }]);
    expect(effects.some(({ type }) => type === 'persist')).toBe(true);
  });

  it('is incomplete where the ring that is heard of at the same time is not the own one', () => {
    buckets.add(BUCKET);
    run(replication.handleRing(placements([CLASS], [CLASS.number]), () => false, NOW));
    tell(delta);
    expect(sent()).toMatchObject([{ type: 'replicate-ack', status: 'partial' }]);
  });
});
