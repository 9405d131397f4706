import type { NodeId } from '../machine.ts';
import type { Member, MemberState } from './member.ts';
import type { MembershipMessage } from './message.ts';

/** What the driver is to do, in order. */
export type MembershipEffect =
  /** Lost when `to` is not connected; a `dial` precedes it where that matters. */
  | { readonly type: 'send'; readonly to: NodeId; readonly message: MembershipMessage }
  /** Best address first; may be empty when none is known. Harmless while connected or dialling. */
  | { readonly type: 'dial'; readonly peer: NodeId; readonly addresses: readonly string[] }
  /** The peer is dead: its connection is stuck at best, and would block the dials that find it again. */
  | { readonly type: 'disconnect'; readonly peer: NodeId }
  /** The peer passed on what nobody signed: count it against the peer. */
  | { readonly type: 'misbehaviour'; readonly peer: NodeId; readonly reason: string }
  /** Make durable, then report `incarnation-persisted`. At the next start it is `options.incarnation`. */
  | { readonly type: 'persist-incarnation'; readonly incarnation: number }
  /** `previous`: the state before, null for a new member; equal to the state when profile or health changed. */
  | { readonly type: 'member-changed'; readonly member: Member; readonly previous: MemberState | null }
  /** The member has left for good, or gave way to another: drop it from the address book. */
  | { readonly type: 'forget'; readonly peer: NodeId };
