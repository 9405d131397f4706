import { EMPTY, type Entry, entriesOf, RegisterModel, type RegisterState } from './register-model.ts';
import type { RegisterOperation } from './register-operation.ts';
import { type Alike, type Endless, UnknownWrites } from './unknown-writes.ts';
import { VisitedStates } from './visited-states.ts';

/** An order of operations that explains all that it holds. */
export interface Linearization {
  readonly operations: readonly RegisterOperation[];
  readonly state: RegisterState;
  /** Those of which one has to come next. */
  readonly waiting: readonly RegisterOperation[];
}

export interface Verdict {
  readonly type: 'linearizable' | 'not-linearizable' | 'undecided';
  /** The one with the most operations of known outcome that was found. */
  readonly longest: Linearization;
}

export interface SearchOptions {
  /** How far the clocks may be off by which an expiry is worked out. */
  readonly expiryUncertaintyMs: number;
  /** How often an operation may be tried on a state before the search gives up. */
  readonly stepLimit: number;
}

/** Operations to be taken together: unknown writes, and the one for which they have to have taken effect. */
interface Move {
  readonly entries: readonly Entry[];
  readonly state: RegisterState;
}

interface Frame {
  readonly state: RegisterState;
  readonly moves: readonly Move[];
  next: number;
  /** The move that has led to the frame above this one. */
  taken: Move | null;
}

/**
 * Looks for an order of the operations of one register in which each of them takes effect between its invocation and its
 * answer, and which explains all answers: the depth-first search of Wing and Gong ("Testing and Verifying Concurrent
 * Objects", 1993), which never looks twice at the same operations taken with the same state left behind (Lowe, "Testing
 * for Linearizability", 2017). Three things about registers keep it short:
 *
 * - What fits now and changes nothing is taken at once: no order in which it comes later needs it to.
 * - No version comes back, so no write replaces one that someone has yet to meet.
 * - A write of unknown outcome is taken just before an operation that could not follow without it, or never: where
 *   nobody has met what it left, the order without it is as good.
 */
export class LinearizationSearch {
  private readonly required: readonly Entry[];
  private readonly model: RegisterModel;
  private readonly unknown: UnknownWrites;
  private readonly visited = new VisitedStates();
  private readonly stepLimit: number;
  /** One bit an entry of `required`. */
  private readonly taken: Buffer;
  /** Unknown writes in the order in which they are taken, and how often each is. */
  private readonly used: Entry[] = [];
  private readonly uses: Uint16Array;
  /** Unknown writes for which others are being looked for. */
  private readonly needing = new Set<Entry>();
  /** What is not yet taken of `required`, as a ring of indices; the last place is before the first and after the last. */
  private readonly nexts: Int32Array;
  private readonly previous: Int32Array;
  private left: number;
  private steps = 0;
  private longest: Linearization | null = null;
  private longestLeft = Number.POSITIVE_INFINITY;

  constructor(operations: readonly RegisterOperation[], options: SearchOptions, endless: Endless = 'none') {
    const { required, unknown } = entriesOf(operations);
    this.required = required;
    this.model = new RegisterModel(required, options.expiryUncertaintyMs);
    this.unknown = new UnknownWrites(this.model, required, unknown, endless);
    this.stepLimit = options.stepLimit;
    this.taken = Buffer.alloc((required.length + 7) >> 3);
    this.uses = new Uint16Array(unknown.length);
    this.left = required.length;
    const places = this.left + 1;
    this.nexts = Int32Array.from({ length: places }, (_, place) => (place + 1) % places);
    this.previous = Int32Array.from({ length: places }, (_, place) => (place + this.left) % places);
  }

  run(): Verdict {
    const frames: Frame[] = [this.open(EMPTY)];
    while (this.left > 0) {
      if (this.steps + this.visited.compared > this.stepLimit) return this.verdict('undecided', frames);
      const frame = frames.at(-1);
      if (frame === undefined) return this.verdict('not-linearizable', frames);
      if (frame.taken !== null) this.takeBack(frame.taken);
      const move = frame.moves[frame.next++] ?? null;
      frame.taken = move;
      if (move === null) {
        this.keep(frames);
        frames.pop();
        continue;
      }
      this.take(move);
      const spent = this.unknown.spent(this.used, move.state);
      if (this.visited.isNew(this.taken, move.state, spent)) frames.push(this.open(move.state));
    }
    return this.verdict('linearizable', frames);
  }

  private open(state: RegisterState): Frame {
    return { state, moves: this.moves(state), next: 0, taken: null };
  }

  private moves(state: RegisterState): Move[] {
    const moves: Move[] = [];
    const { entries, untilMs } = this.candidates();
    for (const entry of entries) {
      const after = this.apply(state, entry, untilMs);
      const direct = after === null ? [] : [{ entries: [entry], state: after }];
      if (after === state) return direct;
      moves.push(...direct);
      // What a write has replaced makes no difference once it has: one way to it is enough. But who is the first to be
      // shown a version may have been shown that of any unknown write of the value.
      if (after === null || !entry.isWrite) moves.push(...this.supplied(state, entry, untilMs));
    }
    return moves;
  }

  /** What may be taken next, as nothing else was answered before it was invoked, and the first of the answers. */
  private candidates(): { readonly entries: readonly Entry[]; readonly untilMs: number } {
    const entries: Entry[] = [];
    const head = this.required.length;
    let untilMs = Number.POSITIVE_INFINITY;
    for (let index = this.nexts[head] as number; index !== head; index = this.nexts[index] as number) {
      const entry = this.required[index] as Entry;
      if (entry.invokedMs > untilMs) break;
      if (entry.after.every((each) => this.isTaken(each))) entries.push(entry);
      untilMs = Math.min(untilMs, entry.completedMs);
    }
    return { entries, untilMs };
  }

  /** Moves that end with the operation and need unknown writes before it. */
  private supplied(state: RegisterState, goal: Entry, untilMs: number): Move[] {
    const moves: Move[] = [];
    if (!this.model.isReplaceable(state)) return moves;
    const direct: Alike[] = [];
    for (const { alike, entry } of this.suppliers(goal, untilMs)) {
      if (direct.some((other) => this.unknown.isCheaper(other, alike, { state, goal }))) continue;
      const between = this.apply(state, entry, untilMs);
      const ways = between === null ? this.ways(state, goal, entry, untilMs) : [{ entries: [entry], state: between }];
      const found = ways.flatMap((way) => this.follow(way, goal, untilMs));
      moves.push(...found);
      if (between !== null && found.length > 0) direct.push(alike);
    }
    return moves;
  }

  /** One of each kind, and first those that were not yet taken. */
  private suppliers(goal: Entry, untilMs: number): { readonly alike: Alike; readonly entry: Entry }[] {
    const suppliers: { alike: Alike; entry: Entry }[] = [];
    for (const alike of this.unknown.before(goal, untilMs)) {
      let best: Entry | null = null;
      for (const entry of alike.entries) {
        if (entry.invokedMs > untilMs) break;
        if (!this.isFree(entry, alike)) continue;
        best ??= entry;
        if (this.usesOf(entry) > 0) continue;
        best = entry;
        break;
      }
      if (best !== null) suppliers.push({ alike, entry: best });
    }
    return suppliers.sort((a, b) => this.usesOf(a.entry) - this.usesOf(b.entry));
  }

  private isFree(entry: Entry, { isEndless }: Alike): boolean {
    if (this.needing.has(entry) || (!isEndless && this.usesOf(entry) > 0)) return false;
    return entry.after.every((each) => this.isTaken(each));
  }

  /** The ways to an unknown write that itself needs others, and not just what its goal needs too. */
  private ways(state: RegisterState, goal: Entry, entry: Entry, untilMs: number): Move[] {
    if (this.steps > this.stepLimit || this.unknown.isNeedOf(goal, entry)) return [];
    this.needing.add(entry);
    const ways = this.supplied(state, entry, untilMs);
    this.needing.delete(entry);
    return ways;
  }

  private follow({ entries, state }: Move, goal: Entry, untilMs: number): Move[] {
    for (const entry of entries) this.note(entry, 1);
    const after = this.apply(state, goal, untilMs);
    for (const entry of entries.toReversed()) this.note(entry, -1);
    return after === null ? [] : [{ entries: [...entries, goal], state: after }];
  }

  private apply(state: RegisterState, entry: Entry, untilMs: number): RegisterState | null {
    this.steps++;
    return this.model.apply(state, entry, untilMs);
  }

  private take({ entries }: Move): void {
    for (const entry of entries) {
      this.note(entry, 1);
      if (!entry.isRequired) continue;
      const [before, next] = [this.previous[entry.index] as number, this.nexts[entry.index] as number];
      this.nexts[before] = next;
      this.previous[next] = before;
      this.left--;
    }
  }

  /** Moves are taken back in reverse order, so that each entry still knows its place in the ring. */
  private takeBack({ entries }: Move): void {
    for (const entry of entries.toReversed()) {
      this.note(entry, -1);
      if (!entry.isRequired) continue;
      this.nexts[this.previous[entry.index] as number] = entry.index;
      this.previous[this.nexts[entry.index] as number] = entry.index;
      this.left++;
    }
  }

  private note(entry: Entry, sign: 1 | -1): void {
    this.model.note(entry, sign);
    const { index, isRequired } = entry;
    if (isRequired) this.taken[index >> 3] = (this.taken[index >> 3] as number) ^ (1 << (index & 7));
    if (isRequired) {
      this.unknown.note(entry, sign);
      return;
    }
    this.uses[index] = this.usesOf(entry) + sign;
    if (this.unknown.isEndless(entry)) return;
    if (sign === 1) this.used.push(entry);
    else this.used.pop();
  }

  private usesOf({ index }: Entry): number {
    return this.uses[index] as number;
  }

  private isTaken({ index }: Entry): boolean {
    return ((this.taken[index >> 3] as number) & (1 << (index & 7))) !== 0;
  }

  private keep(frames: readonly Frame[]): void {
    if (this.left >= this.longestLeft) return;
    this.longestLeft = this.left;
    this.longest = {
      operations: frames.flatMap(({ taken }) => taken?.entries ?? []).map(({ operation }) => operation),
      state: frames.at(-1)?.state ?? EMPTY,
      waiting: this.candidates().entries.map(({ operation }) => operation),
    };
  }

  private verdict(type: Verdict['type'], frames: readonly Frame[]): Verdict {
    this.keep(frames);
    return { type, longest: this.longest ?? { operations: [], state: EMPTY, waiting: [] } };
  }
}
