import type { CausalContext } from '../causal/context.ts';
import type { Entries } from '../causal/entry.ts';
import type { NodeId } from '../machine.ts';
import type { ReplicationMessage } from './message.ts';
import type {
  BadRecord,
  ObjectName,
  ReadResult,
  RecordClear,
  RecordRead,
  RecordScan,
  RecordWrite,
  ScanResult,
} from './record.ts';
import type { ClientReply, ClientRequest, ConflictsQuery, ConflictsReply, FailedReply } from './request.ts';

export type ReplicationInput =
  | { readonly type: 'request'; readonly id: number; readonly request: ClientRequest }
  | { readonly type: 'message'; readonly from: NodeId; readonly message: ReplicationMessage }
  /** Answered by `conflicts-reply` with the same id. */
  | { readonly type: 'conflicts'; readonly id: number; readonly query: ConflictsQuery }
  /** Everything persisted up to and including this id is synced. */
  | { readonly type: 'persisted'; readonly id: number }
  | { readonly type: 'read-done'; readonly id: number; readonly result: ReadResult }
  | { readonly type: 'scan-done'; readonly id: number; readonly result: ScanResult }
  /** The record of an object failed its checksum: what it held is gone from this disk. */
  | { readonly type: 'object-lost'; readonly shard: number; readonly name: ObjectName }
  /** Another record failed its checksum. */
  | { readonly type: 'record-lost'; readonly record: BadRecord }
  /** A `clear` has been executed. */
  | { readonly type: 'cleared'; readonly shard: number }
  | { readonly type: 'peer-up'; readonly peer: NodeId }
  | { readonly type: 'peer-down'; readonly peer: NodeId }
  /** `refusal`: what those are told whose writes are refused. */
  | { readonly type: 'storage-writable'; readonly writable: boolean; readonly refusal?: string }
  | { readonly type: 'clock-trust'; readonly doubtfulSinceMs: number | null };

export type ReplicationEffect =
  | { readonly type: 'send'; readonly to: NodeId; readonly message: ReplicationMessage }
  /** Ids count up by one; batches are committed in order, atomically and synced, then confirmed. */
  | { readonly type: 'persist'; readonly id: number; readonly writes: readonly RecordWrite[] }
  | { readonly type: 'read'; readonly id: number; readonly key: RecordRead }
  | { readonly type: 'scan'; readonly id: number; readonly scan: RecordScan }
  /** Executed after all earlier `persist` effects and before all later ones; then `cleared`. */
  | { readonly type: 'clear'; readonly range: RecordClear }
  | { readonly type: 'reply'; readonly id: number; readonly reply: ClientReply }
  | { readonly type: 'conflicts-reply'; readonly id: number; readonly reply: ConflictsReply | FailedReply }
  /** This node's copy of a watched key changed and the change is durable. `context`: what the entries are the state of. */
  | {
      readonly type: 'changed';
      readonly bucket: string;
      readonly key: string;
      readonly entries: Entries;
      readonly context: CausalContext;
      /** Further dots of the key that are known to be superseded; null: none. */
      readonly past: CausalContext | null;
    }
  | { readonly type: 'notify'; readonly event: ReplicationEvent };

export type ReplicationEvent =
  | { readonly type: 'shard-complete'; readonly shard: number }
  | { readonly type: 'shard-dropped'; readonly shard: number }
  | { readonly type: 'object-lost'; readonly bucket: string; readonly shard: number }
  /** The disk was restored from an older copy. */
  | { readonly type: 'disk-rolled-back' }
  | { readonly type: 'hint-dropped'; readonly bucket: string }
  | { readonly type: 'clock-drift-refused'; readonly from: NodeId; readonly aheadMs: number };
