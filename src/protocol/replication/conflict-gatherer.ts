import { DeadlineQueue } from '../../lib/deadline-queue.ts';
import type { NodeId } from '../machine.ts';
import { tooManyRequests } from './admissions.ts';
import {
  ConflictJournal,
  type ConflictsPage,
  compareConflicts,
  conflictId,
  type RestoredConflict,
} from './conflict-journal.ts';
import type { ReplicationCore } from './core.ts';
import type { ConflictsAskMessage, ConflictsTellMessage } from './message.ts';
import type { ConflictRow, ConflictWrite } from './record.ts';
import type { ConflictsQuery, ConflictsReply, FailedReply } from './request.ts';

/** Of this node's clients, at once. */
const GATHERINGS_MAX = 64;

interface Gathering {
  readonly id: number;
  /** As it is asked for. */
  readonly request: number;
  readonly query: ConflictsQuery;
  readonly members: readonly NodeId[];
  /** Have been asked, and may yet answer or have done so. */
  readonly asked: Set<NodeId>;
  readonly pages: Map<NodeId, ConflictsPage>;
  ended: boolean;
}

/**
 * What any member of the site has noticed, each conflict once. All name a conflict by the loser, and put it where that was
 * written: so pages are merged, and go on after a conflict, without a member that has to know what another has told.
 */
export class ConflictGatherer {
  private readonly core: ReplicationCore;
  readonly journal: ConflictJournal;
  private readonly nextId: () => number;
  private readonly gatherings = new Map<number, Gathering>();
  private readonly deadlines: DeadlineQueue<Gathering>;

  constructor(core: ReplicationCore, restored: readonly RestoredConflict[], nextId: () => number) {
    this.core = core;
    this.journal = new ConflictJournal(core, restored);
    this.nextId = nextId;
    // A member that is slow is shown as missing rather than waited for as long as a client waits.
    this.deadlines = new DeadlineQueue(core.options.requestTimeoutMs / 2);
  }

  handleRequest(request: number, query: ConflictsQuery): void {
    if (this.gatherings.size >= GATHERINGS_MAX) {
      this.reply(request, { type: 'failed', failure: tooManyRequests() });
      return;
    }
    const { self } = this.core.options;
    const members = [...new Set([self, ...this.core.ring.remaining])];
    const asked = new Set(members.filter((member) => this.core.isUp(member)));
    const gathering = {
      id: this.nextId(),
      request,
      query,
      members,
      asked,
      pages: new Map<NodeId, ConflictsPage>(),
      ended: false,
    };
    this.gatherings.set(gathering.id, gathering);
    this.deadlines.push(gathering, this.core.now.monoMs);
    for (const member of asked) {
      if (member !== self) this.core.send(member, { type: 'conflicts-ask', id: gathering.id, ...query });
    }
    this.journal.page(query, (page) => this.handlePage(gathering.id, self, page));
  }

  handleMessage(from: NodeId, message: ConflictsAskMessage | ConflictsTellMessage): void {
    const { id } = message;
    if (message.type === 'conflicts-tell') this.handlePage(id, from, message);
    else this.journal.page(message, (page) => this.core.send(from, { type: 'conflicts-tell', id, ...page }));
  }

  handlePeerDown(peer: NodeId): void {
    for (const gathering of this.gatherings.values()) {
      if (!gathering.pages.has(peer) && gathering.asked.delete(peer)) this.finishIfMet(gathering);
    }
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (let late = this.deadlines.pop(nowMs); late !== undefined; late = this.deadlines.pop(nowMs)) this.finish(late);
  }

  nextDeadline(): number | undefined {
    return this.deadlines.next();
  }

  private handlePage(id: number, from: NodeId, page: ConflictsPage): void {
    const gathering = this.gatherings.get(id);
    if (gathering === undefined || !gathering.asked.has(from) || gathering.pages.has(from)) return;
    gathering.pages.set(from, page);
    this.finishIfMet(gathering);
  }

  private finishIfMet(gathering: Gathering): void {
    if (gathering.pages.size === gathering.asked.size) this.finish(gathering);
  }

  private finish(gathering: Gathering): void {
    gathering.ended = true;
    this.gatherings.delete(gathering.id);
    const { members, pages, query, request } = gathering;
    const merged = merge([...pages.values()]);
    const rows = merged.rows.slice(0, query.limit);
    const more = merged.more || merged.rows.length > rows.length;
    const missing = members.filter((member) => !pages.has(member));
    this.reply(request, { type: 'conflicts', rows, more, missing });
  }

  private reply(id: number, reply: ConflictsReply | FailedReply): void {
    this.core.emit({ type: 'conflicts-reply', id, reply });
  }
}

/** In order, up to where one of the pages was cut: it says nothing of what comes after its last one. */
function merge(pages: readonly ConflictsPage[]): ConflictsPage {
  const byLoser = new Map<string, ConflictRow>();
  for (const row of pages.flatMap(({ rows }) => rows)) {
    const id = conflictId(row.key);
    const known = byLoser.get(id);
    byLoser.set(id, known === undefined ? row : joined(known, row));
  }
  const ends = pages.flatMap(({ rows, more }) => (more ? rows.slice(-1) : [])).map(({ key }) => key);
  const [end] = ends.sort(compareConflicts);
  const rows = [...byLoser.values()].sort((a, b) => compareConflicts(a.key, b.key));
  const shown = end === undefined ? rows : rows.filter(({ key }) => compareConflicts(key, end) <= 0);
  return { rows: shown, more: end !== undefined };
}

/** As it was noticed first. That a hub wrote it not all of them need know. */
function joined(a: ConflictRow, b: ConflictRow): ConflictRow {
  const [first, other] = a.record.atMs <= b.record.atMs ? [a, b] : [b, a];
  const { winner, loser } = first.record;
  const known = (write: ConflictWrite, same: ConflictWrite): ConflictWrite => {
    const isSame = write.entry.dot.actor === same.entry.dot.actor;
    return isSame && same.byHub ? { ...write, byHub: true } : write;
  };
  return {
    key: first.key,
    record: { ...first.record, winner: known(winner, other.record.winner), loser: known(loser, other.record.loser) },
  };
}
