import { getHeapStatistics } from 'node:v8';
import { MembershipNetwork } from '../../support/membership-network.ts';
import { type Scenario, type ScenarioOptions, type ScenarioReport, tableLines } from './scenario.ts';

/** What issue 3 asks for: bytes a second and node at ten members, and how far those of the others may differ. */
const RATE_MAX = 2000;
const SPREAD_MAX = 1.2;
const FLAT_FROM = 128;
const SETTLE_MS = 30_000;
/** Longer than the time between two push-pulls at 5,000 members (250 s), so that each is in the average. */
const MEASURED_MS = 300_000;
const SIZES = [10, 128, 1555, 5000];
/** Of one member in the view of one other; measured at 5,000. */
const VIEW_ENTRY_BYTES = 400;

interface IdleRates {
  readonly size: number;
  readonly bytes: number;
  readonly messages: number;
  readonly dials: number;
  readonly connections: number;
}

/** Bytes as sent, on the wire; see LINK_BYTES for what that includes. */
function measureIdle(size: number, seed: number, measuredMs: number): IdleRates {
  const network = new MembershipNetwork({ seed });
  const ids = network.formCluster(size);
  network.onChange = () => false;
  network.run(SETTLE_MS);
  network.resetTraffic();
  network.run(measuredMs);
  const sums = { bytes: 0, messages: 0, dials: 0 };
  let connections = 0;
  for (const id of ids) {
    const { bytes, messages, dials } = network.traffic(id);
    sums.bytes += bytes;
    sums.messages += messages;
    sums.dials += dials;
    connections += network.connections(id).length;
  }
  const nodeSeconds = (size * measuredMs) / 1000;
  return {
    size,
    bytes: sums.bytes / nodeSeconds,
    messages: sums.messages / nodeSeconds,
    dials: sums.dials / nodeSeconds,
    connections: connections / size,
  };
}

export function runIdle(sizes: readonly number[], measuredMs: number, options: ScenarioOptions): ScenarioReport {
  const rates: IdleRates[] = [];
  for (const size of sizes) {
    options.progress(`${size} members at rest`);
    rates.push(measureIdle(size, options.seed, measuredMs));
  }
  const problems = rates
    .filter(({ size, bytes }) => size <= 10 && bytes > RATE_MAX)
    .map(({ size, bytes }) => `idle: ${Math.round(bytes)} bytes a second and node at ${size} members`);
  const large = rates.filter(({ size }) => size >= FLAT_FROM).map(({ bytes }) => bytes);
  const spread = Math.max(...large) / Math.min(...large);
  if (spread > SPREAD_MAX)
    problems.push(`idle: the largest rate from ${FLAT_FROM} members on is ${spread.toFixed(2)} times the least`);
  const rows = rates.map(({ size, bytes, messages, dials, connections }) => [
    size,
    Math.round(bytes),
    Number(messages.toFixed(2)),
    Number(dials.toFixed(4)),
    Number(connections.toFixed(1)),
  ]);
  const header = ['members', 'bytes/s', 'messages/s', 'dials/s', 'connections'];
  return {
    lines: [...tableLines(header, rows), 'each for one node, sent, with all headers down to IP'],
    problems,
    simulatedMs: sizes.length * (SETTLE_MS + measuredMs),
  };
}

/** Views of all members in all members need memory by the square; what does not fit is left out and said so. */
function runAll(options: ScenarioOptions): ScenarioReport {
  const wanted = options.nodes === undefined ? SIZES : [options.nodes];
  const limit = getHeapStatistics().heap_size_limit;
  const sizes = wanted.filter((size) => size * size * VIEW_ENTRY_BYTES < limit);
  const report = runIdle(sizes, MEASURED_MS, options);
  const leftOut = wanted.filter((size) => !sizes.includes(size));
  if (leftOut.length === 0) return report;
  const text = `left out for want of memory: ${leftOut.join(', ')} members; NODE_OPTIONS=--max-old-space-size=16000 is enough for 5,000`;
  const problems = sizes.length === 0 ? [`idle: ${text}`] : report.problems;
  return { ...report, lines: [...report.lines, text], problems };
}

export const idle: Scenario = {
  summary: 'traffic at rest from 10 to 5,000 members (5,000 with NODE_OPTIONS=--max-old-space-size=16000)',
  run: runAll,
};
