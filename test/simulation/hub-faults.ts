import type { Prng } from '../../src/lib/prng.ts';
import { FAIR_LINE, type VirtualHub } from './virtual-hub.ts';

/** What can be done to a hub and to the lines to it. Each ends by itself. */
export type HubFault =
  /** The lines of some nodes are cut. */
  | { readonly type: 'hub-cut'; readonly nodes: readonly number[]; readonly forMs: number }
  | { readonly type: 'hub-crash'; readonly downMs: number }
  /** A copy is made of the hub's store, and later restored: under the running process, or while it is down. */
  | { readonly type: 'hub-restore'; readonly afterMs: number; readonly downMs: number }
  /** Sessions end between request, transaction and answer; requests are applied twice. */
  | {
      readonly type: 'hub-line';
      readonly cut: number;
      readonly repeated: number;
      readonly latencyMaxMs: number;
      readonly forMs: number;
    };

export interface HubFaultEvent {
  readonly atMs: number;
  readonly fault: HubFault;
}

export function drawHubFaults(prng: Prng, nodes: number, calmMs: number, safetyMs: number): HubFaultEvent[] {
  const events: HubFaultEvent[] = [];
  const intervalMs = 2000 + prng.below(8000);
  const kinds = (['hub-cut', 'hub-crash', 'hub-restore', 'hub-line'] as const).filter(() => prng.chance(0.6));
  for (let atMs = calmMs; kinds.length > 0; ) {
    atMs += Math.ceil(prng.float() * 2 * intervalMs);
    if (atMs >= calmMs + safetyMs) break;
    events.push({ atMs, fault: drawn(prng, prng.pick(kinds) ?? 'hub-cut', nodes) });
  }
  return events;
}

function drawn(prng: Prng, type: HubFault['type'], nodes: number): HubFault {
  const span = (maxMs: number): number => Math.ceil(prng.float() ** 2 * maxMs);
  switch (type) {
    case 'hub-cut': {
      const all = Array.from({ length: nodes }, (_, index) => index);
      return { type, nodes: prng.chance(0.5) ? all : all.filter(() => prng.chance(0.5)), forMs: span(40_000) };
    }
    case 'hub-crash':
      return { type, downMs: span(10_000) };
    case 'hub-restore':
      return { type, afterMs: span(20_000), downMs: prng.chance(0.5) ? 0 : span(5000) };
    case 'hub-line':
      return {
        type,
        cut: prng.chance(0.6) ? prng.float() * 0.2 : 0,
        repeated: prng.chance(0.6) ? prng.float() * 0.5 : 0,
        latencyMaxMs: 50 + span(2000),
        forMs: span(20_000),
      };
  }
}

/** One readable line. */
export function hubFaultText(fault: HubFault): string {
  switch (fault.type) {
    case 'hub-cut':
      return `the lines of ${fault.nodes.map((index) => `n${index + 1}`).join(', ')} to the hub are cut for ${fault.forMs} ms`;
    case 'hub-crash':
      return `the hub crashes for ${fault.downMs} ms`;
    case 'hub-restore':
      return `in ${fault.afterMs} ms the hub has its store of now again${fault.downMs === 0 ? '' : `, after ${fault.downMs} ms`}`;
    case 'hub-line':
      return `the lines to the hub end with chance ${fault.cut.toFixed(2)}, repeat ${fault.repeated.toFixed(2)}, take ${fault.latencyMaxMs} ms for ${fault.forMs} ms`;
  }
}

/** Does to a hub what a schedule says, and takes it back in time. */
export class HubFaults {
  private readonly hub: VirtualHub;
  private readonly ends: readonly object[];
  private readonly after: (delayMs: number, run: () => void) => void;
  private readonly onForgotten: () => void;
  private isOver = false;

  constructor(
    hub: VirtualHub,
    ends: readonly object[],
    after: (delayMs: number, run: () => void) => void,
    onForgotten: () => void,
  ) {
    this.hub = hub;
    this.ends = ends;
    this.after = after;
    this.onForgotten = onForgotten;
  }

  inject(fault: HubFault): void {
    const { hub } = this;
    switch (fault.type) {
      case 'hub-cut': {
        const nodes = this.ends.filter((_, index) => fault.nodes.includes(index));
        for (const node of nodes) hub.setCut(node, true);
        this.after(fault.forMs, () => {
          for (const node of nodes) hub.setCut(node, false);
        });
        return;
      }
      case 'hub-crash':
        hub.crash();
        this.after(fault.downMs, () => hub.start());
        return;
      case 'hub-restore': {
        const copy = hub.rows.copy();
        this.after(fault.afterMs, () => {
          if (this.isOver) return;
          this.onForgotten();
          hub.rows = copy.copy();
          if (fault.downMs === 0) return;
          hub.crash();
          this.after(fault.downMs, () => hub.start());
        });
        return;
      }
      case 'hub-line': {
        const { cut, repeated, latencyMaxMs } = fault;
        hub.weather = { ...FAIR_LINE, cut, repeated, latencyMaxMs };
        this.after(fault.forMs, () => {
          hub.weather = FAIR_LINE;
        });
      }
    }
  }

  endAll(): void {
    this.isOver = true;
    this.hub.weather = FAIR_LINE;
    if (!this.hub.isRunning) this.hub.start();
    for (const end of this.ends) this.hub.setCut(end, false);
  }
}
