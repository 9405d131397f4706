import type { NodeId } from '../machine.ts';
import type { RegisterMessage } from './message.ts';
import type { AcceptorRow, BadRegisterRecord, NamedRow, RegisterName, RegisterWrite } from './record.ts';
import type { RegisterReply, RegisterRequest } from './request.ts';

export type RegisterInput =
  /** `sinceMs`: when the client asked, monotonic, where it has waited since. */
  | {
      readonly type: 'register-request';
      readonly id: number;
      readonly request: RegisterRequest;
      readonly sinceMs?: number;
    }
  | { readonly type: 'message'; readonly from: NodeId; readonly message: RegisterMessage }
  /** Everything persisted up to and including this id is synced. */
  | { readonly type: 'register-persisted'; readonly id: number }
  | { readonly type: 'register-read-done'; readonly id: number; readonly row: AcceptorRow | null }
  /** `more`: there are rows after the last one of these. */
  | {
      readonly type: 'register-scan-done';
      readonly id: number;
      readonly rows: readonly NamedRow[];
      readonly more: boolean;
    }
  /** Names whose rows on this disk hold a tombstone, an expired value or nothing, found by a slow scan. */
  | { readonly type: 'register-tombstones'; readonly names: readonly RegisterName[] }
  /** It stays on the disk until this core overwrites it. To be handed over before what a read of it finds. */
  | { readonly type: 'register-lost'; readonly record: BadRegisterRecord }
  /** What `placement`, `canVote` or `heldShards` say has changed. */
  | { readonly type: 'register-placement-changed' }
  | { readonly type: 'peer-up'; readonly peer: NodeId }
  | { readonly type: 'peer-down'; readonly peer: NodeId };

export type RegisterEffect =
  | { readonly type: 'send'; readonly to: NodeId; readonly message: RegisterMessage }
  /** Ids count up by one; batches are committed in order, atomically and synced, then confirmed. */
  | { readonly type: 'register-persist'; readonly id: number; readonly rows: readonly RegisterWrite[] }
  /** A point read. It sees everything persisted by effects before it. */
  | { readonly type: 'register-read'; readonly id: number; readonly shard: number; readonly name: RegisterName }
  /** An ordered read of at most `limit` rows of a shard after a name; may end early once it has read `bytesMax` bytes. */
  | {
      readonly type: 'register-scan';
      readonly id: number;
      readonly shard: number;
      readonly after: RegisterName | null;
      readonly limit: number;
      readonly bytesMax: number;
    }
  | { readonly type: 'register-reply'; readonly id: number; readonly reply: RegisterReply }
  /** This node has an older ring than the peer: ask it for its catalog. */
  | { readonly type: 'register-epoch-behind'; readonly peer: NodeId }
  /** The peer has an older ring than this node: send it the catalog. */
  | { readonly type: 'register-epoch-ahead'; readonly peer: NodeId }
  /** This acceptor's copy of the shard is whole, durably, for all groups that it belongs to under this epoch. */
  | { readonly type: 'register-caught-up'; readonly shard: number; readonly epoch: number };
