import { expect, test } from 'vitest';
import {
  type Component,
  type ComponentMember,
  Components,
  lostTogether,
  type Sighting,
} from '../../../../src/protocol/island/components.ts';

/** `a` sees these, `?` behind those that it suspects; after the bar are those that are gone. */
function seen(text: string): Sighting[] {
  const [here = '', gone = ''] = text.split('|');
  const words = (part: string): string[] => part.split(' ').filter(Boolean);
  return [
    ...words(here).map((word): Sighting => {
      return { id: word.replace('?', ''), standing: word.endsWith('?') ? 'suspect' : 'alive' };
    }),
    ...words(gone).map((id): Sighting => ({ id, standing: 'gone' })),
  ];
}

/** `a b @10`: the members of each component, and since when. */
function shown(components: readonly Component[]): string[] {
  return components.map(({ members, sinceMs }) => `${members.map(({ id }) => id).join(' ')} @${sinceMs}`);
}

function started(text: string): Components {
  const components = new Components('a', 0);
  components.handle(seen(text), 10);
  return components;
}

test('a whole ring is one component', () => {
  const components = started('a b c');
  expect(shown(components.all())).toEqual(['a b c @10']);
  expect(components.all()[0]?.isOwn).toBe(true);
});

test('a node alone is one, from its start on', () => {
  expect(shown(new Components('a', 5).all())).toEqual(['a @5']);
});

test('who is lost within seconds is one component, who is lost later another one', () => {
  const components = started('a b c d e');
  components.handle(seen('a b c d | e'), 20_000);
  components.handle(seen('a b c | d e'), 22_000);
  components.handle(seen('a b | c d e'), 40_000);
  expect(shown(components.all())).toEqual(['a b @40000', 'e d @22000', 'c @40000']);
  expect(components.all().map(({ isOwn }) => isOwn)).toEqual([true, false, false]);
});

test('whoever comes back is of the own component again, and the others stay as they were', () => {
  const components = started('a b c d');
  components.handle(seen('a b | c d'), 20_000);
  components.handle(seen('a b c | d'), 50_000);
  expect(shown(components.all())).toEqual(['a b c @50000', 'd @20000']);
  components.handle(seen('a b c d'), 60_000);
  expect(shown(components.all())).toEqual(['a b c d @60000']);
});

test('what changes nothing about who is reached does not begin the time anew', () => {
  const components = started('a b c');
  components.handle(seen('a b | c'), 20_000);
  for (let nowMs = 21_000; nowMs < 30_000; nowMs += 500) components.handle(seen('a b | c'), nowMs);
  expect(shown(components.all())).toEqual(['a b @20000', 'c @20000']);
});

test('who is suspected is of the own component, and was lost when that began', () => {
  const components = started('a b c d');
  components.handle(seen('a b c? d'), 20_000);
  components.handle(seen('a b c? d?'), 21_000);
  expect(shown(components.all())).toEqual(['a b c d @10']);
  // The one suspicion takes much longer than the other.
  components.handle(seen('a b d? | c'), 23_000);
  components.handle(seen('a b | c d'), 31_000);
  expect(shown(components.all())).toEqual(['a b @21000', 'c d @21000']);
});

test('a suspicion that comes to nothing leaves no trace', () => {
  const components = started('a b');
  components.handle(seen('a b?'), 20_000);
  components.handle(seen('a b'), 21_000);
  expect(shown(components.all())).toEqual(['a b @10']);
  components.handle(seen('a b?'), 40_000);
  components.handle(seen('a | b'), 44_000);
  expect(shown(components.all())).toEqual(['a @40000', 'b @40000']);
});

test('who was not reached since the start was lost at a time that nobody knows', () => {
  const components = started('a | b c');
  expect(shown(components.all())).toEqual(['a @0', 'b c @null']);
  components.handle(seen('a b | c'), 20_000);
  components.handle(seen('a | b c'), 30_000);
  // It is not with those of whom nothing is known.
  expect(shown(components.all())).toEqual(['a @30000', 'c @null', 'b @30000']);
});

test('who leaves the ring is in no component', () => {
  const components = started('a b c d');
  components.handle(seen('a b c | d'), 20_000);
  components.handle(seen('a b c'), 30_000);
  expect(shown(components.all())).toEqual(['a b c @20000']);
  components.handle(seen('a b'), 40_000);
  expect(shown(components.all())).toEqual(['a b @40000']);
  // Back in the ring while it is away.
  components.handle(seen('a b | d'), 50_000);
  expect(shown(components.all())).toEqual(['a b @40000', 'd @null']);
});

test('a node that is not in the ring itself is in its own component all the same', () => {
  const components = started('b | c');
  expect(shown(components.all())).toEqual(['a b @10', 'c @null']);
});

test('losses a few seconds apart are one, however long all of them take', () => {
  const lost = (id: string, sinceMs: number | null): ComponentMember => ({ id, isReachable: false, sinceMs });
  const row = [lost('d', 22_000), lost('b', 4000), lost('c', 13_000), lost('f', 32_001), lost('e', null)];
  expect(shown(lostTogether(row))).toEqual(['e @null', 'b c d @22000', 'f @32001']);
  expect(lostTogether([])).toEqual([]);
});
