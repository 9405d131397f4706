import { describe, expect, it } from 'vitest';
import type { Node } from '../../../src/protocol/node/node.ts';
import { findRingMember } from '../../../src/runtime/cluster-views.ts';

/** A node's view of a ring with members of these names and places. */
function viewOf(members: readonly (readonly [id: string, name: string, place: string])[]): Node {
  return {
    ringPlaces: members.map(([id, , place]) => ({ id, in: place === 'in', place, weight: 1, zone: '' })),
    ring: { shardsOf: () => [] },
    member: (id: string) => ({ profile: { name: members.find(([each]) => each === id)?.[1] } }),
  } as unknown as Node;
}

describe('a member of the ring by its name', () => {
  it('is the one that is there, not what it was before its disk was replaced', () => {
    const view = viewOf([
      ['old', 'gateway', 'removed'],
      ['new', 'gateway', 'in'],
    ]);
    expect(findRingMember(view, 'gateway').peerId).toBe('new');
    expect(findRingMember(view, 'old').place).toBe('removed');
  });

  it('may also be one that is removed', () => {
    expect(findRingMember(viewOf([['old', 'gateway', 'removed']]), 'gateway').peerId).toBe('old');
  });

  it('is asked for by its id where two go by the name', () => {
    const view = viewOf([
      ['one', 'gateway', 'in'],
      ['two', 'gateway', 'out'],
    ]);
    expect(() => findRingMember(view, 'gateway')).toThrow('2 members are named gateway; use a peer id');
    expect(findRingMember(view, 'two').peerId).toBe('two');
    expect(() => findRingMember(view, 'three')).toThrow('the ring has no member three');
  });
});
