import { describe, expect, it } from 'vitest';
import { hlcAt } from '../../../../src/lib/hlc.ts';
import {
  collectionSize,
  concerned,
  hasMember,
  readField,
  readMap,
  readSet,
} from '../../../../src/protocol/causal/collection.ts';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import {
  COLLECTION_BYTES_MAX,
  COLLECTION_ENTRIES_MAX,
  type Entries,
  type Entry,
  type Payload,
  withoutBytes,
} from '../../../../src/protocol/causal/entry.ts';
import { mutate } from '../../../../src/protocol/causal/mutate.ts';
import type { Mutation } from '../../../../src/protocol/causal/mutation.ts';
import type { MutationContext, MutationOutcome } from '../../../../src/protocol/causal/outcome.ts';
import { expiriesOf, liveEntries, valueType, winner } from '../../../../src/protocol/causal/value.ts';

const A = '000000000000000a';
const B = '000000000000000b';
const NOW = 1_700_000_000_000;
const SOON = NOW + 1000;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array): string => new TextDecoder().decode(value);
const setOf = (entries: Entries): string[] => readSet(entries).map(text);
const mapOf = (entries: Entries): string[] =>
  readMap(entries).map(({ field, value }) => `${text(field)}=${text(value)}`);

const add = (...members: string[]): Mutation => ({ type: 'add', members: members.map(bytes) });
const remove = (...members: string[]): Mutation => ({ type: 'remove', members: members.map(bytes) });
const putFields = (fields: Record<string, string>): Mutation => ({
  type: 'put-fields',
  fields: Object.entries(fields).map(([field, value]) => ({ field: bytes(field), value: bytes(value) })),
  onlyIf: null,
});
const putNewFields = (fields: Record<string, string>): Mutation =>
  ({ ...putFields(fields), onlyIf: 'absent' }) as Mutation;
const removeFields = (...fields: string[]): Mutation => ({ type: 'remove-fields', fields: fields.map(bytes) });
const incrementField = (field: string, by: number): Mutation => ({ type: 'increment-field', field: bytes(field), by });
const expire = (expiresAtMs: number): Mutation => ({ type: 'expire', expiresAtMs });
const put = (value: string): Mutation => ({
  type: 'put',
  value: bytes(value),
  contentType: '',
  expiresAtMs: 0,
  onlyIf: null,
});

function entry(actor: string, counter: number, hlcMs: number, payload: Payload, expiresAtMs = 0): Entry {
  return { dot: { actor, counter }, hlc: hlcAt(hlcMs), expiresAtMs, payload };
}

const member = (name: string): Payload => ({ kind: 'set-member', member: bytes(name) });

let next = 100;
function at(rest: Partial<MutationContext> = {}): MutationContext {
  next += 10;
  const dot = { actor: A, counter: next };
  return {
    dot,
    ownFrom: 1,
    isComplete: true,
    hlc: hlcAt(NOW) + next,
    wallMs: NOW,
    context: null,
    conflict: 'lww',
    ...rest,
  };
}

function applied(outcome: MutationOutcome): Extract<MutationOutcome, { applied: true }> {
  if (!outcome.applied) throw new Error(`not applied: ${outcome.failure}`);
  return outcome;
}

/** The entries after some mutations, one after the other. */
function after(...mutations: readonly Mutation[]): Entries {
  let entries: Entries = [];
  for (const mutation of mutations) entries = applied(mutate(entries, mutation, at())).after;
  return entries;
}

describe('a set', () => {
  it('takes a dot for each member, one after the other', () => {
    const { added, dots, replaced } = applied(mutate([], add('a', 'b', 'a'), at({ dot: { actor: B, counter: 5 } })));
    expect(added.map(({ payload }) => payload)).toEqual([member('a'), member('b')]);
    expect(dots).toEqual([
      { actor: B, counter: 5 },
      { actor: B, counter: 6 },
    ]);
    expect(replaced).toEqual([]);
  });

  it('takes one dot for a removal, however many members go', () => {
    const before = after(add('a', 'b', 'c'));
    const outcome = applied(mutate(before, remove('a', 'c', 'x'), at()));
    expect(outcome.dots).toHaveLength(1);
    expect(outcome.replaced).toHaveLength(2);
    expect(setOf(outcome.after)).toEqual(['b']);
  });

  it('holds members of any bytes, the empty one too, in their order', () => {
    const outcome = applied(
      mutate([], { type: 'add', members: [Uint8Array.of(255), Uint8Array.of(), Uint8Array.of(0)] }, at()),
    );
    expect(readSet(outcome.after)).toEqual([Uint8Array.of(), Uint8Array.of(0), Uint8Array.of(255)]);
    expect(collectionSize(outcome.after)).toBe(3);
    expect(hasMember(outcome.after, Uint8Array.of(0))).toBe(true);
    expect(hasMember(outcome.after, Uint8Array.of(1))).toBe(false);
  });

  it('is absent once its last member is gone, and leaves nothing', () => {
    const before = after(add('a'), expire(SOON));
    expect(before.map(({ payload }) => payload.kind)).toEqual(['set-member', 'set']);
    expect(applied(mutate(before, remove('a'), at())).after).toEqual([]);
  });

  it('is not written where nothing is to be removed', () => {
    const before = after(add('a'));
    expect(mutate(before, remove('b'), at())).toEqual({ applied: false, failure: null });
    expect(mutate([], remove('b'), at())).toEqual({ applied: false, failure: null });
    expect(mutate(before, remove('a'), at({ context: new CausalContext() })).applied).toBe(false);
  });

  it('writes a member again that is there, so that it outlives a concurrent removal', () => {
    const before = after(add('a'));
    const outcome = applied(mutate(before, add('a'), at()));
    expect(outcome.replaced).toEqual(before.map(({ dot }) => dot));
    expect(setOf(outcome.after)).toEqual(['a']);
  });

  it('keeps its expiry when it grows, and has one mark of it only', () => {
    const grown = after(add('a'), expire(SOON + 1), expire(SOON), add('b'));
    expect(grown.filter(({ payload }) => payload.kind === 'set')).toHaveLength(1);
    expect(winner(grown)?.expiresAtMs).toBe(SOON);
    expect(setOf(liveEntries(grown, SOON - 1, 'lww'))).toEqual(['a', 'b']);
    expect(liveEntries(grown, SOON, 'lww')).toEqual([]);
    const anew = applied(mutate(grown, add('c'), at({ wallMs: SOON }))).after;
    expect(setOf(anew)).toEqual(['c']);
    expect(winner(anew)?.expiresAtMs).toBe(0);
  });

  it('is gone for readers where only the mark of its expiry is left, which is then due at once', () => {
    const [mark] = after(add('a'), expire(0)).filter(({ payload }) => payload.kind === 'set');
    const left = [mark as Entry];
    expect(liveEntries(left, NOW, 'lww')).toEqual([]);
    expect(liveEntries(left, NOW, 'siblings')).toEqual([]);
    expect([...expiriesOf(left)]).toEqual([NOW]);
    expect(setOf(applied(mutate(left, add('b'), at())).after)).toEqual(['b']);
  });

  it('does not come back when what overrode it goes', () => {
    const lost = entry(B, 1, NOW - 5000, member('lost'));
    const winning = entry(B, 2, NOW - 1000, { kind: 'counter', total: 3, since: 2 });
    const outcome = applied(mutate([lost, winning], { type: 'increment', by: 1 }, at()));
    expect(outcome.replaced).toEqual([lost.dot]);
    expect(outcome.after.map(({ payload }) => payload.kind).sort()).toEqual(['counter', 'counter']);
  });

  it('gives way to a later put that had not seen it, and the other way round', () => {
    const register = entry(B, 1, NOW - 1000, { kind: 'register', value: bytes('v'), contentType: '' });
    const earlier = [entry(A, 1, NOW - 2000, member('a')), register];
    expect([valueType(earlier), setOf(earlier)]).toEqual(['register', []]);
    const later = [entry(A, 1, NOW - 500, member('a')), register];
    expect([valueType(later), setOf(later)]).toEqual(['set', ['a']]);
    expect(mutate(earlier, add('b'), at())).toEqual({ applied: false, failure: 'wrong-type' });
    expect(applied(mutate(later, add('b'), at())).after.map(({ payload }) => payload.kind)).toEqual([
      'set-member',
      'set-member',
    ]);
  });

  it('is bounded by members and by bytes, and can shrink from beyond', () => {
    const names = (from: number, to: number): Uint8Array[] =>
      Array.from({ length: to - from }, (_, i) => bytes(`member ${from + i}`));
    const full = applied(mutate([], { type: 'add', members: names(0, COLLECTION_ENTRIES_MAX) }, at())).after;
    const tooLarge = { applied: false, failure: 'collection-too-large' };
    expect(mutate(full, add('one more'), at({ dot: { actor: A, counter: 90_000 } }))).toEqual(tooLarge);
    // Written again is not one more.
    expect(mutate(full, add('member 7'), at({ dot: { actor: A, counter: 90_000 } })).applied).toBe(true);
    const beyond = [...full, entry(B, 1, NOW, member('of the other side')), entry(B, 2, NOW, member('2'))];
    expect(mutate(beyond, remove('2'), at()).applied).toBe(true);
    expect(mutate(beyond, add('member 7'), at()).applied).toBe(true);
    const large = new Uint8Array(COLLECTION_BYTES_MAX - 40);
    expect(mutate([], { type: 'add', members: [large] }, at()).applied).toBe(true);
    expect(mutate([], { type: 'add', members: [large, bytes('0')] }, at())).toEqual(tooLarge);
  });
});

describe('a map', () => {
  it('holds the latest value of each field', () => {
    const before = after(putFields({ b: '1', a: '2' }), putFields({ b: '3' }));
    expect(mapOf(before)).toEqual(['a=2', 'b=3']);
    expect(before).toHaveLength(2);
    expect(text(readField(before, bytes('b')) as Uint8Array)).toBe('3');
    expect(readField(before, bytes('c'))).toBeNull();
    const twice = { field: bytes('f'), value: bytes('1') };
    const fields = [twice, { ...twice, value: bytes('2') }];
    const outcome = applied(mutate([], { type: 'put-fields', fields, onlyIf: null }, at()));
    expect(mapOf(outcome.after)).toEqual(['f=2']);
  });

  it('takes fields on condition that none of them is there', () => {
    const idle = { applied: false, failure: null };
    expect(mapOf(after(putNewFields({ a: '1', b: '2' })))).toEqual(['a=1', 'b=2']);
    const before = after(putFields({ a: '1' }), incrementField('n', 3));
    expect(mutate(before, putNewFields({ a: '2' }), at())).toEqual(idle);
    expect(mutate(before, putNewFields({ b: '2', n: '0' }), at())).toEqual(idle);
    // A client whose context lacks the field is told so as well: what is there counts, not what it has seen.
    expect(mutate(before, putNewFields({ a: '2' }), at({ context: new CausalContext() }))).toEqual(idle);
    expect(mapOf(applied(mutate(before, putNewFields({ b: '2' }), at())).after)).toEqual(['a=1', 'b=2', 'n=3']);
    expect(mapOf(after(putFields({ a: '1' }), removeFields('a'), putNewFields({ a: '3' })))).toEqual(['a=3']);
    expect(mutate(after(put('5')), putNewFields({ a: '1' }), at())).toEqual({ applied: false, failure: 'wrong-type' });
  });

  it('takes a field anew once the map has expired', () => {
    const before = after(putFields({ a: '1' }), expire(SOON));
    expect(mutate(before, putNewFields({ a: '2' }), at())).toEqual({ applied: false, failure: null });
    const later = at({ wallMs: SOON + 1 });
    expect(mapOf(applied(mutate(before, putNewFields({ a: '2' }), later)).after)).toEqual(['a=2']);
  });

  it('takes the later one of concurrent values', () => {
    const field = (value: string, hlcMs: number): Payload => ({
      kind: 'map-field',
      field: bytes('f'),
      hlc: hlcAt(hlcMs),
      value: bytes(value),
    });
    expect(mapOf([entry(A, 1, NOW, field('late', NOW + 2)), entry(B, 1, NOW, field('early', NOW + 1))])).toEqual([
      'f=late',
    ]);
  });

  it('counts in a field as in a key', () => {
    const before = after(putFields({ n: '40' }), incrementField('n', 2), incrementField('m', -1));
    expect(mapOf(before)).toEqual(['m=-1', 'n=42']);
    expect(mutate(after(putFields({ n: 'x' })), incrementField('n', 1), at())).toEqual({
      applied: false,
      failure: 'field-not-a-number',
    });
    expect(mutate(before, incrementField('n', Number.MAX_SAFE_INTEGER), at())).toEqual({
      applied: false,
      failure: 'overflow',
    });
    const other = entry(B, 1, NOW, { kind: 'map-counter', field: bytes('n'), hlc: hlcAt(NOW + 9), total: 5, since: 1 });
    expect(mapOf(applied(mutate([...before, other], incrementField('n', 1), at())).after)).toEqual(['m=-1', 'n=48']);
  });

  it('loses fields, and is absent without any', () => {
    const before = after(putFields({ a: '1', b: '2' }), expire(SOON));
    const less = applied(mutate(before, removeFields('a', 'x'), at())).after;
    expect(mapOf(less)).toEqual(['b=2']);
    expect(winner(less)?.expiresAtMs).toBe(SOON);
    expect(applied(mutate(less, removeFields('b'), at())).after).toEqual([]);
  });
});

describe('types', () => {
  const values = { register: after(put('5')), set: after(add('a')), map: after(putFields({ f: '1' })) };
  const others: readonly [string, Mutation, keyof typeof values][] = [
    ['add', add('b'), 'set'],
    ['remove', remove('a'), 'set'],
    ['put-fields', putFields({ f: '2' }), 'map'],
    ['remove-fields', removeFields('f'), 'map'],
    ['increment-field', incrementField('f', 1), 'map'],
    ['increment', { type: 'increment', by: 1 }, 'register'],
    ['append', { type: 'append', value: bytes('1') }, 'register'],
  ];

  it.each(others)('%s is refused on another type', (_name, mutation, own) => {
    for (const [type, before] of Object.entries(values)) {
      const outcome = mutate(before, mutation, at());
      if (type === own) expect(outcome.applied).toBe(true);
      else expect(outcome).toEqual({ applied: false, failure: 'wrong-type' });
    }
  });

  it('are all replaced by a put, deleted and given an expiry', () => {
    for (const [type, before] of Object.entries(values)) {
      expect(valueType(before)).toBe(type);
      expect(valueType(applied(mutate(before, put('x'), at())).after)).toBe('register');
      expect(applied(mutate(before, { type: 'delete' }, at())).after).toEqual([]);
      const expiring = applied(mutate(before, expire(SOON), at())).after;
      expect(winner(expiring)?.expiresAtMs).toBe(SOON);
      expect(liveEntries(expiring, SOON, 'lww')).toEqual([]);
      expect(applied(mutate(before, expire(NOW), at())).after).toEqual([]);
    }
  });

  it('are told without their bytes too', () => {
    for (const [type, before] of Object.entries(values)) {
      const bare = before.map((each) => ({ ...each, payload: withoutBytes(each.payload) }));
      expect(valueType(bare)).toBe(type);
    }
  });
});

describe('the entries that a change concerns', () => {
  it('are those of its members or fields', () => {
    expect(setOf(concerned(after(add('a', 'b', 'c')), remove('b', 'x')))).toEqual(['b']);
    expect(mapOf(concerned(after(putFields({ a: '1', b: '2' })), putFields({ b: '9' })))).toEqual(['b=2']);
    expect(concerned(after(put('x')), { type: 'delete' })).toHaveLength(1);
  });
});

it('does not change the expiry for a client that has not seen that the set expired', () => {
  const added = applied(mutate([], { type: 'add', members: [bytes('a')] }, at()));
  const expiring = applied(mutate(added.after, { type: 'expire', expiresAtMs: NOW + 1 }, at()));
  const late = at({ wallMs: NOW + 2, context: CausalContext.fromDots(added.dots) });
  expect(mutate(expiring.after, { type: 'expire', expiresAtMs: 0 }, late)).toEqual({ applied: false, failure: null });
});
