import type { ConflictPolicy } from '../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';

/**
 * What a key must hold, told by operations alone: an operation sees those that happened before it, makes atoms, and
 * takes away atoms that it sees. An atom is there where the operation that made it is known and none that takes it away.
 * There are no causal contexts here, no joins and no entries: it is the reference that the data plane is held against.
 */

type Type = 'register' | 'counter' | 'set' | 'map';

/** What one operation has put there, until another takes it away. */
interface Atom {
  /** Unique: which atom of which operation. */
  readonly id: string;
  readonly type: Type;
  /** A member, a field; null of the value itself, and of the mere expiry of a set or map. */
  readonly part: string | null;
  readonly content:
    | { readonly text: string }
    | { readonly total: number; readonly writer: string; readonly since: string }
    | null;
  /** When the value or its expiry was set, and when this field was. */
  readonly stamp: number;
  readonly fieldStamp: number;
  readonly expiresAtMs: number;
  /** Decides between equal stamps: the order of the operations' names. */
  readonly order: string;
}

interface Operation {
  readonly id: string;
  readonly made: readonly Atom[];
  readonly taken: ReadonlySet<string>;
}

/** How an operation came about. */
export interface Circumstances {
  /** Names the operation; `order` of its n-th atom. */
  readonly id: string;
  readonly orders: (n: number) => string;
  readonly writer: string;
  readonly wallMs: number;
  /** The writer's clock as a stamp. */
  readonly clock: number;
  /** The operations that the writer's replica knows. */
  readonly known: ReadonlySet<string>;
  /** The orders of the atoms that the client has read; null: what the replica has. */
  readonly read: ReadonlySet<string> | null;
}

/** What readers see. */
export interface Shown {
  readonly type: Type | 'absent';
  readonly expiresAtMs: number;
  /** A register's or counter's text. */
  readonly text: string | null;
  readonly members: readonly string[];
  readonly fields: readonly (readonly [string, string])[];
  /** Every concurrent value that a reader of `siblings` sees of registers. */
  readonly siblings: readonly string[];
}

const RANKS = { register: 0, counter: 1, map: 2, set: 3 } as const;

export class ValueModel {
  private readonly conflict: ConflictPolicy;
  private readonly operations: Operation[] = [];

  constructor(conflict: ConflictPolicy) {
    this.conflict = conflict;
  }

  /** What readers see who know some of the operations. */
  shown(known: ReadonlySet<string>, wallMs: number): Shown {
    const live = this.live(this.atoms(known), wallMs);
    const top = topOf(live);
    const registers = live.filter(({ type }) => type === 'register');
    const type = top === undefined ? 'absent' : typeShown(live, top);
    return {
      type,
      expiresAtMs: top?.expiresAtMs ?? 0,
      text: top === undefined ? null : textOf(live, top),
      members: type === 'set' ? partsOf(live, 'set') : [],
      fields: type === 'map' ? partsOf(live, 'map').map((part) => [part, fieldText(live, part)] as const) : [],
      siblings: registers.map(({ content }) => (content !== null && 'text' in content ? content.text : '')).sort(),
    };
  }

  /** False where the operation is refused or changes nothing. */
  perform(mutation: Mutation, at: Circumstances): boolean {
    const atoms = this.atoms(at.known);
    const outcome = this.outcome(mutation, atoms, at);
    if (outcome === null) return false;
    const made = outcome.made.map((atom, n) => ({ ...atom, id: `${at.id}#${n}`, order: at.orders(n) }));
    this.operations.push({ id: at.id, made, taken: new Set(outcome.taken.map(({ id }) => id)) });
    return true;
  }

  private atoms(known: ReadonlySet<string>): Atom[] {
    const operations = this.operations.filter(({ id }) => known.has(id));
    const taken = new Set(operations.flatMap((operation) => [...operation.taken]));
    return operations.flatMap(({ made }) => made).filter(({ id }) => !taken.has(id));
  }

  /** `lww`: the key lives by what decides. `siblings`: each register by itself, every other type by its own. */
  private live(atoms: readonly Atom[], wallMs: number): Atom[] {
    const isOver = (atom: Atom | undefined): boolean =>
      atom === undefined || (atom.expiresAtMs !== 0 && atom.expiresAtMs <= wallMs);
    if (this.conflict === 'lww') return isOver(topOf(atoms)) ? [] : [...atoms];
    return atoms.filter((atom) =>
      atom.type === 'register' ? !isOver(atom) : !isOver(topOf(atoms.filter(({ type }) => type === atom.type))),
    );
  }

  private outcome(mutation: Mutation, atoms: readonly Atom[], at: Circumstances): Outcome | null {
    const live = this.live(atoms, at.wallMs);
    const read = atoms.filter(({ order }) => at.read === null || at.read.has(order));
    const stamp = Math.max(at.clock, ...atoms.map((atom) => Math.max(atom.stamp, atom.fieldStamp) + 1));
    const scene = { atoms, live, read, stamp, at, top: topOf(live) };
    switch (mutation.type) {
      case 'put': {
        const value = { text: new TextDecoder().decode(mutation.value) };
        return { made: [atomOf('register', null, value, stamp, Number(mutation.expiresAtMs))], taken: read };
      }
      case 'delete':
        return read.length === 0 ? null : { made: [], taken: read };
      case 'expire':
        return this.expire(mutation.expiresAtMs, scene);
      case 'increment':
        return this.increment(mutation.by, scene);
      case 'append':
        throw new Error('appends are not modelled');
      case 'add':
        return this.grow('set', mutation.members.map(key), () => ({ text: '' }), [], scene);
      case 'remove':
        return this.shrink('set', mutation.members.map(key), scene);
      case 'put-fields': {
        const values = new Map(mutation.fields.map(({ field, value }) => [key(field), { text: key(value) }]));
        const mine = live.filter(({ type, part }) => type === 'map' && part !== null && values.has(part));
        if (mutation.onlyIf === 'absent' && mine.length > 0) return null;
        const unread = mine.filter((atom) => !read.includes(atom));
        return this.grow('map', [...values.keys()], (part) => values.get(part) ?? null, unread, scene);
      }
      case 'remove-fields':
        return this.shrink('map', mutation.fields.map(key), scene);
      case 'increment-field':
        return this.incrementField(key(mutation.field), mutation.by, scene);
    }
  }

  /** What nobody sees any more, for a change of a value of some type: what lost against it must not come back. */
  private unseen(type: readonly Type[], { atoms, live }: Scene): Atom[] {
    return atoms.filter((atom) => !live.includes(atom) || (this.conflict === 'lww' && !type.includes(atom.type)));
  }

  /** Members or fields that are there from now on; what was there of these goes, but for what is `kept`. */
  private grow(
    type: 'set' | 'map',
    parts: readonly string[],
    content: (part: string) => Atom['content'],
    kept: readonly Atom[],
    scene: Scene,
  ): Outcome | null {
    const { live, top, stamp } = scene;
    if (parts.length === 0 || (top !== undefined && top.type !== type)) return null;
    const named = new Set(parts);
    const replaced = live.filter((atom) => atom.type === type && atom.part !== null && named.has(atom.part));
    const taken = [...this.unseen([type], scene), ...replaced.filter((atom) => !kept.includes(atom))];
    const made = [...named].map((part) => ({
      ...atomOf(type, part, content(part), top?.stamp ?? stamp, top?.expiresAtMs ?? 0),
      fieldStamp: type === 'map' ? stamp : 0,
    }));
    return { made, taken };
  }

  private shrink(type: 'set' | 'map', parts: readonly string[], scene: Scene): Outcome | null {
    const { live, read, top } = scene;
    if (top !== undefined && top.type !== type) return null;
    const ours = live.filter((atom) => atom.type === type);
    const hit = ours.filter((atom) => atom.part !== null && parts.includes(atom.part) && read.includes(atom));
    if (hit.length === 0) return null;
    const isEmptied = ours.every((atom) => atom.part === null || hit.includes(atom));
    return { made: [], taken: [...this.unseen([type], scene), ...(isEmptied ? ours : hit)] };
  }

  private expire(expiresAtMs: number, scene: Scene): Outcome | null {
    const { atoms, stamp, at, read } = scene;
    const live = this.live(read, at.wallMs);
    const best = topOf(live);
    if (best === undefined) return null;
    const rewritten = read.filter(
      (atom) =>
        this.conflict === 'lww' ||
        !live.includes(atom) ||
        atom === best ||
        atom.type === 'counter' ||
        (best.type !== 'register' && atom.type === best.type),
    );
    if (expiresAtMs !== 0 && expiresAtMs <= at.wallMs) return { made: [], taken: rewritten };
    if (best.type === 'set' || best.type === 'map') {
      if (scene.top?.type !== best.type) return null;
      const marks = scene.live.filter(({ type, part }) => type === best.type && part === null);
      const made = [atomOf(best.type, null, null, stamp, expiresAtMs)];
      return { made, taken: [...this.unseen([best.type], scene), ...marks] };
    }
    const isNumber = this.conflict === 'lww' && sumOf(live) !== null;
    if (best.type === 'register' && !isNumber) {
      return { made: [{ ...best, stamp, expiresAtMs }], taken: rewritten };
    }
    const { total, since, taken } = this.own(scene.live, atoms, at);
    const content = { total, writer: at.writer, since };
    return { made: [atomOf('counter', null, content, stamp, expiresAtMs)], taken };
  }

  private increment(by: number, scene: Scene): Outcome | null {
    const { atoms, live, stamp, at, top } = scene;
    if (top !== undefined && (top.type === 'set' || top.type === 'map')) return null;
    if (top !== undefined && sumOf(live) === null) return null;
    const { total, since, taken } = this.own(live, atoms, at);
    const content = { total: total + by, writer: at.writer, since };
    return { made: [atomOf('counter', null, content, top?.stamp ?? stamp, top?.expiresAtMs ?? 0)], taken };
  }

  /** A field is a key of its own, but for the expiry. */
  private incrementField(part: string, by: number, scene: Scene): Outcome | null {
    const { live, stamp, at, top } = scene;
    if (top !== undefined && top.type !== 'map') return null;
    const ours = live.filter((atom) => atom.type === 'map' && atom.part === part);
    const field = ours.map(fieldAtom);
    const best = topOf(field);
    if (best !== undefined && sumOf(field) === null) return null;
    const { total, since, taken } = this.own(field, field, at);
    const content = { total: total + by, writer: at.writer, since };
    const made = atomOf('map', part, content, top?.stamp ?? stamp, top?.expiresAtMs ?? 0);
    const gone = ours.filter(({ id }) => taken.some((atom) => atom.id === id));
    return {
      made: [{ ...made, fieldStamp: best?.stamp ?? stamp }],
      taken: [...this.unseen(['map'], scene), ...gone],
    };
  }

  /** The running total of one writer, and what a further one replaces: it, and totals that a later put has ended. */
  private own(live: readonly Atom[], atoms: readonly Atom[], at: Circumstances) {
    const counted = countedOf(live);
    const mine = counted.find(({ content }) => content !== null && 'writer' in content && content.writer === at.writer);
    const kept = live.filter((atom) =>
      atom.type === 'counter'
        ? counted.includes(atom) && atom !== mine
        : atom.type === 'register' || this.conflict === 'siblings',
    );
    const before = mine?.content ?? null;
    return {
      total: before !== null && 'total' in before ? before.total : 0,
      since: before !== null && 'since' in before ? before.since : at.id,
      taken: atoms.filter((atom) => !kept.includes(atom)),
    };
  }
}

interface Scene {
  readonly atoms: readonly Atom[];
  readonly live: readonly Atom[];
  readonly read: readonly Atom[];
  readonly stamp: number;
  readonly at: Circumstances;
  readonly top: Atom | undefined;
}

interface Outcome {
  readonly made: readonly Atom[];
  readonly taken: readonly Atom[];
}

function atomOf(type: Type, part: string | null, content: Atom['content'], stamp: number, expiresAtMs: number): Atom {
  return { id: '', order: '', type, part, content, stamp, fieldStamp: 0, expiresAtMs };
}

function fieldAtom(atom: Atom): Atom {
  const isCount = atom.content !== null && 'total' in atom.content;
  return { ...atom, type: isCount ? 'counter' : 'register', part: null, stamp: atom.fieldStamp, expiresAtMs: 0 };
}

function key(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** What decides: the latest stamp. The mere expiry of a set or map that has nothing in it does not count. */
function topOf(atoms: readonly Atom[]): Atom | undefined {
  const hasParts = (type: Type): boolean => atoms.some((atom) => atom.type === type && atom.part !== null);
  return atoms
    .filter(({ type, part }) => part !== null || type === 'register' || type === 'counter' || hasParts(type))
    .sort((a, b) => b.stamp - a.stamp || RANKS[b.type] - RANKS[a.type] || (a.order < b.order ? 1 : -1))[0];
}

function baseOf(live: readonly Atom[]): Atom | undefined {
  return topOf(live.filter(({ type }) => type === 'register'));
}

/** A put that is later than what an increment built on starts the count anew. */
function countedOf(live: readonly Atom[]): Atom[] {
  const base = baseOf(live);
  return live.filter(({ type, stamp }) => type === 'counter' && (base === undefined || stamp >= base.stamp));
}

/** Null where there is no number to count from. */
function sumOf(live: readonly Atom[]): number | null {
  const base = baseOf(live)?.content ?? null;
  const text = base !== null && 'text' in base ? base.text : '0';
  if (!/^(0|-?[1-9][0-9]*)$/.test(text)) return null;
  return countedOf(live).reduce(
    (sum, { content }) => sum + (content !== null && 'total' in content ? content.total : 0),
    Number(text),
  );
}

function textOf(live: readonly Atom[], top: Atom): string | null {
  if (top.type === 'set' || top.type === 'map') return null;
  const base = baseOf(live)?.content ?? null;
  const text = base !== null && 'text' in base ? base.text : '';
  if (top.type === 'register') return text;
  const sum = sumOf(live);
  return sum === null ? text : String(sum);
}

function typeShown(live: readonly Atom[], top: Atom): Type {
  return top.type === 'counter' && sumOf(live) === null ? 'register' : top.type;
}

function partsOf(live: readonly Atom[], type: Type): string[] {
  const parts = live.filter((atom) => atom.type === type && atom.part !== null).map(({ part }) => part ?? '');
  return [...new Set(parts)].sort();
}

function fieldText(live: readonly Atom[], part: string): string {
  const field = live.filter((atom) => atom.type === 'map' && atom.part === part).map(fieldAtom);
  return textOf(field, topOf(field) as Atom) ?? '';
}
