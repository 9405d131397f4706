import { setTimeout as delay } from 'node:timers/promises';
import { type DrainReport, HubStory, type LatencyReport } from '../../test/support/hub-story.ts';
import { type Setting, withHub } from './clusters.ts';
import { excess, type Outcome, problemsOf, seconds, shortfall } from './outcome.ts';

const NODES = 5;
const IDLE_KBIT_PER_SECOND_MAX = 0.25;
const WRITES_PER_SECOND_MIN = 5000;
/** Of the compressed payload. */
const WIRE_SHARE_MAX = 1.3;
/** Of the latency without. */
const LATENCY_SHARE_MAX = 1.5;
/** Leaders change while a cluster forms, and each opens a session of its own. */
const SETTLED_MS = 60_000;
/** Local writes are measured for so long each time. */
const WINDOW_MS = 30_000;
/** As many as take about as long. */
const BESIDE_KEYS = 20_000;
const REPORT_CHARACTERS = 400;

/** A site whose uplink fails, then both ends of its session, then the database of its hub. */
export async function hub({ keys, idleSeconds }: Setting): Promise<Outcome> {
  return await withHub(NODES, async (site) => {
    await site.start();
    const story = new HubStory(site);
    // A short look says little anyway.
    await delay(Math.min(SETTLED_MS, idleSeconds * 1000));
    const { kbitPerSecond: idleKbitPerSecond, wireBytes: idleBytes } = await step('idle', () =>
      story.idle(idleSeconds * 1000),
    );
    story.dump();
    const drained = checkedDrain(await step('cut and drained', () => story.drain(keys)));
    await story.begin();
    const beside = checkedLatency(
      await step('cut and drained beside clients', () => story.drainBesideLoad(Math.min(keys, BESIDE_KEYS), WINDOW_MS)),
    );
    const { drainedMs: drainedUnderKillsMs, ...kills } = await step('cut and drained under kills', () =>
      story.drainUnderKills(keys),
    );
    const { leftAfterRestore, filledMs: filledAfterRestoreMs } = await step('restored', () => story.restore());
    const { keys: keysCompared, increments, wrong } = await step('compared', () => story.end());
    return {
      figures: {
        idleKbitPerSecond,
        idleBytes,
        ...drained.figures,
        ...beside.figures,
        ...kills,
        drainedUnderKillsMs,
        leftAfterRestore,
        filledAfterRestoreMs,
        keysCompared,
        increments,
        wrong: wrong.length,
      },
      problems: [
        ...excess('idle, kbit/s', idleKbitPerSecond, IDLE_KBIT_PER_SECOND_MAX),
        ...drained.problems,
        ...beside.problems,
        ...inTime('hub', kills.atHubKill, keys),
        ...inTime('carrier', kills.atCarrierKill, keys),
        ...problemsOf('wrong', wrong),
      ],
    };
  });
}

/** Says what was done, since all of it takes long, and what it has shown, should a later step fail. */
async function step<T extends object>(what: string, work: () => Promise<T>): Promise<T> {
  const fromMs = performance.now();
  const report = await work();
  const shown = JSON.stringify(report).slice(0, REPORT_CHARACTERS);
  console.log(`  ${what}: ${seconds(performance.now() - fromMs)}, ${shown}`);
  return report;
}

function checkedDrain(report: DrainReport): Outcome {
  const wireShare = report.wireBytes / report.compressedBytes;
  return {
    figures: { ...report, wireShare },
    problems: [
      ...shortfall('drained, writes/s', report.writesPerSecond, WRITES_PER_SECOND_MIN),
      ...excess('on the wire, of the compressed payload', wireShare, WIRE_SHARE_MAX),
    ],
  };
}

function checkedLatency({ writesPerSecond, ...latencies }: LatencyReport): Outcome {
  const latencyShare = latencies.p99DuringMs / latencies.p99BeforeMs;
  return {
    figures: { writesPerSecondBesideLoad: writesPerSecond, ...latencies, latencyShare },
    problems: excess('p99 of local writes, of what it was before', latencyShare, LATENCY_SHARE_MAX),
  };
}

function inTime(what: string, arrived: number, keys: number): string[] {
  return arrived < keys ? [] : [`the ${what} was killed when everything had arrived`];
}
