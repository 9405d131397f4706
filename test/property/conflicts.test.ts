import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CausalContext } from '../../src/protocol/causal/context.ts';
import { type Dot, dotText } from '../../src/protocol/causal/dot.ts';
import type { Entries, Entry } from '../../src/protocol/causal/entry.ts';
import { ABSENT, type CausalObject, type RemoteObject } from '../../src/protocol/causal/object.ts';
import { valueType } from '../../src/protocol/causal/value.ts';
import type { Cell } from '../../src/protocol/replication/cell-table.ts';
import { ConflictJournal } from '../../src/protocol/replication/conflict-journal.ts';
import type { ReplicationCore } from '../../src/protocol/replication/core.ts';
import type { ConflictRecord, RecordWrite } from '../../src/protocol/replication/record.ts';
import { Cluster, KEYS, type Node } from '../support/causal-cluster.ts';
import { anyHistory, run } from '../support/causal-history.ts';

/** A replica's journal, and an observer of all entries who knows the whole history instead. */
class Notebook {
  readonly records: ConflictRecord[] = [];
  readonly observed = new Set<string>();
  private readonly journal: ConflictJournal;
  private readonly objects = new Map<string, CausalObject>();

  constructor() {
    const write = (each: RecordWrite): void => {
      if (each.table === 'conflict' && each.value !== null) this.records.push(each.value);
    };
    const core = { journal: { write }, now: { wallMs: 1 }, counters: { conflicts: 0 }, conflictOf: () => 'lww' };
    this.journal = new ConflictJournal(core as unknown as ReplicationCore, []);
  }

  look(key: string, object: CausalObject): void {
    const cell = { shard: 1, name: { bucket: 'b', key } } as Cell;
    this.journal.note(cell, this.objects.get(key) ?? ABSENT, object);
    this.objects.set(key, object);
    if (object.past === null) for (const { dot } of unseen(object.entries)) this.observed.add(dotText(dot));
  }

  get losers(): string[] {
    return this.records.map(({ loser }) => dotText(loser.entry.dot));
  }
}

class Watched extends Cluster {
  readonly notebooks = new Map<Node, Notebook>(this.nodes.map((node) => [node, new Notebook()]));

  /** Events of one key may be all that another one has been waiting for. */
  override receive(node: Node, key: string, remote: RemoteObject): void {
    super.receive(node, key, remote);
    for (const each of KEYS) this.notebooks.get(node)?.look(each, this.object(node, each));
  }
}

/** Registers that are there without being what readers see, found by another way than that of the code under test. */
function unseen(entries: Entries): Entry[] {
  const registers = entries
    .filter(({ payload }) => payload.kind === 'register')
    .toSorted((a, b) => b.hlc - a.hlc || (a.dot.actor < b.dot.actor ? 1 : -1) || b.dot.counter - a.dot.counter);
  const isBytes = ['register', 'counter'].includes(valueType(entries));
  return isBytes ? registers.slice(1) : registers;
}

/** Whether one event had replaced another, or something that had. */
function hasReplaced({ events }: Cluster, later: Dot, earlier: Dot): boolean {
  const known = new Set([dotText(later)]);
  for (const { dots, replaced } of events.toReversed()) {
    if (dots.some((dot) => known.has(dotText(dot)))) for (const dot of replaced) known.add(dotText(dot));
  }
  return known.has(dotText(earlier));
}

function lostAt(cluster: Cluster, context: CausalContext, key: string): string[] {
  const lasting = new Set(cluster.reference(context, key));
  const added = cluster.events.filter((event) => event.key === key).flatMap((event) => event.added);
  return unseen(added.filter(({ dot }) => lasting.has(dotText(dot)))).map(({ dot }) => dotText(dot));
}

const runs = { numRuns: 500 };

describe('conflicts', () => {
  it('are noted once at each replica where a write was beside the one that is seen, and no others are', () => {
    fc.assert(
      fc.property(anyHistory, ({ size, steps }) => {
        const cluster = new Watched(size);
        for (const next of steps) run(cluster, next);
        cluster.settle();
        for (const notebook of cluster.notebooks.values()) {
          expect(notebook.losers.toSorted()).toEqual([...notebook.observed].toSorted());
          for (const { winner, loser } of notebook.records) {
            expect(hasReplaced(cluster, winner.entry.dot, loser.entry.dot)).toBe(false);
            expect(hasReplaced(cluster, loser.entry.dot, winner.entry.dot)).toBe(false);
          }
        }
      }),
      runs,
    );
  });

  it('are noted by all once they have joined, and nothing more when they join the same again', () => {
    fc.assert(
      fc.property(anyHistory, ({ size, steps }) => {
        const cluster = new Watched(size);
        for (const next of steps) run(cluster, next);
        cluster.settle();
        const notebooks = [...cluster.notebooks.values()];
        const lost = KEYS.flatMap((key) => lostAt(cluster, cluster.node(0).context, key));
        for (const { losers } of notebooks) expect(losers).toEqual(expect.arrayContaining(lost));
        const before = notebooks.map(({ losers }) => losers);
        for (const from of cluster.nodes) for (const to of cluster.nodes) cluster.copyAll(from, to);
        for (const event of cluster.events) for (const node of cluster.nodes) cluster.deliver([event], node);
        expect(notebooks.map(({ losers }) => losers)).toEqual(before);
      }),
      runs,
    );
  });
});
