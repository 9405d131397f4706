import { describe, expect, it } from 'vitest';
import type { MemberView } from '../../../src/ports/node-handle.ts';
import type { Member } from '../../../src/protocol/membership/member.ts';
import { MemberTable } from '../../../src/protocol/membership/member-table.ts';
import type { Node } from '../../../src/protocol/node/node.ts';
import { findRingMember, islandsView, memberViews } from '../../../src/runtime/cluster-views.ts';
import { profileOf } from '../../support/membership-network.ts';

/** A node's view of a ring with members of these names and places. */
function viewOf(members: readonly (readonly [id: string, name: string, place: string])[]): Node {
  return {
    ringPlaces: members.map(([id, , place]) => ({ id, in: place === 'in', place, weight: 1, zone: '' })),
    ring: { shardsOf: () => [] },
    member: (id: string) => ({ state: 'alive', profile: { name: members.find(([each]) => each === id)?.[1] } }),
  } as unknown as Node;
}

describe('a member', () => {
  const [known] = new MemberTable('self', [{ id: 'a', profile: { ...profileOf('a'), zone: 'hall-1' } }]).all();
  const member = known?.member as Member;

  function shown(change: Partial<Member> = {}, ringPlaces: readonly object[] = []): MemberView | undefined {
    const members = (): Member[] => [{ ...member, ...change }];
    const node = { members, ringPlaces, estimatedRttMs: () => null } as unknown as Node;
    return memberViews(node, 'self')[0];
  }

  it('has no time of its last change before one was seen, nor by a clock that was never set', () => {
    expect(shown()?.since).toBeNull();
    expect(shown({ sinceMs: 300_000 })?.since).toBeNull();
    expect(shown({ sinceMs: Date.parse('2026-03-01T12:00:00Z') })?.since).toBe('2026-03-01T12:00:00.000Z');
  });

  it('is in the zone that counts for placement, beside its own', () => {
    expect(shown()).toMatchObject({ zone: 'hall-1', ownZone: 'hall-1' });
    expect(shown({}, [{ id: 'a', zone: 'hall-2' }])).toMatchObject({ zone: 'hall-2', ownZone: 'hall-1' });
    expect(shown({}, [{ id: 'b', zone: 'hall-2' }])).toMatchObject({ zone: 'hall-1', ownZone: 'hall-1' });
  });
});

describe('a member of the ring by its name', () => {
  it('is the one that is there, not what it was before its disk was replaced', () => {
    const view = viewOf([
      ['old', 'gateway', 'removed'],
      ['new', 'gateway', 'in'],
    ]);
    expect(findRingMember(view, 'gateway').peerId).toBe('new');
    expect(findRingMember(view, 'old').place).toBe('removed');
    expect(findRingMember(view, 'new').state).toBe('alive');
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

describe('the islands', () => {
  const now = { monoMs: 60_000, wallMs: Date.parse('2026-03-01T12:00:00Z') };
  const own = { isOwn: true, members: [{ id: 'a', isReachable: true, sinceMs: 0 }], sinceMs: 30_000 };
  const lost = { isOwn: false, members: [{ id: 'b', isReachable: false, sinceMs: null }], sinceMs: null };
  const ring = viewOf([
    ['a', 'edge-1', 'in'],
    ['b', 'edge-2', 'missing'],
  ]);
  const node = Object.assign(ring, {
    level: { level: 'island', sinceMs: 30_000 },
    components: () => [own, lost],
    leadership: () => ({ leader: 'a', term: 7, quorate: false, remainingMs: 900, votes: 1, view: 1 }),
  }) as unknown as Node;

  it('have names, the times of people, and a leader where the node is', () => {
    const common = { state: 'alive' };
    expect(islandsView(node, 'a', now)).toEqual({
      level: 'island',
      levelSince: '2026-03-01T11:59:30.000Z',
      components: [
        {
          self: true,
          members: [{ ...common, name: 'edge-1', peerId: 'a', place: 'in', since: '2026-03-01T11:59:00.000Z' }],
          leader: 'edge-1',
          term: 7,
          quorate: false,
          since: '2026-03-01T11:59:30.000Z',
        },
        {
          self: false,
          members: [{ ...common, name: 'edge-2', peerId: 'b', place: 'missing', since: null }],
          leader: null,
          term: null,
          quorate: null,
          since: null,
        },
      ],
    });
  });

  it('have no times by a clock that was never set', () => {
    const { levelSince, components } = islandsView(node, 'a', { monoMs: 60_000, wallMs: 90_000 });
    expect([levelSince, ...components.map(({ since }) => since)]).toEqual([null, null, null]);
  });
});
