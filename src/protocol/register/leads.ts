import type { Ballot } from './ballot.ts';
import { type RegisterValue, valueBytes } from './value.ts';

/** The latest value of a key as its last round left it, with a ballot that a quorum has promised along with it. */
export interface Lead {
  /** The ring epoch of the quorum: under another the promise means nothing. */
  readonly epoch: number;
  readonly next: Ballot;
  readonly value: RegisterValue;
}

const LEAD_OVERHEAD_BYTES = 300;

/** Keys that the next change of which may begin with `accept`; the least recently used goes first. */
export class Leads {
  private readonly bytesMax: number;
  private readonly leads = new Map<string, Lead>();
  private bytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Takes it out: a ballot is used once. */
  take(id: string): Lead | undefined {
    const lead = this.leads.get(id);
    if (lead === undefined) return undefined;
    this.leads.delete(id);
    this.bytes -= sizeOf(id, lead);
    return lead;
  }

  put(id: string, lead: Lead): void {
    this.take(id);
    this.leads.set(id, lead);
    this.bytes += sizeOf(id, lead);
    for (const oldest of this.leads.keys()) {
      if (this.bytes <= this.bytesMax) return;
      this.take(oldest);
    }
  }

  get size(): number {
    return this.leads.size;
  }
}

function sizeOf(id: string, lead: Lead): number {
  return LEAD_OVERHEAD_BYTES + id.length * 2 + valueBytes(lead.value);
}
