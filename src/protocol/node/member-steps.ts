import type { NodeId } from '../machine.ts';
import type { MembershipEffect } from '../membership/effect.ts';
import type { NodeEffect } from './effect.ts';

interface Around {
  readonly self: NodeId;
  /** Every member keeps a connection to every other one. */
  readonly isMesh: boolean;
  readonly isConnected: (peer: NodeId) => boolean;
}

/** What a node does upon what membership says. */
export function memberSteps(effect: MembershipEffect, { self, isMesh, isConnected }: Around): NodeEffect[] {
  if (effect.type === 'forget') return [{ type: 'forget-member', peer: effect.peer }];
  if (effect.type !== 'member-changed') return [effect];
  const { member } = effect;
  const { id, state, profile } = member;
  const event: NodeEffect = { type: 'event', event: effect };
  if (id === self) return [event];
  const persist: NodeEffect = { type: 'persist-member', member };
  // Data has many owners, so connections are there before they are needed.
  const isWanted = state === 'alive' && isMesh && !isConnected(id);
  return isWanted ? [persist, { type: 'dial', peer: id, addresses: profile.addresses }, event] : [persist, event];
}

/** Whether the member can be asked for data from now on; null: as before. Whatever others say of this node, it reaches its own. */
export function reachOf(
  effect: MembershipEffect,
  self: NodeId,
  isConnected: (peer: NodeId) => boolean,
): { readonly type: 'peer-up' | 'peer-down'; readonly peer: NodeId } | null {
  if (effect.type !== 'member-changed' || effect.member.id === self) return null;
  const { id, state } = effect.member;
  // A suspect is not asked for data any more: a request that waited for it would wait until the suspicion ends, while
  // fallbacks and other owners answer now. If it was well after all, it catches up as after any absence.
  if (state !== 'alive') return { type: 'peer-down', peer: id };
  return isConnected(id) ? { type: 'peer-up', peer: id } : null;
}
