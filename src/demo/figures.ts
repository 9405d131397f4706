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
  verified: boolean;
  quorumReads: number;
  copiesRead: number;
  /** Acknowledged writes that some node no longer returns. */
  lost: readonly string[];
  /** Copies of acknowledged writes that an owner does not hold. */
  missingCopies: number;
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
    verified: false,
    quorumReads: 0,
    copiesRead: 0,
    lost: [],
    missingCopies: 0,
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
  lines.push(['write latency', `p50 ${latency(0.5)}`, `p99 ${latency(0.99)}, as the clients saw it`]);
  lines.push([
    'readings recorded',
    counted(figures.readings),
    `of this machine, under ${figures.readingKeys} keys node/…`,
  ]);
  return lines;
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
