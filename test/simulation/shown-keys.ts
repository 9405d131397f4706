import { dotText } from '../../src/protocol/causal/dot.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import { liveEntries } from '../../src/protocol/causal/value.ts';

interface Shown {
  readonly entries: Entries;
  /** What may still be there, although no reader sees it now. */
  readonly hidden: Entries;
  /** What later states have replaced. */
  readonly gone: Set<string>;
}

/** The keys of a `lww` bucket as a client has been shown them, one state after the other. */
export class ShownKeys {
  /** The versions of each key that is there. */
  readonly versions = new Map<string, string>();
  private readonly keys = new Map<string, Shown>();

  clear(): void {
    this.versions.clear();
    this.keys.clear();
  }

  /** The next state of a key, as of a wall-clock time. Returns the versions in it that an earlier state had replaced. */
  show(key: string, entries: Entries, wallMs: number): string[] {
    const before = this.keys.get(key) ?? { entries: [], hidden: [], gone: new Set<string>() };
    const { gone } = before;
    const dots = entries.map(({ dot }) => dotText(dot));
    const missing = [...before.entries, ...before.hidden].filter(({ dot }) => !dots.includes(dotText(dot)));
    // A key shows all of its entries or none. Nobody has replaced the expiry of a set or map that has lost its members
    // but not its expiry: with the next member it is seen again.
    const hidden =
      entries.length > 0 ? [] : missing.filter((entry) => liveEntries([entry], wallMs, 'lww').length === 0);
    for (const entry of missing) if (!hidden.includes(entry)) gone.add(dotText(entry.dot));
    this.keys.set(key, { entries, hidden, gone });
    if (dots.length === 0) this.versions.delete(key);
    else this.versions.set(key, dots.join(' '));
    return dots.filter((dot) => gone.has(dot));
  }
}
