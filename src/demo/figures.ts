import { sizeText } from '../lib/size-text.ts';
import type { Ledger } from './ledger.ts';

/** What the story has measured; null: it did not come to that. Times in ms. */
export interface Figures {
  nodes: number;
  formedMs: number | null;
  /** From the moment at which the last node served. */
  foundMs: number | null;
  victim: string | null;
  firstSuspicionMs: number | null;
  detectedMs: number | null;
  outageWrites: number;
  /** Attempts in the outage that went on to another node. */
  outageFailovers: number;
  outageReads: number;
  outageReadsFailed: number;
  slowestOutageReadMs: number;
  readFailures: readonly string[];
  servingAgainMs: number | null;
  caughtUpMs: number | null;
  /** Acknowledged while the node was away, and read back from it alone. */
  caughtUpWrites: number;
  /** For how long there was no uplink, and what was acknowledged meanwhile at the site and at the hub. */
  cutMs: number | null;
  cutWrites: number;
  hubWrites: number;
  /** From the moment at which the uplink was mended: the hub is reached, it has all writes of the site, and so the other way round. */
  reachedMs: number | null;
  drainedMs: number | null;
  agreedMs: number | null;
  /** On the wire between the site and the hub until then. */
  bytesUp: number;
  bytesDown: number;
  verified: boolean;
  quorumReads: number;
  copiesRead: number;
  /** Acknowledged writes that some node no longer returns. */
  lost: readonly string[];
  /** Copies of acknowledged writes that an owner does not hold. */
  missingCopies: number;
  /** Acknowledged writes of the site that the hub does not have. */
  missingAtHub: readonly string[];
  /** Acknowledged writes of the hub that some node does not return. */
  missingAtSite: readonly string[];
  /** Keys of the site or the hub. */
  keysCompared: number;
  /** Those whose latest write is not the same on both sides. */
  keysDiffering: readonly string[];
  /** Who has won the key that both sides wrote; null: not all show the same, or the hub has not kept the other one. */
  contestWonBy: string | null;
  readings: number;
  readingKeys: number;
}

export function emptyFigures(nodes: number): Figures {
  return {
    nodes,
    formedMs: null,
    foundMs: null,
    victim: null,
    firstSuspicionMs: null,
    detectedMs: null,
    outageWrites: 0,
    outageFailovers: 0,
    outageReads: 0,
    outageReadsFailed: 0,
    slowestOutageReadMs: 0,
    readFailures: [],
    servingAgainMs: null,
    caughtUpMs: null,
    caughtUpWrites: 0,
    cutMs: null,
    cutWrites: 0,
    hubWrites: 0,
    reachedMs: null,
    drainedMs: null,
    agreedMs: null,
    bytesUp: 0,
    bytesDown: 0,
    verified: false,
    quorumReads: 0,
    copiesRead: 0,
    lost: [],
    missingCopies: 0,
    missingAtHub: [],
    missingAtSite: [],
    keysCompared: 0,
    keysDiffering: [],
    contestWonBy: null,
    readings: 0,
    readingKeys: 0,
  };
}

/** What the cluster promised and did not keep; empty when all is well. */
export function brokenPromises(figures: Figures): string[] {
  const broken: string[] = [];
  if (!figures.verified) broken.push('the story did not come to its end: nothing has been verified');
  if (figures.lost.length > 0) broken.push(`${counted(figures.lost.length)} acknowledged writes are lost`);
  if (figures.missingCopies > 0) broken.push(`${counted(figures.missingCopies)} copies are missing at their owners`);
  if (figures.outageReadsFailed > 0) {
    broken.push(`${counted(figures.outageReadsFailed)} reads failed while a node was down`);
  }
  const { missingAtHub, missingAtSite, keysDiffering } = figures;
  if (missingAtHub.length > 0) broken.push(`${counted(missingAtHub.length)} acknowledged writes are not at the hub`);
  if (missingAtSite.length > 0) {
    broken.push(`${counted(missingAtSite.length)} acknowledged writes of the hub are not at every node`);
  }
  if (keysDiffering.length > 0) broken.push(`${counted(keysDiffering.length)} keys differ between site and hub`);
  if (figures.cutMs !== null && figures.contestWonBy === null) {
    broken.push('of the key that site and hub both wrote, one write has not won everywhere with the other one kept');
  }
  return broken;
}

/** One measured figure: what, how much, and what it rests on. */
export type FigureLine = readonly [what: string, value: string, basis: string];

export function figureLines(figures: Figures, ledger: Ledger): FigureLine[] {
  const { victim } = figures;
  const latency = (quantile: number): string => duration(ledger.latencyMs(quantile));
  const lines: FigureLine[] = [];
  const { formedMs, detectedMs, firstSuspicionMs, caughtUpMs, servingAgainMs } = figures;
  if (formedMs !== null)
    lines.push([
      'cluster complete',
      duration(formedMs),
      `${figures.nodes} nodes from start to complete views everywhere; ${duration(figures.foundMs)} after the last one served`,
    ]);
  if (victim !== null && detectedMs !== null) {
    const basis = `SIGKILL of ${victim} until all others hold it dead; first suspicion ${duration(firstSuspicionMs)}`;
    lines.push(['failure detected', duration(detectedMs), basis]);
  }
  const sloppy = ledger.sloppy === 0 ? '' : `, ${counted(ledger.sloppy)} with a fallback for an owner that was away`;
  lines.push([
    'writes acknowledged',
    counted(ledger.writes.length),
    `each on disk at a majority of its owners${sloppy}`,
  ]);
  if (figures.verified) {
    const basis = `${counted(figures.quorumReads)} reads at every node, ${counted(figures.copiesRead)} copies at their owners`;
    lines.push(['acknowledged writes lost', counted(figures.lost.length), basis]);
  }
  if (victim !== null) {
    const basis = `${counted(figures.outageReadsFailed)} failed; slowest ${duration(figures.slowestOutageReadMs)}`;
    lines.push(['reads during the outage', counted(figures.outageReads), basis]);
    const failovers = `${counted(figures.outageFailovers)} attempts went on to another node; ${counted(ledger.refused)} writes refused by all`;
    lines.push(['writes during the outage', counted(figures.outageWrites), failovers]);
  }
  if (caughtUpMs !== null) {
    const basis = `serving after ${duration(servingAgainMs)}; ${counted(figures.caughtUpWrites)} writes it had missed read from it`;
    lines.push([`${String(victim)} caught up`, duration(caughtUpMs), basis]);
  }
  lines.push(...uplinkLines(figures), ...hubLines(figures, ledger));
  lines.push(['write latency', `p50 ${latency(0.5)}`, `p99 ${latency(0.99)}, as the clients saw it`]);
  lines.push([
    'readings recorded',
    counted(figures.readings),
    `of this machine, under ${figures.readingKeys} keys node/…`,
  ]);
  return lines;
}

/** The time without the uplink, and what came of it. */
function uplinkLines(figures: Figures): FigureLine[] {
  const { cutMs, reachedMs, drainedMs, agreedMs } = figures;
  const lines: FigureLine[] = [];
  if (cutMs !== null) {
    const basis = `at the site, and ${counted(figures.hubWrites)} at the hub; each was alone for ${duration(cutMs)}`;
    lines.push(['writes while cut off', counted(figures.cutWrites), basis]);
  }
  if (reachedMs !== null && drainedMs !== null) {
    const takenMs = drainedMs - reachedMs;
    const rate = Math.round((figures.cutWrites * 1000) / Math.max(1, takenMs));
    const bytes = `${sizeText(figures.bytesUp)} up, ${sizeText(figures.bytesDown)} down on the wire`;
    lines.push(['backlog drained', duration(takenMs), `${counted(rate)} writes/s, while the load went on; ${bytes}`]);
  }
  if (agreedMs !== null) {
    const basis = `after the uplink was mended; the hub was reached again after ${duration(reachedMs)}`;
    lines.push(['site and hub agree', duration(agreedMs), basis]);
  }
  return lines;
}

/** What the comparison with the hub has found. */
function hubLines(figures: Figures, ledger: Ledger): FigureLine[] {
  if (!figures.verified || figures.cutMs === null) return [];
  const { missingAtHub, missingAtSite, keysDiffering, keysCompared, contestWonBy: winner } = figures;
  const sought = `${counted(ledger.writes.length)} of the site sought at the hub, ${counted(figures.hubWrites)} of the hub at every node`;
  return [
    ['writes lost on the way', counted(missingAtHub.length + missingAtSite.length), sought],
    ['keys that differ', counted(keysDiffering.length), `of ${counted(keysCompared)}, between site and hub`],
    winner === null
      ? ['conflicts settled', '0', 'of the 1 key that both sides wrote while cut off']
      : ['conflicts settled', '1', `both sides show the write of ${winner}, the hub's journal has the other`],
  ];
}

/** `812 ms`, `1.24 s`. */
export function duration(ms: number | null): string {
  if (ms === null) return '–';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** `12,345`. */
export function counted(count: number): string {
  return count.toLocaleString('en-US');
}
