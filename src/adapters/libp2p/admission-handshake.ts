import { ADDRESS_LENGTH_MAX, PEER_ADDRESSES_MAX } from './addresses.ts';
import {
  type HandshakeEnd,
  type HandshakeTerms,
  isCount,
  MutualHandshake,
  type HandshakeStep as StepOf,
  type VersionRange,
  versionsOverlap,
} from './mutual-handshake.ts';

/** What two nodes must agree on before they may talk. */
export interface ClusterHello extends VersionRange {
  readonly clusterId: string;
  /** Number of shards that the key space is cut into. */
  readonly shards: number;
}

/** Why a peer was not admitted. */
export type RefusalCode =
  | 'cluster-mismatch'
  | 'version-mismatch'
  | 'shards-mismatch'
  | 'secret-mismatch'
  | 'malformed'
  | 'timeout';

/** What the peer said of itself. */
export interface PeerHello extends ClusterHello {
  readonly addresses: readonly string[];
}

export type HandshakeStep = StepOf<PeerHello, RefusalCode>;

const CLUSTER_ID_LENGTH_MAX = 256;

const TERMS: HandshakeTerms<PeerHello, RefusalCode> = {
  label: 'holdfast/admit/1',
  codes: ['cluster-mismatch', 'version-mismatch', 'shards-mismatch', 'secret-mismatch', 'malformed', 'timeout'],
  unproven: { initiator: 'secret-mismatch', responder: 'secret-mismatch' },
  decodeHello,
  compare,
};

/** Mutual proof that both ends hold the cluster secret, of which the key is derived, and agree on what they speak. */
export class AdmissionHandshake extends MutualHandshake<PeerHello, RefusalCode> {
  constructor(end: HandshakeEnd<PeerHello> & { readonly key: Uint8Array }) {
    const { clusterId, versionMin, versionMax, shards, addresses } = end.hello;
    const hello = { clusterId, versionMin, versionMax, shards, addresses: addresses.slice(0, PEER_ADDRESSES_MAX) };
    super(TERMS, { ...end, hello });
  }
}

function compare(own: ClusterHello, peer: ClusterHello): RefusalCode | undefined {
  if (own.clusterId !== peer.clusterId) return 'cluster-mismatch';
  if (!versionsOverlap(own, peer)) return 'version-mismatch';
  if (own.shards !== peer.shards) return 'shards-mismatch';
  return undefined;
}

function decodeHello(fields: Readonly<Record<string, unknown>>): PeerHello | undefined {
  const { clusterId, versionMin, versionMax, shards, addresses } = fields;
  if (typeof clusterId !== 'string' || clusterId.length > CLUSTER_ID_LENGTH_MAX) return undefined;
  if (!isCount(versionMin) || !isCount(versionMax) || !isCount(shards)) return undefined;
  if (!Array.isArray(addresses) || addresses.length > PEER_ADDRESSES_MAX) return undefined;
  const texts = addresses.filter(
    (item): item is string => typeof item === 'string' && item.length <= ADDRESS_LENGTH_MAX,
  );
  if (texts.length !== addresses.length) return undefined;
  return { clusterId, versionMin, versionMax, shards, addresses: texts };
}
