import type { NodeId } from '../machine.ts';
import { type Coordinate, isCoordinate } from './coordinate.ts';
import type { MemberProfile } from './member.ts';

/** Largest values of everything that membership keeps or accepts; what exceeds them is dropped whole. */
export const MEMBERSHIP_LIMITS = {
  /** Members in the table, self not counted. A new one then replaces the oldest left, then the oldest dead one. */
  membersMax: 10_000,
  /** Updates read from one message; further ones are ignored. */
  updatesPerMessageMax: 1024,
  /** Updates that one ping, ack or ping-request carries along. */
  piggybackUpdatesMax: 8,
  /** Updates in one gossip message. */
  gossipUpdatesMax: 64,
  /** A push-pull reply starts a new message at this many updates (a bucket is never split). */
  pushPullUpdatesTarget: 128,
  /** Updates waiting for dissemination; the most often sent one gives way. */
  disseminationMax: 4096,
  /** Probes under way; a further one is not started. */
  probesMax: 1024,
  /** Indirect probes under way for others; a further request is answered with a nack. */
  relaysMax: 1024,
  /** Accusers remembered for one suspicion: more do not shorten it further. */
  accusersMax: 16,
  /** Peers that are told of a leave directly; the others hear it by gossip. */
  leaveFanoutMax: 64,
  /** Peers of the persisted address book that are dialled at once at start. */
  startDialsMax: 32,
  idLengthMax: 128,
  nameLengthMax: 128,
  addressesMax: 16,
  addressLengthMax: 256,
  labelsMax: 32,
  capabilitiesMax: 32,
  /** Length of a zone, label key, label value or capability. */
  textLengthMax: 128,
  /** Far above what refuting can reach; a claim beyond it is a forgery. */
  incarnationMax: 2 ** 48,
  /**
   * How far an accusation may be ahead of what its subject is known to have said. Without the bound one accuser
   * could name the last incarnation there is, which nobody could refute.
   */
  accusationLeadMax: 2 ** 20,
  signatureBytesMax: 64,
} as const;

/** `id` says that it lives. Only ever made by `id` itself, passed on by anyone. */
export interface AliveUpdate {
  readonly state: 'alive';
  readonly id: NodeId;
  readonly incarnation: number;
  readonly profile: MemberProfile;
  /** Of `id`, over all of the above; at most 64 bytes, as in every claim. */
  readonly signature: Uint8Array;
}

/** `from` says that `id` does not answer, or that its suspicion ran out. */
export interface AccusationUpdate {
  readonly state: 'suspect' | 'dead';
  readonly id: NodeId;
  readonly incarnation: number;
  /** The accuser, kept when the accusation is passed on: only distinct accusers count as confirmations. */
  readonly from: NodeId;
  /** Of `from`, over all of the above. */
  readonly signature: Uint8Array;
  /** What `id` last said of itself. Present in push-pull, so that a node which never heard of `id` learns where it was. */
  readonly alive?: AliveUpdate;
}

/** `id` says that it leaves. */
export interface LeftUpdate {
  readonly state: 'left';
  readonly id: NodeId;
  readonly incarnation: number;
  /** Of `id`, over all of the above. */
  readonly signature: Uint8Array;
}

/** One claim about one member. */
export type MemberUpdate = AliveUpdate | AccusationUpdate | LeftUpdate;

/** Are you there? Asks for an `ack` with the same `seq`. */
interface PingMessage {
  readonly type: 'ping';
  /** Names the probe at its sender; an unsigned 32-bit integer. */
  readonly seq: number;
  readonly updates: readonly MemberUpdate[];
}

/** Ping `target` for me: pass its ack on with my `seq`, or say `nack` when it is late. */
interface PingRequestMessage {
  readonly type: 'ping-request';
  readonly seq: number;
  readonly target: NodeId;
  /** How long the sender waits from now; the relay says nack at 80 % of it. */
  readonly timeoutMs: number;
  readonly updates: readonly MemberUpdate[];
}

/** Answers a ping, or a ping-request on behalf of its target. */
interface AckMessage {
  readonly type: 'ack';
  readonly seq: number;
  /** Of the sender; null on behalf of another. */
  readonly coordinate: Coordinate | null;
  readonly updates: readonly MemberUpdate[];
}

/** The relay is well, the target has not answered it yet. */
interface NackMessage {
  readonly type: 'nack';
  readonly seq: number;
}

interface GossipMessage {
  readonly type: 'gossip';
  readonly updates: readonly MemberUpdate[];
}

/** A digest over the members whose ids hash to one of the 256 buckets. */
export interface BucketDigest {
  /** 0 to 255. */
  readonly bucket: number;
  /** Unsigned 32-bit. */
  readonly digest: number;
}

/** My view in digests, one for each bucket that is not empty. No answer means: the same as yours. */
interface PushPullMessage {
  readonly type: 'push-pull';
  readonly digests: readonly BucketDigest[];
}

/** Everything that the sender knows in the buckets that differ. Large views take several messages. */
interface PushPullReplyMessage {
  readonly type: 'push-pull-reply';
  /** The buckets that `updates` covers completely. */
  readonly buckets: readonly number[];
  readonly updates: readonly MemberUpdate[];
}

/** What the first sender knows better in those buckets. */
interface PushPullReturnMessage {
  readonly type: 'push-pull-return';
  readonly updates: readonly MemberUpdate[];
}

export type MembershipMessage =
  | PingMessage
  | PingRequestMessage
  | AckMessage
  | NackMessage
  | GossipMessage
  | PushPullMessage
  | PushPullReplyMessage
  | PushPullReturnMessage;

const TYPES: ReadonlySet<string> = new Set<MembershipMessage['type']>([
  'ping',
  'ping-request',
  'ack',
  'nack',
  'gossip',
  'push-pull',
  'push-pull-reply',
  'push-pull-return',
]);

/** Tells membership's messages from those of other cores. */
export function isMembershipMessage(message: { readonly type: string }): message is MembershipMessage {
  return TYPES.has(message.type);
}

/** False for a claim outside the limits: it is ignored, and does not harm its neighbours in the message. */
export function isUpdateWithinLimits(update: MemberUpdate): boolean {
  const { idLengthMax, incarnationMax } = MEMBERSHIP_LIMITS;
  if (update.id.length === 0 || update.id.length > idLengthMax) return false;
  if (!Number.isSafeInteger(update.incarnation)) return false;
  if (update.incarnation < 1 || update.incarnation > incarnationMax) return false;
  if (update.signature.length > MEMBERSHIP_LIMITS.signatureBytesMax) return false;
  switch (update.state) {
    case 'alive':
      return isProfileWithinLimits(update.profile);
    case 'suspect':
    case 'dead':
      if (update.from.length === 0 || update.from.length > idLengthMax) return false;
      return update.alive === undefined || (update.alive.id === update.id && isUpdateWithinLimits(update.alive));
    case 'left':
      return true;
  }
}

export function isProfileWithinLimits(profile: MemberProfile): boolean {
  const limits = MEMBERSHIP_LIMITS;
  const labels = Object.entries(profile.labels);
  return (
    profile.name.length <= limits.nameLengthMax &&
    profile.zone.length <= limits.textLengthMax &&
    labels.length <= limits.labelsMax &&
    labels.every(([key, value]) => key.length <= limits.textLengthMax && value.length <= limits.textLengthMax) &&
    profile.capabilities.length <= limits.capabilitiesMax &&
    profile.capabilities.every((capability) => capability.length <= limits.textLengthMax) &&
    profile.addresses.length <= limits.addressesMax &&
    profile.addresses.every((address) => address.length <= limits.addressLengthMax) &&
    (profile.coordinate === null || isCoordinate(profile.coordinate)) &&
    Number.isFinite(profile.score) &&
    Number.isFinite(profile.weight) &&
    profile.weight >= 0
  );
}
