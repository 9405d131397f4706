import { describe, expect, it } from 'vitest';
import { CausalContext, NOTHING } from '../../../../src/protocol/causal/context.ts';
import { transactionOf } from '../../../../src/protocol/uplink/hub-replica.ts';
import { HubSource } from '../../../../src/protocol/uplink/hub-source.ts';
import type { ShardPush, SiteBucket, UplinkItem } from '../../../../src/protocol/uplink/message.ts';
import { VirtualClock } from '../../../simulation/virtual-clock.ts';
import { VirtualHub } from '../../../simulation/virtual-hub.ts';
import { register } from '../../../support/hub-transactions.ts';

const SHARD = 3;
const SITE_ACTOR = 'a'.repeat(16);
const ABOVE = 'b'.repeat(16);
const BUCKETS: readonly SiteBucket[] = (['up', 'down', 'both', 'none'] as const).map((sync) => ({
  name: sync,
  sync,
  conflict: 'lww',
  ttlSeconds: null,
  origin: null,
}));

/** A hub that has a hub, and one of its shards as a source. Answers wait until `run`. */
class Fixture {
  readonly hub = new VirtualHub(new VirtualClock(), 1);
  readonly source: HubSource;
  readonly taken: number[] = [];
  rollbacks = 0;
  isAway = false;
  private readonly waiting: (() => void)[] = [];

  constructor() {
    this.hub.isChained = true;
    for (const bucket of BUCKETS) this.hub.buckets.set(bucket.name, bucket);
    this.source = new HubSource({
      run: (transaction, use) => void this.waiting.push(() => use(this.isAway ? null : this.hub.run(transaction()))),
      revision: () => this.hub.draw(),
      onLoaded: () => undefined,
      onTaken: (shard) => void this.taken.push(shard),
      onRolledBack: () => void this.rollbacks++,
    });
    this.source.describe(BUCKETS, [SHARD]);
  }

  run(): void {
    while (this.waiting.length > 0) this.waiting.shift()?.();
  }

  load(): void {
    this.source.noteAllChanged();
    this.source.load();
    this.run();
  }

  /** The site has written a key: its event `counter`, which replaced those in `past`. */
  push(key: string, counter: number, rest: Partial<ShardPush> = {}): void {
    const item = itemOf(key, SITE_ACTOR, counter, 'both');
    const context = rest.context ?? range(SITE_ACTOR, 1, counter);
    const push = {
      shard: SHARD,
      context,
      items: [item],
      later: NOTHING,
      skipped: NOTHING,
      skippedOf: [],
      own: NOTHING,
    };
    this.answer({ ...push, ...rest });
  }

  answer(push: ShardPush): void {
    const { hub } = this;
    const moment = { revision: hub.draw(), isChained: true, bucketOf: (name: string) => hub.buckets.get(name) };
    const reply = hub.run(transactionOf({ type: 'hub-push', pushes: [push] }, moment));
    expect(reply).toMatchObject({ results: [{ status: 'applied' }] });
  }

  keysAt(key: string): string[] {
    const { object } = this.hub.read({ shard: SHARD, bucket: 'both', key });
    return object.entries.map(({ dot }) => `${dot.actor[0]}${dot.counter}`);
  }
}

function range(actor: string, from: number, to: number): CausalContext {
  return CausalContext.fromRanges([{ actor, from, to }]);
}

function itemOf(key: string, actor: string, counter: number, bucket: string): UplinkItem {
  const entry = register(counter, `v${counter}`, { dot: { actor, counter } });
  const events = CausalContext.fromDots([entry.dot]);
  return { bucket, key, entries: [entry], past: null, events, more: false, sent: null };
}

describe('the shards of a hub as a source', () => {
  it('are not known before the store was read', () => {
    const fixture = new Fixture();
    expect(fixture.source.isLoaded).toBe(false);
    expect(fixture.source.covered(SHARD)).toBeNull();
    fixture.load();
    expect(fixture.source.isLoaded).toBe(true);
    expect(fixture.source.covered(SHARD)?.context.isEmpty).toBe(true);
  });

  it('name the keys behind events of the site, of this hub and of the hub above', () => {
    const fixture = new Fixture();
    const { source, hub } = fixture;
    fixture.push('site', 1);
    hub.write({ shard: SHARD, bucket: 'both', key: 'hub' }, { type: 'increment', by: 1 });
    source.join(
      SHARD,
      { items: [itemOf('above', ABOVE, 1, 'both')], context: range(ABOVE, 1, 1), own: range(ABOVE, 1, 1), partial: [] },
      (isAll) => expect(isAll).toBe(true),
    );
    fixture.load();
    const covered = source.covered(SHARD);
    expect(covered?.context.dotCount).toBe(3);
    expect(covered?.floor.isEmpty).toBe(true);
    let names: string[] = [];
    source.keysOf(SHARD, covered?.context.ranges() ?? [], 100, (found) => {
      names = (found?.keys ?? []).map(({ name: { key } }) => key).sort();
    });
    fixture.run();
    expect(names).toEqual(['above', 'hub', 'site']);
    expect(fixture.taken).toEqual([SHARD]);
  });

  it('say of events that the hub is not to have only that they are of such buckets', () => {
    const fixture = new Fixture();
    const { source } = fixture;
    const skipped = range(SITE_ACTOR, 1, 2000);
    fixture.answer({
      shard: SHARD,
      context: skipped,
      items: [],
      later: NOTHING,
      skipped,
      skippedOf: ['down', 'none'],
      own: NOTHING,
    });
    fixture.load();
    expect(source.covered(SHARD)?.floor.isEmpty).toBe(true);
    let found: readonly (readonly [string, number])[] = [];
    source.keysOf(SHARD, skipped.ranges(), 5000, (keys) => {
      found = (keys?.keys ?? []).map(({ name, events }) => [name.bucket, events.dotCount]);
    });
    fixture.run();
    expect(found).toEqual([
      ['down', 2000],
      ['none', 2000],
    ]);
    expect(fixture.hub.rows.events.size).toBe(0);
  });

  it('have a bounded index: what is beyond it is found by a comparison of keys', () => {
    const fixture = new Fixture();
    for (let counter = 1; counter <= 4100; counter++) fixture.push(`k${counter % 7}`, counter);
    fixture.load();
    expect(fixture.hub.rows.events.size).toBe(4096);
    expect(fixture.source.covered(SHARD)?.floor.ranges()).toEqual([{ actor: SITE_ACTOR, from: 4097, to: 4100 }]);
  });

  it('forget the index of what the hub above counts', () => {
    const fixture = new Fixture();
    for (let counter = 1; counter <= 300; counter++) fixture.push('k', counter);
    fixture.load();
    fixture.source.noteCovered(SHARD, range(SITE_ACTOR, 1, 200));
    fixture.run();
    expect(fixture.hub.rows.events.size).toBe(300);
    fixture.source.noteCovered(SHARD, range(SITE_ACTOR, 1, 299));
    fixture.run();
    fixture.load();
    expect(fixture.hub.rows.events.size).toBe(1);
    expect(fixture.source.covered(SHARD)?.floor.ranges()).toEqual([{ actor: SITE_ACTOR, from: 1, to: 299 }]);
  });

  it('forget the ranges that the hub above has skipped, though it never catches up with the latest', () => {
    const fixture = new Fixture();
    const { source } = fixture;
    const skipped = CausalContext.fromDots(
      Array.from({ length: 400 }, (_, index) => ({ actor: SITE_ACTOR, counter: 2 * index + 1 })),
    );
    fixture.answer({
      shard: SHARD,
      context: skipped,
      items: [],
      later: NOTHING,
      skipped,
      skippedOf: ['none'],
      own: NOTHING,
    });
    fixture.load();
    source.noteCovered(SHARD, range(SITE_ACTOR, 1, 2 * 300));
    fixture.run();
    fixture.load();
    expect(source.covered(SHARD)?.floor.dotCount).toBe(300);
  });

  it('notice with any answer that the store is an older copy of itself', () => {
    for (const ask of [
      ({ source }: Fixture, use: (found: object | null) => void) =>
        source.read(SHARD, [{ bucket: 'both', key: 'k' }], use),
      ({ source }: Fixture, use: (found: object | null) => void) => source.scan(SHARD, null, use),
      ({ source }: Fixture, use: (found: object | null) => void) =>
        source.keysOf(SHARD, range(SITE_ACTOR, 2, 2).ranges(), 9, use),
    ]) {
      const fixture = new Fixture();
      fixture.push('k', 1);
      fixture.hub.save();
      fixture.push('k', 2);
      fixture.load();
      fixture.hub.restore();
      const found: (object | null)[] = [];
      ask(fixture, (answer) => found.push(answer));
      fixture.run();
      expect(found).toEqual([null]);
      expect(fixture.rollbacks).toBe(1);
      expect(fixture.source.isLoaded).toBe(false);
      fixture.load();
      expect(fixture.source.covered(SHARD)?.context.ranges()).toEqual([{ actor: SITE_ACTOR, from: 1, to: 1 }]);
    }
  });

  it('take no answer that was on its way when more was learnt for a store that went back', () => {
    const fixture = new Fixture();
    fixture.push('k', 1);
    fixture.load();
    fixture.source.scan(SHARD, null, (page) => expect(page?.rows.length).toBe(1));
    fixture.push('k', 2);
    fixture.run();
    expect(fixture.rollbacks).toBe(0);
  });

  it('say nothing while the store is away, nor of a shard of which a damaged disk has lost keys', () => {
    const fixture = new Fixture();
    fixture.push('k', 1);
    fixture.load();
    fixture.isAway = true;
    const answers: unknown[] = [];
    fixture.source.read(SHARD, [], (found) => answers.push(found));
    fixture.source.join(SHARD, { items: [], context: NOTHING, own: NOTHING, partial: [] }, (isAll) =>
      answers.push(isAll),
    );
    fixture.run();
    fixture.isAway = false;
    const stored = fixture.hub.rows.shards.get(SHARD);
    if (stored === undefined) throw new Error('the shard is there');
    fixture.hub.rows.shards.set(SHARD, { ...stored, partial: ['both'] });
    fixture.source.scan(SHARD, null, (found) => answers.push(found));
    fixture.load();
    expect(answers).toEqual([null, null, null]);
    expect(fixture.source.covered(SHARD)).toBeNull();
    fixture.hub.rows.shards.set(SHARD, { ...stored, partial: ['down'] });
    fixture.load();
    expect(fixture.source.covered(SHARD)).not.toBeNull();
  });

  it('remember what came down has replaced, until the site has sent that too', () => {
    const fixture = new Fixture();
    const seen = range(SITE_ACTOR, 1, 1);
    seen.union(range(ABOVE, 1, 1));
    const pulled = { items: [itemOf('k', ABOVE, 1, 'both')], context: seen, own: range(ABOVE, 1, 1), partial: [] };
    fixture.source.join(SHARD, pulled, () => undefined);
    fixture.run();
    expect(fixture.keysAt('k')).toEqual(['b1']);
    // The site has not heard of the replacement when it sends what this hub has forgotten.
    const events = range(SITE_ACTOR, 1, 1);
    fixture.push('k', 1, { context: events });
    expect(fixture.keysAt('k')).toEqual(['b1']);
  });

  it('take of a bucket that only comes down what was written above, whatever the hub counts there', () => {
    const fixture = new Fixture();
    const context = range(SITE_ACTOR, 1, 5);
    context.union(range(ABOVE, 1, 1));
    const items = [itemOf('k', ABOVE, 1, 'down'), itemOf('k', ABOVE, 2, 'up'), itemOf('k', ABOVE, 3, 'unheard of')];
    const answers: (boolean | null)[] = [];
    fixture.source.join(SHARD, { items, context, own: range(ABOVE, 1, 1), partial: [] }, (isAll) =>
      answers.push(isAll),
    );
    fixture.run();
    expect(answers).toEqual([false]);
    const { object, context: covered } = fixture.hub.read({ shard: SHARD, bucket: 'down', key: 'k' });
    expect(object.entries.map(({ dot }) => dot.counter)).toEqual([1]);
    expect(object.past).toBeNull();
    expect(covered.ranges()).toEqual([{ actor: ABOVE, from: 1, to: 1 }]);
  });
});
