import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CUT } from '../../../src/demo/chapters/cut.ts';
import { RECONCILE } from '../../../src/demo/chapters/reconcile.ts';
import { verifyChapter } from '../../../src/demo/chapters/verify.ts';
import type { DemoCluster, DemoNode } from '../../../src/demo/cluster.ts';
import { brokenPromises, emptyFigures } from '../../../src/demo/figures.ts';
import type { DemoHub } from '../../../src/demo/hub.ts';
import { Ledger } from '../../../src/demo/ledger.ts';
import { SteadyLoad, writesPerSecond } from '../../../src/demo/load.ts';
import { OutageReads } from '../../../src/demo/outage-reads.ts';
import { Recorder } from '../../../src/demo/readings.ts';
import { DemoState } from '../../../src/demo/state.ts';
import { type Story, tellStory } from '../../../src/demo/story.ts';
import type { SystemSample } from '../../../src/ports/system.ts';
import { until } from '../../support/until.ts';
import { FakeCluster, type FakeNode } from './fake-cluster.ts';

const RATE = 4000;

const SAMPLE: SystemSample = {
  cpuCores: 2,
  cpuUsedRatio: 0.25,
  loadAverage1m: 1,
  memoryTotalBytes: 1000,
  memoryAvailableBytes: 400,
  storageTotalBytes: null,
  storageFreeBytes: null,
  networkReceivedBytesPerSecond: 7,
  networkSentBytesPerSecond: null,
  diskReadBytesPerSecond: null,
  diskWrittenBytesPerSecond: null,
  temperatures: [],
  temperatureCelsius: null,
  score: 0.5,
};

let fake: FakeCluster;
let cluster: DemoCluster;
let hub: DemoHub;
let ledger: Ledger;

beforeEach(async () => {
  fake = new FakeCluster(3);
  cluster = await fake.listen();
  hub = await fake.hub.listen();
  ledger = new Ledger(performance.now());
});

afterEach(() => fake.close());

function nodeAt(index: number): DemoNode {
  return cluster.nodes[index] as DemoNode;
}

async function writeSome(count: number): Promise<SteadyLoad> {
  const load = new SteadyLoad('load/', cluster.nodes, ledger, RATE);
  load.start();
  await until(`${count} writes`, () => ledger.writes.length >= count);
  return load;
}

function storyOf(load: SteadyLoad, chapterTitles: readonly string[]): Story {
  const names = cluster.nodes.map(({ name }) => name);
  const recorder = new Recorder(
    cluster.nodes,
    () => Promise.resolve(SAMPLE),
    () => undefined,
  );
  return {
    cluster,
    hub,
    state: new DemoState('a test', names, chapterTitles, ledger, 0),
    load,
    recorder,
    ledger,
    figures: emptyFigures(names.length),
    steadyMs: 1,
    signal: new AbortController().signal,
    outage: null,
    cut: null,
  };
}

describe('SteadyLoad', () => {
  test('remembers exactly what was acknowledged, under keys of its own, from every node', async () => {
    const load = await writeSome(30);
    await load.stop();
    expect(new Set(ledger.writes.map(({ key }) => key)).size).toBe(ledger.writes.length);
    for (const { key, value } of ledger.writes) {
      expect(key).toMatch(/^load\/\d{5}$/);
      expect(fake.nodes[0]?.values.get(key)).toBe(value);
    }
    expect(fake.nodes[0]?.values.size).toBe(ledger.writes.length);
    for (const { requests } of fake.nodes) expect(requests).toBeGreaterThan(0);
    expect(ledger.latencyMs(0.5)).toBeGreaterThan(0);
    expect(ledger.refused).toBe(0);
  });

  test('turns to another node where one does not answer', async () => {
    (fake.nodes[1] as FakeNode).isDown = true;
    const load = await writeSome(20);
    await load.stop();
    expect(ledger.failovers).toBeGreaterThan(0);
    expect(ledger.refused).toBe(0);
    for (const { key, value } of ledger.writes) expect(fake.nodes[2]?.values.get(key)).toBe(value);
  });

  test('counts what nobody took, and promises nothing for it', async () => {
    for (const node of fake.nodes) node.isDown = true;
    const load = new SteadyLoad('load/', cluster.nodes, ledger, RATE);
    load.start();
    await until('a refused write', () => ledger.refused > 0);
    await load.stop();
    expect(ledger.writes).toEqual([]);
  });

  test('counts writes through fallbacks', async () => {
    fake.quorum = 'sloppy';
    const load = await writeSome(5);
    await load.stop();
    expect(ledger.sloppy).toBe(ledger.writes.length);
  });

  test('a long story has a lower rate, so that the ledger holds all of it', () => {
    expect(writesPerSecond(10_000)).toBe(160);
    expect(writesPerSecond(1_000_000)).toBe(20);
  });
});

describe('OutageReads', () => {
  test('reads acknowledged writes back and counts missing, different and refused ones', async () => {
    await (await writeSome(10)).stop();
    const good = new OutageReads([nodeAt(0)], ledger);
    await until('reads', () => good.done >= 3);
    await good.stop();
    expect(good.failed).toBe(0);

    for (const { key } of ledger.writes) fake.nodes[1]?.values.set(key, 'other');
    fake.nodes[2]?.values.clear();
    const bad = new OutageReads([nodeAt(1), nodeAt(2)], ledger);
    await until('failures', () => bad.failures.length >= 4);
    await bad.stop();
    expect(bad.failed).toBe(bad.done);
    expect(bad.failures.join()).toContain('n2 read another value');
    expect(bad.failures.join()).toContain('n3 read nothing for load/');
  });
});

describe('Recorder', () => {
  test('every node records the readings that the machine has', async () => {
    const seen: SystemSample[] = [];
    const recorder = new Recorder(
      cluster.nodes,
      () => Promise.resolve(SAMPLE),
      (sample) => seen.push(sample),
    );
    recorder.start();
    await until('readings', () => recorder.recorded >= 9);
    await recorder.stop();
    expect(seen[0]).toBe(SAMPLE);
    const metrics = ['cpu', 'memory', 'network-received'];
    const keys = ['n1', 'n2', 'n3'].flatMap((name) => metrics.map((metric) => `node/${name}/${metric}`));
    expect([...recorder.latest.keys()].sort()).toEqual(keys.sort());
    expect(JSON.parse(fake.nodes[0]?.values.get('node/n2/memory') ?? '')).toMatchObject({ value: 600, unit: 'bytes' });
  });
});

describe('the last chapter', () => {
  async function verify(): Promise<Story> {
    const load = await writeSome(20);
    await load.stop();
    return storyOf(load, ['Verify']);
  }

  test('finds everything where everything is', async () => {
    const story = await verify();
    fake.owners = ['n1', 'n3'];
    await tellStory([verifyChapter()], story);
    const { figures } = story;
    expect(figures).toMatchObject({ verified: true, lost: [], missingCopies: 0 });
    expect(figures.quorumReads).toBe(ledger.writes.length * 3);
    expect(figures.copiesRead).toBe(ledger.writes.length * 2);
    expect(brokenPromises(figures)).toEqual([]);
  });

  test('what the hub lacks or has otherwise is not kept', async () => {
    const story = await verify();
    const [first, second] = ledger.writes;
    fake.hub.values.delete(first?.key ?? '');
    fake.hub.values.set(second?.key ?? '', 'never written');
    fake.hub.values.set('hub/00001', 'not at the site');
    await tellStory([verifyChapter(0)], story);
    const { figures } = story;
    expect(figures.missingAtHub).toEqual([first?.key, second?.key]);
    expect(new Set(figures.keysDiffering)).toEqual(new Set([first?.key, second?.key, 'hub/00001']));
    expect(figures).toMatchObject({ lost: [], missingCopies: 0, keysCompared: ledger.writes.length + 1 });
    expect(brokenPromises(figures)).toEqual([
      '2 acknowledged writes are not at the hub',
      '3 keys differ between site and hub',
    ]);
  });

  test('a write that comes to the hub late is not missing there', async () => {
    const story = await verify();
    const { key, value } = ledger.writes[3] ?? { key: '', value: '' };
    fake.hub.values.delete(key);
    const told = tellStory([verifyChapter()], story);
    await until('it was noticed', () => story.state.narration.includes('not the same on both sides yet'));
    fake.hub.values.set(key, value);
    await told;
    expect(story.figures).toMatchObject({ missingAtHub: [], keysDiffering: [] });
  });

  test('a write that one node does not return is lost, and its copy is missing', async () => {
    const story = await verify();
    const [first, second] = ledger.writes;
    fake.nodes[1]?.values.delete(first?.key ?? '');
    fake.nodes[2]?.values.set(second?.key ?? '', 'never written');
    await tellStory([verifyChapter(0)], story);
    expect(new Set(story.figures.lost)).toEqual(new Set([first?.key, second?.key]));
    expect(story.figures.missingCopies).toBe(2);
    expect(brokenPromises(story.figures)).toHaveLength(2);
  });

  test('a copy that arrives late is not missing', async () => {
    const story = await verify();
    const { key, value } = ledger.writes[3] ?? { key: '', value: '' };
    fake.nodes[1]?.values.delete(key);
    const told = tellStory([verifyChapter()], story);
    await until('the missing copy was noticed', () => story.state.narration.includes('not at their owners yet'));
    fake.nodes[1]?.values.set(key, value);
    await told;
    expect(story.figures).toMatchObject({ missingCopies: 0, lost: [] });
  });

  test('a story whose last chapter cannot ask proves nothing', async () => {
    const story = await verify();
    fake.owners = ['n1'];
    (fake.nodes[2] as FakeNode).isDown = true;
    await expect(tellStory([verifyChapter(0)], story)).rejects.toThrow('not-ready');
    expect(story.figures.verified).toBe(false);
    expect(story.state.chapters[0]?.failed).toBe(true);
  });
});

describe('the story of the uplink', () => {
  async function tell(disturb: () => void = () => undefined): Promise<Story> {
    const load = await writeSome(20);
    const story = { ...storyOf(load, ['Cut', 'Reconcile', 'Disturb', 'Verify']), steadyMs: 100 };
    const between = { title: 'Disturb', run: () => Promise.resolve(disturb()).then(() => '') };
    await tellStory([CUT, RECONCILE, between, verifyChapter(0)], story);
    return story;
  }

  test('both sides write on alone, and agree afterwards', async () => {
    const { figures, cut, state } = await tell();
    expect(figures).toMatchObject({ missingAtHub: [], missingAtSite: [], keysDiffering: [], contestWonBy: 'hub' });
    expect(figures).toMatchObject({ hubWrites: cut?.ledger.writes.length, bytesUp: 3000, bytesDown: 200 });
    expect(figures.hubWrites).toBeGreaterThan(0);
    expect(figures.cutWrites).toBeGreaterThan(0);
    expect(figures.cutMs).toBeGreaterThanOrEqual(99);
    expect(figures.agreedMs).toBeGreaterThanOrEqual(figures.drainedMs ?? Number.NaN);
    expect(figures.drainedMs).toBeGreaterThanOrEqual(figures.reachedMs ?? Number.NaN);
    expect(figures.keysCompared).toBe(ledger.writes.length + figures.hubWrites + 1);
    expect(brokenPromises(figures)).toEqual([]);
    expect(state.hub.isCut).toBe(false);
    for (const { key, value } of cut?.ledger.writes ?? []) expect(fake.nodes[1]?.values.get(key)).toBe(value);
  });

  test('a write of the hub that one node does not return is missing at the site', async () => {
    const { figures, cut } = await tell(() => fake.nodes[2]?.values.delete('hub/00001'));
    expect(cut?.ledger.writes.map(({ key }) => key)).toContain('hub/00001');
    expect(figures.missingAtSite).toEqual(['hub/00001']);
    expect(brokenPromises(figures)).toEqual(['1 acknowledged writes of the hub are not at every node']);
  });

  test.each([
    ['one node shows the loser', () => fake.nodes[1]?.values.set('setpoint', 'other')],
    ['the hub has not kept the loser', () => (fake.hub.conflicts = [])],
  ])('the key that both wrote is not settled where %s', async (_, disturb) => {
    const { figures } = await tell(disturb);
    expect(figures.contestWonBy).toBeNull();
    expect(brokenPromises(figures)).toEqual([expect.stringContaining('that site and hub both wrote')]);
  });
});
