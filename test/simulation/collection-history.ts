import { fieldOf, memberOf } from '../../src/protocol/causal/collection.ts';
import { type Dot, dotText } from '../../src/protocol/causal/dot.ts';
import type { Entries, Entry } from '../../src/protocol/causal/entry.ts';
import type { ClientReply } from '../../src/protocol/replication/request.ts';

/** One member of a set, or field of a map, as its clients were told of it. */
export interface Part {
  readonly key: string;
  readonly name: string;
  /** Acknowledged additions that nothing acknowledged has taken away or written over. */
  readonly live: Set<string>;
  /** Dots that an acknowledged change has taken away or written over. */
  readonly gone: Set<string>;
  /** All values ever sent for a field. */
  readonly values: Set<string>;
  /** Changes on their way. */
  open: number;
  /** Some change may or may not have happened, or all disks that held one are lost: nothing can be said of it. */
  isDoubtful: boolean;
}

const decoder = new TextDecoder();

/** The part that an entry is of: a member of a set, or a field of a map; null of any other entry. */
export function partOf(entry: Entry): string | null {
  const bytes = memberOf(entry) ?? fieldOf(entry);
  return bytes === undefined ? null : decoder.decode(bytes);
}

/** What must be in the sets and maps at the end, told by the replies of their clients alone. */
export class CollectionHistory {
  private readonly parts = new Map<string, Part>();
  private readonly byKey = new Map<string, Part[]>();

  all(): IterableIterator<Part> {
    return this.parts.values();
  }

  find(key: string, name: string): Part | undefined {
    return this.parts.get(`${key}/${name}`);
  }

  /** Parts that clients know of. */
  known(key: string): readonly Part[] {
    return this.byKey.get(key) ?? [];
  }

  /** A change of these parts is on its way; the returned function takes its reply, and returns what undoes it. */
  begin(key: string, names: readonly string[], value?: string): (reply: ClientReply) => (() => void) | undefined {
    const parts = names.map((name) => this.partOf(key, name));
    for (const part of parts) {
      part.open++;
      if (value !== undefined) part.values.add(value);
    }
    return (reply) => {
      for (const part of parts) part.open--;
      if (reply.type === 'failed') {
        if (reply.failure.stateChanged === 'maybe') for (const part of parts) part.isDoubtful = true;
        return undefined;
      }
      if (reply.type !== 'mutate') return undefined;
      for (const part of parts) note(part, reply.before, reply.after, reply.dot);
      // Lost with all its disks, neither what it added nor what it took away needs to last.
      return () => {
        for (const part of parts) part.isDoubtful = true;
      };
    };
  }

  private partOf(key: string, name: string): Part {
    const id = `${key}/${name}`;
    let part = this.parts.get(id);
    if (part === undefined) {
      part = { key, name, live: new Set(), gone: new Set(), values: new Set(), open: 0, isDoubtful: false };
      this.parts.set(id, part);
      const known = this.byKey.get(key);
      if (known === undefined) this.byKey.set(key, [part]);
      else known.push(part);
    }
    return part;
  }
}

/** Replies come in any order: what one has taken away may be told before the addition is. */
function note(part: Part, before: Entries, after: Entries, dot: Dot | null): void {
  const own = (entries: Entries): string[] =>
    entries.filter((entry) => partOf(entry) === part.name).map((entry) => dotText(entry.dot));
  const kept = new Set(own(after));
  for (const each of own(before)) {
    if (kept.has(each)) continue;
    part.gone.add(each);
    part.live.delete(each);
  }
  if (dot === null) return;
  const had = new Set(own(before));
  for (const each of kept) if (!had.has(each) && !part.gone.has(each)) part.live.add(each);
}
